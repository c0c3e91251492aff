"""A run folder whose stages are done once: finished ones are skipped, unfinished ones continue.

A stage is finished when the manifest holds its fingerprint and every output is there with the content that
the manifest says. The fingerprint covers the stage's settings and the *content* of its inputs, so deleting
or changing one output re-makes it, and then only what depends on it, and only if it came out different.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock

from muscle_llm.errors import RunError
from muscle_llm.files import atomic_path, atomic_write_text, sha256_file, sha256_text

__all__ = ["InUseError", "RunFolder", "Stage", "content_of", "environment", "run_stages"]

MANIFEST_VERSION = 1
_DONE = "seconds"  # written last: a shared stage with it is whole


class InUseError(RunError):
    """Another process works in the run folder."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a run.

    Attributes:
        name: unique in the run, such as ``"sums/train/old"``.
        title: what the user sees while it runs.
        settings: gives everything that changes the result, as plain JSON types; called when the stage's turn
            comes, since it may depend on what earlier stages made.
        inputs: files or folders it reads, relative to the run folder or absolute; their content counts.
        outputs: files it writes, relative to the run folder; a folder stands for the files listed for it.
        action: does the work; must leave every output in place.
    """

    name: str
    title: str
    settings: Callable[[], Mapping[str, Any]] = field(repr=False)
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]
    action: Callable[[], None] = field(repr=False)


class RunFolder:
    """The folder of one run: its manifest, its lock, and the content of its files.

    Args:
        path: the folder.
        shared: folder where several runs leave what their stages wrote, by fingerprint; a stage that another
            run has done is taken from there.
    """

    def __init__(self, path: Path, shared: Path | None = None) -> None:
        self.path = path
        self.shared = shared
        self._seen: dict[str, tuple[int, int, str]] = {}
        self.manifest: dict[str, Any] = {"version": MANIFEST_VERSION, "stages": {}, "files": {}}

    @property
    def manifest_path(self) -> Path:
        """Where the manifest is kept."""
        return self.path / "manifest.json"

    def load(self) -> None:
        """Read the manifest if there is one.

        Raises:
            RunError: it is broken or of another version.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.manifest_path.exists():
            return
        try:
            found = json.loads(self.manifest_path.read_text(encoding="utf-8"))
            version = found["version"]
            self._seen = {name: (a, b, c) for name, (a, b, c) in found.get("files", {}).items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self.manifest_path} is not a manifest of a run ({error}). "
                "Remove it to run everything again, or choose another run folder."
            ) from error
        if version != MANIFEST_VERSION:
            raise RunError(
                f"{self.manifest_path} is of version {version}, this is version {MANIFEST_VERSION}. "
                "Choose another run folder."
            )
        self.manifest = found

    def save(self) -> None:
        """Write the manifest, whole or not at all."""
        self.manifest["files"] = self._seen
        atomic_write_text(self.manifest_path, json.dumps(self.manifest, indent=1, sort_keys=True) + "\n")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run folder for this process.

        Raises:
            InUseError: another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            held = filelock.FileLock(self.path / ".lock", timeout=0).acquire()
        except filelock.Timeout as error:
            raise InUseError(
                f"another process works in {self.path}. Wait for it, or choose another run folder."
            ) from error
        with held:
            yield

    @contextlib.contextmanager
    def alone_with(self, fingerprint: str) -> Iterator[None]:
        """Keep other runs from doing the same shared stage at the same time."""
        if self.shared is None:
            yield
            return
        self.shared.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.shared / f"{fingerprint}.lock"):
            yield

    def take_shared(self, stage: Stage, fingerprint: str) -> float | None:
        """Take a stage's outputs from another run; return the seconds it took there, None if none has it."""
        place = None if self.shared is None else self.shared / fingerprint
        if place is None or not (place / _DONE).exists():
            return None
        for number, path in enumerate(stage.outputs):
            _link(place / str(number), self.path / path)
        return float((place / _DONE).read_text(encoding="utf-8"))

    def give_shared(self, stage: Stage, fingerprint: str, seconds: float) -> None:
        """Leave a stage's outputs for other runs."""
        if self.shared is None:
            return
        place = self.shared / fingerprint
        for number, path in enumerate(stage.outputs):
            _link(self.path / path, place / str(number))
        atomic_write_text(place / _DONE, f"{seconds:.2f}")

    def content(self, path: Path) -> str | None:
        """Return a hash of a file, or of a folder's files by name; None where there is none.

        A file whose size and time of change are those of the last look is not read again.
        """
        full = self.path / path
        if full.is_dir():
            return content_of((p.relative_to(full).as_posix(), self.content(p)) for p in _files(full))
        try:
            found = full.stat()
        except OSError:
            return None
        key = full.relative_to(self.path).as_posix() if full.is_relative_to(self.path) else str(full)
        seen = self._seen.get(key)
        if seen is None or seen[:2] != (found.st_size, found.st_mtime_ns):
            seen = (found.st_size, found.st_mtime_ns, sha256_file(full))
            self._seen[key] = seen
        return seen[2]

    def fingerprint(self, stage: Stage) -> str:
        """Return the hash of a stage's settings and the content of its inputs.

        Raises:
            RunError: an input is missing.
        """
        inputs: list[str] = []
        for path in stage.inputs:
            content = self.content(path)
            if content is None:
                raise RunError(f"stage '{stage.name}' needs {self.path / path}, which is not there.")
            inputs.append(content)
        return sha256_text(json.dumps([stage.settings(), inputs], sort_keys=True))

    def finished(self, stage: Stage, fingerprint: str) -> bool:
        """Tell whether the stage was done with this fingerprint and its outputs are as it left them."""
        record = self.manifest["stages"].get(stage.name)
        if record is None or record["fingerprint"] != fingerprint:
            return False
        return all(
            content is not None and record["outputs"].get(path.as_posix()) == content
            for path, content in ((p, self.content(p)) for p in stage.outputs)
        )

    def record(self, stage: Stage, fingerprint: str, seconds: float) -> None:
        """Note that the stage is done.

        Raises:
            RunError: it left an output out.
        """
        outputs: dict[str, str] = {}
        for path in stage.outputs:
            content = self.content(path)
            if content is None:
                raise RunError(f"stage '{stage.name}' ended without writing {self.path / path}.")
            outputs[path.as_posix()] = content
        self.manifest["stages"][stage.name] = {
            "fingerprint": fingerprint,
            "outputs": outputs,
            "seconds": round(seconds, 2),
        }
        self.save()


