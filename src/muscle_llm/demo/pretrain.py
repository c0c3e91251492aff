"""Make a tiny Llama-shaped base from the demo's world or from text files.

Run ``python -m muscle_llm.demo.pretrain --help``. It keeps a checkpoint beside the output and continues from
it when interrupted; the finished base appears whole or not at all.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import click
import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from muscle_llm.demo.tokenizer import END, PAD, special_id, train_tokenizer
from muscle_llm.demo.world import MIXES, pretraining_text
from muscle_llm.errors import ConfigError, InputError, MuscleError
from muscle_llm.files import atomic_path, sha256_text

__all__ = ["PretrainSettings", "make_model", "pretrain", "token_blocks"]

WORLD = "world"
_TOKENIZER_TEXTS = 20_000
_CHECKPOINT_EVERY = 200


@dataclass(frozen=True)
class PretrainSettings:
    """Everything that decides the base. Lengths in tokens; ``tokens`` is the amount of different text."""

    corpus: tuple[str, ...] = (WORLD,)
    mix: str = "old"
    tokens: int = 3_500_000
    hidden: int = 96
    feedforward: int = 256
    layers: int = 3
    heads: int = 4
    vocabulary: int = 768
    steps: int = 2300
    batch_size: int = 32
    length: int = 96
    learning_rate: float = 3e-3
    seed: int = 1
    precision: str = "float32"


def _file_texts(paths: Sequence[str]) -> Iterator[str]:
    """Yield the paragraphs of text files, or of every .txt and .md file in a folder, in order of name."""
    for name in paths:
        path = Path(name)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix in {".txt", ".md"})
        elif path.is_file():
            files = [path]
        else:
            raise InputError(
                f"The corpus {name} does not exist. Give '{WORLD}', text files or folders of them."
            )
        if not files:
            raise InputError(f"The folder {name} holds no .txt or .md file to learn from.")
        for file in files:
            text = file.read_text(encoding="utf-8", errors="replace")
            yield from (part.strip() for part in text.split("\n\n") if part.strip())


def _texts(settings: PretrainSettings) -> Iterator[str]:
    if settings.corpus == (WORLD,):
        return pretraining_text(settings.seed, MIXES[settings.mix])
    return _file_texts(settings.corpus)


def token_blocks(
    texts: Iterator[str], tokenizer: PreTrainedTokenizerFast, tokens: int, length: int
) -> np.ndarray:
    """Join documents with the end token and cut them into blocks.

    Args:
        texts: documents; read until there are enough tokens or no more documents.
        tokenizer: encodes them.
        tokens: how many tokens to use at most.
        length: T, tokens in a block.

    Returns:
        int32 array (blocks, T); the rest that fills no block is dropped.

    Raises:
        InputError: the text does not fill one block.
    """
    end = special_id(tokenizer, END)
    stream: list[int] = [end]
    while len(stream) < tokens:
        batch = list(islice(texts, 2000))
        if not batch:
            break
        for ids in tokenizer(batch, add_special_tokens=False)["input_ids"]:
            stream.extend(ids)
            stream.append(end)
    count = min(tokens, len(stream)) // length
    if count == 0:
        raise InputError(f"The corpus has {len(stream)} tokens; at least {length} are needed to learn from.")
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
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=special_id(tokenizer, END),
            eos_token_id=special_id(tokenizer, END),
            pad_token_id=special_id(tokenizer, PAD),
        )
    )


def _learning_rate(settings: PretrainSettings, step: int) -> float:
    """Linear warm-up over 100 steps (or a tenth), then a cosine down to a twentieth."""
    warm = min(100, max(1, settings.steps // 10))
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


def _tokenizer(settings: PretrainSettings, tokenizer: str | None) -> PreTrainedTokenizerFast:
    if tokenizer is None:
        return train_tokenizer(islice(_texts(settings), _TOKENIZER_TEXTS), settings.vocabulary)
    if not (Path(tokenizer) / "tokenizer.json").is_file():
        raise InputError(f"{tokenizer} holds no tokenizer.json. Give the folder of a finished base.")
    loaded = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    return loaded


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
    )


def _train(
    model: LlamaForCausalLM, blocks: np.ndarray, settings: PretrainSettings, checkpoint: Path, key: str
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
    with _progress() as progress:
        bar = progress.add_task("pretraining", total=settings.steps, completed=first, loss="-")
        for step, ids_BT in enumerate(_batches(blocks, settings, first), start=first):
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(settings, step)
            loss = model(input_ids=ids_BT, labels=ids_BT).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses = [*losses[-49:], loss.item()]
            progress.update(bar, advance=1, loss=f"{np.mean(losses):.3f}")
            if (step + 1) % _CHECKPOINT_EVERY == 0 and step + 1 < settings.steps:
                state = {"key": key, "step": step + 1, "losses": losses}
                state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                with atomic_path(checkpoint) as temporary:
                    torch.save(state, temporary)
    return float(np.mean(losses))


def pretrain(settings: PretrainSettings, out: Path, tokenizer: str | None = None) -> float:
    """Pretrain a base and write it to ``out``: safetensors, config, tokenizer, and how it was made.

    Args:
        settings: what to train on and how.
        out: the folder of the base; an existing base there is replaced at the end.
        tokenizer: folder of a base whose tokenizer to share; by default one is trained on the corpus.

    Returns:
        Mean training loss of the last 50 steps, in nats per token.

    Raises:
        InputError: a corpus or the tokenizer cannot be read.
        ConfigError: a setting is out of range.
    """
    if settings.mix not in MIXES:
        raise ConfigError(f"There is no mix {settings.mix!r}. Known: {', '.join(MIXES)}.")
    if settings.hidden % settings.heads:
        raise ConfigError(f"hidden ({settings.hidden}) must be a multiple of heads ({settings.heads}).")
    work = out.with_name(f".{out.name}.partial")
    words = _tokenizer(settings, tokenizer)
    blocks = token_blocks(_texts(settings), words, settings.tokens, settings.length)
    model = make_model(settings, words)
    key = json.dumps([asdict(settings), sha256_text(words.backend_tokenizer.to_str())])
    loss = _train(model, blocks, settings, work / "checkpoint.pt", key)
    if work.exists():
        shutil.rmtree(work)
    model.to(getattr(torch, settings.precision)).save_pretrained(work, safe_serialization=True)
    words.save_pretrained(work)
    made = {
        "settings": asdict(settings),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_of_text": int(blocks.size),
        "final_loss_nats": round(loss, 4),
    }
    (work / "pretraining.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    if out.exists():
        shutil.rmtree(out)
    work.replace(out)
    return loss


_DEFAULT = PretrainSettings()


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--corpus", multiple=True, default=(WORLD,), metavar="world|PATH", help="Repeatable.")
@click.option("--mix", default=_DEFAULT.mix, type=click.Choice(list(MIXES)), help="For the world.")
@click.option("--tokens", default=_DEFAULT.tokens, help="Different tokens of text to use at most.")
@click.option("--hidden", default=_DEFAULT.hidden)
@click.option("--feedforward", default=_DEFAULT.feedforward)
@click.option("--layers", default=_DEFAULT.layers)
@click.option("--heads", default=_DEFAULT.heads)
@click.option("--vocabulary", default=_DEFAULT.vocabulary, help="Tokens, if a tokenizer is trained.")
@click.option("--tokenizer", default=None, metavar="DIR", help="Share the tokenizer of this base.")
@click.option("--steps", default=_DEFAULT.steps)
@click.option("--batch-size", default=_DEFAULT.batch_size)
@click.option("--length", default=_DEFAULT.length, help="Tokens in a block.")
@click.option("--learning-rate", default=_DEFAULT.learning_rate)
@click.option("--seed", default=_DEFAULT.seed)
@click.option(
    "--precision", default=_DEFAULT.precision, type=click.Choice(["float32", "float16", "bfloat16"])
)
@click.option("--threads", default=0, help="CPU threads; 0 leaves torch's choice.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
def main(
    corpus: tuple[str, ...],
    mix: str,
    tokens: int,
    hidden: int,
    feedforward: int,
    layers: int,
    heads: int,
    vocabulary: int,
    tokenizer: str | None,
    steps: int,
    batch_size: int,
    length: int,
    learning_rate: float,
    seed: int,
    precision: str,
    threads: int,
    out: Path,
) -> None:
    """Pretrain a tiny Llama-shaped base on the demo's world or on text files."""
    if threads:
        torch.set_num_threads(threads)
    settings = PretrainSettings(
        corpus=corpus,
        mix=mix,
        tokens=tokens,
        hidden=hidden,
        feedforward=feedforward,
        layers=layers,
        heads=heads,
        vocabulary=vocabulary,
        steps=steps,
        batch_size=batch_size,
        length=length,
        learning_rate=learning_rate,
        seed=seed,
        precision=precision,
    )
    try:
        loss = pretrain(settings, out, tokenizer)
    except MuscleError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"wrote {out} (loss {loss:.3f} nats per token)")


if __name__ == "__main__":
    main()
