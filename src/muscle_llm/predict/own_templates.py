"""Predictions of versions that are each asked through a chat template of their own."""

from __future__ import annotations

import dataclasses

import pyarrow as pa

from muscle_llm.predictions.schema import Predictions
from muscle_llm.tasks import Task
from muscle_llm.tasks.quiet import quiet_harness
from muscle_llm.tasks.training import plain_prompt

__all__ = ["without_template"]


def without_template(found: Predictions, task: Task) -> Predictions:
    """Return the predictions with the question as it stood before the chat template was put around it.

    Where an update changes the template with the base, the template is part of the version: the questions
    are the same, the texts the models see are not. What was asked is recorded as ``asked_through`` in the
    provenance, and the column ``prompt`` holds what both versions share.

    Args:
        found: predictions of ``task``; ids are positions in its evaluation split.
        task: the task.
    """
    with quiet_harness():
        docs = task.harness.eval_docs
        prompts = [plain_prompt(task, docs[int(i)]) for i in found.table["id"].to_pylist()]
    table = found.table.set_column(
        found.table.column_names.index("prompt"), "prompt", pa.array(prompts, pa.string())
    )
    if "prompt_hash" in table.column_names:
        table = table.drop_columns(["prompt_hash"])
    before = found.provenance
    extra = {**before.extra, "asked_through": f"chat template {before.chat_template}"}
    return Predictions(table, dataclasses.replace(before, chat_template=None, extra=extra))
