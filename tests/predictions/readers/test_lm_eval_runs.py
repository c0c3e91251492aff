"""lm-evaluation-harness: appended runs, filters as metrics, and which option was chosen."""

from __future__ import annotations

import pytest

from muscle_llm.errors import InputError
from muscle_llm.predictions import read_predictions


def _write(logs, folder, rows, task="warmth"):
    return logs._lines(folder / f"samples_{task}_{logs.TIME}.jsonl", rows)


def test_appended_runs_are_told_apart_and_one_is_chosen(logs, tmp_path):
    first = [logs.lm_eval_choice(i) for i in range(2)]
    second = [logs.lm_eval_choice(i, acc=0.0, target=str((logs.picked(i) + 1) % 3)) for i in range(logs.N)]
    path = _write(logs, tmp_path, first + second)
    with pytest.raises(InputError, match=r"several runs .* 2 in all \(of 2, 6 rows\). Choose one with"):
        read_predictions(path)
    assert read_predictions(path, select="first").table["correct"].to_pylist() == [True, True]
    for select in ("last", "2"):
        assert read_predictions(path, select=select).table["correct"].to_pylist() == [False] * logs.N
    with pytest.raises(InputError, match="--select takes 1 to 2"):
        read_predictions(path, select="3")


def test_ranks_out_of_order_are_one_run(logs, tmp_path):
    rows = [logs.lm_eval_choice(i) for i in (0, 2, 4, 1, 3, 5)]
    assert len(read_predictions(_write(logs, tmp_path, rows))) == logs.N


def test_every_filter_can_decide_and_the_others_stay_as_scores(logs, tmp_path):
    path = logs.lm_eval_filters(tmp_path)
    strict = read_predictions(path)
    assert (strict.provenance.filter, strict.provenance.metric) == ("strict-match", "exact_match")
    assert strict.score_names == ("exact_match,flexible-extract",)
    found = [s["exact_match,flexible-extract"] for s in strict.table["scores"].to_pylist()]
    assert found[0] == 1.0  # The strict filter found no answer where the other one did.
    assert strict.table["answer"].to_pylist()[0] is None
    flexible = read_predictions(path, metric="exact_match,flexible-extract")
    assert flexible.provenance.filter == "flexible-extract"
    assert flexible.table.equals(read_predictions(path, filter="flexible-extract").table)
    with pytest.raises(InputError, match="contradict each other"):
        read_predictions(path, metric="exact_match,flexible-extract", filter="strict-match")


def test_settings_come_from_the_results_file(logs, tmp_path):
    p = read_predictions(logs.lm_eval(tmp_path))
    provenance = p.provenance
    assert (provenance.model, provenance.num_fewshot, provenance.chat_template) == ("org/model", 2, "")
    assert provenance.harness_version == "0.4.13"
    assert "samples" not in provenance.extra
    with pytest.raises(InputError, match="holds the aggregate results of lm-evaluation-harness"):
        read_predictions(tmp_path / "org__model" / f"results_{logs.TIME}.json")


def test_a_target_that_is_a_number_among_numbers_is_read_as_the_metric_says(logs, tmp_path):
    rows = []
    for i in range(3):  # The options are "1", "2", "3"; the target "2" is the second one, not the third.
        row = logs.lm_eval_choice(i, target="2", acc=1.0)
        for k, argument in enumerate(row["arguments"].values()):
            argument["arg_1"] = f" {k + 1}"
        row["filtered_resps"] = [["-3", "False"], ["-1", "True"], ["-2", "False"]]
        rows.append(row)
    table = read_predictions(_write(logs, tmp_path, rows)).table
    assert table["answer"].to_pylist() == ["2"] * 3
    assert table["references"].to_pylist() == [["2"]] * 3


def test_likelihoods_that_contradict_the_metric_give_no_answer(logs, tmp_path):
    rows = [logs.lm_eval_choice(i, acc=1.0 - logs.right(i)) for i in range(3)]
    p = read_predictions(_write(logs, tmp_path, rows))
    assert "answer" not in p.table.column_names
    assert p.provenance.extra["answers"] == "unknown: the log-likelihoods contradict the metric"


def test_several_right_options_and_a_single_likelihood(logs, tmp_path):
    both = logs.lm_eval_choice(0, target="[0, 2]")
    table = read_predictions(_write(logs, tmp_path, [both])).table
    assert table["references"].to_pylist() == [["cold", "very hot"]]
    single = logs.lm_eval_choice(0, arguments={"gen_args_0": {"arg_0": "The sky is", "arg_1": " blue"}})
    single["filtered_resps"] = [["-1.5", "True"]]
    table = read_predictions(_write(logs, tmp_path, [single])).table
    assert table["choice_scores"].to_pylist() == [[-1.5]]
    assert table["references"].to_pylist() == [[" blue"]]
    assert table["answer"].to_pylist() == [None]
    rolling = logs.lm_eval_choice(0, arguments={"gen_args_0": {"arg_0": "whole text"}}, metrics=[])
    rolling["filtered_resps"] = ["-120.5"]
    assert read_predictions(_write(logs, tmp_path, [rolling])).table["answer"].to_pylist() == [None]


