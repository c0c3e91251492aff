"""Damaged logs of every format: what came of them.

    python studies/fuzz_readers.py [--inputs 20000] [--seed 1] [--write]

Uses the damage and the checks of tests/fuzz. ``--write`` keeps the table in studies/fuzz_readers.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def _fuzzing() -> Any:
    spec = importlib.util.spec_from_file_location("log_fuzzing", ROOT / "tests" / "fuzz" / "fuzzing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["log_fuzzing"] = module
    spec.loader.exec_module(module)
    return module


def table(report: Any) -> list[str]:
    """Return one line per log written: how many inputs were read, refused, and broke a promise."""
    lines = ["| log | inputs | read | refused | failures |", "|---|---|---|---|---|"]
    names = sorted({name for name, _ in report.outcomes})
    for name in names:
        read, refused = (report.outcomes[name, outcome] for outcome in ("read", "refused"))
        inputs = sum(n for (log, _), n in report.outcomes.items() if log == name)
        failures = sum(f.format == name for f in report.failures)
        lines.append(f"| {name} | {inputs} | {read} | {refused} | {failures} |")
    read, refused = (sum(n for (_, o), n in report.outcomes.items() if o == k) for k in ("read", "refused"))
    lines.append(f"| all | {report.inputs} | {read} | {refused} | {len(report.failures)} |")
    return lines


def main() -> int:
    """Run the study; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the table in studies/fuzz_readers.md")
    chosen = parser.parse_args()
    inspect = importlib.util.find_spec("inspect_ai") is not None
    start = time.process_time()
    report = _fuzzing().fuzz(chosen.inputs, chosen.seed, inspect=inspect)
    seconds = time.process_time() - start
    options = f"--inputs {chosen.inputs} --seed {chosen.seed}"
    missing = "" if inspect else " Inspect's logs are left out: its package is not installed here."
    text = "\n".join(
        [
            "# Damaged logs",
            "",
            f"`python studies/fuzz_readers.py {options}`",
            "",
            "Whole logs of every format, with one damage each: bytes flipped, cut, doubled or swapped, "
            "values replaced by other kinds, rows repeated or lost. A tenth of those read also go through "
            "`inspect` and a comparison with the whole log. A failure is anything but a result or an error "
            "of the package with a readable message, and any row left alone that is judged otherwise than in "
            "the whole log." + missing,
            "",
            *table(report),
            "",
            f"{seconds:.0f} s of processor time.",
        ]
    )
    print(text)
    for failure in report.failures[:10]:
        print(f"\n{failure.format} {failure.seed} {failure.damage}\n{failure.reason}")
    if chosen.write:
        (ROOT / "studies" / "fuzz_readers.md").write_text(text + "\n", encoding="utf-8")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
