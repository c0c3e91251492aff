"""Answers kept on disk while a run is under way, so that nothing that was answered is asked again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from muscle_llm.errors import RunError
from muscle_llm.files import sha256_text

__all__ = ["AnswerLog"]


class AnswerLog:
    """A file of answers, one JSON line each, written as they come.

    The first line names the run. A file of another run is not mixed with this one: it is started anew. A last
    line that a kill cut short is dropped.

    Args:
        path: the file; its folder is made where it is missing.
        run: whatever decides the answers: model, adapter, task, settings, versions.

    Raises:
        RunError: the file cannot be written, or it is not such a file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with AnswerLog(Path(folder) / "a.jsonl", {"model": "m"}) as log:
        ...         log.put(["question"], "answer")
        ...     with AnswerLog(Path(folder) / "a.jsonl", {"model": "m"}) as log:
        ...         print(log.get(["question"]), log.get(["other"]))
        answer None
    """

    def __init__(self, path: str | Path, run: dict[str, Any]) -> None:
        self.path = Path(path)
        self._run = sha256_text(json.dumps(run, sort_keys=True, default=str))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._known, size = self._load()
            self._file = self.path.open("ab")
            self._file.truncate(size)
        except OSError as error:
            raise RunError(f"{self.path}: answers cannot be stored there ({error}).") from error
        if size == 0:
            self._write({"muscle_llm_answers": 1, "run": self._run})

    def __enter__(self) -> AnswerLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, request: Any) -> Any:
        """Return the stored answer to ``request`` (any JSON value), or None."""
        return self._known.get(_key(request))

    def put(self, request: Any, answer: Any) -> None:
        """Store an answer; it is on disk when this returns."""
        key = _key(request)
        self._write({"key": key, "answer": answer})
        self._known[key] = answer

    def close(self) -> None:
        """Close the file and leave it."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file: the run is complete and its result written."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, document: dict[str, Any]) -> None:
        self._file.write(json.dumps(document).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _load(self) -> tuple[dict[str, Any], int]:
        """Return the stored answers of this run and the length of the file up to its last whole line."""
        if not self.path.exists():
            return {}, 0
        data = self.path.read_bytes()
        size = data.rfind(b"\n") + 1
        lines = data[:size].splitlines()
        if not lines:
            return {}, 0
        try:
            header, *rows = (json.loads(line) for line in lines)
            if header["muscle_llm_answers"] != 1 or header["run"] != self._run:
                return {}, 0
            return {row["key"]: row["answer"] for row in rows}, size
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.path}: not a file of answers of this package; move it away.") from error


def _key(request: Any) -> str:
    return sha256_text(json.dumps(request, sort_keys=True, default=str))
