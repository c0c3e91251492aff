"""Training text of a task, and the check that no test instance is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from muscle_llm.errors import ConfigError, InputError
from muscle_llm.files import sha256_text
from muscle_llm.tasks.example import Example
from muscle_llm.tasks.harness import Task
from muscle_llm.text import printable

__all__ = [
    "content_hash",
    "evaluation_hashes",
    "find_leaks",
    "plain_prompt",
    "refuse_leaks",
    "training_examples",
]


def training_examples(task: Task, tokenizer: Any = None) -> list[Example]:
    """Return the text of the task's training split, exactly as the task would ask it without examples.

    The prompt is the harness's zero-shot context (description, ``doc_to_text``, ``gen_prefix``), the
    completion is ``target_delimiter`` and the target: the gold choice's text, or the first
    reference. Spaces at the prompt's end move to the completion's start, where the harness's tokenization
    puts them.

    Where the task's YAML says ``metadata: {leaks: drop}``, examples that give a test instance away are left
    out: data that is published with a few duplicates stays usable. Without it they stay in, for
    `refuse_leaks` to find.

    Args:
        task: a task with a ``training_split``.
        tokenizer: of the base to be trained; needed where the task asks through a chat template.

    Raises:
        ConfigError: the task has no training split, or needs a tokenizer with a chat template.
    """
    from muscle_llm.tasks.quiet import quiet_harness

    harness = task.harness
    if not harness.has_training_docs():
        raise ConfigError(
            f"task '{task.name}' has no training split, so no adapter can learn it. "
            f"Name one with 'training_split' in the task's YAML."
        )
    split = harness.get_config("training_split") or "train"
    with quiet_harness():
        docs = harness.training_docs()
        examples = [_example(task, doc, f"{split}:{i}") for i, doc in enumerate(docs)]
    if not examples:
        raise InputError(f"task '{task.name}': its training split '{split}' has no instances.")
    metadata = harness.get_config("metadata")
    if isinstance(metadata, dict) and metadata.get("leaks") == "drop":
        leaks = find_leaks(examples, task)
        kept = [i for i in range(len(examples)) if i not in leaks]
    else:
        kept = list(range(len(examples)))
        if task.chat:  # a template hides a leak from a later look
            refuse_leaks(examples, task)
    if not task.chat:
        return [examples[i] for i in kept]
    with quiet_harness():
        return [_templated(task, docs[i], examples[i].id, tokenizer) for i in kept]


def _example(task: Task, doc: Any, id: str) -> Example:
    prompt, targets = _prompt_and_targets(task, doc)
    if not targets:
        raise InputError(f"task '{task.name}', training instance {id}: it has no target.")
    return _joined(id, prompt, f"{_delimiter(task)}{targets[0]}")


def _joined(id: str, prompt: str, completion: str) -> Example:
    """Return the example with the prompt's trailing spaces moved to the completion."""
    bare = prompt.rstrip()
    if not bare:  # nothing to stand before the completion: keep the spaces where they are
        return Example(id, prompt, completion)
    return Example(id, bare, prompt[len(bare) :] + completion)


def _templated(task: Task, doc: Any, id: str, tokenizer: Any) -> Example:
    """Return the example as the harness asks it through a chat template; it sets no delimiter after one."""
    if tokenizer is None or not getattr(tokenizer, "chat_template", None):
        raise ConfigError(f"task '{task.name}' asks through a chat template: give a tokenizer that has one.")

    def template(turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )

    text = _prompt(task, doc, None, template)
    if tokenizer.bos_token and tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]:
        text = text.removeprefix(tokenizer.bos_token)  # the tokenizer will put it there itself
    return Example(id, text, _prompt_and_targets(task, doc)[1][0])


def _delimiter(task: Task) -> str:
    delimiter = task.harness.get_config("target_delimiter")
    return " " if delimiter is None else str(delimiter)


