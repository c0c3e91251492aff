"""The harness's own transformers engine, quiet, and telling how each generation ended."""

from __future__ import annotations

import copy
import functools
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lm_eval.models.huggingface import HFLM

if TYPE_CHECKING:
    import torch
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["TransformersEngine"]

_Base: Any = HFLM  # its decorator hides the class from type checkers


class TransformersEngine(_Base):
    """`lm_eval`'s ``HFLM`` on a loaded model: same requests, same figures, no bars of its own.

    Attributes:
        finish_reason: prompt -> ``"stop"`` or ``"length"``, of every generation.
        truncated: how many prompts were cut on the left to fit the model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_size: int,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        # a copy: the harness may give the tokenizer a pad token
        super().__init__(
            pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=batch_size, backend="causal"
        )
        self.finish_reason: dict[str, str] = {}
        self.truncated = 0
        self._on_answer = on_answer
        self._endings: deque[str] = deque()
        # every option of an instance encodes the same context again
        self._encode_once = functools.lru_cache(maxsize=4)(super().tok_encode)
        self.set_cache_hook(self)

    def add_partial(self, attr: str, req: tuple[Any, ...], res: Any) -> None:
        """Take note of one answer; the harness calls this after each."""
        if attr == "generate_until":
            self.finish_reason[req[0]] = self._endings.popleft()
        self._on_answer()

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Return (log-likelihood, whether greedy) of each continuation."""
        return super().loglikelihood(requests, disable_tqdm=True)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Return the text after each prompt."""
        return super().generate_until(requests, disable_tqdm=True)

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
    ) -> list[int]:
        """Encode one text, the last few only once."""
        return list(self._encode_once(string, add_special_tokens, left_truncate_len))

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode and pad prompts; count those that are cut to leave room for an answer."""
        ids_BT, mask_BT = super().tok_batch_encode(strings, padding_side, truncation=truncation)
        if left_truncate_len and ids_BT.shape[1] > left_truncate_len:
            self.truncated += int((mask_BT.sum(1) > left_truncate_len).sum())
            ids_BT, mask_BT = ids_BT[:, -left_truncate_len:], mask_BT[:, -left_truncate_len:]
        return ids_BT, mask_BT

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = True,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        self.truncated += sum(len(c) + len(t) > self.max_length + 1 for _, c, t in requests)
        return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)

    def _model_generate(
        self,
        context: torch.Tensor,
        max_length: int,
        stop: list[str],
        **generation_kwargs: Any,
    ) -> torch.Tensor:
        out_BT = super()._model_generate(context, max_length, stop, **generation_kwargs)
        texts = self.tokenizer.batch_decode(out_BT[:, context.shape[1] :], skip_special_tokens=False)
        self._endings.extend("stop" if any(s in text for s in stop) else "length" for text in texts)
        return out_BT
