"""The model card (README.md) beside a compatibility adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from muscle_llm import __version__
from muscle_llm.errors import InputError
from muscle_llm.files import atomic_write_text
from muscle_llm.report.escaping import escape_markdown
from muscle_llm.report.remedies import remedy_cells, remedy_headings, remedy_rows, what_it_is

__all__ = ["CARD", "CardFacts", "hub_name", "model_card", "read_facts", "write_card"]

CARD = "README.md"
_END = "<!-- muscle-llm: what stands below this line is yours and stays -->"
_TAGS = ("lora", "muscle-llm", "model-update", "backward-compatibility")
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM takes as the largest rank
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card tells. All of it may be untrusted text.

    Attributes:
        name: of the remedy.
        base: the new base: its name on the hub or a local folder.
        base_label: what people call the new base.
        old_label: what people call the old base.
        task: the task's name.
        record: the adapter's ``training.json``.
        adapter_config: the adapter's ``adapter_config.json``.
        comparison: the comparison document with the adapter among its candidates, if there is one.
    """

    name: str
    base: str
    base_label: str
    old_label: str
    task: str
    record: Mapping[str, Any]
    adapter_config: Mapping[str, Any]
    comparison: Mapping[str, Any] | None = None


def hub_name(base: str) -> str | None:
    """Return a base's name on the hub, or None for a local folder.

    Example:
        >>> hub_name("org/model"), hub_name("/home/me/model"), hub_name("a: b")
        ('org/model', None, None)
    """
    looks = _HUB_NAME.fullmatch(base) is not None and ".." not in base and "--" not in base
    return base if looks and not Path(base).exists() else None


def model_card(facts: CardFacts, *, before: str = "") -> str:
    """Return the card as Markdown with YAML front matter.

    Args:
        facts: what to tell.
        before: the card that is there already; keys of its front matter that this package does not set (such
            as ``license``) and what stands below its last marked line stay.

    Example:
        >>> facts = CardFacts("muscle", "org/new", "new", "old", "piqa", {}, {"r": 8})
        >>> model_card(facts).splitlines()[:3]
        ['---', 'base_model: org/new', 'base_model_relation: adapter']
    """
    mine, below = _kept(before)
    parts = [
        _front_matter(facts, mine),
        _introduction(facts),
        _figures(facts),
        _use(facts),
        _training(facts),
        f"{_END}\n{below}",
    ]
    return "\n".join(parts)


def write_card(folder: str | Path, facts: CardFacts) -> None:
    """Write or renew the card in an adapter's folder.

    Raises:
        InputError: the card that is there is not UTF-8 text.
    """
    path = Path(folder) / CARD
    try:
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); move it away.") from error
    atomic_write_text(path, model_card(facts, before=before))


