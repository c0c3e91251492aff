"""A progress bar for a training."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback

if TYPE_CHECKING:
    from muscle_llm.train.trainer import AdapterTrainer

__all__ = ["ProgressBar", "counting_bar"]

_SECONDS_BETWEEN_UPDATES = 0.25
_WIDE = 100  # columns that all of a training's figures take


class ProgressBar(TrainerCallback):
    """Show steps, loss, validation and the share of tokens that follow the old model.

    Args:
        trainer: whose sums are shown.
        title: what is being trained.
    """

    def __init__(self, trainer: AdapterTrainer, title: str) -> None:
        self.trainer = trainer
        self.title = title
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.validation = ""
        self.shown = ""
        self.last_update = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar, at the step a resumed run begins with."""
        console = Console(stderr=True)
        wide = console.width >= _WIDE
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16 if wide else 6),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            *([TimeElapsedColumn()] if wide else []),
            TimeRemainingColumn(),
            console=console,
        )
        self.task = self.bar.add_task(
            self.title, total=state.max_steps, completed=state.global_step, figures=""
        )
        self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar, a few times a second at most: reading the loss waits for the device."""
        now = time.monotonic()
        if self.bar is None or now - self.last_update < _SECONDS_BETWEEN_UPDATES:
            return
        self.last_update = now
        sums = self.trainer.mean_sums()
        if sums:
            self.shown = _figures(sums)
        self.bar.update(self.task, completed=state.global_step, figures=self.shown + self.validation)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Show the validation cross-entropy."""
        if metrics and "eval_ce" in metrics:
            self.validation = f" valid {metrics['eval_ce']:.3f}"

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Fill and close the bar."""
        if self.bar is not None:
            self.bar.update(self.task, completed=state.global_step, figures=self.shown + self.validation)
        self.close()

    def close(self) -> None:
        """Close the bar, also after an error."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


@contextlib.contextmanager
def counting_bar(title: str, total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves a bar by so many; without a bar it does nothing."""
    if not shown:
        yield lambda _count: None
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.update(task, advance=count)


def _figures(sums: dict[str, float]) -> str:
    """Return the means over tokens in words.

    Example:
        >>> _figures({"old_kl": 0.1, "new_kl": 0.2, "old_share": 0.25})
        'loss 0.300 old 25 %'
    """
    if "old_share" in sums:
        return f"loss {sums['old_kl'] + sums['new_kl']:.3f} old {100 * sums['old_share']:.0f} %"
    return f"loss {sums['ce']:.3f}" if "ce" in sums else ""
