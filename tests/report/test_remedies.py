"""The remedy table: whole at the width of every terminal that people use."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from muscle_llm.comparison import compare
from muscle_llm.report.remedies import remedy_cells, remedy_rows, remedy_table


def _figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.011, "high": value + 0.012}


def _document() -> dict[str, Any]:
    def candidate(role: str) -> dict[str, Any]:
        change = {"d_nfr": _figure(-0.123), "d_nfr_percent": _figure(-43.0)}
        return {
            "role": role,
            "metrics": {"accuracy_new": _figure(0.999), "nfr": _figure(0.212)},
            "against_new": {"recovered": 1491, "newly_broken": 1210, "metrics": change},
        }

    metrics = {"accuracy_old": _figure(0.532), "accuracy_new": _figure(0.556), "nfr": _figure(0.164)}
    roles = {"muscle": "remedy", "continued": "control", "old_rerun": "noise_floor"}
    return {"metrics": metrics, "candidates": {name: candidate(role) for name, role in roles.items()}}


def _printed(width: int) -> str:
    out = StringIO()
    Console(file=out, width=width).print(remedy_table(_document(), title="choice", width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 106, 140])
def test_nothing_is_cut_at(width: int) -> None:
    text = _printed(width)
    assert "…" not in text
    for whole in ("old_rerun", "continued", "muscle", "99.9", "21.2", "-12.3 [-13.4, -11.1]", "1491", "1210"):
        assert whole in text


def test_a_wide_terminal_shows_the_interval_of_the_nfr() -> None:
    assert "21.2 [20.1, 22.4]" in _printed(106)
    assert "21.2 [20.1, 22.4]" not in _printed(105)


def test_remedies_come_last_and_controls_before_them() -> None:
    assert [row.name for row in remedy_rows(_document())] == [
        "old",
        "new",
        "old_rerun",
        "continued",
        "muscle",
    ]


def test_a_judges_scale_of_1_to_10_stays_what_it_is() -> None:
    old, new = ([{"id": i, "score_judge": s + i % 3} for i in range(8)] for s in (7.25, 6.05))
    result = compare(old, new, {"remedy": old}, old_name="v1", new_name="v2")
    rows = remedy_rows(result.to_dict())
    assert [(r.name, remedy_cells(r)[0]) for r in rows] == [
        ("v1", "8.125"),
        ("v2", "6.925"),
        ("remedy", "8.125"),
    ]
