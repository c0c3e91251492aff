"""Damaged logs give a result or one sentence; never a traceback, never another number in an untouched row.

The default is short; ``MUSCLE_LLM_FUZZ=20000`` reads as many inputs, and
``python studies/fuzz_readers.py`` prints a table of what came of them.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

_PLACE = Path(__file__).with_name("fuzzing.py")


def _fuzzing():
    if "log_fuzzing" not in sys.modules:
        spec = importlib.util.spec_from_file_location("log_fuzzing", _PLACE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["log_fuzzing"] = module
        spec.loader.exec_module(module)
    return sys.modules["log_fuzzing"]


def test_damaged_logs_are_read_or_refused():
    count = int(os.environ.get("MUSCLE_LLM_FUZZ", "1500"))
    inspect = importlib.util.find_spec("inspect_ai") is not None and count > 1500
    report = _fuzzing().fuzz(count, seed=1, inspect=inspect)
    told = "\n\n".join(f"{f.format} {f.seed} {f.damage}\n{f.reason}" for f in report.failures[:5])
    assert not report.failures, f"{len(report.failures)} of {report.inputs} inputs:\n{told}"
    assert report.inputs == count
    read = sum(n for (_, outcome), n in report.outcomes.items() if outcome == "read")
    assert 0.1 * count < read < 0.9 * count  # Damage that always, or never, matters would test nothing.
