"""A task file to start from, for one's own data; what the data's first row tells is filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.text import printable

__all__ = ["KINDS", "first_row", "task_template"]

Kind = Literal["choice", "answer", "reference"]
KINDS: dict[str, str] = {
    "choice": "pick one of several options",
    "answer": "generate an answer that must match exactly",
    "reference": "generate a text, scored with ROUGE-1 against a reference",
}
# What fields are usually called.
_PROMPT = ("prompt", "question", "input", "instruction", "query", "dialogue", "document", "text", "context")
_CHOICES = ("choices", "options", "endings", "candidates")
_ANSWER = ("answer", "gold", "label", "target", "correct", "output", "expected")
_REFERENCE = ("reference", "summary", "response", "completion")


def first_row(path: str | Path) -> dict[str, Any]:
    """Return the first row of a JSONL file.

    Raises:
        InputError: the file is missing, empty, or its first line is no JSON object.
    """
    try:
        with Path(path).open(encoding="utf-8-sig") as stream:
            line = next((text for text in stream if text.strip()), None)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}).") from error
    try:
        row = json.loads(line) if line is not None else None
    except json.JSONDecodeError:
        row = None
    if not isinstance(row, dict):
        raise InputError(
            f'{path}: its first line is no JSON object such as {{"prompt": "...", "answer": "..."}}.'
        )
    return row


def task_template(
    name: str,
    *,
    test: str = "test.jsonl",
    train: str | None = "train.jsonl",
    kind: Kind | None = None,
    chat: bool = False,
    row: Mapping[str, Any] | None = None,
) -> str:
    """Return a commented task file in the short form of `muscle_llm.tasks.own`.

    Args:
        name: the task's name.
        test: file of the instances to predict, relative to the task file.
        train: file of the training text, or None.
        kind: what is asked; by default what ``row`` looks like, else ``choice``.
        chat: ask through the model's chat template.
        row: first row of the data; its fields' names are used where they are recognised.

    Raises:
        ConfigError: the name cannot name a folder.

    Example:
        >>> text = task_template("t", row={"question": "1 + 1?", "answer": "2"})
        >>> [line for line in text.splitlines() if line.startswith(("prompt", "answer"))]
        ['prompt: "{{question}}"', 'answer: "answer"']
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", name):
        raise ConfigError(
            f"task name {printable(name)!r} cannot name a folder: begin with a letter or digit, "
            "then letters, digits, '.', '_', '+' and '-'."
        )
    kind = kind or _kind_of(row)
    data = f"{{train: {_quoted(train)}, test: {_quoted(test)}}}" if train else f"{{test: {_quoted(test)}}}"
    parts = [
        f"# A task of one's own: {KINDS[kind]}.",
        "#",
        "#   muscle-llm tasks --show THIS_FILE                               what a model will see",
        "#   muscle-llm predict --task THIS_FILE --base MODEL --out a.parquet",
        "#   under 'tasks:' in the settings of an update: muscle-llm init update --task THIS_FILE",
        "",
        f"task: {_quoted(name)}",
        f"data: {data}    # JSON lines, relative to this file; train is only needed for adapters",
        *_fields_note(row),
        "",
        "# A field's name, or a template over fields. For a plain model let it end where the answer begins.",
        f"prompt: {_quoted(_prompt(row, chat))}",
        *_kind_lines(kind, row),
        "",
        "chat: true" if chat else "# chat: true         # ask through the model's chat template",
        '# description: ""    # text before every prompt',
        "# leaks: drop        # leave training examples out that are test instances (refused otherwise)",
    ]
    return "\n".join(parts) + "\n"


def _kind_of(row: Mapping[str, Any] | None) -> Kind:
    if row is None or _named(row, _CHOICES):
        return "choice"
    if _named(row, _REFERENCE) and not _named(row, _ANSWER):
        return "reference"
    return "answer"


def _kind_lines(kind: Kind, row: Mapping[str, Any] | None) -> list[str]:
    answer = _named(row, _ANSWER) or "answer"
    if kind == "choice":
        options = _named(row, _CHOICES) or "choices"
        return [
            f"choices: {_quoted(options)}    # field with the list of options",
            f"answer: {_quoted(answer)}      # field with the right option's number (from 0) or text",
        ]
    if kind == "reference":
        return [
            f"reference: {_quoted(_named(row, _REFERENCE) or 'reference')}",
            'stop: ["\\n\\n"]      # what ends a generated text',
            "max_tokens: 128",
        ]
    return [
        f"answer: {_quoted(answer)}",
        'stop: ["\\n"]        # what ends a generated answer',
        "max_tokens: 64",
    ]


def _prompt(row: Mapping[str, Any] | None, chat: bool) -> str:
    field = _named(row, _PROMPT) or "prompt"
    return f"{{{{{field}}}}}" if row is not None or chat else f"Question: {{{{{field}}}}}\nAnswer:"


def _named(row: Mapping[str, Any] | None, names: tuple[str, ...]) -> str | None:
    fields = {str(name).lower(): str(name) for name in row or {}}
    return next((fields[name] for name in names if name in fields), None)


def _fields_note(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return []
    return [f"# fields of the data: {', '.join(printable(str(name), limit=40) for name in row)}"]


def _quoted(text: str) -> str:
    # a JSON string is a YAML string
    return json.dumps(text, ensure_ascii=False)
