"""``muscle-llm compare``: what an update broke, from files of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from muscle_llm.gate import Policy

__all__ = ["command"]

_ENDINGS = {
    *(".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".eval"),
    *(".gz", ".zip", ".zst", ".bz2", ".xz"),
}

_EPILOG = """
\b
Examples:
  muscle-llm compare old.jsonl new.jsonl --html report.html
  muscle-llm compare old.csv new.csv --map id=question_id,answer=pred,reference=answer
  muscle-llm compare both.jsonl both.jsonl --map id=question \\
      --old-map correct=v1.is_correct --new-map correct=v2.is_correct --json -
  muscle-llm compare 'all.csv#model=v1' 'all.csv#model=v2'
  muscle-llm compare old.jsonl new.jsonl remedy.jsonl control.jsonl --old-rerun old_seed2.jsonl
  muscle-llm compare old_run/ new_run/ --html report      every task both folders hold
  muscle-llm compare old.jsonl new.jsonl --policy policy.yaml --junit report.xml --markdown comment.md

\b
Columns (--map role=column,...; dots lead into nested fields):
  id, repeat, prompt, answer, output, reference, choices, choice_scores, correct,
  score.NAME, slice.NAME, cluster, error, finish_reason
  id=@row numbers the rows; repeat=@nth numbers the answers to one id.
Without --map obvious names are taken. Without correct, an answer is right when it equals a reference.

\b
Folders: where OLD and NEW are folders with several tasks, every task found in both is compared, and --html,
--flips, --save, --plots and --llm-comparator name folders, with one item per task. PATH#NAME or --select NAME
takes one task or run; last takes the newest run of each task.

