"""Of several answers to each prompt, the one that another model finds likeliest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from muscle_llm.errors import ConfigError
from muscle_llm.predict.transformers_engine import TransformersEngine
from muscle_llm.predictions.schema import Predictions
from muscle_llm.tasks.quiet import quiet_harness

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["likeliest"]


def likeliest(drawn: Predictions, judge: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Predictions:
    """Keep one answer per instance: the one with the highest log-likelihood under ``judge``.

    Formula: argmax over k of log p_judge(answer_k | prompt); the first of equals

    Args:
        drawn: generated answers, several per instance.
        judge: the model that chooses.
        tokenizer: of the judge.

    Returns:
        One row per instance, as ``repeat`` 0, in the order of the instances.

    Raises:
        ConfigError: the predictions hold no generated text.
    """
    table = drawn.table
    if not {"prompt", "answer", "output"} <= set(table.column_names):
        raise ConfigError("only generated answers can be chosen among: this task generates nothing.")
    from lm_eval.api.instance import Instance

    prompts, answers = table["prompt"].to_pylist(), table["answer"].to_pylist()
    texts = [o if o is not None else a for o, a in zip(table["output"].to_pylist(), answers, strict=True)]
    requests = [
        Instance("loglikelihood", {}, (prompt, text or "\n"), i)
        for i, (prompt, text) in enumerate(zip(prompts, texts, strict=True))
    ]
    with quiet_harness():
        scores = [s for s, _ in TransformersEngine(judge, tokenizer).loglikelihood(requests)]
    ids = np.asarray(table["id"].to_pylist(), dtype=object)
    best: dict[str, int] = {}
    for i, (id, score) in enumerate(zip(ids, scores, strict=True)):
        if id not in best or score > scores[best[id]]:
            best[id] = i
    kept = table.take(pa.array(list(best.values())))
    first = pa.array(np.zeros(len(kept), np.int32))
    place = kept.column_names.index("repeat")
    return Predictions(kept.set_column(place, "repeat", first), drawn.provenance)
