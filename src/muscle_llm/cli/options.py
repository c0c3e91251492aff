"""What several commands share."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import warnings
from typing import Any

import click

from muscle_llm.errors import MissingExtraError
from muscle_llm.files import atomic_write_text

__all__ = ["calm_libraries", "emit_json", "require_training"]


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


def emit_json(document: dict[str, Any], where: str) -> None:
    """Write a JSON document to a file, or to standard output for ``-``."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if where == "-":
        click.echo(text, nl=False)
        sys.stdout.flush()
    else:
        atomic_write_text(where, text)
