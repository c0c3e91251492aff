"""Small logs in every format, written from scratch; the tests and the fuzzer read them."""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

N = 6
OPTIONS = ["cold", "mild", "very hot"]
GOLD = [i % 3 for i in range(N)]
TIME = "2026-02-03T04-05-06.700000"


def right(i: int) -> bool:
    """Whether the model of every log answers question ``i`` rightly."""
    return i % 4 != 3


def picked(i: int) -> int:
    """The option the model of every log picks."""
    return GOLD[i] if right(i) else (GOLD[i] + 1) % 3


def question(i: int) -> str:
    return f"How warm is place {i}?"


def _json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def _lines(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


# lm-evaluation-harness


def lm_eval_choice(i: int, **changes: Any) -> dict[str, Any]:
    likelihoods = [-2.0 if k == picked(i) else -6.0 - k for k in range(3)]
    return {
        "doc_id": i,
        "doc": {"question": question(i), "region": "north" if i % 2 else "south"},
        "target": str(GOLD[i]),
        "arguments": {
            f"gen_args_{k}": {"arg_0": f"{question(i)}\nAnswer:", "arg_1": f" {o}"}
            for k, o in enumerate(OPTIONS)
        },
        "resps": [[[str(v), "False"]] for v in likelihoods],
        "filtered_resps": [[str(v), "False"] for v in likelihoods],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "doc_hash": f"d{i}",
        "prompt_hash": f"p{i}",
        "target_hash": f"t{i}",
        "acc": float(right(i)),
        "acc_norm": 0.0,
        **changes,
    }


def lm_eval_text(i: int, filter_: str, **changes: Any) -> dict[str, Any]:
    strict = filter_ == "strict-match"
    ok = right(i) and not (strict and i == 0)
    answer = "[invalid]" if strict and i == 0 else OPTIONS[picked(i)]
    return {
        "doc_id": i,
        "doc": {"question": question(i)},
        "target": OPTIONS[GOLD[i]],
        "arguments": {"gen_args_0": {"arg_0": question(i), "arg_1": {"until": ["\n"]}}},
        "resps": [[f"It is {OPTIONS[picked(i)]}."]],
        "filtered_resps": [answer],
        "filter": filter_,
        "metrics": ["exact_match"],
        "prompt_hash": f"p{i}",
        "target_hash": f"t{i}",
        "exact_match": float(ok),
        **changes,
    }


def lm_eval_results(task: str) -> dict[str, Any]:
    return {
        "results": {task: {"alias": task}},
        "configs": {task: {"task": task, "num_fewshot": 2, "metric_list": [], "target_delimiter": " "}},
        "versions": {task: 1.0},
        "higher_is_better": {task: {"acc": True}},
        "n-samples": {task: {"original": N, "effective": N}},
        "config": {"model": "hf", "random_seed": 0, "fewshot_seed": 1234},
        "lm_eval_version": "0.4.13",
        "model_name": "org/model",
        "chat_template": None,
        "chat_template_sha": None,
    }


def lm_eval(folder: Path, task: str = "warmth", time: str = TIME) -> Path:
    """A folder as the harness leaves it: a model's folder with samples and results."""
    place = folder / "org__model"
    _json(place / f"results_{time}.json", lm_eval_results(task))
    return _lines(place / f"samples_{task}_{time}.jsonl", [lm_eval_choice(i) for i in range(N)])


def lm_eval_filters(folder: Path) -> Path:
    rows = [lm_eval_text(i, f) for f in ("strict-match", "flexible-extract") for i in range(N)]
    return _lines(folder / f"samples_sums_{TIME}.jsonl", rows)


# Inspect


def inspect_sample(i: int, epoch: int = 1, **changes: Any) -> dict[str, Any]:
    letter, gold = "ABC"[picked(i)], "ABC"[GOLD[i]]
    return {
        "id": f"q{i}",
        "epoch": epoch,
        "input": question(i),
        "choices": OPTIONS,
        "target": gold,
        "messages": [],
        "output": {
            "model": "mockllm/model",
            "choices": [
                {
                    "message": {"role": "assistant", "content": f"ANSWER: {letter}", "source": "generate"},
                    "stop_reason": "stop",
                }
            ],
        },
        "scores": {
            "choice": {"value": "C" if right(i) else "I", "answer": letter},
            "style": {"value": 0.25 * (i % 5)},
        },
        "metadata": {"region": "north" if i % 2 else "south"},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
        **changes,
    }


def inspect_header(task: str = "warmth", created: str = "2026-02-03T04:05:06+00:00") -> dict[str, Any]:
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "run_id": "run",
            "created": created,
            "task": task,
            "task_id": "task",
            "task_version": 0,
            "task_attribs": {},
            "task_args": {},
            "dataset": {"name": "places", "samples": N},
            "model": "mockllm/model",
            "model_args": {},
            "config": {"epochs": 1},
            "packages": {"inspect_ai": "0.3.200"},
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {
            "total_samples": N,
            "completed_samples": N,
            "scores": [
                {"name": "choice", "scorer": "choice", "metrics": {}},
                {"name": "style", "scorer": "style", "metrics": {}},
            ],
        },
        "stats": {"started_at": created, "completed_at": created, "model_usage": {}},
    }


