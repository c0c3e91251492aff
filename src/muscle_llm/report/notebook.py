"""A comparison as a notebook shows it: the sentence and the figures, without the instances."""

from __future__ import annotations

from html import escape

from muscle_llm.comparison import Comparison
from muscle_llm.metrics.definitions import DEFINITIONS, SMOOTH_DEFINITIONS
from muscle_llm.report.terminal import format_estimate, shown_metrics

__all__ = ["render_notebook"]


def render_notebook(comparison: Comparison) -> str:
    """Return a fragment of HTML: one sentence, one table; all text escaped.

    Example:
        >>> from muscle_llm.comparison import compare
        >>> rows = [{"id": 1, "correct": True}, {"id": 2, "correct": False}]
        >>> render_notebook(compare(rows, rows))[:17]
        '<div><p><strong>F'
    """
    rows = []
    if any(e.defined for e in comparison.metrics.values()):
        rows += [(DEFINITIONS[n], e) for n, e in shown_metrics(comparison).items()]
    for metrics in comparison.scores.values():
        rows += [(SMOOTH_DEFINITIONS[n], e) for n, e in metrics.items()]
    cells = "".join(
        f"<tr title='{escape(definition.text, quote=True)}'><td>{escape(definition.label)}</td>"
        f"<td>{escape(format_estimate(estimate, definition))}</td></tr>"
        for definition, estimate in rows
    )
    notes = "".join(f"<li>{escape(w)}</li>" for w in comparison.warnings)
    return (
        f"<div><p><strong>{escape(comparison.sentence)}</strong></p>"
        f"<table>{cells}</table>{f'<ul>{notes}</ul>' if notes else ''}</div>"
    )
