"""Cards of compatibility adapters: whatever names and texts hold, YAML stays YAML and text stays text."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from muscle_llm.comparison import compare
from muscle_llm.predictions.schema import Predictions
from muscle_llm.update.card import CARD, CardFacts, hub_name, model_card, write_card

RECORD = {
    "loss": {"mask": "student_wrong", "temperature": 2.0, "ce_weight": 0.0},
    "selection": {"by": "cross_entropy"},
    "training": {"learning_rate": 1e-4},
    "steps": 12,
    "best_epoch": 1,
    "seed": 0,
    "versions": {"torch": "2.13"},
}


def document() -> dict:
    def answers(right: list[bool]) -> Predictions:
        return Predictions.from_columns({"id": [str(i) for i in range(len(right))], "correct": right})

    old = answers([True, True, True, False, True, True])
    new = answers([False, False, True, True, True, True])
    others = {
        name: answers([True, False, True, True, True, True]) for name in ("continued", "muscle", "other")
    }
    roles = {"continued": "control", "muscle": "remedy", "other": "remedy"}
    return compare(old, new, others, roles=roles).to_dict()


def facts(**changes) -> CardFacts:
    values = {
        "name": "muscle",
        "base": "org/new-base",
        "base_label": "new-base",
        "old_label": "old-base",
        "task": "piqa",
        "record": RECORD,
        "adapter_config": {"r": 12, "lora_alpha": 24},
        "comparison": document(),
    }
    return CardFacts(**{**values, **changes})


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_a_card_says_what_it_must():
    card = model_card(facts())
    found = front_matter(card)
    assert found["base_model"] == "org/new-base"
    assert found["library_name"] == "peft"
    assert "muscle-llm" in found["tags"]
    assert "license" not in found
    assert "# license: yours to state" in card
    for said in ("old-base", "| student\\_wrong |", "33.3 [", "| control |", "muscle-llm", "PeftModel"):
        assert said in card
    assert "max_lora_rank=16" in card
    assert "| other |" not in card  # another remedy's figures are on its own card
    assert "muscle (this adapter)" in card


def test_a_local_base_is_not_told(tmp_path):
    folder = tmp_path / "secret" / "my-base"
    folder.mkdir(parents=True)
    card = model_card(facts(base=str(folder), base_label="my-base"))
    assert "secret" not in card
    assert "base_model" not in front_matter(card)
    assert 'base, adapter = "my-base"' in card
    assert hub_name(str(folder)) is None


def test_without_a_comparison_the_card_says_so():
    assert "None yet." in model_card(facts(comparison=None))


def test_vllm_is_left_out_for_dora():
    assert "LoRARequest" not in model_card(facts(adapter_config={"r": 8, "use_dora": True}))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(),
            st.sampled_from(
                [
                    "---\n",
                    "```\n# x",
                    "<script>",
                    "[x](javascript:y)",
                    "a: b",
                    "|",
                    "\x1b[31m",
                    "@you",
                    "\u202e",
                ]
            ),
        ),
        min_size=1,
        max_size=4,
    ).map("".join)
)
def test_untrusted_text_stays_text(text):
    shown = document()
    shown["sentence"] = text
    record = {**RECORD, "loss": {"mask": text}, "versions": {text: text}}
    card = model_card(
        facts(
            name=text, base=text, base_label=text, old_label=text, task=text, record=record, comparison=shown
        )
    )
    plain = model_card(facts())
    assert set(front_matter(card)) <= {*front_matter(plain)}
    body, expected = (re.sub(r"(?s)^---\n.*?\n---\n", "", c) for c in (card, plain))
    assert len(re.findall(r"^#", body, re.M)) == len(re.findall(r"^#", expected, re.M))
    assert [line for line in body.splitlines() if line.startswith("```")] == ["```python", "```"] * 2
    assert "<script" not in body
    assert "\x1b" not in card
    assert "\u202e" not in card


def test_what_the_user_wrote_stays(tmp_path):
    write_card(tmp_path, facts(comparison=None))
    path = tmp_path / CARD
    text = path.read_text()
    text = (
        re.sub(r"# license:.*", "license: apache-2.0\nlanguage: [en]", text) + "\n## Mine\n\nNot for law.\n"
    )
    path.write_text(text)
    write_card(tmp_path, facts())
    after = path.read_text()
    assert front_matter(after)["license"] == "apache-2.0"
    assert front_matter(after)["language"] == ["en"]
    assert "# license" not in after
    assert after.endswith("\n## Mine\n\nNot for law.\n")
    assert "None yet." not in after
    write_card(tmp_path, facts())
    assert path.read_text() == after


def test_a_card_that_was_there_before_is_not_trusted(tmp_path):
    (tmp_path / CARD).write_text("---\n!!python/object:os.system [x]\n---\nhello")
    write_card(tmp_path, facts())
    assert front_matter((tmp_path / CARD).read_text())["base_model"] == "org/new-base"


@pytest.mark.train
def test_an_update_writes_a_card_for_each_remedy(tmp_path, tiny_base, tiny_base_2):
    pytest.importorskip("lm_eval")
    from muscle_llm.cli import main

    for split, start in (("train", 0), ("test", 50)):
        rows = [
            {"prompt": f"is {start + i} even?", "choices": ["yes", "no"], "answer": i % 2} for i in range(8)
        ]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "even.yaml").write_text(
        "task: even\ndata: {train: train.jsonl, test: test.jsonl}\nchoices: choices\nanswer: answer\n"
    )
    config = tmp_path / "update.yaml"
    config.write_text(
        f'old: {{base: "{tiny_base}", name: "v1: [x]"}}\nnew: {{base: "{tiny_base_2}", name: v2}}\n'
        "tasks: [even.yaml]\nlora: {rank: 2, alpha: 4}\n"
        "training: {max_steps: 1, batch_size: 2, gradient_accumulation: 1}\n"
    )
    assert main(["update", str(config), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    home = tmp_path / "run" / "tasks" / "even" / "adapters"
    card = (home / "muscle" / CARD).read_text()
    assert "v1: \\[x\\]" in card
    assert "| continued | control |" in card
    assert str(tiny_base_2) not in card
    assert not (home / "continued" / CARD).exists()

    (home / "muscle" / CARD).write_text(card.replace("# license: yours", "license: mit # yours"))
    assert main(["update", str(config), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert front_matter((home / "muscle" / CARD).read_text())["license"] == "mit"

    arguments = ["train", "compat", "--config", str(config.with_name("compat.yaml")), "--quiet"]
    config.with_name("compat.yaml").write_text(
        f'old_base: "{tiny_base}"\nnew_base: "{tiny_base_2}"\nold_adapter: run/tasks/even/adapters/old\n'
        "new_adapter: run/tasks/even/adapters/new\ntask: even.yaml\nout: compat\n"
        "training: {max_steps: 1, batch_size: 2, gradient_accumulation: 1}\n"
    )
    assert main(arguments) == 0
    assert "None yet." in (tmp_path / "compat" / CARD).read_text()