def _prompt_and_targets(task: Task, doc: Any) -> tuple[str, list[str]]:
    """Return the zero-shot prompt and the acceptable targets of one document, the gold ones only."""
    harness = task.harness
    target = harness.doc_to_target(doc)
    choices = _choices(task, doc)
    if getattr(harness, "multiple_input", 0) and choices is not None:
        return _prompt(task, doc, harness.doc_to_text(doc)), [str(target)]
    wanted = target if isinstance(target, list) else [target]
    if choices is not None:
        wanted = [choices[t] if isinstance(t, int) else t for t in wanted]
    return _prompt(task, doc, None), [str(t) for t in wanted]


def _choices(task: Task, doc: Any) -> list[str] | None:
    if task.harness.get_config("doc_to_choice") is None:
        return None
    return [str(c) for c in task.harness.doc_to_choice(doc)]


def _prompt(task: Task, doc: Any, choice: int | None, template: Callable[..., str] | None = None) -> str:
    """Return the harness's zero-shot context; where inputs differ, not targets, that of ``choice``."""
    harness = task.harness
    context = harness.fewshot_context(
        doc,
        num_fewshot=0,
        gen_prefix=harness.doc_to_prefix(doc) or None,
        apply_chat_template=template is not None,
        fewshot_as_multiturn=template is not None,
        chat_template=template,
    )
    return str(context[choice] if isinstance(context, list) and choice is not None else context)


def plain_prompt(task: Task, doc: Any) -> str:
    """Return what the task asks about a document, without a template; the first where inputs differ."""
    return _prompt(task, doc, 0)


def content_hash(prompt: str, answer: str | None = None) -> str:
    """Return the SHA-256 of a prompt (and of an answer to it), however the white space runs.

    Example:
        >>> content_hash("a  b", " c") == content_hash(" a b ", "c")
        True
    """
    text = " ".join(prompt.split())
    return sha256_text(text if answer is None else f"{text}\0{' '.join(answer.split())}")


def evaluation_hashes(task: Task) -> dict[str, str]:
    """Return content hash -> instance id of everything the task is evaluated on.

    Generation: one hash per instance, of its prompt. Multiple choice: one per (prompt, option), since
    different questions share a prompt where only the options tell them apart ("Which of these is true?").
    """
    from muscle_llm.tasks.quiet import quiet_harness

    with quiet_harness():
        return dict(_evaluation_hashes(task))


def _evaluation_hashes(task: Task) -> Iterator[tuple[str, str]]:
    harness = task.harness
    for i, doc in enumerate(harness.eval_docs):
        choices = _choices(task, doc) if task.kind == "choice" else None
        if choices is not None and getattr(harness, "multiple_input", 0):
            for c in range(len(choices)):
                yield content_hash(_prompt(task, doc, c), str(harness.doc_to_target(doc))), str(i)
        elif choices is not None:
            prompt = _prompt(task, doc, None)
            for choice in choices:
                yield content_hash(prompt, choice), str(i)
        else:
            yield content_hash(_prompt(task, doc, None)), str(i)


def find_leaks(examples: Iterable[Example], task: Task) -> dict[int, str]:
    """Return position in ``examples`` -> id of the evaluation instance it gives away.

    An example gives an instance away when its prompt is the instance's and, for multiple choice, its
    completion is one of the instance's options.
    """
    known = evaluation_hashes(task)
    with_answer = task.kind == "choice"
    found = {
        i: known.get(content_hash(e.prompt, e.completion if with_answer else None))
        for i, e in enumerate(examples)
    }
    return {i: id for i, id in found.items() if id is not None}


def refuse_leaks(examples: Iterable[Example], task: Task) -> None:
    """Raise if an instance of the evaluation split is among the training text.

    Raises:
        InputError: how many instances leak, and the first.
    """
    examples = list(examples)
    leaks = find_leaks(examples, task)
    if leaks:
        position, id = next(iter(leaks.items()))
        shown = printable(examples[position].prompt, limit=80)
        raise InputError(
            f"task '{task.name}': {len(leaks)} of {len(examples)} training examples are instances of the "
            f"evaluation split; the first is {examples[position].id}, which is test instance {id} "
            f'("{shown}"). Figures would flatter every version. Remove them from the training file, or have '
            f"them left out: metadata: {{leaks: drop}} in the task's YAML."
        )
