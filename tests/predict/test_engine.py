"""The default engine: contexts shared where figures stay the same, batches that fit, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from muscle_llm.errors import RunError
from muscle_llm.predict.answers import AnswerLog

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.predict.transformers_engine import TransformersEngine  # noqa: E402


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(tiny_base).eval(), AutoTokenizer.from_pretrained(tiny_base)


def requests(kind: str = "loglikelihood") -> list[Any]:
    from lm_eval.api.instance import Instance

    contexts = ["a", "q: how many?\na:", "", "the same start, and more of it"]
    options = [" one", " two", " a long one", " a", "!", " one"]
    made = []
    for i, context in enumerate(contexts):
        if kind == "generate_until":
            arguments = [(context or "x", {"until": ["\n"], "max_gen_toks": 4 + i % 2, "do_sample": False})]
        else:
            arguments = [(context, option) for option in options[: 2 + i]]
        made += [Instance(kind, {}, a, j, ("t", i, 1)) for j, a in enumerate(arguments)]  # type: ignore[arg-type]
    return made


def plain(base: tuple[Any, Any]) -> list[tuple[float, bool]]:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=base[0], tokenizer=base[1], batch_size=1).loglikelihood(
        requests(), disable_tqdm=True
    )


def close(a: list[tuple[float, bool]], b: list[tuple[float, bool]]) -> None:
    assert [g for _, g in a] == [g for _, g in b]
    assert [v for v, _ in a] == pytest.approx([v for v, _ in b], abs=1e-5)


@pytest.mark.parametrize("size", [1, 2, "auto"])
def test_shared_contexts_give_the_harness_figures(base: tuple[Any, Any], size: Any) -> None:
    engine = TransformersEngine(*base, batch_size=size)
    close(engine.loglikelihood(requests()), plain(base))
    assert engine.shares_prefixes is True


def test_greedy_is_found(base: tuple[Any, Any]) -> None:
    from lm_eval.api.instance import Instance

    model, tokenizer = base
    engine = TransformersEngine(model, tokenizer)
    ids = tokenizer("abc", return_tensors="pt")["input_ids"]
    for _ in range(3):
        ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)], 1)
    best = tokenizer.decode(ids[0])[3:]
    asked = [
        Instance("loglikelihood", {}, ("abc", c), 0, ("t", 0, 1))
        for c in (best, best[:-1] + ("x" if best[-1] != "x" else "y"))
    ]
    assert [greedy for _, greedy in engine.loglikelihood(asked)] == [True, False]


def test_a_model_that_ignores_the_mask_is_asked_one_by_one(
    base: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = base[0]
    whole = type(model).forward

    def deaf(self: Any, input_ids: Any = None, attention_mask: Any = None, **rest: Any) -> Any:
        return whole(self, input_ids=input_ids, **rest)

    monkeypatch.setattr(type(model), "forward", deaf)
    engine = TransformersEngine(*base)
    found = engine.loglikelihood(requests())
    assert engine.shares_prefixes is False
    monkeypatch.undo()
    close(found, plain(base))


def test_a_model_that_fails_on_the_mask_is_asked_one_by_one(
    base: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = base[0]
    whole = type(model).forward

    def strict(self: Any, input_ids: Any = None, attention_mask: Any = None, **rest: Any) -> Any:
        if attention_mask is not None and attention_mask.dim() == 4:
            raise ValueError("two dimensions, please")
        return whole(self, input_ids=input_ids, attention_mask=attention_mask, **rest)

    monkeypatch.setattr(type(model), "forward", strict)
    engine = TransformersEngine(*base)
    close(engine.loglikelihood(requests()), plain(base))
    assert engine.shares_prefixes is False


def test_contexts_longer_than_a_sliding_window_are_not_shared(base: tuple[Any, Any]) -> None:
    engine = TransformersEngine(*base)
    engine._config = type("C", (), {"sliding_window": 3, "use_sliding_window": True})()
    close(engine.loglikelihood(requests()), plain(base))


def test_contexts_longer_than_the_model_are_cut_as_the_harness_cuts_them(base: tuple[Any, Any]) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    asked = [Instance("loglikelihood", {}, ("ab" * 200, o), 0, ("t", 0, 1)) for o in ("c", "dd")]
    engine = TransformersEngine(*base)
    found = engine.loglikelihood([*requests(), *asked])
    assert engine.truncated == 2
    theirs = HFLM(pretrained=base[0], tokenizer=base[1]).loglikelihood(asked, disable_tqdm=True)
    close(found[-2:], theirs)


def test_batches_that_do_not_fit_are_halved(base: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TransformersEngine(*base)
    score, seen = engine._score, []

    def small(trees: Any) -> Any:
        seen.append(len(trees))
        if len(seen) > 1 and len(trees) > 1:  # the first call is the check
            raise torch.OutOfMemoryError("too much")
        return score(trees)

    monkeypatch.setattr(engine, "_score", small)
    close(engine.loglikelihood(requests()), plain(base))
    assert seen[1:] == [4, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("kind", ["loglikelihood", "generate_until"])
def test_an_interrupted_run_ends_like_an_undisturbed_one(
    base: tuple[Any, Any], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(log: AnswerLog | None) -> tuple[Any, dict[str, str], int]:
        counted = []
        engine = TransformersEngine(*base, batch_size=1, answers=log)
        engine.on_answer = lambda: counted.append(1)
        return getattr(engine, kind)(requests(kind)), engine.finish_reason, len(counted)

    whole = run(None)
    path = tmp_path / "answers.jsonl"
    put = AnswerLog.put

    def dies(self: AnswerLog, key: Any, value: Any) -> None:
        put(self, key, value)
        if len(self) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(AnswerLog, "put", dies)
    with AnswerLog(path, {"run": 1}) as log, pytest.raises(KeyboardInterrupt):
        run(log)
    with path.open("a") as stream:
        stream.write('{"key": "cut short')
    asked = []
    monkeypatch.setattr(
        AnswerLog, "put", lambda self, key, value: (asked.append(key), put(self, key, value))[1]
    )
    with AnswerLog(path, {"run": 1}) as log:
        assert run(log) == whole
    assert len(asked) == 4 - 2


def test_answers_of_another_run_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerLog(path, {"adapter": "a"}) as log:
        log.put(["q"], 1)
    with AnswerLog(path, {"adapter": "b"}) as log:
        assert log.get(["q"]) is None
    with AnswerLog(path, {"adapter": "b"}) as log:
        log.put(["q"], 2)
        log.remove()
    assert not path.exists()
    path.write_text(json.dumps({"something": "else"}) + "\n")
    with pytest.raises(RunError, match="not a file of answers"):
        AnswerLog(path, {})
