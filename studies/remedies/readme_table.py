"""Write the study's headline table into the README.

Usage: python studies/remedies/readme_table.py
"""

from __future__ import annotations

from pathlib import Path

from muscle_llm.files import atomic_write_text
from muscle_llm.study.analysis import measure
from muscle_llm.study.page import headline
from muscle_llm.study.results import read_outcomes
from muscle_llm.study.tables import having_excess

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def main() -> None:
    """Replace what stands between the two marks."""
    cells = [measure(outcomes) for outcomes in read_outcomes(HERE / "results.parquet")]
    excess = having_excess(cells)
    updates, tasks = ({getattr(m.outcomes, name) for m in cells} for name in ("update", "task"))
    seeds = min(len(m.outcomes.seeds) for m in cells)
    shown = (
        f"{BEGIN}\nPooled over {len(updates)} updates of tiny models, {len(tasks)} tasks (choices, exact "
        f"match, ROUGE-1) and {seeds} seeds, with 95 % intervals "
        f"([studies/remedies](studies/remedies/README.md)):\n\n{headline(excess, 'muscle')}\n\n"
        f"Over the {len(excess)} of {len(cells)} pairs of an update and a task that have an excess to "
        "remove. Excess: negative flips beyond those of merely re-training the old version with another "
        "seed. Accuracy and differences are in points. `continued` is the control: the new adapter, "
        f"trained on for as many steps.\n{END}"
    )
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    atomic_write_text(README, before + shown + after)


if __name__ == "__main__":
    main()
