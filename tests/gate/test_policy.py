from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from muscle_llm.errors import ConfigError
from muscle_llm.gate import Margins, Policy, Rules, ScoreMargins, SliceRules, TaskRules, load_policy
from muscle_llm.gate.template import TEMPLATE

GOOD = """\
confidence: 0.9
on_inconclusive: fail
all:
  min_instances: 200
  nfr: 5 %
  churn: 0.2
  scores:
    rouge1: {mean_drop: 0.01, nfr: 30%}
  must_not_break: [007, off, 1e3, "a b"]
tasks:
  gsm8k:
    nfr: 0.02
    churn: off
    scores:
      rouge1: {nfr: 0.1}
    slices:
      level: {nfr: 0.3}
slices:
  level:
    nfr: 0.1
    skip_below: 10
    values:
      5: {nfr: 0.04}
"""


def load(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    return load_policy(path)


def test_values_arrive_as_they_are_written(tmp_path):
    policy = load(tmp_path, GOOD)
    assert (policy.confidence, policy.on_inconclusive) == (0.9, "fail")
    assert policy.all == Rules(
        nfr=0.05,
        churn=0.2,
        scores={"rouge1": ScoreMargins(mean_drop=0.01, nfr=0.3)},
        min_instances=200,
        must_not_break=("007", "off", "1e3", "a b"),
    )


def test_a_task_changes_what_it_names_and_inherits_the_rest(tmp_path):
    policy = load(tmp_path, GOOD)
    general, own = policy.rules_for("piqa"), policy.rules_for("gsm8k")
    assert (general.nfr, general.churn, general.slices["level"].nfr) == (0.05, 0.2, 0.1)
    assert policy.rules_for(None) == general
    assert (own.nfr, own.churn, own.min_instances) == (0.02, "off", 200)
    assert own.scores["rouge1"] == ScoreMargins(mean_drop=0.01, nfr=0.1)
    level = own.slices["level"]
    assert (level.nfr, level.skip_below) == (0.3, 10)
    assert (level.margins_of("5").nfr, level.margins_of("1").nfr) == (0.04, 0.3)


def test_ids_come_from_a_file_beside_the_policy(tmp_path):
    (tmp_path / "ids.txt").write_bytes("\ufeffa\r\n\n007\nb\u2028c\na\n".encode())
    policy = load(tmp_path, "all:\n  must_not_break: {file: ids.txt}\n")
    assert policy.all.must_not_break == ("a", "007", "b\u2028c")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("  nfr: 5 %", "  nfrs: 5 %", 5, "Did you mean 'nfr'"),
        ("  nfr: 5 %", "  nfr: 5", 5, "'all.nfr': this margin is a share"),
        ("  nfr: 5 %", "  nfr: -0.1", 5, "at least 0"),
        ("  nfr: 5 %", "  nfr: nan", 5, "a margin is a number"),
        ("  nfr: 5 %", "  nfr: yes", 5, "not 'yes'"),
        ("  nfr: 5 %", "  nfr:", 5, "the value is empty"),
        ("  nfr: 5 %", "  nfr: [1]", 5, "'all.nfr'"),
        ("  nfr: 5 %", "  nfr: 5 %\n  nfr: 6 %", 6, "twice"),
        ("min_instances: 200", "min_instances: 1.5", 4, "number of instances"),
        ("min_instances: 200", "min_instance: 200", 4, "Did you mean 'min_instances'"),
        ("confidence: 0.9", "confidence: 1", 1, "between 0 and 1"),
        ("on_inconclusive: fail", "on_inconclusive: maybe", 2, "'fail', 'pass' or 'inconclusive'"),
        ("{mean_drop: 0.01, nfr: 30%}", "{mean_dorp: 0.01}", 8, "Did you mean 'mean_drop'"),
        ("    rouge1: {mean_drop: 0.01, nfr: 30%}", "    rouge1: 0.1", 8, "'key: value' lines"),
        ('[007, off, 1e3, "a b"]', "ids.txt", 9, "needs a list of ids, or 'file: PATH'"),
        ('[007, off, 1e3, "a b"]', "{file: none.txt}", 9, "none.txt (No such file"),
        ('[007, off, 1e3, "a b"]', "{files: none.txt}", 9, "needs a list of ids"),
        ('[007, off, 1e3, "a b"]', '[a, ""]', 9, "an id is empty"),
        ("    nfr: 0.02", "    nfrr: 0.02", 12, "in 'tasks.gsm8k'. Did you mean 'nfr'"),
        ("      5: {nfr: 0.04}", "      5: {nfr: 4}", 23, "'slices.level.values.5.nfr'"),
        ("    skip_below: 10", "    skip_under: 10", 21, "Did you mean 'skip_below'"),
        ("slices:\n  level:\n    nfr: 0.1", "slice:\n  level:\n    nfr: 0.1", 18, "Did you mean 'slices'"),
        ("all:", "alle:", 3, "Did you mean 'all'"),
    ],
)
def test_an_error_names_file_line_key_and_the_nearest_name(tmp_path, old, new, line, message):
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(caught.value)
    assert f"policy.yaml, line {line}:" in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a\n", "confidence: 0.9\n", "all: {}\n", "all:\n  nfr: [\n", "\x00"])
def test_what_asks_for_nothing_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"policy\.yaml"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Margins(nfr=1.5),
        lambda: Margins(accuracy_drop=-0.1),
        lambda: Rules(reliable_flips=float("nan")),
        lambda: Rules(min_instances=-1),
        lambda: ScoreMargins(mean_drop=float("inf")),
        lambda: SliceRules(skip_below=-1),
        lambda: Policy(confidence=1.0),
        lambda: Policy(on_inconclusive="maybe"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_python_callers_are_checked_too(make):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Policy(all={"nfr": 0.05}), "all needs Rules(...), such as Rules(nfr=0.05), not a dict"),  # pyright: ignore
        (lambda: Policy(tasks={"a": Rules(nfr=0.05)}), "tasks['a'] needs TaskRules(...)"),  # pyright: ignore
        (lambda: Policy(slices={"b": Margins(nfr=0.05)}), "slices['b'] needs SliceRules(...)"),  # pyright: ignore
    ],
)
def test_a_block_of_another_type_is_refused_where_it_is_made(make, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        make()


def test_a_confidence_out_of_range_is_not_called_a_margin(tmp_path):
    with pytest.raises(ConfigError, match=r"the confidence must lie between 0 and 1, such as 0\.95, not 95"):
        load(tmp_path, "confidence: 95\nall: {nfr: 5 %}\n")


def test_the_template_is_a_policy_and_its_comments_are_too(tmp_path):
    policy = load(tmp_path, TEMPLATE)
    assert (policy.all.nfr, policy.all.accuracy_drop, policy.all.min_instances) == (0.05, 0.01, 200)
    (tmp_path / "golden_ids.txt").write_text("a\n")
    head, rest = TEMPLATE.split("confidence:", 1)
    everything = "confidence:" + re.sub(r"^( *)# ( *\w+:)", r"\1\2", rest, flags=re.MULTILINE)
    full = load(tmp_path, everything)
    assert full.all.must_not_break == ("a",)
    assert full.all.scores["rouge1"] == ScoreMargins(mean_drop=0.01, nfr=0.3, regress=0.05)
    assert full.tasks == {"gsm8k": TaskRules(nfr=0.02, nfr_mc="off")}
    assert full.slices["subject"].values["law"] == Margins(nfr=0.04)
    for name in ("excess_nfr", "nfr_mc", "churn", "reliable_flips"):
        assert getattr(full.all, name) is not None
    assert head.startswith("# What must hold")


def test_the_examples_of_the_docs_can_be_read(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "gate.md").read_text(encoding="utf-8")
    policy, *jobs = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "golden_ids.txt").write_text("a\n")
    assert load(tmp_path, policy).rules_for("gsm8k").nfr == 0.02
    for job in jobs:
        assert yaml.safe_load(job)