def inspect_json(folder: Path, name: str = "log.json", **header: Any) -> Path:
    samples = [inspect_sample(i) for i in range(N)]
    return _json(folder / name, {**inspect_header(**header), "samples": samples})


def inspect_eval(folder: Path) -> Path:
    path = folder / "log.eval"
    path.parent.mkdir(parents=True, exist_ok=True)
    header = inspect_header()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        start = {"version": 2, "eval": header["eval"], "plan": header["plan"]}
        archive.writestr("_journal/start.json", json.dumps(start))
        for i in range(N):
            for epoch in (1, 2):
                archive.writestr(f"samples/q{i}_epoch_{epoch}.json", json.dumps(inspect_sample(i, epoch)))
        archive.writestr("header.json", json.dumps(header))
    return path


# promptfoo


def promptfoo_result(i: int, column: int = 0, test: int | None = None, **changes: Any) -> dict[str, Any]:
    ok = right(i) if column == 0 else True
    said = OPTIONS[picked(i) if column == 0 else GOLD[i]]
    return {
        "promptIdx": column,
        "testIdx": i if test is None else test,
        "testCase": {
            "vars": {"place": i},
            "assert": [{"type": "equals", "value": OPTIONS[GOLD[i]]}],
            "options": {},
        },
        "promptId": "p",
        "provider": {"id": f"vendor:model-{column}", "label": f"Model {column}"},
        "prompt": {"raw": question(i), "label": "How warm is place {{place}}?"},
        "vars": {"place": i},
        "response": {"output": said, "tokenUsage": {}, "finishReason": "stop"},
        "error": None if ok else "Expected output to equal",
        "success": ok,
        "failureReason": 0 if ok else 1,
        "score": 1 if ok else 0,
        "latencyMs": 3,
        "gradingResult": {"pass": ok, "score": float(ok), "reason": ""},
        "namedScores": {"tone": 0.5, "short": 1},
        "cost": 0,
        "metadata": {},
        **changes,
    }


