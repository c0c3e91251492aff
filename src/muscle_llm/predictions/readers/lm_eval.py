"""lm-evaluation-harness (0.4.3 and later): ``samples_<task>_<time>.jsonl`` beside ``results_<time>.json``, or
the folder that holds them.

One row of the log per (document, filter). Which filter: the one named by ``--filter``; else the only one;
else ``none``, else ``strict-match``; else the user must choose. Which metric decides ``correct``: the one
named by ``--metric`` (``exact_match,flexible-extract`` names metric and filter); else the first of
`RIGHT_OR_WRONG` that the rows carry; else the first metric whose values are all 0 or 1 and that is not a
graded similarity. All other numbers become scores, those of the other filters as ``metric,filter``.

A file to which several runs were appended is told apart where a document comes a second time; ``--select``
takes one run by its number, ``first`` or ``last``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from muscle_llm.errors import InputError, clip, did_you_mean
from muscle_llm.predictions.folders import files_in
from muscle_llm.predictions.readers.base import Part, Reader, ReadOptions
from muscle_llm.predictions.readers.documents import first_keys, json_document
from muscle_llm.predictions.readers.fields import Fields
from muscle_llm.predictions.readers.lm_eval_metrics import metric_values
from muscle_llm.predictions.readers.lm_eval_rows import KEYS, build_rows, generation_settings
from muscle_llm.predictions.readers.rows import assemble, choose_metric, extra
from muscle_llm.predictions.readers.table import json_lines
from muscle_llm.predictions.schema import Predictions, Provenance
from muscle_llm.predictions.source import Source, find_source

__all__ = ["READER", "RIGHT_OR_WRONG"]

# Metrics that say right or wrong per document, the most usual first.
RIGHT_OR_WRONG = (
    "acc",
    "exact_match",
    "em",
    "acc_norm",
    "pass@1",
    "pass_at_1",
    "contains",
    "prompt_level_strict_acc",
)
_GRADED = re.compile(
    r"rouge|bleu|chrf|ter$|bert|f1|perplexity|likelihood|brier|mcc|bits|word|byte", re.IGNORECASE
)
_NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d{2}-\d{2}T[\d:.-]+)$")
_AGGREGATE = {"results", "configs", "versions"}

Run = list[Fields]


def _detect(source: Source) -> bool:
    if source.container == "directory":
        return any(_is_samples(p.name) for p in files_in(source.path))
    keys = first_keys(source)
    if set(KEYS) <= keys or keys >= _AGGREGATE:
        return True
    # The document of a first row may be longer than what is looked at; then the name must do.
    return bool(_NAME.search(source.stem)) and source.head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _is_samples(name: str) -> bool:
    return name.startswith("samples_") and name.removesuffix(".gz").endswith(".jsonl")


def _parts(source: Source) -> list[Part]:
    found = []
    for path in files_in(source.path):
        if not _is_samples(path.name) or not path.stat().st_size:
            continue
        inner = find_source(path)
        match = _NAME.search(inner.stem)
        task = match["task"] if match else inner.stem.removeprefix("samples_")
        time = match["time"] if match else ""
        model = path.parent.name if path.parent != source.path else ""
        found.append((time, Part(task, inner, tuple(x for x in (time, model, path.name) if x))))
    return [part for _, part in sorted(found, key=lambda pair: pair[0])]


def _load(source: Source) -> list[Run]:
    """Return the runs in a file: one, unless several were appended to it."""
    if first_keys(source) >= _AGGREGATE:
        raise InputError(
            f"{source.label}: holds the aggregate results of lm-evaluation-harness and no instances; "
            "these are in "
            "samples_*.jsonl files beside it, if the run had --log_samples. Name one of them, or the folder."
        )
    numbers: list[int] = []
    runs: list[Run] = []
    seen: set[tuple[str | None, str | None]] = set()
    for row in json_lines(source, numbers):
        fields = Fields(row, f"{source.label}, line {numbers[-1]}")
        missing = [key for key in KEYS if key not in row]
        if missing:
            raise InputError(f"{fields.place}: not a row of lm-evaluation-harness (no {', '.join(missing)}).")
        if not fields.has("doc_id"):
            raise InputError(f"{fields.place}: the row has no doc_id.")
        key = (fields.text("doc_id"), _filter_of(fields))
        if not runs or key in seen:
            runs.append([])
            seen.clear()
        seen.add(key)
        runs[-1].append(fields)
    if not runs:
        raise InputError(f"{source.label}: holds no rows.")
    return runs


def _filter_of(row: Fields) -> str:
    return row.string("filter") or "none"


def _run(runs: Sequence[Run], select: str | None, label: str) -> Run:
    if select in ("first", "last"):
        return runs[0 if select == "first" else -1]
    if select is not None:
        if select.isascii() and select.isdecimal() and 1 <= int(select[:9]) <= len(runs):
            return runs[int(select[:9]) - 1]
        raise InputError(f"{label}: holds {len(runs)} runs; --select takes 1 to {len(runs)}, first or last.")
    if len(runs) == 1:
        return runs[0]
    again = runs[1][0]
    doc = again.text("doc_id")
    times = sum(r.text("doc_id") == doc and _filter_of(r) == _filter_of(again) for run in runs for r in run)
    sizes = ", ".join(str(len(run)) for run in runs[:8])
    raise InputError(
        f"{again.place}: document {clip(doc or '')} occurs {times} times under the filter "
        f"{clip(_filter_of(again))!r}: "
        "several runs "
        f"were appended to one file, {len(runs)} in all (of {sizes} rows). Choose one with --select "
        "last, --select "
        "1 and so on."
    )


def _filter_and_metric(run: Run, options: ReadOptions, label: str) -> tuple[str, str | None]:
    """Return the filter to read and the metric wanted, which may name its filter."""
    filters = list(dict.fromkeys(_filter_of(r) for r in run))
    wanted, metric = options.filter, options.metric
    if metric is not None and "," in metric:
        name, _, named = metric.rpartition(",")
        if named in filters:
            if wanted not in (None, named):
                raise InputError(f"{label}: --metric {metric} and --filter {wanted} contradict each other.")
            wanted, metric = named, name
    if wanted is not None:
        if options.filter_where_several and len(filters) == 1:
            return filters[0], metric
        if wanted not in filters:
            raise InputError(f"{label}: there is no filter {wanted!r}. {did_you_mean(wanted, filters)}")
        return wanted, metric
    for name in (filters[0] if len(filters) == 1 else None, "none", "strict-match"):
        if name in filters:
            return name, metric
    raise InputError(
        f"{label}: holds several filters ({', '.join(clip(f, 40) for f in filters[:8])}); choose one "
        "with --filter."
    )


def _read(source: Source, options: ReadOptions) -> Predictions:
    run = _run(_load(source), options.select, source.label)
    chosen, wanted = _filter_and_metric(run, options, source.label)
    documents = [r for r in run if _filter_of(r) == chosen]
    metrics = metric_values(documents)
    metric = choose_metric(
        metrics, wanted, RIGHT_OR_WRONG, source.label, lambda n: _GRADED.search(n) is not None
    )
    results = _results(source)
    delimiter = results.config.text("target_delimiter") or " "
    verdicts = _verdicts(metrics[metric], metric, documents) if metric is not None else None
    rows, told = build_rows(documents, verdicts, metric, delimiter)
    scores = {n: v for n, v in metrics.items() if n != metric}
    for name in dict.fromkeys(_filter_of(r) for r in run if _filter_of(r) != chosen):
        by_document = {r.text("doc_id"): r for r in run if _filter_of(r) == name}
        others = metric_values([by_document.get(d.text("doc_id")) for d in documents])
        scores.update({f"{n},{name}": v for n, v in others.items()})
    for name, values in scores.items():
        higher = results.higher(name.partition(",")[0])
        for row, value in zip(rows, values, strict=True):
            row.scores[name if higher else f"negative_{name}"] = value if higher or value is None else -value
    provenance = results.provenance(source, chosen, metric, documents, told)
    return assemble(rows, source.label, provenance, options, keep=("answer",) if told else ())


def _verdicts(values: Sequence[float | None], metric: str, rows: Sequence[Fields]) -> list[bool | None]:
    for row, value in zip(rows, values, strict=True):
        if value not in (0.0, 1.0, None):
            raise InputError(
                f"{row.place}: the metric {metric!r} is {value:g}, neither right (1) nor wrong (0)."
            )
    return [None if v is None else v == 1.0 for v in values]


class _Results:
    """The settings of a run, from the results file beside the samples; empty where there is none."""

    def __init__(self, document: Fields, task: str | None) -> None:
        self.document = document
        self.task = task
        self.config = document.inner("configs").inner(task) if task else Fields({}, document.place)

    def higher(self, metric: str) -> bool:
        """Whether more of a metric is better; yes where the file does not tell."""
        for entry in self.config.items("metric_list"):
            if isinstance(entry, dict) and entry.get("metric") == metric:
                return entry.get("higher_is_better", True) is not False
        told = self.document.inner("higher_is_better")
        return not self.task or told.inner(self.task).raw.get(metric) is not False

    def provenance(
        self, source: Source, chosen: str, metric: str | None, documents: Sequence[Fields], told: bool
    ) -> Provenance:
        """Return where the rows come from."""
        run = self.document.inner("config")
        shots = self.config.raw.get("num_fewshot")
        template = self.document.text("chat_template_sha")
        asked = self.document.inner("n-samples").inner(self.task).whole("effective") if self.task else None
        return Provenance(
            model=self.document.text("model_name") or None,
            task=self.task,
            format="lm-eval",
            metric=metric,
            filter=chosen,
            num_fewshot=shots if isinstance(shots, int) and abs(shots) < 2**31 else None,
            chat_template=template or ("" if "chat_template" in self.document.raw else None),
            harness_version=self.document.text("lm_eval_version"),
            sources={source.path.name: source.sha256},
            extra=extra(
                random_seed=run.raw.get("random_seed"),
                fewshot_seed=run.raw.get("fewshot_seed"),
                task_version=self.document.inner("versions").raw.get(self.task or ""),
                generation=generation_settings(documents[0]),
                samples=f"{len(documents)} of {asked}" if asked and asked != len(documents) else None,
                answers=None if told else "unknown: the log-likelihoods contradict the metric",
            ),
        )


def _results(source: Source) -> _Results:
    match = _NAME.search(source.stem)
    folder = source.path.parent
    if match:
        # Called results, unless --output_path names a file.
        named = sorted(folder.glob(f"*_{match['time']}.json"))
        names = [path for path in named if path.name.startswith("results_")] or named
    else:
        names = sorted(folder.glob("results_*.json"))
    task = match["task"] if match else None
    if len(names) != 1 or not names[0].stat().st_size:
        return _Results(Fields({}, source.label), task)
    return _Results(Fields(json_document(find_source(names[0])), str(names[0])), task)


def _choices(source: Source) -> dict[str, list[str]]:
    runs = _load(source)
    filters: Mapping[str, None] = dict.fromkeys(_filter_of(r) for run in runs for r in run)
    found = {"--filter": list(filters), "--metric": list(metric_values([r for run in runs for r in run]))}
    if len(runs) > 1:
        found["--select"] = [str(n) for n in range(1, len(runs) + 1)]
    return found


_USES = {
    "id": "doc_id",
    "prompt": "arguments, the first request",
    "answer": "filtered_resps (of several options: the most likely)",
    "output": "resps",
    "references": "target",
    "choices": "arguments",
    "choice_scores": "filtered_resps",
    "correct": "the metric",
    "scores": "the other metrics, and those of the other filters",
    "prompt_hash": "prompt_hash",
    "reference_hash": "target_hash",
    "instance_hash": "doc_hash",
}

READER = Reader(
    "lm-eval",
    "lm-evaluation-harness samples_*.jsonl beside results_*.json, or the folder of a run",
    _detect,
    _read,
    _parts,
    _choices,
    _USES,
    takes=("filter", "metric", "select"),
)
