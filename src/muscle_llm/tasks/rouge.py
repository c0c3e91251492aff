"""ROUGE of a generated text against its reference, as metrics a harness task can name.

The figures are those of the ``rouge_score`` package: F-measure, as a share from 0 to 1, with the Porter
stemmer (the way summarisation results, SAMSum's among them, are usually reported; ``use_stemmer: false`` in
the task's ``metric_list`` switches it off). Its tokenizer keeps only Latin letters and digits: a text in
another script scores 0, and a task in such a language needs another metric.

In a task's YAML, ``metric: rouge1`` works wherever this package loads the task; for the harness's own command
line write ``metric: !function muscle_llm.tasks.rouge.rouge1``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

__all__ = ["register", "rouge1", "rouge2", "rougeL", "rouge_f"]


@functools.lru_cache(maxsize=8)
def _scorer(name: str, use_stemmer: bool) -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([name], use_stemmer=use_stemmer)


def rouge_f(name: str, reference: str, prediction: str, *, use_stemmer: bool = True) -> float:
    """Return the ROUGE F-measure of one text, ``2 P R / (P + R)`` over matching n-grams.

    Args:
        name: ``"rouge1"``, ``"rouge2"`` or ``"rougeL"``.
        reference: what a person wrote.
        prediction: what the model wrote.
        use_stemmer: compare word stems rather than words.

    Returns:
        A share from 0 to 1.

    Example:
        >>> rouge_f("rouge1", "Ann brings cakes", "Ann brings a cake")
        0.857

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries".
    """
    return float(_scorer(name, use_stemmer).score(reference, prediction)[name].fmeasure)


def _mean(name: str, references: Sequence[str], predictions: Sequence[str], use_stemmer: bool) -> float:
    pairs = zip(references, predictions, strict=True)
    scores = [rouge_f(name, r, p, use_stemmer=use_stemmer) for r, p in pairs]
    return sum(scores) / len(scores)


def rouge1(references: Sequence[str], predictions: Sequence[str], use_stemmer: bool = True) -> float:
    """Return the mean ROUGE-1 F-measure of aligned texts; the harness calls it with one text at a time.

    Example:
        >>> rouge1(["one two"], ["two three"])
        0.5
    """
    return _mean("rouge1", references, predictions, use_stemmer)


def rouge2(references: Sequence[str], predictions: Sequence[str], use_stemmer: bool = True) -> float:
    """Return the mean ROUGE-2 F-measure of aligned texts.

    Example:
        >>> rouge2(["one two three"], ["two three"])
        0.667
    """
    return _mean("rouge2", references, predictions, use_stemmer)


def rougeL(references: Sequence[str], predictions: Sequence[str], use_stemmer: bool = True) -> float:  # noqa: N802
    """Return the mean ROUGE-L F-measure (longest common subsequence) of aligned texts.

    Example:
        >>> rougeL(["one two three"], ["one three"])
        0.8
    """
    return _mean("rougeL", references, predictions, use_stemmer)


def register() -> None:
    """Make ``rouge1``, ``rouge2`` and ``rougeL`` known to the harness by name, once."""
    from lm_eval.api.registry import METRIC_REGISTRY, register_metric

    for function in (rouge1, rouge2, rougeL):
        name = function.__name__
        if name not in METRIC_REGISTRY:
            register_metric(
                metric=name, higher_is_better=True, output_type="generate_until", aggregation="mean"
            )(function)
