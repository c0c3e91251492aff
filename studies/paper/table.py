"""Write the paper's figures, and beside them those of finished runs, to studies/paper/README.md.

Usage: python studies/paper/table.py RUN ... [--remedy muscle] [--page FILE]

A run belongs to a row by its task and by the names of its versions, as make_configs.py writes them.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muscle_llm.files import atomic_write_text
from muscle_llm.report.remedies import remedy_rows
from muscle_llm.text import printable
from muscle_llm.update.presets import PRESETS

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
MASKS_ROW = ("piqa", "llama-1-to-2")

# column of expected.csv -> heading; the last two are this project's controls, which the paper does not have
_SHARED = {"nfr": "NFR", "d_nfr": "ΔNFR_c", "d_nfr_percent": "Δ%NFR_c"}
_OURS = {"noise_floor": "NFR of old_rerun", "control": "Δ%NFR of continued"}
RIGHT_WRONG = {"v1": "acc v1", "v2": "acc v2", "c": "acc C", **_SHARED, **_OURS}
SCORES = {
    **{"v1": "ROUGE-1 v1", "v2": "ROUGE-1 v2", "c": "ROUGE-1 C", "nfr": "NFR", "d_nfr_percent": "Δ%NFR_c"},
    **{"d_gain": "Δm_g", "d_regress": "Δm_r", **_OURS},
}
MASKS = {"d_nfr_percent": "Δ%NFR_c", "d_pfr": "ΔPFR_c", "d_accuracy": "Δacc"}

Figure = tuple[float, float, float]  # value, low, high: in percent or points


class TableError(Exception):
    """A run cannot be used; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Run:
    """One task of a finished run.

    Attributes:
        name: of the run folder.
        document: its comparison.
        environment: what it ran in.
    """

    name: str
    document: Mapping[str, Any]
    environment: Mapping[str, str]


