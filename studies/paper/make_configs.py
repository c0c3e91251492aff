"""Write the settings of the paper's updates: one file for each row of its results table, one for its masks.

Usage: python studies/paper/make_configs.py [ROW ...] [--out runs/paper] [--data DIR] [--rehearse] [--force]

Then, for each file: muscle-llm update runs/paper/ROW.yaml --out runs/paper/ROW
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

from muscle_llm.errors import did_you_mean
from muscle_llm.files import atomic_write_text
from muscle_llm.update.presets import update_template

HERE = Path(__file__).resolve().parent
MASKS, MASKS_ROW = "masks", ("piqa", "llama-1-to-2")  # the paper's ablation is of this row


def rows() -> dict[str, tuple[str, str]]:
    """Return file name -> (task, preset), in the order of the paper's table."""
    with (HERE / "expected.csv").open(encoding="utf-8") as file:
        return {
            f"{row['task']}_{row['update']}": (row["task"], row["update"]) for row in csv.DictReader(file)
        }


def config(name: str, *, data: str | None = None, rehearse: bool = False) -> str:
    """Return the settings of a row, or of the masks, as ``muscle-llm init update`` writes them.

    Args:
        name: a name of `rows`, or ``masks``.
        data: folder of the task's data, as the file is to name it; None leaves the data to the hub.
        rehearse: few steps and instances; the versions are named so that no table takes them for results.
    """
    task, preset = MASKS_ROW if name == MASKS else rows()[name]
    text = update_template(preset, [task])
    if name == MASKS:
        text = _replace_line(text, "  # - {name: muscle_ce,", _mask_remedies())
    if data is not None:
        text = _replace_line(text, "    # data_dir:", f'    data_dir: "{data}"')
    if rehearse:
        text = _replace_line(text, "    # limit:", "    limit: 32")
        text = _replace_line(text, "  epochs:", "  epochs: 1\n  max_steps: 3")
        text = text.replace('"}\n', ', rehearsal"}\n')
    return text


def _mask_remedies() -> str:
    with (HERE / "expected_masks.csv").open(encoding="utf-8") as file:
        found = [row for row in csv.DictReader(file) if row["remedy"] != "muscle"]
    lines = [
        f"  - {{name: {r['remedy']}, mask: {r['mask']}, ce_weight: {r['ce_weight']}}}    # {r['what']}"
        for r in found
    ]
    return "\n".join(lines)


def _replace_line(text: str, beginning: str, by: str) -> str:
    lines = text.split("\n")
    (place,) = [i for i, line in enumerate(lines) if line.startswith(beginning)]
    return "\n".join([*lines[:place], by, *lines[place + 1 :]])


def main() -> None:
    """Write the files that are wanted and not there yet."""
    names = [*rows(), MASKS]
    parser = argparse.ArgumentParser(description="Write the settings of the paper's updates.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"By default all: {', '.join(names)}.")
    parser.add_argument("--out", type=Path, help="Folder of the files. Default: runs/paper.")
    parser.add_argument("--data", type=Path, help="Folder with the folders hellaswag, piqa, gsm8k, samsum.")
    parser.add_argument("--rehearse", action="store_true", help="A few steps each; to runs/paper_rehearsal.")
    parser.add_argument("--force", action="store_true", help="Write over files that are there.")
    given = parser.parse_args()
    unknown = next((row for row in given.rows if row not in names), None)
    if unknown is not None:
        parser.error(f"no row is named '{unknown}'. {did_you_mean(unknown, names)}")
    out: Path = given.out or Path("runs") / ("paper_rehearsal" if given.rehearse else "paper")
    out.mkdir(parents=True, exist_ok=True)
    for name in given.rows or names:
        file = out / f"{name}.yaml"
        if file.exists() and not given.force:
            print(f"{file} is there and stays; --force writes over it.")
            continue
        task = name.partition("_")[0] if name != MASKS else MASKS_ROW[0]
        data = None
        if given.data is not None:  # a path in a file of settings is relative to it
            data = Path(os.path.relpath(given.data / task, out)).as_posix()
        atomic_write_text(file, config(name, data=data, rehearse=given.rehearse))
        print(f"{file} written")


if __name__ == "__main__":
    main()
