"""lm-evaluation-harness and its libraries kept quiet and quick while this package drives them.

The harness prints its own progress bars, logs advice meant for its own command line, and compiles a
document template anew for every document. Inside `quiet_harness` the bars are off, the loggers speak from
errors on, and templates are compiled once. Everything is as before when the block ends.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

__all__ = ["quiet_harness"]

# Loggers that give advice or echo settings; errors still come through.
_LOGGERS = ("lm_eval", "lm-eval", "datasets", "transformers", "transformers.generation", "httpx", "absl")


@contextlib.contextmanager
def quiet_harness() -> Iterator[None]:
    """Silence progress bars, log lines and warnings of the harness and its libraries, and cache templates.

    Example:
        >>> with quiet_harness():
        ...     pass
    """
    import datasets
    import lm_eval.utils
    import tqdm
    from jinja2 import Template

    @functools.lru_cache(maxsize=256)
    def compiled(template: str) -> Template:
        return lm_eval.utils.env.from_string(template)

    def render(template: str, doc: dict[str, Any]) -> str:
        return compiled(template).render(**doc)

    bars_on = datasets.utils.is_progress_bar_enabled()
    no_bar = functools.partialmethod(tqdm.tqdm.__init__, disable=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_levels(logging.ERROR))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(mock.patch.object(lm_eval.utils, "apply_template", render))
        stack.enter_context(mock.patch.object(tqdm.tqdm, "__init__", no_bar))
        if bars_on:
            datasets.disable_progress_bars()
            stack.callback(datasets.enable_progress_bars)
        yield


@contextlib.contextmanager
def _levels(level: int) -> Iterator[None]:
    """Raise the loggers' levels to at least ``level``, and put them back."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(level, logger.level))
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