def test_likelihoods_that_are_no_numbers_are_errors(logs, tmp_path):
    rows = [logs.lm_eval_choice(i) for i in range(2)]
    rows[1]["filtered_resps"] = [["nan", "False"]] * 3
    table = read_predictions(_write(logs, tmp_path, rows)).table
    assert table["error"].to_pylist() == [None, "a log-likelihood is not a number"]
    assert table["correct"].to_pylist() == [True, None]


def _scored(i, name, value, **changes):
    """A row whose only metric is ``name``, as the harness writes it for the likelihood of one text."""
    return {
        "doc_id": i,
        "doc": {"text": f"text {i}"},
        "target": f"text {i}",
        "arguments": {"gen_args_0": {"arg_0": f"text {i}"}},
        "resps": [["-8.0"]],
        "filtered_resps": ["-8.0"],
        "filter": "none",
        "metrics": [name],
        name: value,
        **changes,
    }


def test_a_perplexity_is_a_log_likelihood_per_document_and_more_of_it_is_better(logs, tmp_path):
    rows = [_scored(i, "perplexity", -1.0 - i) for i in range(2)]
    logs._json(
        tmp_path / f"results_{logs.TIME}.json",
        {
            **logs.lm_eval_results("warmth"),
            "configs": {"warmth": {"metric_list": [{"metric": "perplexity", "higher_is_better": False}]}},
            "higher_is_better": {"warmth": {"perplexity": False}},
        },
    )
    p = read_predictions(_write(logs, tmp_path, rows))
    assert p.table["scores"].to_pylist() == [{"log_likelihood": -1.0}, {"log_likelihood": -2.0}]


def test_a_rolling_perplexity_becomes_a_log_likelihood_per_unit(logs, tmp_path):
    rows = [
        _scored(
            i,
            "word_perplexity",
            [-8.0, 4],
            metrics=["word_perplexity", "byte_perplexity", "bits_per_byte"],
            byte_perplexity=[-8.0, 16],
            bits_per_byte=[-8.0, 16],
        )
        for i in range(2)
    ]
    p = read_predictions(_write(logs, tmp_path, rows))
    assert p.table["scores"].to_pylist()[0] == {
        "log_likelihood_per_word": -2.0,
        "log_likelihood_per_byte": -0.5,
    }


@pytest.mark.parametrize("name", ["mcc", "f1"])
def test_the_pair_of_right_and_chosen_option_says_what_is_right(logs, tmp_path, name):
    rows = [
        logs.lm_eval_choice(i, metrics=[name], **{name: [logs.GOLD[i], logs.picked(i)]}) for i in range(4)
    ]
    p = read_predictions(_write(logs, tmp_path, rows))
    assert p.provenance.metric == "acc"
    assert p.table["correct"].to_pylist() == [logs.right(i) for i in range(4)]
    assert p.table["answer"].to_pylist() == [logs.OPTIONS[logs.picked(i)] for i in range(4)]


def test_mutual_information_weighs_an_option_against_itself_without_context(logs, tmp_path):
    rows = []
    for i in range(3):
        row = logs.lm_eval_choice(i, metrics=["acc", "acc_mutual_info"])
        asked = row["arguments"]
        for k in range(3):
            asked[f"gen_args_{k + 3}"] = {"arg_0": "", "arg_1": asked[f"gen_args_{k}"]["arg_1"]}
        gold = logs.GOLD[i]  # Without its context the right option is by far the least likely.
        alone = [-100.0 if k == gold else -1.0 for k in range(3)]
        row["filtered_resps"] = [*row["filtered_resps"], *([str(v), "False"] for v in alone)]
        rows.append({**row, "acc_mutual_info": 1.0})
    path = _write(logs, tmp_path, rows)
    p = read_predictions(path, metric="acc_mutual_info")
    assert p.table["answer"].to_pylist() == [logs.OPTIONS[logs.GOLD[i]] for i in range(3)]
    assert p.table["choice_scores"].to_pylist()[0] == [98.0, -6.0, -7.0]
    assert read_predictions(path).table["choice_scores"].to_pylist()[0] == [-2.0, -7.0, -8.0]


def test_results_are_found_where_the_output_path_named_a_file(logs, tmp_path):
    path = _write(logs, tmp_path, [logs.lm_eval_choice(i) for i in range(2)])
    logs._json(tmp_path / f"mine_{logs.TIME}.json", logs.lm_eval_results("warmth"))
    p = read_predictions(path)
    assert (p.provenance.model, p.provenance.num_fewshot) == ("org/model", 2)
    assert p.provenance.extra["task_version"] == "1"


def test_how_an_answer_was_generated_is_kept(logs, tmp_path):
    p = read_predictions(logs.lm_eval_filters(tmp_path))
    assert p.provenance.extra["generation"] == '{"until": ["\\n"]}'


def test_a_filter_that_is_no_text_is_an_error_and_no_other_filter(logs, tmp_path):
    rows = [logs.lm_eval_choice(i) for i in range(3)]
    rows[1]["filter"] = {"name": "none"}
    with pytest.raises(InputError, match=r"line 2.*'filter' is an object"):
        read_predictions(_write(logs, tmp_path, rows))