def promptfoo_document(results: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    return {
        "evalId": "eval-abc",
        "results": {
            "version": 3,
            "timestamp": "2026-02-03T04:05:06.700Z",
            "prompts": [],
            "results": results,
            "stats": {"successes": 1, "failures": 1, "errors": 0},
        },
        "config": {"description": "warmth", **config},
        "shareableUrl": None,
        "metadata": {"promptfooVersion": "0.121.0"},
    }


def promptfoo(folder: Path) -> Path:
    return _json(folder / "results.json", promptfoo_document([promptfoo_result(i) for i in range(N)]))


def promptfoo_lines(folder: Path) -> Path:
    return _lines(folder / "results.jsonl", [promptfoo_result(i) for i in range(N)])


# every_eval_ever


def instance_row(i: int, **changes: Any) -> dict[str, Any]:
    said = OPTIONS[picked(i)]
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "source/org_model/1",
        "model_id": "org/model",
        "evaluation_name": "warmth",
        "evaluation_result_id": "warmth.accuracy",
        "sample_id": f"warmth_{i}",
        "sample_hash": f"h{i}",
        "interaction_type": "single_turn",
        "input": {"raw": question(i), "formatted": None, "reference": [OPTIONS[GOLD[i]]], "choices": OPTIONS},
        "output": {"raw": [f"I think {said}"]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": said,
                "extraction_method": "regex",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": float(right(i)), "is_correct": right(i)},
        "error": None,
        "metadata": {"region": "north" if i % 2 else "south"},
        **changes,
    }


def aggregate(samples: Path | None, **metric: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema_version": "0.3.0",
        "evaluation_id": "source/org_model/1",
        "eval_library": {"name": "harness", "version": "1.2"},
        "model_info": {"name": "model", "id": "org/model"},
        "evaluation_results": [
            {
                "evaluation_result_id": "warmth.accuracy",
                "evaluation_name": "warmth",
                "metric_config": {"lower_is_better": False, **metric},
                "score_details": {"score": 0.5},
            }
        ],
    }
    if samples is not None:
        document["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": f"data/somewhere/{samples.name}",
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(samples.read_bytes()).hexdigest(),
            "total_rows": N,
        }
    return document


def every_eval_ever(folder: Path) -> Path:
    samples = _lines(folder / "abc_samples.jsonl", [instance_row(i) for i in range(N)])
    _json(folder / "abc.json", aggregate(samples))
    return samples


# LLM Comparator


def comparator_example(i: int, **changes: Any) -> dict[str, Any]:
    return {
        "input_text": question(i),
        "tags": ["weather"],
        "output_text_a": OPTIONS[picked(i)],
        "output_text_b": OPTIONS[GOLD[i]],
        "score": 0.0 if right(i) else -1.0,
        "individual_rater_scores": [],
        "custom_fields": {"id": f"q{i}", "correct": [right(i), True], "words": [1, 2 + i]},
        **changes,
    }


def llm_comparator(folder: Path) -> Path:
    schema = [
        {"name": "id", "type": "string"},
        {"name": "correct", "type": "per_model_boolean"},
        {"name": "words", "type": "per_model_number"},
    ]
    document = {
        "metadata": {"source_path": "here", "custom_fields_schema": schema},
        "models": [{"name": "old model"}, {"name": "new model"}],
        "examples": [comparator_example(i) for i in range(N)],
    }
    return _json(folder / "comparator.json", document)


# HELM


def helm_state(i: int, trial: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "instance": {
            "input": {"text": question(i)},
            "references": [
                {"output": {"text": o}, "tags": ["correct"] if k == GOLD[i] else []}
                for k, o in enumerate(OPTIONS)
            ],
            "split": "test",
            "id": f"id{i}",
        },
        "train_trial_index": trial,
        "output_mapping": dict(zip("ABC", OPTIONS, strict=True)),
        "request": {"model": "org/model", "prompt": f"{question(i)}\nAnswer:"},
        "result": {
            "success": True,
            "completions": [
                {"text": " Z", "logprob": -9.0, "finish_reason": {"reason": "stop"}},
                {"text": f" {'ABC'[picked(i)]}", "logprob": -0.5, "finish_reason": {"reason": "stop"}},
            ],
        },
        "num_train_instances": 5,
        **changes,
    }


def helm_stats(
    i: int, trial: int = 0, values: Mapping[str, float] | None = None, **changes: Any
) -> dict[str, Any]:
    figures = values or {"exact_match": float(right(i)), "f1_score": 0.1 * i, "num_prompt_tokens": 30.0}
    return {
        "instance_id": f"id{i}",
        "train_trial_index": trial,
        "stats": [
            {"name": {"name": n, "split": "test"}, "count": 1, "sum": v, "mean": v}
            for n, v in figures.items()
        ],
        **changes,
    }


def helm(folder: Path, model: str = "org_model", subject: str = "warmth") -> Path:
    place = folder / f"quiz:subject={subject},model={model}"
    spec = {
        "name": place.name,
        "scenario_spec": {"class_name": "x", "args": {}},
        "adapter_spec": {
            "method": "multiple_choice_joint",
            "model": model.replace("_", "/"),
            "max_train_instances": 5,
            "temperature": 0.0,
        },
    }
    _json(place / "run_spec.json", spec)
    state = {"adapter_spec": spec["adapter_spec"], "request_states": [helm_state(i) for i in range(N)]}
    _json(place / "scenario_state.json", state)
    _json(place / "per_instance_stats.json", [helm_stats(i) for i in range(N)])
    return place


# lighteval


def lighteval_row(i: int) -> dict[str, Any]:
    return {
        "doc": {
            "query": question(i),
            "choices": [f" {o}" for o in OPTIONS],
            "gold_index": [GOLD[i]],
            "id": str(i),
            "task_name": "community|warmth",
            "specific": {"region": "north" if i % 2 else "south"},
        },
        "model_response": {
            "input": question(i),
            "text": [],
            "logprobs": [-2.0 if k == picked(i) else -6.0 - k for k in range(3)],
        },
        "metric": {"acc": int(right(i)), "rouge1": 0.1 * i},
    }


def lighteval_flat_row(i: int) -> dict[str, Any]:
    return {
        "example": question(i),
        "full_prompt": f"{question(i)} A:",
        "num_asked_few_shots": 3,
        "predictions": str([OPTIONS[picked(i)]]),
        "gold": str([OPTIONS[GOLD[i]]]),
        "choices": "[]",
        "gold_index": "[]",
        "metrics": {"qem": float(right(i)), "f1": 0.1 * i},
    }


def _details(folder: Path, task: str, rows: list[dict[str, Any]], time: str = TIME) -> Path:
    path = folder / "details" / "org" / "model" / time / f"details_{task}_{time}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def lighteval(folder: Path, time: str = TIME) -> Path:
    return _details(folder, "community|warmth|0", [lighteval_row(i) for i in range(N)], time)


def lighteval_flat(folder: Path) -> Path:
    return _details(folder, "community|sums|3", [lighteval_flat_row(i) for i in range(N)])


# Plain tables


def table_rows() -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{i}",
            "question": question(i),
            "prediction": OPTIONS[picked(i)],
            "reference": OPTIONS[GOLD[i]],
            "correct": right(i),
            "score_f1": 0.1 * i,
            "slice_region": "north" if i % 2 else "south",
        }
        for i in range(N)
    ]