\b
Exit codes: 0 done, 2 unusable input; with --policy, 0 pass, 1 fail, 3 inconclusive.
"""


@click.command("compare", epilog=_EPILOG)
@click.argument("old", type=click.Path())
@click.argument("new", type=click.Path())
@click.argument("candidate", nargs=-1, type=click.Path())
@click.option(
    "--map", "maps", multiple=True, metavar="ROLE=COLUMN,...", help="Which column holds what, in all files."
)
@click.option("--old-map", multiple=True, metavar="ROLE=COLUMN,...", help="Further columns of OLD only.")
@click.option(
    "--new-map", multiple=True, metavar="ROLE=COLUMN,...", help="Further columns of NEW and the candidates."
)
@click.option(
    "--format", "format_", metavar="NAME", help="Log format of all files; else the content decides."
)
@click.option(
    "--filter", "filter_", metavar="NAME", help="lm-evaluation-harness: which answer filter to read."
)
@click.option("--metric", metavar="NAME", help="Which of the log's metrics decides right or wrong.")
@click.option(
    "--select",
    metavar="PART",
    help="Which task, run, or rows (COLUMN=VALUE), where files or folders hold several; also PATH#PART.",
)
@click.option(
    "--extract",
    multiple=True,
    metavar="[ROLE=]REGEX",
    help="Find the answer (or reference) in a text: the last match's first group.",
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Names in the order of the files; repeatable."
)
@click.option("--old-rerun", type=click.Path(), help="Old version run or trained again: the noise floor.")
@click.option(
    "--json", "json_to", metavar="FILE|-", help="Write the comparison as JSON; - is standard output."
)
@click.option(
    "--html",
    "html_to",
    type=click.Path(),
    help="Write one page to browse the flips; of folders: an index and a page per task.",
)
@click.option(
    "--policy",
    "policy_from",
    type=click.Path(),
    help="What must hold for the update to ship (see init policy); decides the exit code.",
)
@click.option("--junit", "junit_to", type=click.Path(), help="Write the policy's clauses as JUnit XML.")
@click.option(
    "--markdown",
    "markdown_to",
    metavar="FILE|-",
    help="Write the verdict and the figures for a pull-request comment; - is standard output.",
)
@click.option(
    "--flips",
    "flips_to",
    metavar="FILE|-",
    help="Write the instances that flipped as JSON lines; - is standard output.",
)
@click.option(
    "--plots", "plots_to", type=click.Path(), help="Write the pictures to this folder, SVG and PNG."
)
@click.option("--save", "save_to", type=click.Path(), help="Keep the whole comparison, for view and report.")
@click.option(
    "--llm-comparator",
    "llm_comparator_to",
    type=click.Path(),
    help="Write the instances as JSON for LLM Comparator.",
)
@click.option(
    "--confidence",
    type=float,
    show_default="0.95, or the policy's",
    help="Level of the intervals.",
)
@click.option(
    "--tolerance", type=float, default=0.0, show_default=True, help="A score may move this far: no flip."
)
@click.option(
    "--similarity",
    multiple=True,
    metavar="NAME",
    help="Score answers against references: rouge1, rouge2, rougeL, bleu, chrf, exact, f1, bertscore.",
)
@click.option(
    "--on-mismatch",
    type=click.Choice(["error", "intersect"]),
    default="error",
    show_default=True,
    help="Refuse versions with different questions, or go on with what they share.",
)
def command(
    old: str,
    new: str,
    candidate: tuple[str, ...],
    maps: tuple[str, ...],
    old_map: tuple[str, ...],
    new_map: tuple[str, ...],
    format_: str | None,
    filter_: str | None,
    metric: str | None,
    select: str | None,
    extract: tuple[str, ...],
    names: tuple[str, ...],
    old_rerun: str | None,
    json_to: str | None,
    html_to: str | None,
    policy_from: str | None,
    junit_to: str | None,
    markdown_to: str | None,
    flips_to: str | None,
    plots_to: str | None,
    save_to: str | None,
    llm_comparator_to: str | None,
    confidence: float | None,
    tolerance: float,
    similarity: tuple[str, ...],
    on_mismatch: str,
) -> None:
    """Tell what an update broke: OLD against NEW, and any further CANDIDATE files against both.

    Files are logs of a known tool (lm-evaluation-harness, Inspect, lighteval, promptfoo, HELM and others;
    docs/logs.md) or any table (JSONL, JSON, CSV, TSV, Parquet; also .gz, .zip) with one row per instance.
    """
    from muscle_llm.cli.quick import without_pandas

    without_pandas()
    from muscle_llm.cli.compare_inputs import Inputs, Settings
    from muscle_llm.cli.compare_outputs import Outputs, write_outputs
    from muscle_llm.cli.compare_tasks import compare_folders
    from muscle_llm.predictions.mapping import parse_map
    from muscle_llm.text import printable

    policy = _policy(policy_from, junit_to, confidence)
    if confidence is None:
        confidence = 0.95 if policy is None else policy.confidence
    keys = _keys(candidate, names, rerun=old_rerun is not None)
    others = dict(zip(keys, candidate, strict=False))
    if old_rerun is not None:
        others[keys[-1]] = old_rerun
    inputs = Inputs(
        {"old": old, "new": new, **others},
        of_old=("old", keys[-1]) if old_rerun is not None else ("old",),
        columns={"old": parse_map([*maps, *old_map]), "new": parse_map([*maps, *new_map])},
        extract=_patterns(extract),
        format=format_,
        filter=filter_,
        metric=metric,
        select=select,
    )
    settings = Settings(
        old_name=printable(names[0]) if names else "old",
        new_name=printable(names[1]) if len(names) > 1 else "new",
        roles={} if old_rerun is None else {keys[-1]: "noise_floor"},
        confidence=confidence,
        tolerance=tolerance,
        similarity=similarity,
        on_mismatch="intersect" if on_mismatch == "intersect" else "error",
    )
    outputs = Outputs(
        json=json_to,
        html=html_to,
        junit=junit_to,
        markdown=markdown_to,
        flips=flips_to,
        plots=plots_to,
        save=save_to,
        llm_comparator=llm_comparator_to,
    )
    outputs.check([*inputs.paths.values(), *([] if policy_from is None else [policy_from])])
    folders = inputs.folders()
    if folders is not None:
        verdict = compare_folders(folders, settings, policy, outputs)
    else:
        result = settings.compare(inputs.read_all())
        verdict = None
        if policy is not None:
            from muscle_llm.gate import judge

            verdict = judge(policy, result)
        write_outputs(result, verdict, outputs)
    if verdict is not None:
        click.get_current_context().exit(verdict.exit_code)


def _policy(path: str | None, junit_to: str | None, confidence: float | None) -> Policy | None:
    """Return the policy, read before any log: a mistake in it shows at once."""
    from muscle_llm.errors import InputError

    if path is None:
        if junit_to is not None:
            raise InputError("--junit writes the clauses of a policy. Give one with --policy FILE.")
        return None
    from muscle_llm.gate import load_policy

    policy = load_policy(Path(path))
    if confidence is not None and confidence != policy.confidence:
        raise InputError(
            f"--confidence {confidence:g} differs from {path}, which says {policy.confidence:g}. Leave the "
            "option out."
        )
    return policy


def _patterns(texts: Sequence[str]) -> Mapping[str, str]:
    """Return role -> regular expression; a pattern without a role is for the answer."""
    patterns = {}
    for text in texts:
        role, equals, pattern = text.partition("=")
        if equals and role in ("answer", "reference"):
            patterns[role] = pattern
        else:
            patterns["answer"] = text
    return patterns


def _keys(candidates: Sequence[str], names: Sequence[str], *, rerun: bool) -> list[str]:
    """Return one distinct key per candidate: the names given, else the file names; the re-run comes last."""
    from muscle_llm.errors import InputError
    from muscle_llm.text import printable

    if len(names) > 2 + len(candidates):
        raise InputError(f"--name: {len(names)} names are given for {2 + len(candidates)} files.")
    given = [printable(name) for name in names[2:]]
    stems = [printable(_stem(c)) for c in candidates]
    keys: list[str] = []
    for index, stem in enumerate(stems):
        key = given[index] if index < len(given) else stem
        if key in (*keys, "old", "new", "old_rerun"):
            if index < len(given):
                raise InputError(f"--name: {key!r} is taken already; give each file its own name.")
            key = f"{key}_{index + 1}"
        keys.append(key)
    return [*keys, "old_rerun"] if rerun else keys


def _stem(path: str) -> str:
    """Return a file's name without the endings of logs; other dots stay, as in ``llama-3.1``."""
    name = Path(path.partition("#")[0]).name
    while Path(name).suffix.lower() in _ENDINGS:
        name = Path(name).stem
    return name or "candidate"
