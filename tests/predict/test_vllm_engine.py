"""The vLLM engine against a stand-in of vLLM's interface on a transformers model: vLLM itself is not run."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.errors import AdapterError, ConfigError, MissingExtraError  # noqa: E402
from muscle_llm.predict import Sampling, predict, predict_with  # noqa: E402
from muscle_llm.predict.answers import AnswerLog  # noqa: E402
from muscle_llm.tasks import load_task  # noqa: E402


class SamplingParams:
    def __init__(
        self,
        temperature: float = 1.0,
        max_tokens: int = 16,
        stop: Any = None,
        prompt_logprobs: int | None = None,
        detokenize: bool = True,
        seed: int | None = None,
        skip_special_tokens: bool = True,
        spaces_between_special_tokens: bool = True,
    ) -> None:
        self.__dict__.update(locals())


class LLM:
    """One model, one token at a time; counts what it is asked."""

    made: list[dict[str, Any]]
    asked: list[tuple[Any, SamplingParams, Any]]

    def __init__(self, model: str, **settings: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        LLM.made.append(settings)
        self.model = AutoModelForCausalLM.from_pretrained(model)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model)
        config = types.SimpleNamespace(max_model_len=256)
        self.llm_engine = types.SimpleNamespace(model_config=config)

    def generate(self, prompts: Any, sampling_params: Any, use_tqdm: bool, lora_request: Any) -> list[Any]:
        found = []
        for prompt, wanted in zip(prompts, sampling_params, strict=True):
            LLM.asked.append((prompt, wanted, lora_request))
            found.append(self.one(prompt["prompt_token_ids"], wanted))
        return found

    @torch.no_grad()
    def one(self, ids: list[int], wanted: SamplingParams) -> Any:
        if wanted.__dict__["prompt_logprobs"]:
            logp = self.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            rows: list[Any] = [None]
            for t, token in enumerate(ids[1:]):
                best = int(logp[t].argmax())
                rows.append({i: types.SimpleNamespace(logprob=float(logp[t, i])) for i in {token, best}})
            return types.SimpleNamespace(prompt_logprobs=rows)
        text, reason, made = "", "length", []
        for _ in range(wanted.__dict__["max_tokens"]):
            made.append(int(self.model(torch.tensor([[*ids, *made]])).logits[0, -1].argmax()))
            if made[-1] == self.tokenizer.eos_token_id:
                reason = "stop"
                break
            text = self.tokenizer.decode(made, skip_special_tokens=wanted.__dict__["skip_special_tokens"])
            hit = [s for s in wanted.__dict__["stop"] if s in text]
            if hit:
                text, reason = text.split(hit[0])[0], "stop"
                break
        return types.SimpleNamespace(outputs=[types.SimpleNamespace(text=text, finish_reason=reason)])


@pytest.fixture
def engine_class(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from lm_eval.api.registry import model_registry
    from transformers import AutoTokenizer

    LLM.made, LLM.asked = [], []

    def module(name: str, **content: Any) -> None:
        made = types.ModuleType(name)
        made.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        made.__dict__.update({"__path__": [], **content})
        monkeypatch.setitem(sys.modules, name, made)

    module("vllm", LLM=LLM, SamplingParams=SamplingParams, TokensPrompt=dict)
    module("vllm.lora")
    module("vllm.lora.request", LoRARequest=lambda *parts: parts)
    module("vllm.renderers")
    module("vllm.renderers.hf", resolve_chat_template=lambda tokenizer, **_: tokenizer.chat_template)
    module(
        "vllm.tokenizers",
        get_tokenizer=lambda name, tokenizer_mode, **settings: AutoTokenizer.from_pretrained(
            name, **settings
        ),
    )
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda n: "0.20.0" if n == "vllm" else version(n))
    sys.modules.pop("lm_eval.models.vllm_causallms", None)
    before = dict(model_registry._objs)
    model_registry._objs.pop("vllm", None)
    yield importlib.import_module("muscle_llm.predict.vllm_engine").VllmEngine
    model_registry._objs.clear()
    model_registry._objs.update(before)
    for name in ("muscle_llm.predict.vllm_engine", "lm_eval.models.vllm_causallms"):
        sys.modules.pop(name, None)


def make(folder: Path, kind: str) -> Any:
    rows = [{"prompt": f"is {i} even?", "o": ["yes", "no, it is"], "g": i % 2, "a": "x"} for i in range(7)]
    (folder / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    answer = "choices: o\nanswer: g\n" if kind == "choice" else "answer: a\nmax_tokens: 6\nstop: [e]\n"
    (folder / "t.yaml").write_text(f"task: t\ndata: test.jsonl\n{answer}")
    return load_task(folder / "t.yaml")


@pytest.mark.parametrize("kind", ["choice", "answer"])
def test_it_answers_like_the_transformers_engine(kind, engine_class, tiny_base, tmp_path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    task = make(tmp_path, kind)
    base = AutoModelForCausalLM.from_pretrained(tiny_base), AutoTokenizer.from_pretrained(tiny_base)
    wanted = predict(*base, task, model_name="m", batch_size=1, progress=False)
    with AnswerLog(tmp_path / "log", {}) as log:
        found = predict_with(engine_class(str(tiny_base), answers=log), task, model_name="m", progress=False)
    for name in set(wanted.table.column_names) - {"choice_scores"}:
        assert found.table[name].to_pylist() == wanted.table[name].to_pylist(), name
    if kind == "choice":
        for a, b in zip(found.table["choice_scores"], wanted.table["choice_scores"], strict=True):
            assert a.as_py() == pytest.approx(b.as_py(), abs=1e-4)
    assert found.provenance.extra["engine"] == "vllm"
    asked = len(LLM.asked)
    with AnswerLog(tmp_path / "log", {}) as log:  # a restart asks nothing again
        again = predict_with(engine_class(str(tiny_base), answers=log), task, model_name="m", progress=False)
    assert len(LLM.asked) == asked
    assert again.table.equals(found.table)


def test_adapters_go_through_lora(engine_class, tiny_base, tmp_path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 12}')
    engine = engine_class(str(tiny_base), adapter=tmp_path)
    assert (LLM.made[0]["enable_lora"], LLM.made[0]["max_lora_rank"]) == (True, 16)
    predict_with(engine, make(tmp_path, "answer"), model_name="m", progress=False)
    assert {asked[2][2] for asked in LLM.asked} == {str(tmp_path)}
    for config, message in (('{"r": 8, "use_dora": true}', "DoRA"), ('{"r": 999}', "rank, 999")):
        (tmp_path / "adapter_config.json").write_text(config)
        with pytest.raises(AdapterError, match=message):
            engine_class(str(tiny_base), adapter=tmp_path)


def test_draws_have_seeds_and_unknown_settings_are_named(engine_class, tiny_base, tmp_path) -> None:
    task = make(tmp_path, "answer")
    engine = engine_class(str(tiny_base))
    sampling = Sampling(2, 0.7)
    predict_with(engine, task, model_name="m", progress=False, sampling=sampling, limit=2)
    assert [asked[1].__dict__["seed"] for asked in LLM.asked] == [0, 0, 1, 1]
    kwargs = {**task.harness.get_config("generation_kwargs"), "no_repeat_ngram_size": 2}
    task.harness.set_config("generation_kwargs", kwargs)
    with pytest.raises(ConfigError, match="no_repeat_ngram_size"):
        predict_with(engine, task, model_name="m", progress=False)


def test_without_vllm_the_extra_is_named(tiny_base, tmp_path, capsys) -> None:
    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vLLM is installed")
    from muscle_llm.cli import main

    make(tmp_path, "answer")
    arguments = ["--task", str(tmp_path / "t.yaml"), "--out", str(tmp_path / "a.parquet"), "--engine", "vllm"]
    assert main(["predict", "--base", str(tiny_base), *arguments]) == 2
    assert "muscle-llm[vllm]" in capsys.readouterr().err
    with pytest.raises(MissingExtraError):
        importlib.import_module("muscle_llm.predict.vllm_engine")
