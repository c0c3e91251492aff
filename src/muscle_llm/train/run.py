"""Run a training to its end: resume, keep the best epoch, write the record."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from muscle_llm.errors import RunError
from muscle_llm.files import atomic_path, atomic_write_text
from muscle_llm.models import ADAPTER_CONFIG, ADAPTER_WEIGHTS, TRAINING_RECORD, base_fingerprint, save_adapter
from muscle_llm.tasks.example import Example
from muscle_llm.train.data import TokenRow, data_hash, split_examples, tokenize
from muscle_llm.train.progress import ProgressBar
from muscle_llm.train.settings import TrainResult, TrainSettings
from muscle_llm.train.trainer import AdapterTrainer

__all__ = ["prepare_rows", "replayed_rows", "run_training"]

_CHECKPOINTS = "checkpoints"
_RUN_KEY = "run.json"
_LOGS = "runs"  # what transformers' TensorBoard integration leaves among the checkpoints


def prepare_rows(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    config: PreTrainedConfig,
    training: TrainSettings,
    seed: int,
) -> tuple[list[TokenRow], list[TokenRow]]:
    """Tokenize the examples and split them into a training and a validation part.

    Args:
        examples: in a fixed order.
        tokenizer: of the base.
        config: of the base; its longest sequence bounds the rows.
        training: the settings.
        seed: of the split.
    """
    rows = _rows(examples, tokenizer, config, training)
    return split_examples(rows, training.validation_share, seed)


def replayed_rows(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    config: PreTrainedConfig,
    training: TrainSettings,
    *,
    first: int,
) -> list[TokenRow]:
    """Tokenize further examples that are all trained on; their indices count from ``first``."""
    rows = _rows(examples, tokenizer, config, training)
    return [dataclasses.replace(row, index=first + row.index) for row in rows]


def _rows(
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerBase,
    config: PreTrainedConfig,
    training: TrainSettings,
) -> list[TokenRow]:
    longest = getattr(config.get_text_config(), "max_position_embeddings", None) or training.max_length
    return tokenize(
        examples,
        tokenizer,
        max_length=min(training.max_length, longest),
        train_on=training.train_on,
        append_eos=training.append_eos,
    )


def run_training(
    trainer: AdapterTrainer,
    *,
    output_dir: Path,
    kind: str,
    description: Mapping[str, Any],
    title: str,
    progress: bool,
) -> TrainResult:
    """Train, from the last checkpoint if there is one; leave the adapter and its record in ``output_dir``.

    Args:
        trainer: ready to train; its checkpoints go to ``output_dir/checkpoints``.
        output_dir: the folder of the adapter.
        kind: ``task`` or ``compat``, recorded.
        description: everything that decides the result, in plain values; an unfinished run is only
            continued when it has the same description.
        title: of the progress bar.
        progress: show one.

    Returns:
        The result, also written to ``training.json``.

    Raises:
        RunError: the folder holds an unfinished training of another kind, or the loss is no longer finite.
    """
    checkpoints = output_dir / _CHECKPOINTS
    rows = [*cast("Any", trainer.train_dataset).rows, *cast("Any", trainer.eval_dataset).rows]
    whole = {"kind": kind, **description, "data": data_hash(sorted(rows, key=lambda row: row.index))}
    _check_same_run(checkpoints, whole)
    bar = ProgressBar(trainer, title) if progress else None
    if bar is not None:
        trainer.add_callback(bar)
    last = _last_checkpoint(checkpoints)
    try:
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    finally:
        if bar is not None:
            bar.close()
    trainer.step_sums_to_counters()
    best = trainer.state.best_model_checkpoint
    if best is None:
        save_adapter(
            cast("PeftModel", trainer.model), trainer.adapter_name, output_dir, base_name=trainer.base_name
        )
    else:
        for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG):
            with atomic_path(output_dir / name) as temporary:
                shutil.copyfile(Path(best) / name, temporary)
    result = _result(trainer, output_dir)
    _write_record(trainer, whole, result)
    if (checkpoints / _LOGS).is_dir():
        shutil.copytree(checkpoints / _LOGS, output_dir / _LOGS, dirs_exist_ok=True)
    shutil.rmtree(checkpoints)
    return result


def _result(trainer: AdapterTrainer, output_dir: Path) -> TrainResult:
    """Read the result off a trainer that is done."""
    evaluations = [entry for entry in trainer.state.log_history if "eval_ce" in entry]
    losses = tuple(entry["eval_ce"] for entry in evaluations)
    metric = f"eval_{trainer.args.metric_for_best_model or 'ce'}"
    scores = [entry[metric] for entry in evaluations]
    return TrainResult(
        adapter_dir=output_dir,
        steps=trainer.state.global_step,
        tokens=int(trainer.counters["tokens"]),
        seconds=trainer.seconds(),
        eval_losses=losses,
        best_epoch=1 + scores.index(min(scores)) if scores else None,
        eval_nfr=tuple(entry["eval_nfr"] for entry in evaluations if "eval_nfr" in entry),
        eval_accuracy=tuple(entry["eval_accuracy"] for entry in evaluations if "eval_accuracy" in entry),
    )


def _write_record(trainer: AdapterTrainer, whole: Mapping[str, Any], result: TrainResult) -> None:
    """Write training.json: what was done, on what, with what outcome."""
    record = {
        "schema": "muscle-llm/training",
        "version": 1,
        **whole,
        "base": {"name": trainer.base_name, "fingerprint": base_fingerprint(trainer.base_name)},
        "examples": {
            "training": len(cast("Any", trainer.train_dataset)),
            "validation": len(cast("Any", trainer.eval_dataset)),
        },
        **{name: value for name, value in result.to_dict().items() if name != "adapter_dir"},
        "log": trainer.state.log_history,
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "accelerate")
        },
    }
    atomic_write_text(result.adapter_dir / TRAINING_RECORD, json.dumps(record, indent=1, default=_plain))


def _plain(value: Any) -> Any:
    """Turn what JSON does not know into what it knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.item() if isinstance(value, torch.Tensor) else str(value)


def _check_same_run(checkpoints: Path, whole: Mapping[str, Any]) -> None:
    """Refuse to continue an unfinished training that was another one; note which one this is."""
    text = json.dumps(whole, indent=1, sort_keys=True, default=_plain)
    file = checkpoints / _RUN_KEY
    if file.is_file():
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            before = {}
        now = json.loads(text)
        changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        if changed:
            raise RunError(
                f"{checkpoints.parent}: an unfinished training is here that differs in: {', '.join(changed)}."
                f" Delete the folder '{checkpoints}' to begin anew, or choose another output folder."
            )
        return
    if checkpoints.exists():
        shutil.rmtree(checkpoints)
    atomic_write_text(file, text)


def _last_checkpoint(checkpoints: Path) -> Path | None:
    """Return the newest complete checkpoint; remove those a kill left incomplete."""
    found: list[tuple[int, Path]] = []
    for folder in checkpoints.glob("checkpoint-*"):
        try:
            # transformers writes this file last
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(folder)
            continue
        found.append((int(folder.name.rsplit("-", 1)[1]), folder))
    return max(found)[1] if found else None


def describe(path: str | Path) -> str:
    """Return a short digest of a base for the description of a run: its fingerprint, else its name.

    Example:
        >>> describe("no/such-base")
        'no/such-base'
    """
    fingerprint = base_fingerprint(path)
    return str(path) if fingerprint is None else hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
