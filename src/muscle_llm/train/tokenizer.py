"""A small tokenizer for tiny bases: byte-level BPE; every digit and every capitalised word stands alone."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from muscle_llm.errors import ConfigError, InputError

__all__ = ["END", "PAD", "special_id", "train_tokenizer"]

END = "<|end|>"
PAD = "<|pad|>"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer; any text survives encoding and decoding unchanged.

    ``<|end|>`` begins and ends documents, ``<|pad|>`` fills batches; encoding adds neither.

    Args:
        texts: what the merges are learnt from.
        vocabulary: number of tokens, at least 258 (the bytes and the two special tokens).

    Returns:
        The tokenizer, padding on the left as generation needs it.

    Raises:
        ConfigError: ``vocabulary`` is below 258.

    Example:
        >>> tokenizer = train_tokenizer(["Mia has 12 apples."] * 4, 300)
        >>> tokenizer.tokenize("12")
        ['1', '2']
        >>> tokenizer.decode(tokenizer.encode("Zoë has 7."))
        'Zoë has 7.'

    Source:
        Sennrich et al. 2016 (byte-pair encoding); the byte-level alphabet of GPT-2 (Radford et al. 2019).
    """
    smallest = 256 + 2
    if vocabulary < smallest:
        raise ConfigError(f"a byte-level vocabulary needs at least {smallest} tokens; got {vocabulary}.")
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            # A name is one token wherever it stands, so that a tiny model can copy it from a line's start.
            pre_tokenizers.Split(Regex(r"\p{Lu}\p{Ll}+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=END,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def special_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Return the id of a special token.

    Raises:
        InputError: the tokenizer does not have it, so it is not one that :func:`train_tokenizer` made.

    Example:
        >>> special_id(train_tokenizer(["a"], 258), PAD)
        0
    """
    known = tokenizer.get_vocab()
    if token not in known:
        raise InputError(f"the tokenizer has no token {token}; use one that this package trained.")
    return known[token]
