"""Data of the paper's tasks: from the hub by name, or from a folder with the original files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from muscle_llm.errors import InputError
from muscle_llm.text import printable

__all__ = ["gsm8k", "hellaswag", "original_files", "piqa", "samsum"]

Row = dict[str, Any]
Change = Callable[[Row, Path, int], Row]

# split -> names that the data set's own files have, the original name first
_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "hellaswag": {
        "train": ("hellaswag_train.jsonl", "train.jsonl"),
        "validation": (
            "hellaswag_val.jsonl",
            "validation.jsonl",
            "hellaswag_val_full.jsonl",
            "hellaswag_val_subset1000.jsonl",
        ),
    },
    "piqa": {"train": ("train.jsonl",), "validation": ("valid.jsonl", "validation.jsonl")},
    "gsm8k": {"train": ("train.jsonl",), "test": ("test.jsonl",)},
    "samsum": {
        "train": ("train.json", "train.jsonl"),
        "validation": ("val.json", "val.jsonl"),
        "test": ("test.json", "test.jsonl"),
    },
}
_HUB: dict[str, tuple[str, str | None]] = {
    "hellaswag": ("Rowan/hellaswag", None),
    "piqa": ("baber/piqa", None),
    "gsm8k": ("openai/gsm8k", "main"),
    "samsum": ("knkarthick/samsum", None),
}


def original_files(task: str, data: str | Path) -> dict[str, Path]:
    """Return split -> file of a paper task's original data; one file is its evaluation split.

    Raises:
        InputError: the folder, or the file of the evaluation split, does not exist.
    """
    place = Path(data).expanduser()
    wanted = _FILES[task]
    evaluated = list(wanted)[-1]
    if place.is_file():
        return {evaluated: place}
    if not place.is_dir():
        raise InputError(f"task '{task}': its data folder {printable(str(place))} does not exist.")
    found = {
        split: next((place / n for n in names if (place / n).is_file()), None)
        for split, names in wanted.items()
    }
    if found[evaluated] is None:
        names = " or ".join(wanted[evaluated])
        raise InputError(f"task '{task}': {printable(str(place))} has no {names} (its {evaluated} split).")
    return {split: path for split, path in found.items() if path is not None}


def _read(path: Path) -> list[Row]:
    """Return the objects of a JSON list or of JSON lines."""
    text = path.read_text(encoding="utf-8-sig")
    try:
        if text.lstrip().startswith("["):
            return list(json.loads(text))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}).") from error
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not valid JSON ({error.msg}).") from error
    return rows


def _load(task: str, data: str | Path | None, fields: Sequence[str], change: Change) -> Any:
    """Return split -> data set, with the fields the task's YAML asks for."""
    import datasets

    if data is None:
        path, name = _HUB[task]
        return datasets.load_dataset(path, name)
    splits: dict[str, Any] = {}
    for split, path in original_files(task, data).items():
        rows = _read(path)
        for i, row in enumerate(rows):
            missing = [f for f in fields if not isinstance(row, Mapping) or f not in row]
            if missing:
                raise InputError(f"{path}, row {i + 1}: no '{missing[0]}', which a {task} file has.")
        splits[split] = datasets.Dataset.from_list([change(dict(r), path, i) for i, r in enumerate(rows)])
    evaluated = splits[list(_FILES[task])[-1]]
    for split in _FILES[task]:  # the harness asks for every split that the YAML names
        splits.setdefault(split, evaluated.select([]))
    return splits


def hellaswag(data: str | None = None, **_: Any) -> Any:
    """Return HellaSwag: ``hellaswag_train.jsonl``, ``hellaswag_val.jsonl``, or the hub's."""

    def change(row: Row, path: Path, i: int) -> Row:
        return {
            "activity_label": str(row["activity_label"]),
            # a derived form has the joined context only
            "ctx_a": str(row.get("ctx_a", row["ctx"])),
            "ctx_b": str(row.get("ctx_b", "")),
            "endings": [str(e) for e in row["endings"]],
            "label": str(row["label"]),
        }

    return _load("hellaswag", data, ("activity_label", "ctx", "endings", "label"), change)


def piqa(data: str | None = None, **_: Any) -> Any:
    """Return PIQA: ``train.jsonl``, ``valid.jsonl``, each with its ``-labels.lst``, or the hub's."""
    labels: dict[Path, list[int]] = {}

    def change(row: Row, path: Path, i: int) -> Row:
        if "label" not in row and path not in labels:
            labels[path] = _labels(path)
        known = labels.get(path, [])
        if "label" not in row and i >= len(known):
            raise InputError(f"{path}: more rows than labels ({len(known)}) in {_labels_file(path).name}.")
        label = int(row["label"] if "label" in row else known[i])
        return {"goal": str(row["goal"]), "sol1": str(row["sol1"]), "sol2": str(row["sol2"]), "label": label}

    return _load("piqa", data, ("goal", "sol1", "sol2"), change)


def _labels_file(path: Path) -> Path:
    return path.with_name(f"{path.stem}-labels.lst")


def _labels(path: Path) -> list[int]:
    place = _labels_file(path)
    if not place.is_file():
        raise InputError(f"{path}: its labels, {place.name}, are not beside it.")
    lines = place.read_text(encoding="utf-8").split()
    wrong = next((n for n, text in enumerate(lines, 1) if text not in ("0", "1")), None)
    if wrong is not None:
        raise InputError(f"{place}, line {wrong}: a label is 0 or 1, not '{printable(lines[wrong - 1])}'.")
    return [int(text) for text in lines]


def gsm8k(data: str | None = None, **_: Any) -> Any:
    """Return GSM8K: ``train.jsonl``, ``test.jsonl``, or the hub's."""

    def change(row: Row, path: Path, i: int) -> Row:
        return {"question": str(row["question"]), "answer": str(row["answer"])}

    return _load("gsm8k", data, ("question", "answer"), change)


def samsum(data: str | None = None, **_: Any) -> Any:
    """Return SAMSum: ``train.json``, ``val.json``, ``test.json``, or a copy on the hub."""

    def change(row: Row, path: Path, i: int) -> Row:
        dialogue = str(row["dialogue"]).replace("\r\n", "\n")
        return {"id": str(row.get("id", i)), "dialogue": dialogue, "summary": str(row["summary"])}

    return _load("samsum", data, ("dialogue", "summary"), change)


def hellaswag_query(doc: Mapping[str, Any]) -> str:
    """Return the context as the harness shows it: its markup removed, its second half capitalised."""
    ctx = f"{doc['ctx_a']} {str(doc['ctx_b']).capitalize()}" if doc["ctx_b"] else str(doc["ctx_a"])
    return _clean(f"{doc['activity_label']}: {ctx}")


def hellaswag_choices(doc: Mapping[str, Any]) -> list[str]:
    """Return the four endings, their markup removed."""
    return [_clean(str(e)) for e in doc["endings"]]


def _clean(text: str) -> str:
    """Remove the marks of WikiHow articles, the way the harness does: ``[title]``, ``[step]``, ..."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")
