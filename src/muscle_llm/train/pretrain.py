"""Make a tiny Llama-shaped base from plain text: for the demo and for trying things out without a hub.

A checkpoint beside the output lets an interrupted run continue; the base appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.files import atomic_path, sha256_text
from muscle_llm.train.tokenizer import END, PAD, special_id, train_tokenizer

__all__ = ["PretrainSettings", "file_texts", "make_model", "pretrain", "pretrain_base", "token_blocks"]

_CHECKPOINT_EVERY = 200
_TOKENIZER_TEXTS = 20_000  # paragraphs a tokenizer is trained on, at most
_WARMUP_STEPS = 100


@dataclass(frozen=True)
class PretrainSettings:
    """Shape and training of a base.

    Args:
        hidden: width of the model, a multiple of ``heads``.
        feedforward: inner width of the feed-forward layers.
        layers: number of layers.
        heads: attention heads.
        steps: optimizer steps.
        batch_size: sequences in a step.
        length: T, tokens of a sequence.
        learning_rate: the peak, after a linear warm-up; a cosine leads down to a twentieth of it.
        seed: of the weights and of the order of the text.
        precision: the weights are saved in this; training is in float32.

    Raises:
        ConfigError: a value is out of range.
    """

    hidden: int = 96
    feedforward: int = 256
    layers: int = 3
    heads: int = 4
    steps: int = 2300
    batch_size: int = 32
    length: int = 96
    learning_rate: float = 3e-3
    seed: int = 1
    precision: str = "float32"

    def __post_init__(self) -> None:
        for name in ("hidden", "feedforward", "layers", "heads", "steps", "batch_size", "length"):
            if getattr(self, name) < 1:
                raise ConfigError(f"pretraining: {name} must be 1 or more, not {getattr(self, name)}.")
        if self.hidden % (2 * self.heads):
            raise ConfigError(
                f"pretraining: hidden ({self.hidden}) must be a multiple of twice the heads ({self.heads})."
            )
        if not self.learning_rate > 0:
            raise ConfigError(f"pretraining: learning_rate must be above 0, not {self.learning_rate!r}.")
        if self.precision not in ("float32", "float16", "bfloat16"):
            raise ConfigError(f"pretraining: unknown precision '{self.precision}'.")


def file_texts(paths: Iterable[str | Path]) -> Iterator[str]:
    """Yield the paragraphs of text files, and of every .txt and .md file of folders, in order of name.

    Raises:
        InputError: a path does not exist, or a folder holds no text.
    """
    for path in map(Path, paths):
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix in {".txt", ".md"})
        elif path.is_file():
            files = [path]
        else:
            raise InputError(f"the corpus {path} does not exist. Give text files or folders of them.")
        if not files:
            raise InputError(f"the folder {path} holds no .txt or .md file to learn from.")
        for file in files:
            text = file.read_text(encoding="utf-8", errors="replace")
            yield from (part.strip() for part in text.split("\n\n") if part.strip())


def token_blocks(
    texts: Iterator[str], tokenizer: PreTrainedTokenizerFast, tokens: int | None, length: int
) -> np.ndarray:
    """Join documents with the end token and cut them into blocks.

    Args:
        texts: documents; read until there are enough tokens or no more documents.
        tokenizer: encodes them.
        tokens: how many tokens to use at most; None takes all (the texts must end).
        length: T, tokens in a block.

    Returns:
        int32 array (blocks, T); the rest that fills no block is dropped.

    Raises:
        InputError: the text does not fill one block.
    """
    end = special_id(tokenizer, END)
    stream: list[int] = [end]
    while tokens is None or len(stream) < tokens:
        batch = list(islice(texts, 2000))
        if not batch:
            break
        for ids in tokenizer(batch, add_special_tokens=False)["input_ids"]:
            stream.extend(ids)
            stream.append(end)
    count = (len(stream) if tokens is None else min(tokens, len(stream))) // length
    if count == 0:
        raise InputError(f"the corpus has {len(stream)} tokens; at least {length} are needed to learn from.")
    return np.asarray(stream[: count * length], dtype=np.int32).reshape(count, length)


def make_model(settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained Llama of the given shape with tied embeddings, initialised from the seed."""
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden,
            intermediate_size=settings.feedforward,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=max(512, settings.length),
            tie_word_embeddings=True,
            bos_token_id=special_id(tokenizer, END),
            eos_token_id=special_id(tokenizer, END),
            pad_token_id=special_id(tokenizer, PAD),
        )
    )


