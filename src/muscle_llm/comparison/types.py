"""What a comparison is: frozen, typed results, and their JSON document."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from muscle_llm.errors import InputError, MissingExtraError
from muscle_llm.metrics.estimate import Estimate
from muscle_llm.predictions.schema import Provenance

__all__ = ["QUADRANTS", "AgainstNew", "Candidate", "Comparison", "Role", "Side", "Slice"]

VERSION = 1

Role = Literal["remedy", "control", "noise_floor"]

# The values of the column `quadrant` of `Comparison.instances`, in the order of the paper's figure.
QUADRANTS = (
    "both_right_same",
    "both_right_changed",
    "gain",
    "both_wrong_same",
    "both_wrong_changed",
    "regression",
)

Counts = Mapping[str, int | None]
Metrics = Mapping[str, Estimate]
Scores = Mapping[str, Metrics]


@dataclass(frozen=True)
class Side:
    """One of the versions compared: the name shown, and where its predictions come from."""

    name: str
    provenance: Provenance = field(default_factory=Provenance)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"name": self.name, "provenance": self.provenance.to_dict()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Side:
        """Return the side that `to_dict` wrote."""
        return cls(document["name"], Provenance(**document["provenance"]))


@dataclass(frozen=True)
class AgainstNew:
    """A candidate against the new version: what it mends and what that costs.

    Attributes:
        counts: ``recovered`` (negative flips of new that the candidate has right), ``newly_broken`` (right in
            old and new, wrong in the candidate), ``lost_gains`` (gains of new that the candidate has wrong)
            and ``new_gains`` (wrong in old and new, right in the candidate).
        metrics: ``d_nfr``, ``d_nfr_percent``, ``d_accuracy``, ``d_pfr``, ``d_nfr_mc``: candidate minus new.
        scores: the same differences of the smooth metrics, by score.
    """

    counts: Counts
    metrics: Metrics
    scores: Scores = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            **dict(self.counts),
            "metrics": _metrics(self.metrics),
            "scores": _scores(self.scores),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> AgainstNew:
        """Return what `to_dict` wrote."""
        counts = {k: v for k, v in document.items() if k not in ("metrics", "scores")}
        return cls(counts, _metrics_from(document["metrics"]), _scores_from(document.get("scores")))


@dataclass(frozen=True)
class Candidate:
    """A candidate against the old version (``counts``, ``metrics``, ``scores``) and against the new one."""

    name: str
    role: Role
    provenance: Provenance
    counts: Counts
    metrics: Metrics
    scores: Scores
    against_new: AgainstNew

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "role": self.role,
            "provenance": self.provenance.to_dict(),
            "counts": dict(self.counts),
            "metrics": _metrics(self.metrics),
            "scores": _scores(self.scores),
            "against_new": self.against_new.to_dict(),
        }

    @classmethod
    def from_dict(cls, name: str, document: Mapping[str, Any]) -> Candidate:
        """Return the candidate that `to_dict` wrote."""
        return cls(
            name=name,
            role=document["role"],
            provenance=Provenance(**document["provenance"]),
            counts=document["counts"],
            metrics=_metrics_from(document["metrics"]),
            scores=_scores_from(document["scores"]),
            against_new=AgainstNew.from_dict(document["against_new"]),
        )


@dataclass(frozen=True)
class Slice:
    """The instances of one value of a slice, such as the subject "law".

    Attributes:
        name: what is sliced by.
        value: the instances' value of it.
        counts: as of a `Comparison`.
        metrics: as of a `Comparison`.
        scores: as of a `Comparison`.
        excess_nfr: negative flips beyond the noise floor, where there is a measured floor.
        p: of the one-sided test "the accuracy fell" (without right and wrong: the mean of the first score).
        q: p adjusted for the number of slices (Benjamini-Hochberg over all slices of the comparison).
        worse: whether the slice is called worse.
    """

    name: str
    value: str
    counts: Counts
    metrics: Metrics
    scores: Scores = field(default_factory=dict)
    excess_nfr: Estimate | None = None
    p: float = 1.0
    q: float = 1.0
    worse: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        document: dict[str, Any] = {
            "slice": self.name,
            "value": self.value,
            "counts": dict(self.counts),
            "metrics": _metrics(self.metrics),
        }
        if self.excess_nfr is not None:
            document["excess_nfr"] = self.excess_nfr.to_dict()
        if self.scores:
            document["scores"] = _scores(self.scores)
        return {**document, "p": self.p, "q": self.q, "worse": self.worse}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Slice:
        """Return the slice that `to_dict` wrote."""
        excess = document.get("excess_nfr")
        return cls(
            name=document["slice"],
            value=document["value"],
            counts=document["counts"],
            metrics=_metrics_from(document["metrics"]),
            scores=_scores_from(document.get("scores")),
            excess_nfr=None if excess is None else Estimate.from_dict(excess),
            p=document["p"],
            q=document["q"],
            worse=document["worse"],
        )


@dataclass(frozen=True)
class Comparison:
    """An old and a new version on the same instances: counts, metrics with intervals, and the instances.

    Attributes:
        old: the version users have.
        new: the version that replaces it.
        confidence: level of all intervals, such as 0.95.
        counts: numbers of instances by name; ``None`` where the logs do not tell. With repeated answers ``n``
            still counts instances, while flips and quadrants count pairs of answers of the same repeat,
            ``rows`` in all; so do ``causes`` and the counts of candidates.
        metrics: figures by name (see `muscle_llm.metrics.definitions`), shares of 1.
        scores: the smooth metrics, by score name.
        candidates: further versions compared with old, by name.
        instances: one row per paired (instance, repeat): ``id``, ``repeat``, ``prompt``, ``references``,
            ``choices``, ``quadrant`` (see `QUADRANTS`), ``cause``, ``reliable_flip``, ``slice:NAME`` and,
            per version V of ``old``, ``new`` and the candidates' names, ``answer:V``, ``output:V``,
            ``correct:V``, ``choice_scores:V`` and ``score:NAME:V``. Columns the logs do not tell are absent.
        task: name of the task, where the logs tell it.
        excess_nfr: negative flips beyond the noise floor, where there is a measured floor.
        slices: the figures of every value of every slice, and whether it got worse.
        causes: number of negative and of positive flips by cause (`muscle_llm.metrics.causes`).
        settings: how the comparison was made.
        warnings: what the reader must know, one sentence each.
        sentence: the result in one sentence.
    """

    old: Side
    new: Side
    confidence: float
    counts: Counts
    metrics: Metrics
    instances: pa.Table = field(repr=False, compare=False)
    scores: Scores = field(default_factory=dict)
    candidates: Mapping[str, Candidate] = field(default_factory=dict)
    task: str | None = None
    excess_nfr: Estimate | None = None
    slices: tuple[Slice, ...] = ()
    causes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sentence: str = ""

    @property
    def versions(self) -> tuple[str, ...]:
        """The keys of the versions in ``instances``: ``old``, ``new`` and the candidates' names."""
        return ("old", "new", *self.candidates)

    def flips(self, kind: Literal["negative", "positive", "all"] = "negative") -> Any:
        """Return the instances that flipped, as a pandas data frame: the rows of ``instances``.

        Args:
            kind: right to wrong, wrong to right, or both.

        Raises:
            MissingExtraError: pandas is not installed; ``flips_table`` gives an Arrow table without it.

        Example:
            >>> from muscle_llm import compare
            >>> old = [{"id": 1, "correct": True}, {"id": 2, "correct": False}]
            >>> new = [{"id": 1, "correct": False}, {"id": 2, "correct": True}]
            >>> compare(old, new).flips()["id"].tolist()
            ['1']
        """
        table = self.flips_table(kind)
        try:
            return table.to_pandas()
        except ImportError as error:
            raise MissingExtraError("a data frame", "frames") from error

    def flips_table(self, kind: Literal["negative", "positive", "all"] = "negative") -> pa.Table:
        """Return the instances that flipped, as an Arrow table; see `flips`."""
        quadrants = {"negative": ("regression",), "positive": ("gain",), "all": ("regression", "gain")}
        if kind not in quadrants:
            raise InputError(f"flips are 'negative', 'positive' or 'all', not {kind!r}.")
        column = self.instances["quadrant"].combine_chunks()
        names = column.dictionary.to_pylist()
        wanted = [names.index(q) for q in quadrants[kind] if q in names]
        codes = column.indices.fill_null(-1).to_numpy()
        return self.instances.take(pa.array(np.flatnonzero(np.isin(codes, wanted))))

    def to_html(self) -> str:
        """Return one HTML page to browse the comparison."""
        return _renderer("html")(self)

    def to_json(self) -> str:
        """Return the comparison document as JSON text."""
        return _renderer("json")(self)

    def to_markdown(self) -> str:
        """Return the comparison as a short Markdown text."""
        return _renderer("markdown")(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the sentence and the figures."""
        return _renderer("notebook")(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison document (plain JSON types; undefined figures are ``None`` with a reason)."""
        document: dict[str, Any] = {
            "schema": "muscle-llm/comparison",
            "version": VERSION,
            "task": self.task,
            "sentence": self.sentence,
            "confidence": self.confidence,
            "old": self.old.to_dict(),
            "new": self.new.to_dict(),
            "counts": dict(self.counts),
            "metrics": _metrics(self.metrics),
            "scores": _scores(self.scores),
            "candidates": {name: c.to_dict() for name, c in self.candidates.items()},
        }
        if self.excess_nfr is not None:
            document["excess_nfr"] = self.excess_nfr.to_dict()
        document["causes"] = {kind: dict(counts) for kind, counts in self.causes.items()}
        document["slices"] = [s.to_dict() for s in self.slices]
        document["settings"] = dict(self.settings)
        document["warnings"] = list(self.warnings)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], instances: pa.Table) -> Comparison:
        """Return the comparison that `to_dict` wrote, with its instances.

        Raises:
            KeyError, TypeError, ValueError: the document is none of `to_dict`.
        """
        excess = document.get("excess_nfr")
        return cls(
            old=Side.from_dict(document["old"]),
            new=Side.from_dict(document["new"]),
            confidence=document["confidence"],
            counts=document["counts"],
            metrics=_metrics_from(document["metrics"]),
            instances=instances,
            scores=_scores_from(document["scores"]),
            candidates={name: Candidate.from_dict(name, c) for name, c in document["candidates"].items()},
            task=document["task"],
            excess_nfr=None if excess is None else Estimate.from_dict(excess),
            slices=tuple(Slice.from_dict(s) for s in document["slices"]),
            causes=document.get("causes") or {},
            settings=document["settings"],
            warnings=tuple(document["warnings"]),
            sentence=document["sentence"],
        )


def _renderer(kind: str) -> Any:
    """Return the report's render function; reached by name, since measuring does not depend on reporting."""
    return getattr(importlib.import_module(f"muscle_llm.report.{kind}"), f"render_{kind}")


def _metrics(metrics: Metrics) -> dict[str, Any]:
    return {name: estimate.to_dict() for name, estimate in metrics.items()}


def _scores(scores: Scores) -> dict[str, Any]:
    return {name: {"metrics": _metrics(metrics)} for name, metrics in scores.items()}


def _metrics_from(document: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate.from_dict(figure) for name, figure in document.items()}


def _scores_from(document: Mapping[str, Any] | None) -> dict[str, dict[str, Estimate]]:
    return {name: _metrics_from(block["metrics"]) for name, block in (document or {}).items()}
