"""What ``muscle-llm compare`` reads, and how it compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from muscle_llm.comparison import Comparison
    from muscle_llm.predictions import Predictions

__all__ = ["Folders", "Inputs", "Settings"]

Folders = Mapping[str, Mapping[str, "Callable[[], Predictions]"]]


# Formats in which what counts as right is settled already.
_ONE_METRIC = ("table", "muscle-llm")


@dataclass(frozen=True)
class Inputs:
    """The files or folders of all versions, and how to read them.

    Attributes:
        paths: version -> path as the user wrote it; ``old``, ``new``, then the candidates.
        of_old: the versions whose columns are those of old.
        columns: ``old`` and ``new`` -> role -> column.
        extract: role -> regular expression.
        format: name of the reader.
        filter: answer filter of lm-evaluation-harness.
        metric: which metric decides right or wrong.
        select: which task or run.
    """

    paths: Mapping[str, str]
    of_old: tuple[str, ...]
    columns: Mapping[str, Mapping[str, str]]
    extract: Mapping[str, str]
    format: str | None = None
    filter: str | None = None
    metric: str | None = None
    select: str | None = None

    def read_all(self) -> dict[str, Predictions]:
        """Read every version's one task.

        Raises:
            InputError: a file cannot be used, or ``--filter`` or ``--metric`` means nothing to any of them.
        """
        from muscle_llm.predictions import read_predictions

        found = {
            name: read_predictions(
                path,
                columns=self._columns(name),
                format=self.format,
                filter=self.filter,
                metric=self.metric,
                extract=self.extract,
                select=self.select,
            )
            for name, path in self.paths.items()
        }
        self._refuse_unused(found)
        return found

    def _refuse_unused(self, found: Mapping[str, Predictions]) -> None:
        from muscle_llm.errors import InputError

        told = {name: predictions.provenance for name, predictions in found.items()}
        formats = ", ".join(f"{self.paths[name]} is read as '{p.format}'" for name, p in told.items())
        if self.filter is not None and self.filter not in {p.filter for p in told.values()}:
            raise InputError(
                f"--filter {self.filter}: only lm-evaluation-harness logs have answer filters, and none of "
                f"the files is one ({formats}). Leave --filter out."
            )
        if self.metric is not None and all(p.format in _ONE_METRIC for p in told.values()):
            raise InputError(
                f"--metric {self.metric}: none of the files holds several metrics to choose from "
                f"({formats}). Leave --metric out; --map correct=COLUMN names the column that decides."
            )

    def folders(self) -> Folders | None:
        """Return version -> task -> function that reads it, where old and new are folders and one of them
        holds several tasks; else ``None``.

        Raises:
            InputError: a candidate is a file while old and new are folders.
        """
        from muscle_llm.errors import InputError

        old, new = self._tasks("old"), self._tasks("new")
        if old is None or new is None or len(old) == len(new) == 1:
            return None
        found = {"old": old, "new": new}
        for name, path in self.paths.items():
            if name in found:
                continue
            tasks = self._tasks(name)
            if tasks is None:
                raise InputError(
                    f"{path}: old and new are folders of tasks; name a folder of tasks here too."
                )
            found[name] = tasks
        return found

    def _tasks(self, name: str) -> dict[str, Callable[[], Predictions]] | None:
        from muscle_llm.predictions.readers import ReadOptions
        from muscle_llm.predictions.reading import folder_readers

        options = ReadOptions(self._columns(name), self.filter, self.metric, self.extract, self.select)
        return folder_readers(self.paths[name], self.format, options)

    def _columns(self, name: str) -> Mapping[str, str]:
        return self.columns["old" if name in self.of_old else "new"]


@dataclass(frozen=True)
class Settings:
    """How versions are compared; see `muscle_llm.comparison.compare`."""

    old_name: str
    new_name: str
    roles: Mapping[str, str]
    confidence: float
    tolerance: float
    similarity: Sequence[str]
    on_mismatch: Literal["error", "intersect"]

    def compare(self, versions: Mapping[str, Predictions]) -> Comparison:
        """Compare old and new, and any other versions with both."""
        from muscle_llm.comparison import compare

        candidates = {name: p for name, p in versions.items() if name not in ("old", "new")}
        return compare(
            versions["old"],
            versions["new"],
            candidates,
            roles={name: role for name, role in self.roles.items() if name in candidates},
            old_name=self.old_name,
            new_name=self.new_name,
            confidence=self.confidence,
            tolerance=self.tolerance,
            on_mismatch=self.on_mismatch,
            similarity=self.similarity,
        )