def run_stages(
    folder: RunFolder, stages: Iterable[Stage], report: Callable[[Stage, str, float], None]
) -> list[str]:
    """Run the stages in order, skipping the finished ones.

    Args:
        folder: the run folder, loaded and locked.
        stages: in an order in which inputs come before those who read them.
        report: called with the stage, ``"skipped"``, ``"started"`` or ``"done"``, and the seconds it took.

    Returns:
        The names of the stages that ran.

    Raises:
        RunError: an input is missing, an output was not written, or a name is used twice.
    """
    ran: list[str] = []
    names: set[str] = set()
    for stage in stages:
        if stage.name in names:
            raise RunError(f"two stages are named '{stage.name}'.")
        names.add(stage.name)
        fingerprint = folder.fingerprint(stage)
        if folder.finished(stage, fingerprint):
            report(stage, "skipped", float(folder.manifest["stages"][stage.name]["seconds"]))
            continue
        report(stage, "started", 0.0)
        folder.manifest["stages"].pop(stage.name, None)
        with folder.alone_with(fingerprint):
            taken = folder.take_shared(stage, fingerprint)
            begun = time.monotonic()
            if taken is None:
                stage.action()
                folder.give_shared(stage, fingerprint, time.monotonic() - begun)
        seconds = time.monotonic() - begun if taken is None else taken
        folder.record(stage, fingerprint, seconds)
        ran.append(stage.name)
        report(stage, "done", seconds)
    # Stages of an earlier configuration are forgotten; their files stay.
    for name in set(folder.manifest["stages"]) - names:
        del folder.manifest["stages"][name]
    folder.save()
    return ran


def content_of(parts: Iterable[tuple[str, str | None]]) -> str:
    """Return one hash for named parts, independent of their order.

    Example:
        >>> content_of([("a", "1"), ("b", "2")]) == content_of([("b", "2"), ("a", "1")])
        True
    """
    return sha256_text(json.dumps(sorted(parts), sort_keys=True))


def environment() -> dict[str, str]:
    """Return the versions that a reader of the results wants to know."""
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for name in ("muscle-llm", "torch", "transformers", "peft", "lm-eval", "numpy", "pyarrow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _link(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, a copy where links cannot be made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            temporary.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, temporary)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