def expected(name: str) -> list[dict[str, str]]:
    """Return the rows of ``expected.csv`` or ``expected_masks.csv``: the paper's figures, in percent."""
    with (HERE / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_runs(folders: Sequence[Path]) -> dict[tuple[str, str], Run]:
    """Return (task, update) -> run.

    Raises:
        TableError: a folder holds no finished task, none of the paper's, or one that another holds, too.
    """
    known = {(preset.old.label, preset.new.label): name for name, preset in PRESETS.items()}
    wanted = {(row["task"], row["update"]) for row in expected("expected.csv")}
    found: dict[tuple[str, str], Run] = {}
    for folder in folders:
        documents = sorted((folder / "tasks").glob("*/comparison.json"))
        if not documents:
            raise TableError(f"{folder} holds no tasks/TASK/comparison.json: not a finished run.")
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for path in documents:
            document = json.loads(path.read_text(encoding="utf-8"))
            old, new = (str(document[side]["provenance"]["extra"].get("base")) for side in ("old", "new"))
            key = (path.parent.name, known.get((old, new), ""))
            if key not in wanted:
                raise TableError(f"{path}: the paper's table has no row {key[0]}, {old} -> {new}.")
            if key in found:
                raise TableError(f"{folder} and {found[key].name} are both {key[0]}, {key[1]}; give one.")
            found[key] = Run(folder.resolve().name, document, manifest["environment"])
    return found


def measured(run: Run, remedy: str) -> dict[str, Figure | None]:
    """Return what a run has of the columns; shares in percent, differences in points, None where undefined.

    Raises:
        TableError: the run has no such remedy.
    """
    versions = {row.name: row for row in remedy_rows(run.document)}
    if remedy not in run.document["candidates"]:
        raise TableError(
            f"{run.name} has no remedy '{remedy}'; it has {', '.join(run.document['candidates'])}."
        )
    old, new, mended = versions["old"], versions["new"], versions[remedy]
    floor, control = versions.get("old_rerun"), versions.get("continued")
    against = run.document["candidates"][remedy]["against_new"]
    score = next(iter(against["scores"].values()), {"metrics": {}})
    further = {**score["metrics"], **against["metrics"]}  # gain and regress are a score's, the rest is not
    shares = {
        "v1": old.quality,
        "v2": new.quality,
        "c": mended.quality,
        "nfr": new.nfr,
        "d_nfr": mended.change,
        "noise_floor": floor and floor.nfr,
        **{name: _figure(further.get(name)) for name in ("d_gain", "d_regress", "d_pfr", "d_accuracy")},
    }
    return {
        **{
            name: found and (100 * found[0], 100 * found[1], 100 * found[2]) for name, found in shares.items()
        },
        "d_nfr_percent": mended.change_percent,
        "control": control and control.change_percent,
    }


def _figure(found: Mapping[str, Any] | None) -> Figure | None:
    if found is None or found["value"] is None:
        return None
    low, high = (float("nan") if found[bound] is None else found[bound] for bound in ("low", "high"))
    return (found["value"], low, high)


def _cell(figure: Figure | None, signed: bool) -> str:
    if figure is None:
        return "undefined"
    sign = "+" if signed else ""
    value, low, high = figure
    bounds = f" [{low:{sign}.1f}, {high:{sign}.1f}]" if low == low and high == high else ""
    return f"{value:{sign}.2f}{bounds}"


def _signed(column: str) -> bool:
    return column.startswith("d_") or column == "control"


def _markdown(
    first: Sequence[str],
    columns: Mapping[str, str],
    lines: Sequence[tuple[Sequence[str], Mapping[str, str], Run | None, str]],
) -> str:
    """Return a table: for each column the paper's figure, where it has one, and the measured one."""
    headings = [*first, "run"]
    for column, heading in columns.items():
        headings += [heading] if column in _OURS else [heading, "measured"]
    out = [f"| {' | '.join(headings)} |", "|" + "---|" * (len(first) + 1)]
    out[1] += "---:|" * (len(headings) - len(first) - 1)
    for names, paper, run, remedy in lines:
        cells = [*names]
        cells.append(
            "not run" if run is None else f"{printable(run.name)} (n = {run.document['counts']['n']})"
        )
        found = None if run is None else measured(run, remedy)
        for column in columns:
            if column not in _OURS:
                cells.append(f"{float(paper[column]):{'+' if _signed(column) else ''}.2f}")
            cells.append("" if found is None else _cell(found[column], _signed(column)))
        out.append(f"| {' | '.join(cells)} |")
    return "\n".join(out)


def render(runs: Mapping[tuple[str, str], Run], remedy: str = "muscle") -> str:
    """Return the tables as Markdown: right and wrong, SAMSum, the masks.

    Raises:
        TableError: a run has no such remedy.
    """
    rows = [(row, runs.get((row["task"], row["update"]))) for row in expected("expected.csv")]
    parts: list[str] = []
    for title, columns, scored in (
        ("### Right and wrong", RIGHT_WRONG, False),
        ("### SAMSum", SCORES, True),
    ):
        wanted = [
            ((row["task"], row["update"]), row, run, remedy)
            for row, run in rows
            if (row["task"] == "samsum") == scored
        ]
        parts += [title, "", _markdown(("task", "update"), columns, wanted), ""]
    run = runs.get(MASKS_ROW)
    masks = [
        (
            (row["what"],),
            row,
            run if run and row["remedy"] in run.document["candidates"] else None,
            row["remedy"],
        )
        for row in expected("expected_masks.csv")
    ]
    parts += ["### Masks: PIQA, Llama 1 -> 2", "", _markdown(("mask",), MASKS, masks)]
    environments = {", ".join(f"{k} {v}" for k, v in run.environment.items()) for run in runs.values()}
    parts += [line for each in sorted(environments) for line in ("", f"Measured in: {printable(each)}.")]
    if runs and remedy != "muscle":
        parts += ["", f"The measured C is the remedy '{printable(remedy)}', the paper's is MUSCLE."]
    return "\n".join(parts)


def main() -> None:
    """Write the tables into the page."""
    parser = argparse.ArgumentParser(description="Write measured figures beside the paper's.")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="Finished run folders.")
    parser.add_argument("--remedy", default="muscle", help="Which remedy stands for C. Default: muscle.")
    parser.add_argument("--page", type=Path, default=HERE / "README.md", help="Default: the README here.")
    given = parser.parse_args()
    try:
        made = render(read_runs(given.runs), given.remedy)
    except TableError as error:
        parser.error(str(error))
    before, begin, rest = given.page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        parser.error(f"{given.page} has no lines {BEGIN} and {END} to write between.")
    atomic_write_text(given.page, f"{before}{BEGIN}\n{made}\n{END}{after}")


if __name__ == "__main__":
    main()
