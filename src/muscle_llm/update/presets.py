"""Files of settings to start an update from: a general one, and the paper's updates by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from muscle_llm.errors import ConfigError, did_you_mean

__all__ = ["PRESETS", "Base", "Preset", "update_template"]


@dataclass(frozen=True, slots=True)
class Base:
    """A published base model.

    Attributes:
        name: its name on the hub.
        label: what people call it.
        family: bases of one family share a tokenizer.
        notes: what stands in the way of loading it, one sentence each.
    """

    name: str
    label: str
    family: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preset:
    """One of the paper's updates.

    Attributes:
        old: the base users have.
        new: the base that replaces it.
        trained: whether the paper trained a compatibility adapter, or only measured what broke.
    """

    old: Base
    new: Base
    trained: bool = True

    @property
    def same_tokenizer(self) -> bool:
        """Whether a remedy can be trained: both teachers must speak of the same tokens."""
        return self.old.family == self.new.family


_BIN = "If its page on the hub has no .safetensors files, convert it first: other weights are not loaded."
_META = "Gated: accept Meta's licence on its page on the hub, then log in with: hf auth login"
_RESEARCH = "Its licence allows research only: read it before you use it for anything else."

_LLAMA_1 = Base("huggyllama/llama-7b", "Llama 1 7B", "llama", (_RESEARCH,))
_LLAMA_2 = Base("meta-llama/Llama-2-7b-hf", "Llama 2 7B", "llama", (_META,))
_LLAMA_3 = Base("meta-llama/Meta-Llama-3-8B", "Llama 3 8B", "llama3", (_META,))
_VICUNA_13 = Base("lmsys/vicuna-7b-v1.3", "Vicuna 1.3 7B", "llama", (_RESEARCH, _BIN))
_VICUNA_15 = Base("lmsys/vicuna-7b-v1.5", "Vicuna 1.5 7B", "llama", ("Under Meta's Llama 2 licence.", _BIN))
_PHI_1 = Base("microsoft/phi-1", "Phi 1", "phi")
_PHI_15 = Base("microsoft/phi-1_5", "Phi 1.5", "phi")
_PHI_2 = Base("microsoft/phi-2", "Phi 2", "phi")

# The paper's four, then those whose regression it measured without training a remedy.
PRESETS: dict[str, Preset] = {
    "llama-1-to-2": Preset(_LLAMA_1, _LLAMA_2),
    "vicuna-1.3-to-1.5": Preset(_VICUNA_13, _VICUNA_15),
    "phi-1-to-1.5": Preset(_PHI_1, _PHI_15),
    "phi-1.5-to-2": Preset(_PHI_15, _PHI_2),
    "phi-1-to-2": Preset(_PHI_1, _PHI_2, trained=False),
    "llama-1-to-vicuna-1.3": Preset(_LLAMA_1, _VICUNA_13, trained=False),
    "llama-1-to-vicuna-1.5": Preset(_LLAMA_1, _VICUNA_15, trained=False),
    "vicuna-1.3-to-llama-2": Preset(_VICUNA_13, _LLAMA_2, trained=False),
    "llama-2-to-vicuna-1.5": Preset(_LLAMA_2, _VICUNA_15, trained=False),
    "llama-1-to-3": Preset(_LLAMA_1, _LLAMA_3, trained=False),
    "llama-2-to-3": Preset(_LLAMA_2, _LLAMA_3, trained=False),
    "vicuna-1.3-to-llama-3": Preset(_VICUNA_13, _LLAMA_3, trained=False),
    "vicuna-1.5-to-llama-3": Preset(_VICUNA_15, _LLAMA_3, trained=False),
}

_TASK_NOTES = {
    "hellaswag": "hellaswag_train.jsonl, hellaswag_val.jsonl",
    "piqa": "train.jsonl, valid.jsonl, each with its -labels.lst",
    "gsm8k": "train.jsonl, test.jsonl",
    "samsum": "train.json, val.json, test.json (licence: CC BY-NC-ND 4.0, no commercial use)",
}


def update_template(preset: str | None = None, tasks: Sequence[str] = ()) -> str:
    """Return a commented file of settings for ``muscle-llm update``, with the paper's hyper-parameters.

    Args:
        preset: a name of `PRESETS`; None leaves the bases to be filled in.
        tasks: names or YAML files; by default PIQA for a preset, ``my_task.yaml`` without one.

    Raises:
        ConfigError: there is no such preset.

    Example:
        >>> text = update_template("phi-1.5-to-2", ["gsm8k"])
        >>> "microsoft/phi-2" in text, "task: gsm8k" in text
        (True, True)

    Source: paper, section 5.
    """
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"no preset is named '{preset}'. {did_you_mean(preset, PRESETS)}")
    found = PRESETS[preset] if preset else None
    wanted = list(tasks) or (["piqa"] if found else ["my_task.yaml"])
    parts = [_head(preset, found), _bases(found), _tasks(wanted), _remedies(found), _training(found)]
    return "\n".join(parts)


def _head(name: str | None, preset: Preset | None) -> str:
    if preset is None:
        return """\
