"""A study of settings as Markdown: each remedy's accuracy and change of NFR, on the validation part."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muscle_llm.study.analysis import Measured, measure
from muscle_llm.study.results import about_of
from muscle_llm.study.tables import (
    INTERVALS,
    accuracy_word,
    marked,
    opening,
    read_all,
    safe,
    shown,
    table,
    title_of,
    what_ran,
)
from muscle_llm.update.remedies import KINDS

__all__ = ["ablation_page"]


def ablation_page(results: Path, *, validation: bool = True) -> str:
    """Return tables of settings: each remedy's accuracy and change of NFR per update and task.

    Args:
        results: what `muscle_llm.study.results.write_results` wrote.
        validation: on the part that choices are made on, in place of the part that is reported.

    Raises:
        InputError: the file is not a study's, or that part has no instances.
    """
    cells = [measure(outcomes, validation=validation) for outcomes in read_all(results)]
    about = about_of(results)
    part = "validation part, which choices are made on" if validation else "test part"
    parts = [*opening(about), f"On the {part}. {what_ran(cells, about)}"]
    for m in cells:
        parts += [f"## {title_of(m)}", _ablation_table(m, about.get("remedies", {}))]
    return "\n\n".join([*parts, INTERVALS]) + "\n"


def _ablation_table(m: Measured, remedies: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name in m.outcomes.versions:
        if name == "old":
            continue
        changes = [
            "" if name == "new" else shown(m.difference(figure, name, "new"), signed=True)
            for figure in ("accuracy", "nfr")
        ]
        rows.append(
            [
                marked(m, name),
                *_settings(remedies.get(name, {})),
                shown(m.estimate("accuracy", name)),
                changes[0],
                shown(m.estimate("nfr", name)),
                changes[1],
            ]
        )
    headings = ["version", "mask", "T", "CE share", "other settings", accuracy_word(m)]
    return table([*headings, f"change of {accuracy_word(m)}", "NFR", "change of NFR"], rows, texts=5)


def _settings(settings: Mapping[str, Any]) -> list[str]:
    """Return mask, temperature, share of the cross-entropy, and what else is not as by default."""
    kind = KINDS.get(str(settings.get("kind")))
    usual = {} if kind is None else vars(kind)
    named = ("mask", "temperature", "ce_weight")
    own = {k: v for k, v in settings.items() if k != "name" and (k != "kind" or v != "distillation")}
    if settings.get("kind") != "distillation":
        named, usual = ("mask", "", ""), {}
    others = [f"{k} {v}" for k, v in own.items() if k not in named and (k not in usual or usual[k] != v)]
    return [*(safe(str(settings.get(k, ""))) for k in named), safe(", ".join(others))]
