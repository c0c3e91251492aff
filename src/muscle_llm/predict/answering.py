"""A model's own answers to bare prompts, as text to learn from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.predict.harness import progress_bar

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["greedy_answers", "read_prompts"]

_BATCH_TOKENS = 16384


def read_prompts(path: str | Path, count: int) -> list[str]:
    """Return the first ``count`` different prompts of a JSONL file with a ``prompt`` in each line.

    Raises:
        InputError: the file cannot be read, or a line holds no prompt; the message names it.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # texts may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the prompts cannot be read ({error}).") from error
    found: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            prompt = None
        if not isinstance(prompt, str) or not prompt.strip():
            raise InputError(f'{path}, line {number}: it must hold {{"prompt": "some text"}}.')
        found.setdefault(prompt.rstrip())
        if len(found) == count:
            break
    if not found:
        raise InputError(f"{path} holds no prompts.")
    return list(found)


@torch.no_grad()
def greedy_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    title: str = "answering",
    progress: bool = False,
) -> list[str]:
    """Return what the model writes after each prompt, up to its end-of-sequence token.

    Args:
        model: a causal language model, with or without a PEFT adapter.
        tokenizer: the model's; it needs an end-of-sequence token.
        prompts: texts as the model was trained on them, without an answer.
        max_new_tokens: where an answer is cut, >= 1.
        title: of the progress bar.
        progress: show one on standard error.

    Returns:
        The answers in order, each as it joins on to its prompt (most begin with a space).

    Raises:
        ConfigError: the tokenizer has no end-of-sequence token.
    """
    eos: Any = tokenizer.eos_token_id
    if eos is None:
        raise ConfigError("The old model's tokenizer has no end-of-sequence token: its answers have no end.")
    rows: list[list[int]] = tokenizer(list(prompts), verbose=False)["input_ids"]
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    answers = [""] * len(rows)
    model.eval()
    with progress_bar(title, len(rows), progress) as advance:
        start = 0
        while start < len(order):
            width = len(rows[order[start]])
            batch = order[start : start + max(1, _BATCH_TOKENS // (width + max_new_tokens))]
            start += len(batch)
            padded = [[eos] * (width - len(rows[i])) + rows[i] for i in batch]
            mask = [[0] * (width - len(rows[i])) + [1] * len(rows[i]) for i in batch]
            out_BT = model.generate(  # pyright: ignore[reportCallIssue]
                input_ids=torch.tensor(padded, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=eos,
                pad_token_id=eos,
            )
            for i, out_T in zip(batch, out_BT[:, width:].tolist(), strict=True):
                written = out_T[: out_T.index(eos)] if eos in out_T else out_T
                # decoded together: alone, a tokenizer may drop the space that joins them
                answers[i] = _text(tokenizer, [*rows[i], *written])[len(_text(tokenizer, rows[i])) :]
                advance()
    return answers


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
