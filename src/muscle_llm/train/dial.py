"""A dial after training: any mixture of two adapters, exactly, as one adapter."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from muscle_llm.errors import AdapterError, ConfigError
from muscle_llm.files import atomic_path, atomic_write_text
from muscle_llm.models import ADAPTER_CONFIG, ADAPTER_WEIGHTS, TRAINING_RECORD, adapter_hash

__all__ = ["mix_adapters"]

_NOT_PLAIN = (
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "use_qalora",
    "alora_invocation_tokens",
)


def mix_adapters(first: str | Path, second: str | Path, share: float, output_dir: str | Path) -> Path:
    """Write the adapter that lies between two others.

    Formula: dW = (1 - share) s_1 B_1 A_1 + share s_2 B_2 A_2, by concatenation:
    A = [A_1; A_2], B = [(1 - share) s_1 B_1, share s_2 B_2], of rank r_1 + r_2 with scaling 1

    Mixing the factors themselves would add products of one's A with the other's B, which neither learned.

    Args:
        first: adapter folder, for instance the new task adapter.
        second: adapter folder of the same base and layers, for instance the compatibility adapter.
        share: of the second, 0 to 1; at 0 the result acts as the first, at 1 as the second.
        output_dir: where the result goes.

    Returns:
        ``output_dir``.

    Raises:
        ConfigError: the share is out of range.
        AdapterError: one of them is no plain LoRA adapter, or they adapt different layers.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"The share must be between 0 and 1, not {share!r}.")
    folders = [Path(first), Path(second)]
    configs = [_plain_lora(folder) for folder in folders]
    weights = [load_file(folder / ADAPTER_WEIGHTS) for folder in folders]
    if weights[0].keys() != weights[1].keys():
        differing = sorted(weights[0].keys() ^ weights[1].keys())
        raise AdapterError(
            f"{folders[0]} and {folders[1]} adapt different layers (for instance {differing[0]}). "
            "Mix adapters that were trained with the same settings."
        )
    _refuse_other_base(folders, weights)
    scalings = [_scaling(config) for config in configs]
    mixed = _mixed(weights, scalings, share)
    rank = configs[0]["r"] + configs[1]["r"]
    config = {**configs[1], "r": rank, "lora_alpha": rank, "use_rslora": False}
    target = Path(output_dir)
    target.mkdir(parents=True, exist_ok=True)
    with atomic_path(target / ADAPTER_WEIGHTS) as temporary:
        save_file(mixed, temporary, metadata={"format": "pt"})
    atomic_write_text(target / ADAPTER_CONFIG, json.dumps(config, indent=2, sort_keys=True))
    record = {"schema": "muscle-llm/training", "version": 1, "kind": "mixture", "share": share}
    record["mixed"] = [{"name": str(folder), "hash": adapter_hash(folder)} for folder in folders]
    record["base"] = _recorded_base(folders[1])
    atomic_write_text(target / TRAINING_RECORD, json.dumps(record, indent=1))
    return target


def _refuse_other_base(folders: list[Path], weights: list[dict[str, Tensor]]) -> None:
    """Raise AdapterError when two adapters cannot belong to one base: by shapes, or by records."""
    for key, tensor in weights[0].items():
        side = 1 if ".lora_A." in key else 0  # the other side of a factor is the rank
        if tensor.shape[side] != weights[1][key].shape[side]:
            raise AdapterError(
                f"{folders[0]} and {folders[1]} belong to bases of different shapes: {tensor.shape[side]} "
                f"and {weights[1][key].shape[side]} values at '{key}'. Mix adapters of one base."
            )
    bases = [_recorded_base(folder) for folder in folders]
    prints = [base.get("fingerprint") if isinstance(base, dict) else None for base in bases]
    if None not in prints and prints[0] != prints[1]:
        raise AdapterError(
            f"{folders[0]} and {folders[1]} were trained on different bases ('{bases[0].get('name')}' and "
            f"'{bases[1].get('name')}'). Mix adapters of one base."
        )


def _mixed(weights: list[dict[str, Tensor]], scalings: list[float], share: float) -> dict[str, Tensor]:
    """Concatenate the factors of every layer."""
    mixed: dict[str, Tensor] = {}
    for key in weights[0]:
        one, two = weights[0][key], weights[1][key]
        if ".lora_A." in key:
            mixed[key] = torch.cat([one, two], dim=0)
        elif ".lora_B." in key:
            mixed[key] = torch.cat([(1 - share) * scalings[0] * one, share * scalings[1] * two], dim=1)
        else:
            raise AdapterError(f"'{key}' is no LoRA factor; only plain LoRA adapters can be mixed.")
        mixed[key] = mixed[key].contiguous()
    return mixed


def _plain_lora(folder: Path) -> dict[str, Any]:
    """Return the configuration of an adapter after making sure that it is plain LoRA of one rank."""
    adapter_hash(folder)  # refuses what is no adapter folder
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    unusual = [name for name in _NOT_PLAIN if config.get(name)]
    if config.get("peft_type") != "LORA":
        unusual.append(f"type {config.get('peft_type')}")
    if config.get("bias", "none") != "none":
        unusual.append("bias")
    if unusual:
        raise AdapterError(f"{folder}: only plain LoRA can be mixed; this adapter has {', '.join(unusual)}.")
    return config


def _scaling(config: dict[str, Any]) -> float:
    """Return what peft multiplies B A with."""
    root = math.sqrt(config["r"]) if config.get("use_rslora") else config["r"]
    return config["lora_alpha"] / root


def _recorded_base(folder: Path) -> Any:
    """Return what the training record beside an adapter says about its base."""
    try:
        return json.loads((folder / TRAINING_RECORD).read_text(encoding="utf-8")).get("base")
    except (OSError, ValueError, AttributeError):
        return None
