"""The metrics in rows of lm-evaluation-harness, as one number per document.

Some metrics are not numbers of a document but what a figure over all documents is made of:

- ``perplexity``: the log-likelihood of the target; read as ``log_likelihood``.
- ``word_perplexity``, ``byte_perplexity``, ``bits_per_byte``: a log-likelihood and the number of words or
  bytes; read as ``log_likelihood_per_word`` and ``log_likelihood_per_byte``.
- ``mcc`` and ``f1`` of multiple choice: the number of the right option and of the chosen one; read as ``acc``
  where the row has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from muscle_llm.predictions.readers.fields import Fields, number_of

__all__ = ["PER_UNIT", "log_likelihood_per_unit", "metric_values"]

PER_UNIT = {"word_perplexity": "word", "byte_perplexity": "byte", "bits_per_byte": "byte"}
_GOLD_AND_CHOSEN = ("mcc", "f1")


def metric_values(rows: Sequence[Fields | None]) -> dict[str, list[float | None]]:
    """Return the values of every metric that says something of one document, by name.

    Args:
        rows: the log's rows; ``None`` for a document without one.

    Example:
        >>> row = Fields({"metrics": ["acc", "perplexity"], "acc": 1.0, "perplexity": -2.5}, "log, line 1")
        >>> metric_values([row, None])
        {'acc': [1.0, None], 'log_likelihood': [-2.5, None]}
    """
    read = [dict(_of_document(row.raw)) if row else {} for row in rows]
    names = dict.fromkeys(name for values in read for name in values)
    found = {name: [values.get(name) for values in read] for name in names}
    return {name: values for name, values in found.items() if any(v is not None for v in values)}


def _of_document(row: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    listed = row.get("metrics")
    metrics = [n for n in listed if isinstance(n, str)] if isinstance(listed, list) else []
    for name in metrics:
        value = row.get(name)
        if name == "perplexity":
            yield "log_likelihood", number_of(value)
        elif name in PER_UNIT and isinstance(value, list):
            yield log_likelihood_per_unit(name, *(value if len(value) == 2 else (None, None)))
        elif name in _GOLD_AND_CHOSEN and isinstance(value, list):
            if "acc" not in metrics and len(value) == 2 and all(type(v) is int for v in value):
                yield "acc", float(value[0] == value[1])
        else:
            yield name, number_of(value)


def log_likelihood_per_unit(metric: str, total: Any, units: Any) -> tuple[str, float | None]:
    """Return the name and value of the score that a perplexity over all documents is made of.

    Args:
        metric: ``word_perplexity``, ``byte_perplexity`` or ``bits_per_byte``.
        total: log-likelihood of a document, in nats.
        units: number of words or bytes in it.

    Example:
        >>> log_likelihood_per_unit("bits_per_byte", -8.0, 16)
        ('log_likelihood_per_byte', -0.5)
    """
    nats, number = number_of(total), number_of(units)
    name = f"log_likelihood_per_{PER_UNIT[metric]}"
    return name, None if nats is None or number is None or number <= 0 else nats / number
