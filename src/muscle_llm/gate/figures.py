"""What a policy can put a margin on, and where a comparison holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from muscle_llm.comparison import Comparison
from muscle_llm.gate.verdict import Unit
from muscle_llm.metrics.estimate import Estimate, undefined

__all__ = ["MEASURES", "SCORE_MEASURES", "Figures", "Measure", "figures_of", "slices_of"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One harm: which metric it is, and how it is said.

    Attributes:
        metric: name of the metric.
        label: what people read.
        unit: how it is written.
        rate: whether it is a share of the instances, with a Wilson interval.
        mirrored: whether the harm is the metric with its sign turned, as an accuracy that drops.
        hint: what to do where the metric is missing.
    """

    metric: str
    label: str
    unit: Unit = "share"
    rate: bool = True
    mirrored: bool = False
    hint: str = ""


_ANSWERS = "map the answers with --map answer=COLUMN"

MEASURES: dict[str, Measure] = {
    "accuracy_drop": Measure("accuracy_difference", "accuracy drop", "points", rate=False, mirrored=True),
    "nfr": Measure("nfr", "negative flips"),
    "excess_nfr": Measure(
        "excess_nfr",
        "negative flips beyond the noise floor",
        "points",
        rate=False,
        hint="give the old version run again with --old-rerun FILE, or several answers per instance",
    ),
    "nfr_mc": Measure("nfr_mc", "inconsistent errors", hint=_ANSWERS),
    "churn": Measure("churn", "changed answers", hint=_ANSWERS),
}

SCORE_MEASURES: dict[str, Measure] = {
    "mean_drop": Measure("mean_difference", "drop of the mean", "score", rate=False, mirrored=True),
    "nfr": Measure("nfr", "scores that fell"),
    "regress": Measure("regress", "mean fall", "score", rate=False),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of all instances, or of those of one slice value."""

    n: int | None
    metrics: Mapping[str, Estimate]
    scores: Mapping[str, Mapping[str, Estimate]]

    def harm(self, measure: Measure, score: str | None = None) -> Estimate:
        """Return the harm: the metric, mirrored where more of it is better; undefined where it is missing.

        Where no score fell, the mean fall is undefined as a figure, but as a harm it is none.
        """
        metrics = self.metrics if score is None else self.scores.get(score, {})
        found = metrics.get(measure.metric)
        if found is None:
            if score is None:
                return undefined("it is not measured")
            return undefined(f"the logs have no score {score!r} in both versions")
        if measure is SCORE_MEASURES["regress"] and not found.defined and metrics["nfr"].value == 0:
            return Estimate(0.0, 0.0, 0.0)
        if not measure.mirrored or not found.defined:
            return found
        return Estimate(0.0 - found.value, 0.0 - found.high, 0.0 - found.low)


def figures_of(comparison: Comparison) -> Figures:
    """Return the figures of all instances."""
    metrics = dict(comparison.metrics)
    if comparison.excess_nfr is not None:
        metrics["excess_nfr"] = comparison.excess_nfr
    return Figures(comparison.counts.get("n"), metrics, comparison.scores)


def slices_of(comparison: Comparison) -> dict[str, dict[str, Figures]]:
    """Return the figures by slice and value."""
    found: dict[str, dict[str, Figures]] = {}
    for part in comparison.slices:
        metrics = dict(part.metrics)
        if part.excess_nfr is not None:
            metrics["excess_nfr"] = part.excess_nfr
        found.setdefault(part.name, {})[part.value] = Figures(part.counts.get("n"), metrics, part.scores)
    return found
