"""Pretrain a tiny base on the demo's world or on text files: ``python -m muscle_llm.demo.pretrain --help``.

The demo's two shipped bases were made by this command; ``scripts/make_bases.py`` runs it for both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from muscle_llm.demo.world import MIXES, pretraining_text
from muscle_llm.errors import InputError, MuscleError
from muscle_llm.train.pretrain import PretrainSettings, file_texts, pretrain
from muscle_llm.train.tokenizer import train_tokenizer

__all__ = ["main"]

WORLD = "world"
_TOKENIZER_TEXTS = 20_000
_DEFAULT = PretrainSettings()


def _texts(corpus: tuple[str, ...], mix: str, seed: int) -> Iterator[str]:
    if corpus == (WORLD,):
        return pretraining_text(seed, MIXES[mix])
    return file_texts(corpus)


def _shared_tokenizer(folder: str) -> PreTrainedTokenizerFast:
    if not (Path(folder) / "tokenizer.json").is_file():
        raise InputError(f"{folder} holds no tokenizer.json. Give the folder of a finished base.")
    loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    return loaded


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--corpus", multiple=True, default=(WORLD,), metavar="world|PATH", help="Repeatable.")
@click.option("--mix", default="old", type=click.Choice(list(MIXES)), help="Shares of the world's texts.")
@click.option("--tokens", default=3_500_000, help="Different tokens of text to use at most.")
@click.option("--hidden", default=_DEFAULT.hidden, help="Width of the model.")
@click.option("--feedforward", default=_DEFAULT.feedforward, help="Inner width of the feed-forward layers.")
@click.option("--layers", default=_DEFAULT.layers)
@click.option("--heads", default=_DEFAULT.heads)
@click.option("--vocabulary", default=768, help="Tokens, if a tokenizer is trained.")
@click.option("--tokenizer", metavar="DIR", help="Share the tokenizer of this base.  [default: train one]")
@click.option("--steps", default=_DEFAULT.steps)
@click.option("--batch-size", default=_DEFAULT.batch_size)
@click.option("--length", default=_DEFAULT.length, help="Tokens of a sequence.")
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
    """Pretrain a tiny Llama-shaped base on the demo's world or on text files.

    An interrupted run continues when the same command is given again.
    """
    if threads:
        torch.set_num_threads(threads)
    try:
        settings = PretrainSettings(
            hidden, feedforward, layers, heads, steps, batch_size, length, learning_rate, seed, precision
        )
        words = (
            _shared_tokenizer(tokenizer)
            if tokenizer
            else train_tokenizer(islice(_texts(corpus, mix, seed), _TOKENIZER_TEXTS), vocabulary)
        )
        made_from = {"corpus": [Path(c).name for c in corpus], "mix": mix if corpus == (WORLD,) else None}
        texts = _texts(corpus, mix, seed)
        loss = pretrain(texts, words, settings, out, tokens=tokens, made_from=made_from)
    except MuscleError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    click.echo(f"wrote {out} (loss {loss:.3f} nats per token)")


if __name__ == "__main__":
    main()
