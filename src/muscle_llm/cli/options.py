"""What several commands share."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from muscle_llm.errors import InputError, MissingExtraError
from muscle_llm.files import atomic_path

__all__ = [
    "calm_libraries",
    "cannot_write",
    "drop_output",
    "emit_json",
    "require_training",
    "standard_output",
    "write_document",
]


def require_training(what: str) -> None:
    """Raise unless the training half's libraries are installed.

    Args:
        what: the command as the user typed it, such as ``"muscle-llm update"``.

    Raises:
        MissingExtraError: one of them is missing.
    """
    for name in ("torch", "transformers", "peft", "accelerate", "lm_eval", "datasets"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(what, "train")


def calm_libraries() -> None:
    """Keep the training libraries' own logs and notices off the screen; errors still come through."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|accelerate|datasets|lm_eval)(\.|$)")
    for name in ("transformers", "peft", "accelerate", "datasets", "lm_eval", "lm-eval", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Guard a block that writes to standard output, and only that.

    A reader that leaves early (``| head``) is no error: the rest is dropped, and the exit code stays that of
    the command, since 1 would read as a verdict.

    Raises:
        InputError: it cannot be written, such as on a full disk.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        drop_output()
        raise cannot_write("standard output", error) from error


def drop_output() -> None:
    """Send what standard output still holds nowhere, so that Python does not stumble over it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def cannot_write(name: str, error: OSError) -> InputError:
    """Return the error that says which output cannot be written, and why.

    Args:
        name: the output as the user named it.
        error: what the system says.

    Example:
        >>> import errno
        >>> str(cannot_write("a.json", OSError(errno.ENOSPC, "No space left on device")))
        'a.json: cannot be written (No space left on device).'
    """
    why = error.strerror or str(error)
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        why = f"{error.filename} is a file, not a folder"
    return InputError(f"{name}: cannot be written ({why}).")


def write_document(text: str, where: str) -> None:
    """Write a document in UTF-8 to a file, whole or not at all, or to standard output for ``-``.

    Lone surrogates, which file names can bring in, become escapes.

    Raises:
        InputError: it cannot be written.
    """
    content = text.encode("utf-8", "backslashreplace")
    if where == "-":
        if sys.stdout is None:
            raise InputError("standard output: cannot be written (it is closed).")
        with standard_output():
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        return
    try:
        with atomic_path(where) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise cannot_write(where, error) from error


def emit_json(document: dict[str, Any], where: str) -> None:
    """Write a JSON document to a file, or to standard output for ``-``."""
    write_document(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", where)
