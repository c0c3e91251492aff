"""The default engine: the harness's requests answered by a loaded transformers model.

Texts are tokenized, stopped and cut by the harness's own code (``HFLM``). Log-likelihoods of several
continuations of one context are computed together, see `shared_prefix`; before that is used, a few instances
are computed both ways, and a model that does not take such a mask (or gives other figures) is asked one
continuation at a time, as the harness does. Shared, log-probabilities are taken in float32 whatever the
model's type; the harness takes them in the model's.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from lm_eval.models.huggingface import HFLM

from muscle_llm.predict.harness import template_hash
from muscle_llm.predict.shared_prefix import Tree, build_tree, pack, plan_batches

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from muscle_llm.predict.answers import AnswerLog

__all__ = ["TransformersEngine"]

_Base: Any = HFLM  # its decorator hides the class from type checkers

Request = tuple[tuple[str, str], list[int], list[int]]
Answer = tuple[float, bool]

# Padded tokens per forward pass when the batch size is "auto"; halved where memory runs out.
_TOKENS = {"cpu": 4096, "cuda": 65536}
# The same where logits of every position are kept: on a CPU, fresh memory for more costs more than it saves.
_SCORED_TOKENS = {**_TOKENS, "cpu": 1024}
_CHECKED = 3  # instances computed both ways before continuations share their context
# Largest difference of a token's mean log-probability that counts as the same model.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}


class TransformersEngine(_Base):
    """`lm_eval`'s ``HFLM`` on a loaded model: same requests, same answers, in less time.

    Attributes:
        on_answer: called once per answer.
        draw: which of several answers to each prompt is being drawn.
        finish_reason: prompt -> ``"stop"`` or ``"length"``, of every generation.
        truncated: how many prompts were cut on the left to fit the model.
        shares_prefixes: whether a context is computed once for all its continuations; None before the check.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_size: int | Literal["auto"] = "auto",
        share_prefixes: bool = True,
        answers: AnswerLog | None = None,
    ) -> None:
        # a copy: the harness may give the tokenizer a pad token
        super().__init__(
            pretrained=model,
            tokenizer=copy.deepcopy(tokenizer),
            batch_size=1 if batch_size == "auto" else batch_size,
            backend="causal",
        )
        self.finish_reason: dict[str, str] = {}
        self.truncated = 0
        self.shares_prefixes: bool | None = None if share_prefixes and _takes_masks(model) else False
        self._max_items = None if batch_size == "auto" else batch_size
        self.on_answer: Callable[[], None] = lambda: None
        self.draw = 0
        self._answers = answers
        self._endings: deque[str] = deque()
        # every continuation of a context encodes it again
        self._encode_once = functools.lru_cache(maxsize=4)(super().tok_encode)
        self.set_cache_hook(self)

    def add_partial(self, attr: str, req: tuple[Any, ...] | str, res: Any) -> None:
        """Take note of how a generation ended; the harness calls this after each answer."""
        if attr == "generate_until":
            self.finish_reason[req[0]] = self._endings.popleft()

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[Answer]:
        """Return (log-likelihood, whether greedy) of each continuation."""
        return super().loglikelihood(requests, disable_tqdm=True)

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

    def _model_generate(
        self, context: torch.Tensor, max_length: int, stop: list[str], **generation_kwargs: Any
    ) -> torch.Tensor:
        out_BT = super()._model_generate(context, max_length, stop, **generation_kwargs)
        texts = self.tokenizer.batch_decode(out_BT[:, context.shape[1] :], skip_special_tokens=False)
        self._endings.extend("stop" if any(s in text for s in stop) else "length" for text in texts)
        return out_BT

    def describe(self) -> dict[str, str]:
        """Return what the provenance records."""
        told = {
            "engine": "transformers",
            "batch_size": str(self._max_items or "auto"),
            "dtype": str(self._dtype()).removeprefix("torch."),
            "device": self.device.type,
        }
        if self.shares_prefixes is not None:
            told["shared_prefixes"] = "yes" if self.shares_prefixes else "no"
        return told | ({"prompts_truncated": str(self.truncated)} if self.truncated else {})

    def template_hash(self) -> str:
        """Return the hash of the tokenizer's chat template, or ``""``."""
        return template_hash(getattr(self.tokenizer, "chat_template", None))

    # ---------------------------------------------------------------- generation

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Return the text after each prompt, longest prompts first, as many at a time as fit."""
        lengths = [len(self._encode_once(str(r.args[0]), None, None)) for r in requests]
        room = [length + _new_tokens(r) for length, r in zip(lengths, requests, strict=True)]
        texts: dict[int, str] = {}

        def answer(batch: list[int]) -> list[list[str]]:
            self._endings.clear()
            self.batch_size_per_gpu = len(batch)
            chosen = [requests[i] for i in batch]
            found = super(TransformersEngine, self).generate_until(chosen, disable_tqdm=True)
            return [[text, self.finish_reason[str(r.args[0])]] for text, r in zip(found, chosen, strict=True)]

        names = [["generate_until", str(self.draw), *map(str, r.args)] for r in requests]
        for batch, found in self._run(room, names, answer, _TOKENS):
            for i, (text, reason) in zip(batch, found, strict=True):
                texts[i] = text
                self.finish_reason[str(requests[i].args[0])] = reason
                self.on_answer()
        return [texts[i] for i in range(len(requests))]

    # ---------------------------------------------------------------- log-likelihoods

    def _loglikelihood_tokens(
        self, requests: list[Request], disable_tqdm: bool = True, override_bs: int | None = None
    ) -> list[Answer]:
        if override_bs is not None:  # rolling log-likelihoods: not ours
            return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)
        self.truncated += sum(len(c) + len(t) > self.max_length + 1 for _, c, t in requests)
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, (_, context, _) in enumerate(requests):
            groups.setdefault(tuple(context), []).append(i)
        jobs = list(groups.values())
        trees = [build_tree(requests[g[0]][1], [requests[i][2] for i in g]) for g in jobs]
        limit = min(self.max_length, _window(self._config) or self.max_length)
        fits = [max(len(t.context) + len(c) for c in t.targets) <= limit + 1 for t in trees]
        if self.shares_prefixes is None:
            self.shares_prefixes = self._same_when_shared(
                [t for t, ok in zip(trees, fits, strict=True) if ok]
            )
        results: dict[int, Answer] = {}

        def answer(batch: list[int]) -> list[list[list[Any]]]:
            shared = [j for j in batch if fits[j] and self.shares_prefixes]
            found = dict(zip(shared, self._score([trees[j] for j in shared]), strict=True)) if shared else {}
            alone = [i for j in batch if j not in found for i in jobs[j]]
            plain = dict(zip(alone, self._one_by_one([requests[i] for i in alone]), strict=True))
            return [
                [list(a) for a in (found[j] if j in found else [plain[i] for i in jobs[j]])] for j in batch
            ]

        sizes = [t.size if self.shares_prefixes else _alone(t) for t in trees]
        names = [["loglikelihood", *(text for i in g for text in requests[i][0] or ())] for g in jobs]
        for batch, found in self._run(sizes, names, answer, _SCORED_TOKENS):
            for j, answers in zip(batch, found, strict=True):
                for i, (value, greedy) in zip(jobs[j], answers, strict=True):
                    results[i] = (float(value), bool(greedy))
                    self.on_answer()
        return [results[i] for i in range(len(requests))]

    def _one_by_one(self, requests: list[Request]) -> list[Answer]:
        """Return the answers as the harness computes them."""
        if not requests:
            return []
        self.batch_size_per_gpu = self._max_items or len(requests)
        return super()._loglikelihood_tokens(requests, disable_tqdm=True)

    @torch.no_grad()
    def _score(self, trees: Sequence[Tree]) -> list[list[Answer]]:
        """Return (log-likelihood, whether greedy) of every continuation of every tree."""
        packed = pack(trees, pad=self.tokenizer.pad_token_id or 0, dtype=self._dtype(), device=self.device)
        keep = {"logits_to_keep": packed.keep} if _keeps_logits(self.model) else {}
        logits_BNV = self.model(
            input_ids=packed.ids_BT,
            attention_mask=packed.mask_B1TT,
            position_ids=packed.positions_BT,
            use_cache=False,
            **keep,
        ).logits[:, -packed.keep :]
        return [_answers(logits_BNV[b], tree) for b, tree in enumerate(trees)]

    @torch.no_grad()
    def _same_when_shared(self, trees: Sequence[Tree]) -> bool:
        """Tell whether contexts shared and contexts repeated give the same figures, on a few instances."""
        several = sorted(trees, key=lambda t: (len(t.nodes) < 2, t.size))[:_CHECKED]
        try:
            shared = self._score(several) if several else []
        except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError, IndexError):
            return False
        tolerance = _TOLERANCE.get(self._dtype(), 0.05)
        for tree, answers in zip(several, shared, strict=True):
            for target, (value, _) in zip(tree.targets, answers, strict=True):
                ids = torch.tensor([[*tree.context, *target]], device=self.device)
                logits_TV = self.model(input_ids=ids[:, :-1]).logits[0, -len(target) :].float()
                chosen = logits_TV.log_softmax(-1).gather(1, ids[0, -len(target) :, None])
                if not abs(float(chosen.sum()) - value) <= tolerance * len(target):
                    return False
        return True

    def _dtype(self) -> torch.dtype:
        return self.model.dtype

    # ---------------------------------------------------------------- batches

    def _run(
        self,
        sizes: Sequence[int],
        names: Sequence[Sequence[str]],
        answer: Callable[[list[int]], list[Any]],
        tokens: Mapping[str, int],
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """Answer jobs batch by batch, each batch stored whole before the next; halve batches that do not fit.

        A batch that is stored is not computed again: what is in a batch does not depend on what was stored,
        so a run that was interrupted ends with the very numbers of one that was not.
        """
        limit = tokens.get(self.device.type, tokens["cuda"])
        waiting = deque(plan_batches(sizes, max_items=self._max_items, max_tokens=limit))
        while waiting:
            batch = waiting.popleft()
            key = [list(names[i]) for i in batch]
            found = None if self._answers is None else self._answers.get(key)
            if found is None:
                try:
                    found = answer(batch)
                except torch.OutOfMemoryError:
                    if len(batch) == 1:
                        raise
                    _free_memory()
                    waiting.extendleft((batch[len(batch) // 2 :], batch[: len(batch) // 2]))
                    continue
                if self._answers is not None:
                    self._answers.put(key, found)
            yield batch, found


def _answers(logits_NV: torch.Tensor, tree: Tree) -> list[Answer]:
    """Return (log-likelihood, whether greedy) of a tree's continuations from its rows of logits."""
    rows = sorted({r for row in tree.rows for r in row})
    place = {r: k for k, r in enumerate(rows)}
    used_RV = logits_NV[torch.tensor(rows, device=logits_NV.device) + 1].float()
    total_R = used_RV.logsumexp(-1)
    best_R = used_RV.argmax(-1).tolist()
    at = [place[r] for row in tree.rows for r in row]
    tokens = [t for target in tree.targets for t in target]
    index = torch.tensor(at, device=used_RV.device)
    values = used_RV[index, torch.tensor(tokens, device=used_RV.device)] - total_R[index]
    parts = values.split([len(t) for t in tree.targets])
    sums = torch.stack([p.sum() for p in parts]).tolist()
    answers: list[Answer] = []
    for value, row, target in zip(sums, tree.rows, tree.targets, strict=True):
        greedy = all(best_R[place[r]] == t for r, t in zip(row, target, strict=True))
        answers.append((value, greedy))
    return answers


def _new_tokens(request: Instance) -> int:
    settings: Any = request.arguments[1]
    return int(settings.get("max_gen_toks") or settings.get("max_new_tokens") or 256)


def _alone(tree: Tree) -> int:
    """Return how many tokens a tree's continuations take one by one."""
    return sum(len(tree.context) + len(t) - 1 for t in tree.targets)


def _base_model(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _takes_masks(model: Any) -> bool:
    """Tell whether the model's attention is of the kind that takes a mask of its own for every token."""
    return getattr(model.config, "_attn_implementation", None) in ("sdpa", "eager")


@functools.lru_cache(maxsize=8)
def _has_parameter(kind: Any, name: str) -> bool:
    return name in inspect.signature(kind.forward).parameters


def _keeps_logits(model: Any) -> bool:
    return _has_parameter(type(_base_model(model)), "logits_to_keep")


def _window(config: Any) -> int | None:
    """Return the sliding window of the model's attention: a mask of our own would not apply it."""
    config = getattr(config, "text_config", config)
    window = getattr(config, "sliding_window", None)
    return int(window) if window and getattr(config, "use_sliding_window", True) else None


def _free_memory() -> None:
    with contextlib.suppress(RuntimeError):
        torch.cuda.empty_cache()
