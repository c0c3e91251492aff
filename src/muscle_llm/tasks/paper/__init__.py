"""The paper's four tasks as configurations of the harness: one YAML file each.

Their prompts and metrics are those of the harness's own tasks of the same name (SAMSum is not among those).
Each reads its data from the hub, or from a local folder with the data set's original files. The harness's
command line runs them, too:

    lm_eval --include_path <this folder> --tasks piqa --metadata '{"data": "<folder>"}' ...
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["paper_task_files"]


def paper_task_files() -> dict[str, Path]:
    """Return name -> YAML file.

    Example:
        >>> sorted(paper_task_files())
        ['gsm8k', 'hellaswag', 'piqa', 'samsum']
    """
    return {path.stem: path for path in Path(__file__).parent.glob("*.yaml")}
