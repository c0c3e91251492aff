"""``muscle-llm inspect``: what a file or folder of predictions holds, and what would be used for what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from muscle_llm.predictions.describe import Description
    from muscle_llm.predictions.readers import ReadOptions

__all__ = ["command"]

_EPILOG = """
\b
Examples:
  muscle-llm inspect samples_gsm8k_2026-01-21T03-44-18.jsonl
  muscle-llm inspect results/                      all tasks of a run
  muscle-llm inspect 'results.json#vendor:model'   one column of a promptfoo file
  muscle-llm inspect answers.csv --map id=question_id,answer=pred

\b
Exit codes: 0 readable as it is, 2 not readable, or only with a further choice (which is said).
"""


@click.command("inspect", epilog=_EPILOG)
@click.argument("file", type=click.Path())
@click.option("--map", "maps", multiple=True, metavar="ROLE=COLUMN,...", help="Which column holds what.")
@click.option("--format", "format_", metavar="NAME", help="Log format; else the content decides.")
@click.option("--filter", "filter_", metavar="NAME", help="Which answer filter of lm-eval to read.")
@click.option("--metric", metavar="NAME", help="Which of the log's metrics decides right or wrong.")
@click.option("--select", metavar="PART", help="Which task, run, provider or side of several.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    file: str,
    maps: tuple[str, ...],
    format_: str | None,
    filter_: str | None,
    metric: str | None,
    select: str | None,
    as_json: bool,
) -> int:
    """Tell what FILE (a log, a table, or a folder of them) holds and how it would be read."""
    from muscle_llm.cli.options import emit_json, standard_output
    from muscle_llm.predictions.describe import describe
    from muscle_llm.predictions.mapping import parse_map
    from muscle_llm.predictions.readers import ReadOptions

    options = ReadOptions(parse_map(maps), filter_, metric, {}, select)
    description = describe(file, options, format_)
    if as_json:
        emit_json(description.to_dict(), "-")
    else:
        with standard_output():
            for line in _lines(description, _problem(description, options)):
                click.echo(line)
    return 2 if _problem(description, options) is not None else 0


def _problem(description: Description, options: ReadOptions) -> str | None:
    """Return what stands in the way of reading. Several tasks in a folder do not, since folder is compared
    with folder, unless an option was given that only the reading of one task can check."""
    told = options.columns or options.filter or options.metric
    return description.problem if len(description.tasks) < 2 or told else None


def _lines(description: Description, problem: str | None) -> Iterator[str]:
    """Yield what to print; everything that comes from a log is made safe for the terminal."""
    yield _line("file", description.path)
    yield _line("format", description.format or "folder of predictions files")
    if description.size is not None:
        packed = "" if description.container == "plain" else f", {description.container}"
        yield _line("size", f"{description.size:,} bytes{packed}")
    for task in description.tasks:
        yield _line("task", f"{task['task']}  ({', '.join(task['labels'])})")
    for option, names in description.choices.items():
        yield _line(f"choice {option}", ", ".join(names), 400)
    if description.summary is not None:
        yield from _summary(description.summary)
    if description.summary is not None or len(description.tasks) < 2:
        for role, path in description.columns.items():
            yield _line(f"{role} from", path)
    if problem is not None:
        yield _line("problem", problem, 2000)


def _line(name: str, value: Any, limit: int = 200) -> str:
    from muscle_llm.text import printable

    return f"{printable(name, limit=60):<22} {printable(str(value), limit=limit)}"


def _summary(summary: Mapping[str, Any]) -> Iterator[str]:
    provenance = dict(summary["provenance"])
    more = provenance.pop("extra", {})
    hidden = {"sources", "format"}
    for name, value in (*((n, v) for n, v in provenance.items() if n not in hidden), *more.items()):
        if name != "columns":
            yield _line(name, "none" if value == "" else value)
    rows, ids, repeats = summary["rows"], summary["ids"], summary["repeats"]
    yield _line("rows", f"{rows:,} of {ids:,} instances" + (f", up to {repeats} each" if repeats > 1 else ""))
    if "correct" in summary:
        counts = summary["correct"]
        unknown = f", {counts['unknown']:,} not known" if counts["unknown"] else ""
        yield _line("correct", f"{counts['right']:,} right, {counts['wrong']:,} wrong{unknown}")
    else:
        yield _line("correct", "not known: no metric or column says right or wrong")
    if "distinct_answers" in summary:
        yield _line("answers", f"{summary['known']['answer']:,}, {summary['distinct_answers']:,} different")
    for name in ("errors", "finish_reasons"):
        if name in summary:
            yield _line(name.replace("_", " "), _counted(summary[name]))
    for name, score in summary["scores"].items():
        if score["known"]:
            figures = f"mean {score['mean']:.4g}, {score['min']:.4g} to {score['max']:.4g}"
            yield _line(f"score {name}", f"{figures}, known for {score['known']:,}")
    for name, values in summary["slices"].items():
        yield _line(f"slice {name}", _counted(values))
    for name, value in summary["sample"].items():
        yield _line(f"first {name}", value)


def _counted(values: Mapping[str, Any]) -> str:
    shown = ", ".join(f"{value} ({count:,})" for value, count in values["counts"].items())
    more = ", ..." if values["different"] > len(values["counts"]) else ""
    return f"{values['different']:,} different: {shown}{more}"
