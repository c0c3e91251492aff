"""Similarity of an answer to its references, by name, through well-kept libraries.

All scores lie between 0 and 1 (bertscore nearly so), higher is better; with several references the
best counts, except BLEU and chrF, whose own rule for several references holds.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle_llm.errors import InputError, MissingExtraError, did_you_mean

__all__ = ["SIMILARITIES", "exact", "f1", "similarity"]

# name -> what it is, for the help and the docs.
SIMILARITIES: dict[str, str] = {
    "rouge1": "ROUGE-1, F-measure of single words (no stemming)",
    "rouge2": "ROUGE-2, F-measure of word pairs (no stemming)",
    "rougeL": "ROUGE-L, F-measure of the longest common subsequence (no stemming)",
    "bleu": "BLEU of the sentence, effective order, as sacrebleu defines it, over 100",
    "chrf": "chrF of the sentence, as sacrebleu defines it, over 100",
    "exact": "1 where the texts are equal without case, punctuation and articles",
    "f1": "F-measure of the words, without case, punctuation and articles",
    "bertscore": "BERTScore, F-measure (needs a model)",
}

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
Scorer = Callable[[str, Sequence[str]], float]


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def exact(answer: str, reference: str) -> float:
    """Return 1 where the texts are equal without case, punctuation and articles, else 0.

    Example:
        >>> exact("The  Cat.", "cat"), exact("cat", "dog")
        (1.0, 0.0)
    """
    return float(_words(answer) == _words(reference))


def f1(answer: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of the words.

    Two texts without words are equal (1); one without words has nothing in common with the other (0).

    Example:
        >>> round(f1("the red cat", "cat"), 4)
        0.6667

    Source: the SQuAD metric (Rajpurkar et al. 2016).
    """
    given, wanted = _words(answer), _words(reference)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def similarity(
    name: str, answers: Sequence[str | None], references: Sequence[Sequence[str] | None]
) -> NDArray[np.float64]:
    """Return one score per answer.

    Args:
        name: one of `SIMILARITIES`.
        answers: length N; ``None`` (no answer) scores 0.
        references: length N; ``None`` or an empty list gives NaN: there is nothing to compare with.

    Raises:
        InputError: no similarity has this name, or the lengths differ.
        MissingExtraError: the library that computes it is not installed.

    Example:
        >>> similarity("f1", ["red cat", None, "x"], [["cat", "red cat"], ["cat"], None]).tolist()
        [1.0, 0.0, nan]
    """
    if name not in SIMILARITIES:
        raise InputError(f"--similarity: none is called {name!r}. {did_you_mean(name, SIMILARITIES)}")
    if len(answers) != len(references):
        raise InputError(f"{len(answers)} answers but {len(references)} lists of references.")
    scores = np.full(len(answers), np.nan)
    rows = [i for i, r in enumerate(references) if r]
    scores[rows] = 0.0
    asked = [i for i in rows if answers[i] is not None]
    if asked:
        pairs = [(str(answers[i]), list(references[i] or ())) for i in asked]
        scores[asked] = _bertscore(pairs) if name == "bertscore" else _each(_scorer(name), pairs)
    return scores


def _each(scorer: Scorer, pairs: Sequence[tuple[str, list[str]]]) -> list[float]:
    return [scorer(answer, references) for answer, references in pairs]


def _scorer(name: str) -> Scorer:
    if name in ("exact", "f1"):
        one = exact if name == "exact" else f1
        return lambda answer, references: max(one(answer, r) for r in references)
    return _rouge(name) if name.startswith("rouge") else _sacrebleu(name)


def _rouge(name: str) -> Scorer:
    try:
        from rouge_score import rouge_scorer
    except ImportError as error:
        raise MissingExtraError(f"the similarity {name}", "similarity") from error
    scorer = rouge_scorer.RougeScorer([name], use_stemmer=False)
    return lambda answer, references: max(scorer.score(r, answer)[name].fmeasure for r in references)


def _sacrebleu(name: str) -> Scorer:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingExtraError(f"the similarity {name}", "similarity") from error
    metric = BLEU(effective_order=True) if name == "bleu" else CHRF()
    # Sums of floats may pass 100 by rounding.
    return lambda answer, references: min(1.0, metric.sentence_score(answer, list(references)).score / 100)


def _bertscore(pairs: Sequence[tuple[str, list[str]]]) -> Any:
    try:
        from bert_score import score  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError("the similarity bertscore", "bertscore") from error
    _, _, f_measure = score([a for a, _ in pairs], [r for _, r in pairs], lang="en", verbose=False)
    return f_measure.numpy().astype(float)