def table_lines(folder: Path) -> Path:
    return _lines(folder / "rows.jsonl", table_rows())


def table_list(folder: Path) -> Path:
    return _json(folder / "rows.json", table_rows())


def table_csv(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.csv"
    names = list(table_rows()[0])
    rows = [",".join(str(r[n]) for n in names) for r in table_rows()]
    path.write_text("\n".join([",".join(names), *rows]) + "\n", encoding="utf-8")
    return path


def table_parquet(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table_rows()), folder / "rows.parquet")
    return folder / "rows.parquet"


def table_arrow(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(table_rows())
    with pa.ipc.new_stream(folder / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    return folder / "rows.arrow"


def table_columns(folder: Path) -> Path:
    rows = table_rows()
    return _json(folder / "rows.json", {n: {str(i): r[n] for i, r in enumerate(rows)} for n in rows[0]})


def table_gzip(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(json.dumps(r).encode() + b"\n" for r in table_rows())))
    return path


# name -> (writer, the part to select); `*_inspect` need the package inspect-ai.
WRITERS: dict[str, tuple[Callable[[Path], Path], str | None]] = {
    "lm-eval": (lm_eval, None),
    "lm-eval filters": (lm_eval_filters, None),
    "promptfoo": (promptfoo, None),
    "promptfoo lines": (promptfoo_lines, None),
    "every_eval_ever": (every_eval_ever, None),
    "llm-comparator": (llm_comparator, "a"),
    "helm": (helm, None),
    "lighteval": (lighteval, None),
    "lighteval flat": (lighteval_flat, None),
    "table lines": (table_lines, None),
    "table list": (table_list, None),
    "table csv": (table_csv, None),
    "table parquet": (table_parquet, None),
    "table arrow": (table_arrow, None),
    "table columns": (table_columns, None),
    "table gzip": (table_gzip, None),
}
INSPECT_WRITERS: dict[str, tuple[Callable[[Path], Path], str | None]] = {
    "inspect json": (inspect_json, None),
    "inspect eval": (inspect_eval, None),
}
