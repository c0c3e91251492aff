"""Two models as one, answers chosen by another model, a model's own answers: against plain computations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muscle_llm.errors import ConfigError, InputError

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

from muscle_llm.predict.answering import greedy_answers, read_prompts  # noqa: E402
from muscle_llm.predict.ensemble import mixed_log_probs, together  # noqa: E402
from muscle_llm.predict.rerank import likeliest  # noqa: E402
from muscle_llm.predictions import Predictions  # noqa: E402

PROMPTS = ["what is 1+2?", "a", "please what is 30+4?"]


def load(base: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base).eval()


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


def plain_greedy(log_probs: Any, ids: list[int], count: int) -> list[int]:
    """Greedy decoding of one prompt, everything computed anew for every token."""
    written: list[int] = []
    for _ in range(count):
        token = int(log_probs(torch.tensor([ids + written]))[0, -1].argmax())
        if token == 2:
            break
        written.append(token)
    return written


def told(ids: list[int]) -> list[int]:
    """What is left in a text: these models know nothing, and write special tokens into their answers."""
    return [i for i in ids if i > 3]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_mixture_is_the_mean_of_probabilities(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 3, 7, generator=generator), torch.randn(2, 3, 5, generator=generator)
    found = mixed_log_probs(one, two, share).double().exp()
    truth = (1 - share) * one[..., :5].double().softmax(-1) + share * two.double().softmax(-1)
    torch.testing.assert_close(found[..., :5], truth, rtol=1e-5, atol=1e-7)
    assert (found[..., 5:] == 0).all()


def test_two_models_generate_as_their_mixture(tiny_base: Path, tiny_base_2: Path, tokenizer: Any) -> None:
    one, two = load(tiny_base), load(tiny_base_2)

    def mixture(ids: Any) -> Any:
        with torch.no_grad():
            return mixed_log_probs(one(ids).logits, two(ids).logits, 0.4)

    wanted = [told(plain_greedy(mixture, tokenizer(p)["input_ids"], 8)) for p in PROMPTS]
    both = together(load(tiny_base), load(tiny_base_2), share=0.4)
    answers = greedy_answers(both, tokenizer, PROMPTS, max_new_tokens=8)
    assert [tokenizer(a)["input_ids"] for a in answers] == wanted
    ids = torch.tensor([tokenizer(PROMPTS[0])["input_ids"]])
    torch.testing.assert_close(both(ids).logits, mixture(ids))


def test_a_share_out_of_range_is_refused(tiny_base: Path) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        together(load(tiny_base), load(tiny_base), share=1.5)


def test_answers_are_those_of_one_prompt_at_a_time(tiny_base: Path, tokenizer: Any) -> None:
    model = load(tiny_base)

    def alone(ids: Any) -> Any:
        with torch.no_grad():
            return model(ids).logits

    found = greedy_answers(model, tokenizer, PROMPTS, max_new_tokens=6)
    for prompt, answer in zip(PROMPTS, found, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        assert tokenizer(prompt + answer)["input_ids"] == ids + told(plain_greedy(alone, ids, 6))


def test_the_judge_chooses_what_it_finds_likeliest(tiny_base_2: Path, tokenizer: Any) -> None:
    judge = load(tiny_base_2)
    texts = [[" one", " two", " 3"], [" b", " b", " ccc"]]
    scores = []
    for prompt, options in zip(PROMPTS[:2], texts, strict=True):
        own = []
        for option in options:
            start = len(tokenizer(prompt)["input_ids"])
            ids = torch.tensor([tokenizer(prompt + option)["input_ids"]])
            with torch.no_grad():
                logp = judge(ids).logits.double().log_softmax(-1)[0, :-1]
            own.append(float(logp.gather(1, ids[0, 1:, None])[start - 1 :].sum()))
        scores.append(own)
    rows = [(i, k) for k in range(3) for i in range(2)]  # repeat by repeat, as the engine gives them
    drawn = Predictions.from_columns(
        {
            "id": [str(i) for i, _ in rows],
            "repeat": [k for _, k in rows],
            "prompt": [PROMPTS[i] for i, _ in rows],
            "answer": [texts[i][k] for i, k in rows],
            "output": [texts[i][k] for i, k in rows],
        }
    )
    kept = likeliest(drawn, judge, tokenizer).table.to_pylist()
    assert [row["id"] for row in kept] == ["0", "1"]
    assert [row["repeat"] for row in kept] == [0, 0]
    for row, options, own in zip(kept, texts, scores, strict=True):
        assert row["output"] == options[own.index(max(own))]


def test_choices_cannot_be_reranked(tiny_base: Path, tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="generates nothing"):
        likeliest(Predictions.from_columns({"id": ["a"], "correct": [True]}), load(tiny_base), tokenizer)


def test_prompts_are_read_once_each(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        '{"prompt": "a "}\n\n{"prompt": "b"}\n{"prompt": "a"}\n{"prompt": "c"}\n', encoding="utf-8"
    )
    assert read_prompts(file, 2) == ["a", "b"]
    assert read_prompts(file, 9) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "a"}\n{"text": "b"}\n', "line 2"),
        ("[1]\n", "line 1"),
        ("", "holds no prompts"),
        (None, "read"),
    ],
)
def test_broken_prompts_are_named(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "prompts.jsonl"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_prompts(file, 5)