def _learning_rate(settings: PretrainSettings, step: int) -> float:
    """Linear warm-up over 100 steps (at most a tenth), then a cosine down to a twentieth."""
    warm = min(_WARMUP_STEPS, max(1, settings.steps // 10))
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, settings.steps - warm)
    return settings.learning_rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


def _batches(blocks: np.ndarray, settings: PretrainSettings, first: int) -> Iterator[torch.Tensor]:
    """Yield the batches of steps ``first`` to the last; every pass over the text is a new permutation.

    Batches depend on the step and the seed alone, so an interrupted run continues with the same ones.
    """
    size, shown, order = len(blocks), -1, np.empty(0, dtype=np.int64)
    for step in range(first, settings.steps):
        picked = []
        for position in range(step * settings.batch_size, (step + 1) * settings.batch_size):
            epoch, index = divmod(position, size)
            if epoch != shown:
                shown, order = epoch, np.random.default_rng([settings.seed, epoch]).permutation(size)
            picked.append(order[index])
        yield torch.from_numpy(blocks[picked].astype(np.int64))


def _progress(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        disable=not shown,
    )


def _train(
    model: LlamaForCausalLM,
    blocks: np.ndarray,
    settings: PretrainSettings,
    checkpoint: Path,
    key: str,
    progress: bool,
) -> float:
    """Train in place, from the checkpoint if one was left under the same key.

    Returns:
        Mean loss of the last 50 steps, in nats per token.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.05
    )
    first, losses = 0, []
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        if state["key"] == key:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            first, losses = int(state["step"]), list(state["losses"])
    model.train()
    with _progress(progress) as bars:
        bar = bars.add_task("pretraining", total=settings.steps, completed=first, loss="-")
        for step, ids_BT in enumerate(_batches(blocks, settings, first), start=first):
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(settings, step)
            loss = model(input_ids=ids_BT, labels=ids_BT).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses = [*losses[-49:], loss.item()]
            bars.update(bar, advance=1, loss=f"{np.mean(losses):.3f}")
            if (step + 1) % _CHECKPOINT_EVERY == 0 and step + 1 < settings.steps:
                state = {"key": key, "step": step + 1, "losses": losses}
                state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                with atomic_path(checkpoint) as temporary:
                    torch.save(state, temporary)
    return float(np.mean(losses))


def pretrain(
    texts: Iterator[str],
    tokenizer: PreTrainedTokenizerFast,
    settings: PretrainSettings,
    out: str | Path,
    *,
    tokens: int | None = None,
    made_from: Mapping[str, object] | None = None,
    progress: bool = True,
) -> float:
    """Pretrain a base on documents and write it: safetensors, config, tokenizer, and how it was made.

    Args:
        texts: documents, in the order they are joined.
        tokenizer: made by :func:`muscle_llm.train.tokenizer.train_tokenizer`.
        settings: shape and training.
        out: the folder of the base; an existing base there is replaced at the end.
        tokens: how much of the text to use at most, in tokens; None takes all.
        made_from: recorded in ``pretraining.json``.
        progress: show a bar.

    Returns:
        Mean training loss of the last 50 steps, in nats per token.

    Raises:
        InputError: the text does not fill one sequence.
    """
    out = Path(out)
    work = out.with_name(f".{out.name}.partial")
    blocks = token_blocks(texts, tokenizer, tokens, settings.length)
    model = make_model(settings, tokenizer)
    words = sha256_text(tokenizer.backend_tokenizer.to_str())
    key = json.dumps([asdict(settings), words, hashlib.sha256(blocks.tobytes()).hexdigest()])
    loss = _train(model, blocks, settings, work / "checkpoint.pt", key, progress)
    if work.exists():
        shutil.rmtree(work)
    model.to(getattr(torch, settings.precision)).save_pretrained(work)
    tokenizer.save_pretrained(work)
    made = {
        "made_from": dict(made_from or {}),
        "settings": asdict(settings),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_of_text": int(blocks.size),
        "final_loss_nats": round(loss, 4),
    }
    (work / "pretraining.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    for file in work.iterdir():
        file.chmod(0o644)  # safetensors writes files that only the owner can read
    if out.exists():
        shutil.rmtree(out)
    work.replace(out)
    return loss


def pretrain_base(
    corpus: Sequence[str | Path],
    out: str | Path,
    *,
    steps: int = 500,
    hidden: int = 96,
    layers: int = 3,
    vocabulary: int = 2048,
    tokenizer_corpus: Sequence[str | Path] | None = None,
    sequence_length: int = 128,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: bool = True,
) -> float:
    """Pretrain a tiny base on text files.

    Args:
        corpus: text files or folders of .txt and .md files.
        out: the folder of the base.
        steps: optimizer steps.
        hidden: width of the model, a multiple of 8; the feed-forward layers are 8/3 times as wide.
        layers: number of layers.
        vocabulary: tokens of the tokenizer, at least 258.
        tokenizer_corpus: what the tokenizer is trained on, by default the corpus. Bases with the same
            ``tokenizer_corpus`` and ``vocabulary`` get the same tokenizer.
        sequence_length: T, tokens of a training sequence.
        batch_size: sequences in a step.
        learning_rate: the peak of the schedule.
        seed: of the weights and the order of the text.
        progress: show a bar.

    Returns:
        Mean training loss of the last 50 steps, in nats per token.

    Raises:
        InputError: a corpus cannot be read or is too short.
        ConfigError: a setting is out of range.
    """
    settings = PretrainSettings(
        hidden=hidden,
        feedforward=8 * hidden // 3 // 8 * 8,
        layers=layers,
        steps=steps,
        batch_size=batch_size,
        length=sequence_length,
        learning_rate=learning_rate,
        seed=seed,
    )
    texts = file_texts(tokenizer_corpus or corpus)
    tokenizer = train_tokenizer(islice(texts, _TOKENIZER_TEXTS), vocabulary)
    made_from = {"corpus": [Path(p).name for p in corpus]}
    return pretrain(file_texts(corpus), tokenizer, settings, out, made_from=made_from, progress=progress)
