"""vLLM as an engine, on the harness's own: adapters through its LoRA support, answers stored as they come.

Written against vLLM's documented interface and tested with a stand-in of it; not yet run on a GPU.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muscle_llm.errors import AdapterError, ConfigError, InputError, MissingExtraError
from muscle_llm.predict.harness import template_hash

if importlib.util.find_spec("vllm") is None:
    raise MissingExtraError("the vLLM engine", "vllm")

from lm_eval.models.vllm_causallms import VLLM

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from muscle_llm.predict.answers import AnswerLog

__all__ = ["VllmEngine", "lora_rank"]

_Base: Any = VLLM  # its decorator hides the class from type checkers

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes as the largest rank
_CHUNK = 1024  # requests given to vLLM at once; they are stored when all of them are answered


def lora_rank(adapter: str | Path) -> int:
    """Return the ``max_lora_rank`` that an adapter needs.

    Raises:
        InputError: the adapter's configuration cannot be read.
        AdapterError: it is of a kind that vLLM does not serve.
    """
    path = Path(adapter) / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        rank, dora = int(config["r"]), bool(config.get("use_dora"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({error}).") from error
    if dora:
        raise AdapterError(f"{adapter}: vLLM does not serve DoRA adapters; use --engine transformers.")
    found = next((r for r in _RANKS if r >= rank), None)
    if found is None:
        raise AdapterError(f"{adapter}: its rank, {rank}, is above what vLLM serves ({_RANKS[-1]}).")
    return found


class VllmEngine(_Base):
    """`lm_eval`'s ``VLLM``: same requests and figures as there, answers stored chunk by chunk.

    Args:
        base: folder or hub name of the base.
        adapter: folder of a LoRA adapter on it.
        dtype: of the weights.
        trust_remote_code: run code that the base brings.
        answers: where answers are kept while the run is under way.

    Attributes:
        on_answer: called once per answer.
        draw: which of several answers to each prompt is being drawn.
        finish_reason: prompt -> why its generation ended.
    """

    def __init__(
        self,
        base: str,
        *,
        adapter: str | Path | None = None,
        dtype: str = "auto",
        trust_remote_code: bool = False,
        answers: AnswerLog | None = None,
    ) -> None:
        lora = (
            {} if adapter is None else {"lora_local_path": str(adapter), "max_lora_rank": lora_rank(adapter)}
        )
        super().__init__(pretrained=base, dtype=dtype, trust_remote_code=trust_remote_code, **lora)
        self.finish_reason: dict[str, str] = {}
        self.on_answer: Callable[[], None] = lambda: None
        self.draw = 0
        self._dtype = dtype
        self._answers = answers
        self._endings: deque[str] = deque()
        self.set_cache_hook(self)

    def describe(self) -> dict[str, str]:
        """Return what the provenance records."""
        return {"engine": "vllm", "vllm": importlib.metadata.version("vllm"), "dtype": self._dtype}

    def template_hash(self) -> str:
        """Return the hash of the chat template, or ``""``."""
        return template_hash(self.hf_chat_template or getattr(self.tokenizer, "chat_template", None))

    def add_partial(self, attr: str, req: tuple[Any, ...] | str, res: Any) -> None:
        """Take note of how a generation ended; the harness calls this after each answer."""
        if attr == "generate_until":
            self.finish_reason[req[0]] = self._endings.popleft()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Return the text after each prompt."""

        def answer(chunk: list[Instance]) -> list[list[str]]:
            self._endings.clear()
            try:
                found = super(VllmEngine, self).generate_until(chunk, disable_tqdm=True)
            except TypeError as error:  # a setting of transformers that vLLM's SamplingParams does not have
                raise ConfigError(
                    f"vLLM does not know a setting of this task's generation ({error})."
                ) from error
            return [[text, self.finish_reason[str(r.args[0])]] for text, r in zip(found, chunk, strict=True)]

        found = self._stored(f"generate_until {self.draw}", requests, answer)
        for request, (_, reason) in zip(requests, found, strict=True):
            self.finish_reason[str(request.args[0])] = reason
        return [text for text, _ in found]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Return (log-likelihood, whether greedy) of each continuation."""

        def answer(chunk: list[Instance]) -> list[list[Any]]:
            found = super(VllmEngine, self).loglikelihood(chunk, disable_tqdm=True)
            return [[float(value), bool(greedy)] for value, greedy in found]

        return [(value, greedy) for value, greedy in self._stored("loglikelihood", requests, answer)]

    def modify_gen_kwargs(self, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], list[str], int]:
        """Return vLLM's settings of a generation; a drawn answer depends on its draw only.

        Special tokens are no part of the text, as with the default engine (the harness keeps them here).
        """
        found, until, tokens = _Base.modify_gen_kwargs(*args, **kwargs)
        found["skip_special_tokens"] = True
        if found.get("temperature"):
            found["seed"] = self.draw
        return found, until, tokens

    def _model_generate(self, *args: Any, generate: bool = False, **kwargs: Any) -> Any:
        outputs = super()._model_generate(*args, generate=generate, **kwargs)
        if generate:
            self._endings.extend(str(output.outputs[0].finish_reason or "") for output in outputs)
        return outputs

    def _stored(
        self, kind: str, requests: Sequence[Instance], answer: Callable[[list[Instance]], list[Any]]
    ) -> list[Any]:
        """Return the answers in order: stored ones as they are, the others chunk by chunk, then stored."""
        names = [[kind, *r.args] for r in requests]
        found: dict[int, Any] = {}
        for i, name in enumerate(names):
            stored = None if self._answers is None else self._answers.get(name)
            if stored is not None:
                found[i] = stored
                self.on_answer()
        waiting = [i for i in range(len(requests)) if i not in found]
        for start in range(0, len(waiting), _CHUNK):
            chunk = waiting[start : start + _CHUNK]
            for i, one in zip(chunk, answer([requests[i] for i in chunk]), strict=True):
                if self._answers is not None:
                    self._answers.put(names[i], one)
                found[i] = one
                self.on_answer()
        return [found[i] for i in range(len(requests))]
