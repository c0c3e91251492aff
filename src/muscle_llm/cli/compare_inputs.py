"""What ``muscle-llm compare`` reads, and how it compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from muscle_llm.comparison import Comparison
    from muscle_llm.predictions import Predictions
    from muscle_llm.predictions.finding import Log
    from muscle_llm.predictions.readers import ReadOptions

__all__ = ["Folders", "Inputs", "Settings", "read_logs"]


@dataclass(frozen=True)
class Folders:
    """Versions that are folders of tasks.

    Attributes:
        tasks: version -> task -> function that finds its log.
        filter: the answer filter that at least one of the tasks must have.
    """

    tasks: Mapping[str, Mapping[str, Callable[[], Log]]]
    filter: str | None


def read_logs(logs: Mapping[str, Log]) -> dict[str, Predictions]:
    """Read every version's one task.

    Raises:
        InputError: a log cannot be used, or all of its answers are errors.
    """
    found = {}
    for name, log in logs.items():
        found[name] = log.read()
        _refuse_all_errors(found[name], log.source.label)
    return found


def _refuse_all_errors(predictions: Predictions, label: str) -> None:
    from muscle_llm.errors import InputError, clip

    table = predictions.table
    if "error" not in table.column_names or not len(table) or table["error"].null_count:
        return
    raise InputError(
        f"{label}: every one of its {len(table)} rows has an error, such as "
        f"{clip(table['error'][0].as_py())!r}, so nothing can be compared. If that column does not say what "
        "went wrong, name the one that does with --map error=COLUMN."
    )


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
            InputError: a file cannot be used, or an option means nothing to any of them.
        """
        from muscle_llm.predictions.finding import find_log, where_taken

        logs = [find_log(path, self.format, self._options(name)) for name, path in self.paths.items()]
        return read_logs(dict(zip(self.paths, where_taken(logs), strict=True)))

    def folders(self) -> Folders | None:
        """Return the folders where old and new are folders and one of them holds several tasks; else
        ``None``.

        Raises:
            InputError: a candidate is a file while old and new are folders.
        """
        from muscle_llm.errors import InputError
        from muscle_llm.predictions.finding import find_logs

        found = {}
        for name, path in self.paths.items():
            tasks = find_logs(path, self.format, self._options(name))
            if tasks is None and len(found) < 2:  # old or new
                return None
            if tasks is None:
                raise InputError(
                    f"{path}: old and new are folders of tasks; name a folder of tasks here too."
                )
            found[name] = tasks
            if name == "new" and len(found["old"]) == len(found["new"]) == 1:
                return None
        return Folders(found, self.filter)

    def _options(self, name: str) -> ReadOptions:
        from muscle_llm.predictions.readers import ReadOptions

        columns = self.columns["old" if name in self.of_old else "new"]
        return ReadOptions(columns, self.filter, self.metric, self.extract, self.select)


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
