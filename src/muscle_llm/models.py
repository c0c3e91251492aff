"""Bases and adapters: loading, checking that they fit, saving, several adapters on one base."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from muscle_llm.errors import AdapterError, InputError
from muscle_llm.files import atomic_path, sha256_file

__all__ = [
    "TRAINING_RECORD",
    "adapter_hash",
    "base_fingerprint",
    "check_adapter",
    "load_adapted",
    "load_base",
    "load_tokenizer",
    "merge_float32",
    "save_adapter",
]

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TRAINING_RECORD = "training.json"  # written beside an adapter by the trainings of this package

_SAMPLE_BYTES = 1 << 16


@contextlib.contextmanager
def _quiet_loading() -> Iterator[None]:
    """Keep transformers' own progress bars off the terminal while a model loads."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def load_tokenizer(name: str | Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a base.

    Args:
        name: folder or hub name of the base.
        trust_remote_code: run Python code that comes with the base.

    Raises:
        InputError: there is no tokenizer, or it cannot be read.
    """
    try:
        return AutoTokenizer.from_pretrained(str(name), trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"No tokenizer can be loaded from '{name}': {_first_line(error)} "
            "Give a folder that holds one (tokenizer.json) or the name of a model on the hub."
        ) from error


def load_base(
    name: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """Load a causal language model from safetensors, in evaluation mode.

    Args:
        name: folder or hub name of the base.
        dtype: of the weights; ``"auto"`` is the checkpoint's own.
        device: where to put it; None is the first GPU, else the CPU.
        trust_remote_code: run Python code that comes with the base.

    Raises:
        InputError: there is no such model, or it has no safetensors weights (pickled weights can run
            code and are not read).
    """
    wanted = getattr(torch, dtype) if isinstance(dtype, str) and dtype != "auto" else dtype
    try:
        with _quiet_loading():
            model = AutoModelForCausalLM.from_pretrained(
                str(name), dtype=wanted, use_safetensors=True, trust_remote_code=trust_remote_code
            )
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"No base model can be loaded from '{name}': {_first_line(error)} Give a folder with config.json "
            "and safetensors weights, or the name of such a model on the hub."
        ) from error
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return cast("Any", model).to(device).eval()


def load_adapted(base: PreTrainedModel, adapters: Mapping[str, str | Path]) -> PeftModel:
    """Put adapters, by name, on a loaded base; the first one becomes active. All are frozen.

    Args:
        base: as :func:`load_base` gives it; it is changed in place.
        adapters: name -> adapter folder, at least one; a dot in a name becomes an underscore.

    Raises:
        AdapterError: an adapter does not fit the base.
    """
    if not adapters:
        raise AdapterError("No adapter was given to put on the base.")
    for path in adapters.values():
        check_adapter(path, base)
    model: PeftModel | None = None
    for given, path in adapters.items():
        name = given.replace(".", "_")  # torch allows no dot in a module's name
        if model is None:
            model = PeftModel.from_pretrained(base, str(path), adapter_name=name, is_trainable=False)
        else:
            model.load_adapter(str(path), adapter_name=name, is_trainable=False)
    assert model is not None
    return model.eval()


def merge_float32(model: PeftModel) -> PeftModel:
    """Add the active adapter to the base's weights where they are float32, to predict faster.

    In lower precision the sum would be rounded to other weights than those that were trained: there the model
    is left as it is.

    Args:
        model: as :func:`load_adapted` gives it; it is changed in place.
    """
    if model.dtype == torch.float32:
        model.merge_adapter()
    return model


def save_adapter(model: PeftModel, adapter_name: str, path: str | Path, *, base_name: str | Path) -> None:
    """Write one adapter of a model as an ordinary PEFT adapter folder.

    Args:
        model: a base with one or more adapters.
        adapter_name: which of them.
        path: the folder; ``adapter_config.json`` and ``adapter_model.safetensors`` go to its root.
        base_name: recorded as the base the adapter belongs to.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    # "auto" would ask the hub whether the vocabulary was resized; adapters of ours never touch embeddings.
    state = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    tensors = {key: value.detach().cpu().contiguous() for key, value in sorted(state.items())}
    with atomic_path(folder / ADAPTER_WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    config = copy.copy(model.peft_config[adapter_name])
    config.base_model_name_or_path = str(base_name)
    config.inference_mode = True
    settings = config.to_dict()
    if isinstance(settings.get("target_modules"), set | list | tuple):
        settings["target_modules"] = sorted(settings["target_modules"])
    with atomic_path(folder / ADAPTER_CONFIG) as temporary:
        temporary.write_text(json.dumps(settings, indent=2, sort_keys=True, default=_plain), encoding="utf-8")


def check_adapter(path: str | Path, base: str | Path | PreTrainedModel) -> None:
    """Raise when the adapter cannot belong to the base.

    Every tensor of the adapter must fit a layer of the base. Two bases of the same shape are told apart
    by the fingerprint that this package's trainings record; an adapter made elsewhere has none, and
    its shapes decide.

    Args:
        path: adapter folder.
        base: folder or hub name of the base, or the loaded base.

    Raises:
        AdapterError: it is no adapter folder, or an adapter of another base.
    """
    folder = Path(path)
    config = _read_adapter_config(folder)
    base_name = str(base.name_or_path if isinstance(base, PreTrainedModel) else base)
    trained_on = str(config.get("base_model_name_or_path") or "an unnamed base")
    fix = f"Give the base it was trained on ('{trained_on}'), or train an adapter on this base."
    problem = _shape_mismatch(folder, base)
    if problem is not None:
        raise AdapterError(
            f"{folder}: this adapter belongs to another base than '{base_name}': {problem} {fix}"
        )
    recorded = _recorded_fingerprint(folder)
    found = base_fingerprint(base_name) if recorded is not None else None
    if recorded is not None and found is not None and recorded != found:
        raise AdapterError(
            f"{folder}: this adapter belongs to another base than '{base_name}': the shapes fit, but the "
            f"weights are not those it was trained on. {fix}"
        )


def adapter_hash(path: str | Path) -> str:
    """Return the SHA-256 over an adapter's configuration and weights, as 64 hexadecimal digits.

    Raises:
        AdapterError: it is no adapter folder.
    """
    folder = Path(path)
    config = dict(_read_adapter_config(folder))
    config.pop("base_model_name_or_path", None)  # a moved base does not make another adapter
    whole = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    whole.update(sha256_file(folder / ADAPTER_WEIGHTS).encode())
    return whole.hexdigest()


def base_fingerprint(name: str | Path) -> str | None:
    """Return a digest that tells bases apart without reading all their weights.

    Of every safetensors file its size and three samples (begin with the header, middle, end) are hashed;
    a fine-tuned copy of a base differs in practically every weight, so it differs in the samples.

    Args:
        name: folder or hub name of the base.

    Returns:
        64 hexadecimal digits, or None where the weights are not on this machine.
    """
    folder = Path(name)
    if not folder.is_dir():
        try:
            found = cached_file(str(name), "config.json", local_files_only=True)
        except (OSError, ValueError):
            return None
        if found is None:
            return None
        folder = Path(found).parent
    files = sorted(p for p in folder.glob("*.safetensors") if p.name != ADAPTER_WEIGHTS)
    if not files:
        return None
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as stream:
            for start in (0, max(0, size // 2 - _SAMPLE_BYTES // 2), max(0, size - _SAMPLE_BYTES)):
                stream.seek(start)
                digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    """Return the first line of an error, ended by a full stop."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    return text if text.endswith((".", "!", "?")) else text + "."


def _plain(value: Any) -> Any:
    """Turn what JSON does not know (sets, enums, dtypes) into what it knows."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    return getattr(value, "value", str(value))


def _read_adapter_config(folder: Path) -> dict[str, Any]:
    """Return the parsed adapter_config.json of a complete adapter folder."""
    fix = "Give the folder of a PEFT adapter (adapter_config.json and adapter_model.safetensors)."
    if not folder.is_dir():
        raise AdapterError(f"{folder}: there is no such adapter folder. {fix}")
    if not (folder / ADAPTER_CONFIG).is_file():
        raise AdapterError(f"{folder}: no adapter, it has no {ADAPTER_CONFIG}. {fix}")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise AdapterError(f"{folder}: no usable adapter, it has no {ADAPTER_WEIGHTS}. {fix}")
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AdapterError(
            f"{folder / ADAPTER_CONFIG}: not valid JSON ({_first_line(error)}) {fix}"
        ) from error
    if not isinstance(config, dict):
        raise AdapterError(f"{folder / ADAPTER_CONFIG}: not a JSON object. {fix}")
    return config


def _recorded_fingerprint(folder: Path) -> str | None:
    """Return the base's fingerprint from the training record beside an adapter, if there is one."""
    try:
        record = json.loads((folder / TRAINING_RECORD).read_text(encoding="utf-8"))
        return record["base"]["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _layer_shapes(base: str | Path | PreTrainedModel) -> dict[str, tuple[int, int]]:
    """Return (outputs, inputs) of every layer of a base that has a weight matrix, by name."""
    model = base
    if not isinstance(model, PreTrainedModel):
        try:
            config = AutoConfig.from_pretrained(str(base))
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(config)
        except (OSError, ValueError) as error:
            raise InputError(f"No base model can be loaded from '{base}': {_first_line(error)}") from error
    shapes: dict[str, tuple[int, int]] = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.dim() == 2:
            rows, columns = weight.shape
            shapes[name.removesuffix(".base_layer")] = (
                (columns, rows) if isinstance(module, Conv1D) else (rows, columns)
            )
    return shapes


def _shape_mismatch(folder: Path, base: str | Path | PreTrainedModel) -> str | None:
    """Return what of the adapter does not fit the base, or None."""
    layers = _layer_shapes(base)
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as weights:
            shapes = {key: tuple(weights.get_slice(key).get_shape()) for key in weights.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise AdapterError(
            f"{folder / ADAPTER_WEIGHTS}: not a readable safetensors file ({_first_line(error)}) "
            "It may be cut off: copy or train the adapter anew."
        ) from error
    for key, shape in shapes.items():
        layer_name, _, kind = key.removeprefix("base_model.model.").partition(".lora_")
        if not kind or len(shape) != 2:
            continue
        if layer_name not in layers:
            return f"it adapts the layer '{layer_name}', which this base does not have."
        outputs, inputs = layers[layer_name]
        if kind.startswith("A.") and shape[1] != inputs:
            return f"it expects {shape[1]} inputs to '{layer_name}', where this base has {inputs}."
        if kind.startswith("B.") and shape[0] != outputs:
            return f"it expects {shape[0]} outputs of '{layer_name}', where this base has {outputs}."
    return None