def read_facts(
    folder: str | Path,
    *,
    name: str,
    base: str,
    base_label: str,
    old_label: str,
    task: str,
    comparison: Mapping[str, Any] | None = None,
) -> CardFacts:
    """Return the facts about a trained adapter, its records read from its folder.

    Raises:
        InputError: a record is missing or broken.
    """
    found: list[dict[str, Any]] = []
    for file in ("training.json", "adapter_config.json"):
        try:
            found.append(dict(json.loads((Path(folder) / file).read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{Path(folder) / file}: cannot be read ({error}).") from error
    return CardFacts(name, base, base_label, old_label, task, found[0], found[1], comparison)


def _kept(before: str) -> tuple[dict[str, Any], str]:
    """Return the front matter of an earlier card and what stands below its last marked line."""
    match = re.match(r"---\n(.*?\n)---\n", before, re.S)
    try:
        mine = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError:
        mine = {}
    _, found, below = before.partition(f"{_END}\n")
    return mine if isinstance(mine, dict) else {}, below if found else ""


def _front_matter(facts: CardFacts, mine: Mapping[str, Any]) -> str:
    base = hub_name(facts.base)
    ours: dict[str, Any] = {
        **({"base_model": base} if base else {}),
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": list(_TAGS),
    }
    tags = mine.get("tags")
    if isinstance(tags, list):
        ours["tags"] += [t for t in tags if isinstance(t, str) and t not in _TAGS]
    own = {k: v for k, v in mine.items() if k not in ours and k != "base_model"}
    text = yaml.safe_dump({**ours, **own}, sort_keys=False, allow_unicode=True, width=1000)
    if "license" not in own:
        text += "# license: yours to state; the base's licence and the data's terms bind this adapter too\n"
    return f"---\n{text}---\n"


def _introduction(facts: CardFacts) -> str:
    name, base, old, task = (_text(t) for t in (facts.name, facts.base_label, facts.old_label, facts.task))
    return f"""\
# {name}: compatibility adapter for {base}

A LoRA adapter of **{base}** for the task **{task}**. It was trained to break less of what users of
**{old}** rely on than a task adapter trained without regard to it: the old and the new task model both taught
it, and its mask, below, says which of them each token followed. Method: MUSCLE,
[arXiv 2407.09435](https://arxiv.org/abs/2407.09435). At inference it is an ordinary LoRA adapter; the old
model is not needed.

It may have taken on wrong answers and biases of the old model, too: look at the answers, not only at the
figures.
"""


def _figures(facts: CardFacts) -> str:
    document = facts.comparison
    if document is None:
        return """\
## Figures

None yet. Predict with the old model, the new one and this adapter (`muscle-llm predict`), then compare them:
`muscle-llm compare old.parquet new.parquet this.parquet`.
"""
    shown = [r for r in remedy_rows(document) if r.kind != "remedy" or r.name == facts.name]
    headings = ("version", "role", *remedy_headings(document))
    rows = [
        (
            _text(f"{row.name} (this adapter)" if row.name == facts.name else row.name),
            what_it_is(row),
            *remedy_cells(row),
        )
        for row in shown
    ]
    lines = [f"| {' | '.join(_text(h) for h in headings)} |", f"|---|---|{'---:|' * (len(headings) - 2)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    n = document.get("counts", {}).get("n")
    return f"""\
## Figures

On {n} test instances, in percent; changes against the new version without a remedy, on the same
instances, in points. NFR: share of instances that were right with the old version and are wrong now. The
control is plain fine-tuning of the new task adapter for as many steps; the noise floor is the old adapter
trained again with another seed.

{chr(10).join(lines)}

{_text(str(document.get("sentence", "")))}
"""


def _use(facts: CardFacts) -> str:
    base = hub_name(facts.base) or hub_name(Path(facts.base).name) or "path/of/the/new/base"
    rank = int(facts.adapter_config.get("r") or 0)
    largest = next((r for r in _RANKS if r >= rank), rank)
    text = f"""\
## How to load it

With PEFT:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapter = {json.dumps(base)}, "path/or/name/of/this/adapter"
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
tokenizer = AutoTokenizer.from_pretrained(base)
```
"""
    if facts.adapter_config.get("use_dora"):
        return f"{text}\nvLLM does not serve DoRA adapters such as this one; merge it into the base first.\n"
    return f"""{text}
With vLLM:

```python
from vllm import LLM, SamplingParams
from vllm.lora.request import LoRARequest

llm = LLM(model={json.dumps(base)}, enable_lora=True, max_lora_rank={largest})
adapter = LoRARequest("compatible", 1, "path/of/this/adapter")
llm.generate(["..."], SamplingParams(temperature=0), lora_request=adapter)
```
"""


def _training(facts: CardFacts) -> str:
    record, loss = facts.record, dict(facts.record.get("loss") or {})
    told = {
        "remedy": facts.name,
        **{name.replace("_", " "): value for name, value in loss.items()},
        "epoch chosen by": (record.get("selection") or {}).get("by"),
        "rank, alpha": f"{facts.adapter_config.get('r')}, {facts.adapter_config.get('lora_alpha')}",
        "learning rate": (record.get("training") or {}).get("learning_rate"),
        "optimizer steps": record.get("steps"),
        "epoch kept": record.get("best_epoch"),
        "seed": record.get("seed"),
        "muscle-llm": __version__,
        **dict(record.get("versions") or {}),
    }
    lines = [f"| {_text(str(k))} | {_text(str(v))} |" for k, v in told.items() if v is not None]
    rest = "`training.json` beside this file has the rest."
    return "\n".join(["## How it was made", "", "| | |", "|---|---|", *lines, "", rest, ""])


def _text(text: str) -> str:
    return escape_markdown(text)
