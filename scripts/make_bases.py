"""Pretrain the demo's two bases anew, into src/muscle_llm/demo/bases (about 20 minutes on 2 cores).

Usage: python scripts/make_bases.py [FOLDER]

The sums depend on the number of threads and on the processor in their last bits, so the weights are not
bitwise those in the repository. Run `make demo` afterwards: figures of other bases are other figures.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "src" / "muscle_llm" / "demo" / "bases"

TRAINING = "--batch-size 16 --learning-rate 2.5e-3 --threads 1"
OLD = "--mix old --seed 1 --tokens 4000000 --hidden 96 --feedforward 208 --steps 4000"
NEW = "--mix new --seed 3 --tokens 4000000 --hidden 112 --feedforward 256 --steps 3000"


def main() -> None:
    """Make the old base with a tokenizer of its own, then the new base with the same tokenizer."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    command = [sys.executable, "-m", "muscle_llm.demo.pretrain", "--corpus", "world", *TRAINING.split()]
    subprocess.run([*command, *OLD.split(), "--out", str(folder / "old")], check=True)
    shared = ["--tokenizer", str(folder / "old"), "--out", str(folder / "new")]
    subprocess.run([*command, *NEW.split(), *shared], check=True)


if __name__ == "__main__":
    main()