# A whole update: adapters for both bases, remedies, both controls, predictions, comparison, page.
#
#   muscle-llm update THIS_FILE               run it; the same command again continues it
#   muscle-llm update THIS_FILE --dry-run     say what would run
#
# Fill in what is marked TODO. Every value not marked is the paper's, or the default where it has none.
# Unknown keys are errors; docs/update.md describes them all.
"""
    seven = "phi" not in preset.new.family
    memory = "one GPU with 80 GB" if seven else "one GPU with 40 GB"
    lines = [
        f"# The paper's update {name}: {preset.old.label} -> {preset.new.label} (arXiv 2407.09435).",
        "#",
        "#   muscle-llm update THIS_FILE               run it; the same command again continues it",
        "#   muscle-llm update THIS_FILE --dry-run     say what would run",
        "#",
        f"# Needs a GPU: at these sizes plan for {memory} (an estimate) and hours per task. To try the way",
        "# without one: muscle-llm demo",
    ]
    lines += [f"# {base.name}: {note}" for base in (preset.old, preset.new) for note in base.notes]
    return "\n".join(lines) + "\n"


def _bases(preset: Preset | None) -> str:
    if preset is None:
        return """\
# A name on the hub or a local folder (relative to this file), weights as .safetensors.
old: {base: path/to/old-base}      # TODO the version users have
new: {base: path/to/new-base}      # TODO the version that replaces it; remedies need the same tokenizer
"""
    old, new = preset.old, preset.new
    return f'old: {{base: {old.name}, name: "{old.label}"}}\nnew: {{base: {new.name}, name: "{new.label}"}}\n'


def _tasks(names: Sequence[str]) -> str:
    lines = [
        "# One of the paper's tasks, a task of lm-evaluation-harness, or a task file: muscle-llm init task"
    ]
    lines += ["tasks:"]
    for name in names:
        plain = name.replace("_", "").replace("-", "").isalnum()
        lines.append(f"  - task: {name if plain else json.dumps(name)}")
        if name in _TASK_NOTES:
            lines.append(
                f"    # data_dir: data/{name}    # from the hub by default; or here: {_TASK_NOTES[name]}"
            )
        lines.append(
            "    # old_adapter: path/to/adapter    # the adapter users have, instead of training one"
        )
        lines.append("    # limit: 200                      # only the first instances, to try")
    return "\n".join(lines) + "\n"


def _remedies(preset: Preset | None) -> str:
    controls = "# Two controls always run, too: continued fine-tuning, and the old adapter trained again."
    if preset is not None and not preset.same_tokenizer:
        return (
            "# The tokenizer changes, so the old model cannot teach the new one token by token: what breaks\n"
            f"# is measured (as in the paper), no remedy is trained.\n{controls}\nremedies: []\n"
        )
    measured = preset is not None and not preset.trained
    note = "# The paper only measured this update; the remedy is this file's addition.\n" if measured else ""
    return f"""\
{note}{controls}
remedies:
  - keep                            # follow the old model unless the new one alone is right, T = 1
  - muscle                          # as published: follow the old model where the student is wrong, T = 2
  # With cross-entropy, as the paper has it where the versions lie far apart; it does not state the share.
  # - {{name: muscle_ce, ce_weight: 0.5}}
  # - {{name: careful, selection: nfr, accuracy_loss: 0.01}}   # the epoch with the fewest flips held out
"""


def _training(preset: Preset | None) -> str:
    large = "bfloat16" if preset else "auto"
    return f"""\
lora:                               # the paper's: on all linear layers
  rank: 128
  alpha: 256
  dropout: 0

training:                           # the same for task adapters, controls and remedies
  learning_rate: 1e-4
  warmup_steps: 500
  weight_decay: 0
  gradient_accumulation: 8
  epochs: 10                        # the one with the lowest validation cross-entropy is kept
  validation_share: 0.2
  # Not stated in the paper:
  batch_size: 8                     # examples in one forward pass; less where memory runs out
  max_length: 1024
  dtype: {large:<27} # of the base weights; adapters are float32
  gradient_checkpointing: {"true " if preset else "false"}     # more time, less memory

seed: 0
batch_size: 32                      # instances in one forward pass when predicting
"""
