"""Real logs of real tools: each is read, or refused with the true reason.

The numbers of right answers were counted in the raw files, without this project.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from muscle_llm.errors import InputError, MissingExtraError
from muscle_llm.predictions import read_predictions

SHARED = Path(os.environ.get("MUSCLE_LLM_SHARED", Path(__file__).parents[2].parent / "shared"))
LOGS = SHARED / "data" / "logs"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not LOGS.is_dir(), reason="the real data (MUSCLE_LLM_SHARED) are not there"),
]

EVERY, INSPECT = "every_eval_ever/tests/data/", "inspect_ai/tests/"
HELLASWAG = (
    f"{EVERY}helm/commonsense-dataset=hellaswag,method=multiple_choice_joint,model=eleutherai_pythia-1b-v0/"
)
MMLU = f"{EVERY}helm/mmlu-subject=philosophy,method=multiple_choice_joint,model=openai_gpt2/"
NARRATIVE = f"{EVERY}helm/narrative_qa-model=openai_gpt2/"
LM_EVAL = f"{EVERY}lm_eval/"
DEMO = f"{EVERY}skill_reference_conversion/data/demo-source/demo-org/demo-model/"
DEMO += "f3a1c0de-4b2e-4c1a-9f6d-1b7e5a2c8d40"
DAY = "2025-05-12T20-2"
POPULARITY = f"{INSPECT}scorer/logs/2025-02-11T15-1"

# path -> format, number of instances, metric that decides right and wrong, number right.
READ = {
    f"{HELLASWAG}per_instance_stats.json": ("helm", 10, "exact_match", 3),
    f"{HELLASWAG}scenario_state.json": ("helm", 10, "exact_match", 3),
    f"{MMLU}per_instance_stats.json": ("helm", 10, "exact_match", 1),
    f"{MMLU}scenario_state.json": ("helm", 10, "exact_match", 1),
    f"{NARRATIVE}per_instance_stats.json": ("helm", 5, "exact_match", 0),
    f"{NARRATIVE}scenario_state.json": ("helm", 5, "exact_match", 0),
    f"{LM_EVAL}samples_math_perturbed_full_2026-01-21T03-44-18.458309.jsonl": (
        "lm-eval",
        10,
        "exact_match",
        0,
    ),
    f"{DEMO}.json": ("every_eval_ever", 1, "demo-source.demo_bench", 1),
    f"{DEMO}_samples.jsonl": ("every_eval_ever", 1, "demo-source.demo_bench", 1),
    f"{EVERY}inspect/data_arc_qwen.json": ("inspect", 3, "choice", 1),
    f"{EVERY}inspect/data_arc_sonnet.json": ("inspect", 5, "choice", 5),
    f"{EVERY}inspect/data_cvebench_empty_choices.json": ("inspect", 1, None, None),
    f"{EVERY}inspect/data_cyse2_vuln_exploit_challenges.json": ("inspect", 1, None, None),
    f"{EVERY}inspect/data_intercode_ctf_local_path.json": ("inspect", 1, "includes", 0),
    f"{EVERY}inspect/data_pubmedqa_gpt4o_mini.json": ("inspect", 2, "choice", 2),
    f"{INSPECT}analysis/test_logs/{DAY}7-36-04-00_browser.json": ("inspect", 1, "includes", 1),
    f"{INSPECT}analysis/test_logs/{DAY}8-13-04-00_popularity.json": ("inspect", 3, "match", 2),
    f"{INSPECT}analysis/test_logs/{DAY}8-26-04-00_security-guide.json": (
        "inspect",
        3,
        "model_graded_fact",
        3,
    ),
    f"{INSPECT}analysis/test_logs_choices/mmlu-no-summary-choices.eval": ("inspect", 1, "choice", 0),
    f"{INSPECT}analysis/test_logs_choices/mmlu-summary-choices.eval": ("inspect", 1, "choice", 0),
    f"{INSPECT}log/test_eval_log/log_formats.eval": ("inspect", 1, "match", 0),
    f"{INSPECT}log/test_eval_log/log_formats.json": ("inspect", 1, "match", 0),
    f"{INSPECT}log/test_eval_log/log_images.json": ("inspect", 1, "match", 0),
    f"{INSPECT}log/test_eval_log/log_images_tc.json": ("inspect", 1, "match", 0),
    f"{INSPECT}log/test_eval_log/log_message_deduplication.eval": ("inspect", 1, "closeness_log", 0),
    f"{INSPECT}log/test_eval_log/log_read_sample.eval": ("inspect", 1, "match", 1),
    f"{INSPECT}log/test_eval_log/log_read_sample.json": ("inspect", 1, "match", 1),
    f"{INSPECT}log/test_eval_log/log_streaming.eval": ("inspect", 4, "match", 3),
    f"{INSPECT}log/test_eval_log/log_tool_call_error.json": ("inspect", 1, None, None),
    f"{INSPECT}log/test_list_logs/2024-11-05T13-31-45-05-00_input-task_8zXjbRzCWrL9GXiXo2vus9.json": (
        "inspect",
        1,
        "model_graded_fact",
        1,
    ),
    f"{INSPECT}log/test_list_logs/2024-11-05T13-32-37-05-00_input-task_hxs4q9azL3ySGkjJirypKZ.eval": (
        "inspect",
        1,
        "model_graded_fact",
        1,
    ),
    f"{INSPECT}log/test_list_logs/custom.eval": ("inspect", 1, "model_graded_fact", 1),
    f"{INSPECT}log/test_list_logs/ignore.json": ("inspect", 1, "model_graded_fact", 1),
    f"{POPULARITY}7-00-05-00_popularity_dPiJifoWeEQBrfWsAopzWr.eval": ("inspect", 10, None, None),
    f"{POPULARITY}8-04-05-00_popularity_mj7khqpMM4GBCfVQozKgzB.eval": ("inspect", 10, "match", 8),
}

TEXT = "is text without rows or columns, not a log"
NO_INSTANCES = "aggregate results of every_eval_ever and no instances"
OF_A_RUN = "describes a HELM run but holds no instances; name its folder"
ONE_OBJECT = "not a list of instances; versions are compared instance by instance"

# path -> what the refusal says.
REFUSED = {
    "LICENSE.every_eval_ever": TEXT,
    "LICENSE.inspect_ai": TEXT,
    "NOTICE.txt": TEXT,
    f"{EVERY}98ea850e-7019-4728-a558-8b1819ec47c2.json": NO_INSTANCES,
    f"{EVERY}community_evals_converter/aggregate.jsonl": "is an index of every_eval_ever records",
    f"{EVERY}community_evals_converter/datastore/flat/objects/67/6f/"
    "676f4465-ce78-411a-9f5a-c97b3d2eac4f.json": NO_INSTANCES,
    **{
        f"{folder}{name}.json": OF_A_RUN
        for folder in (HELLASWAG, MMLU, NARRATIVE)
        for name in ("run_spec", "scenario", "stats")
    },
    f"{EVERY}inspect/data_with_llm_scoring.json": "holds no samples, although 1000 were scored",
    f"{EVERY}lexam/leaderboard.html": "is a page of HTML or XML, not a log",
    f"{LM_EVAL}results_2026-01-21T03-44-18.458309.json": (
        "aggregate results of lm-evaluation-harness and no instances"
    ),
    f"{EVERY}mercor_eval/api_payload.json": ONE_OBJECT,
    f"{EVERY}skill_reference_conversion/README.md": TEXT,
    f"{EVERY}vals_ai/finance_agent_payload.json": "no column is known to hold the instance id",
    f"{EVERY}vectara_hallucination_leaderboard/source_rows.json": ONE_OBJECT,
    f"{INSPECT}analysis/test_logs/{DAY}8-13-04-00_no-samples.json": (
        "holds no samples, although 3 were scored (status cancelled)"
    ),
}
NEED_PACKAGE = {
    f"{EVERY}inspect/data_with_llm_scoring.json",
    f"{INSPECT}analysis/test_logs/{DAY}8-13-04-00_no-samples.json",
    *(path for path, (format_, *_) in READ.items() if format_ == "inspect"),
}
INSTALLED = importlib.util.find_spec("inspect_ai") is not None


def test_the_tables_name_every_file():
    found = {str(p.relative_to(LOGS)) for p in LOGS.rglob("*") if p.is_file()}
    assert found == {*READ, *REFUSED}


@pytest.mark.parametrize("path", READ)
def test_a_log_is_read(path):
    if path in NEED_PACKAGE and not INSTALLED:
        with pytest.raises(MissingExtraError, match=r"pip install 'muscle-llm\[inspect\]'"):
            read_predictions(LOGS / path)
        pytest.skip("refused for want of the package inspect-ai, as it should be")
    predictions = read_predictions(LOGS / path)
    names, right = predictions.table.column_names, None
    if "correct" in names:
        right = sum(bool(c) for c in predictions.table["correct"].to_pylist())
    provenance = predictions.provenance
    assert (provenance.format, len(predictions), provenance.metric, right) == READ[path]


@pytest.mark.parametrize("path", REFUSED)
def test_a_file_without_instances_is_refused_with_the_true_reason(path):
    if path in NEED_PACKAGE and not INSTALLED:
        pytest.skip("needs the package inspect-ai")
    with pytest.raises(InputError) as refusal:
        read_predictions(LOGS / path)
    message = str(refusal.value)
    assert message.startswith(str(LOGS / path))
    assert REFUSED[path] in message
