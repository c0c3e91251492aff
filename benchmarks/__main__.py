"""Run a benchmark by name: ``python -m benchmarks NAME [options]``; without a name, list them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run the named benchmark as a script of its own."""
    known = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))
    if len(sys.argv) < 2 or sys.argv[1] not in known:
        print(f"usage: python -m benchmarks NAME [options]; known: {', '.join(known)}")
        sys.exit(0 if len(sys.argv) < 2 else 2)
    name = sys.argv.pop(1)
    runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
