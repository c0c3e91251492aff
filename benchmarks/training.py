"""What a compatibility step costs against a plain LoRA step, in time and memory.

    python -m benchmarks training                       # 60M parameters on the CPU
    python -m benchmarks training --shape llama-3.2-1b --device cuda

Every variant runs in a process of its own, so that its peak memory is its own. Weights are random: the cost
does not depend on them. On a CPU the time is processor time with one thread, which other programs on
the machine disturb less than the clock; on a GPU it is the clock.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, int]] = {
    "60m": {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8,
            "num_key_value_heads": 8, "vocab_size": 32_000},
    "llama-3.2-1b": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
                     "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256},
    "llama-2-7b": {"hidden_size": 4096, "intermediate_size": 11_008, "num_hidden_layers": 32,
                   "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 32_000},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 4, "vocab_size": 512},
}  # fmt: skip
VARIANTS = {
    "lora": "plain LoRA fine-tuning (cross-entropy)",
    "naive": "three models, full logits",
    "live": "live teachers, shared base, fused loss",
    "cached": "cached exact, fused loss",
    "top_k": "cached top-64, fused loss",
}
LOSSES = ("fused", "plain", "trl", "liger")
_NOTES = "\n## Notes\n"
# (what, of which figure, limit, at most or at least), as the aims were set
AIMS = (
    ("cached exact, time against LoRA", "cached", "lora", "seconds", 1.10, "at most"),
    ("cached exact, memory against LoRA", "cached", "lora", "peak", 1.05, "at most"),
    ("live shared, time against LoRA", "live", "lora", "seconds", 1.8, "at most"),
    ("three models, time against cached", "naive", "cached", "seconds", 1.6, "at least"),
    ("three models, memory against cached", "naive", "cached", "peak", 2.0, "at least"),
    ("TRL's kernel, time against the fused loss", "loss:trl", "loss:fused", "seconds", 1.0, "at least"),
    ("TRL's kernel, memory against the fused loss", "loss:trl", "loss:fused", "added", 1.0, "at least"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all variants, print the table and keep it in ``benchmarks/results``."""
    options = _options(argv)
    if options.one is not None:
        print(json.dumps(_measure_one(options)))
        return 0
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        options.folder = folder
        for name in options.variants:
            filled = _in_a_process(f"fill:{name}", options) if name in ("cached", "top_k") else {}
            found[name] = filled | _in_a_process(name, options)
        for name in options.losses:
            found[f"loss:{name}"] = _in_a_process(f"loss:{name}", options)
    text = _report(found, options)
    print(text)
    if options.save:
        place = Path(__file__).parent / "results" / f"training_{options.device}.md"
        if options.shape != "60m":
            place = place.with_stem(f"{place.stem}_{options.shape}")
        place.parent.mkdir(exist_ok=True)
        before = place.read_text(encoding="utf-8") if place.exists() else ""
        # what was written by hand about an earlier run stays, to be looked through
        notes = before[before.index(_NOTES) :] if _NOTES in before else ""
        place.write_text(text + notes, encoding="utf-8")
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks training", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="60m")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default=None, help="default: float32 on the CPU, bfloat16 elsewhere")
    parser.add_argument("--batch", type=int, default=2, help="sequences a step")
    parser.add_argument("--length", type=int, default=512, help="tokens a sequence")
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3, help="steps measured, after one to warm up")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--losses", nargs="*", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--save", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="also list the costliest operations of each")
    options = parser.parse_args(argv)
    if options.dtype is None:
        options.dtype = "float32" if options.device == "cpu" else "bfloat16"
    return options


def _in_a_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one variant in a new process; return its figures, or why there are none."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training", "--one", name]
    for key in ("shape", "device", "dtype", "batch", "length", "rank", "steps", "folder"):
        command += [f"--{key}", str(getattr(options, key))]
    if options.profile:
        command.append("--profile")
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        missing = "No module named" in last and name.startswith("loss:")
        return {"error": "not installed" if missing else f"not measured: {last[:200]}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _measure_one(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one variant in this process."""
    import torch

    if options.device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(0)
    kind, _, name = options.one.rpartition(":")
    if kind == "fill":
        return _filled(name, options, _rows(options))
    if kind == "loss":
        from benchmarks._losses import loss_step

        shape = SHAPES[options.shape]
        step: Callable[[], Any] = loss_step(
            name,
            tokens=options.batch * options.length,
            hidden=shape["hidden_size"],
            vocabulary=shape["vocab_size"],
            dtype=getattr(torch, options.dtype),
            device=options.device,
        )
    else:
        step = _training_step(name, options)
    loaded = _memory(options.device)
    value = step()
    seconds = []
    for _ in range(options.steps):
        start = _clock(options.device)
        step()
        seconds.append(_clock(options.device) - start)
    peak = _memory(options.device)
    found = {"seconds": min(seconds), "value": value, "peak": peak, "added": peak - loaded}
    return found | ({"profile": _costliest(step)} if options.profile else {})


def _costliest(step: Callable[[], Any], count: int = 8) -> list[tuple[str, float]]:
    """Return the operations a step spends most of its time in, and the share of each."""
    from torch.profiler import profile

    with profile() as profiler:
        step()
    events = profiler.key_averages()
    whole = sum(e.self_cpu_time_total + e.self_device_time_total for e in events) or 1
    own = sorted(((e.self_cpu_time_total + e.self_device_time_total, e.key) for e in events), reverse=True)
    return [(key, time / whole) for time, key in own[:count]]


def _clock(device: str) -> float:
    """Return processor seconds on a CPU, seconds after all queued work on a GPU."""
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def _memory(device: str) -> float:
    """Return the most memory used so far, in bytes."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    import torch

    return torch.cuda.max_memory_allocated()


def _config(options: argparse.Namespace) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        **SHAPES[options.shape], max_position_embeddings=4096, tie_word_embeddings=False, use_cache=False
    )


def _adapted(options: argparse.Namespace, names: Sequence[str]) -> Any:
    """Return a random base with random adapters; the last one is active and trainable."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(
        r=options.rank,
        lora_alpha=2 * options.rank,
        target_modules=layers,
        task_type="CAUSAL_LM",
        lora_dropout=0.0,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, options.dtype))
    try:
        with torch.device(options.device):
            base = LlamaForCausalLM(_config(options))
    finally:
        torch.set_default_dtype(before)
    model = get_peft_model(base, config, adapter_name=names[0])
    for name in names[1:]:
        model.add_adapter(name, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    model.set_adapter(names[-1])
    return model.to(options.device)


def _rows(options: argparse.Namespace) -> Any:
    import torch

    from muscle_llm.train.data import TokenRow

    tokens = torch.randint(5, SHAPES[options.shape]["vocab_size"], (4 * options.batch, options.length))
    return [TokenRow(i, tuple(row), 0) for i, row in enumerate(tokens.tolist())]


def _training_step(name: str, options: argparse.Namespace) -> Callable[[], float]:
    """Return a whole step of a variant: forward passes, backward pass, optimizer."""
    import gc

    import torch

    from muscle_llm.distill.fused import fused_compatibility_loss
    from muscle_llm.distill.heads import final_hidden, head_of
    from muscle_llm.distill.losses import compatibility_loss, next_token_targets
    from muscle_llm.distill.teachers import LiveTeacher
    from muscle_llm.train.data import collate
    from muscle_llm.train.merged_lora import use_merged_forward

    rows = _rows(options)
    batches = [collate(rows[i : i + options.batch]) for i in range(0, len(rows), options.batch)]
    batches = [{key: value.to(options.device) for key, value in batch.items()} for batch in batches]
    # a training holds both adapters on the student's base, whichever teachers it has
    student = _adapted(options, ["compat"] if name in ("lora", "naive") else ["new", "compat"])
    use_merged_forward(student)
    new = LiveTeacher(student, "new", "compat")
    if name == "naive":
        old, new = (
            LiveTeacher(_adapted(options, ["old"]).eval()),
            LiveTeacher(_adapted(options, ["new"]).eval()),
        )
    elif name == "live":
        old = LiveTeacher(_adapted(options, ["old"]).eval())
    elif name != "lora":
        old, new = _cached(name, options, rows, lambda who: _not_loaded())
        if name == "cached":
            new.head = head_of(student).frozen()  # as the training does: one matrix less
    gc.collect()
    trainable = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, fused=True)
    student.train()
    turn = [0]

    def step() -> float:
        batch = batches[turn[0] % len(batches)]
        turn[0] += 1
        targets_BT = next_token_targets(batch["labels"])
        if name == "lora":
            logits = student(input_ids=batch["input_ids"]).logits
            loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets_BT.flatten())
        elif name == "naive":
            teachers = old.logits(batch), new.logits(batch)
            loss = compatibility_loss(
                student(input_ids=batch["input_ids"]).logits, *teachers, targets_BT
            ).loss
        else:
            said = old.tokens(batch), new.tokens(batch)
            hidden_BTH = final_hidden(student, batch["input_ids"])
            loss = fused_compatibility_loss(hidden_BTH, head_of(student), *said, targets_BT).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def _not_loaded() -> Any:
    raise RuntimeError("the cache is not whole, so a teacher would be loaded")


def _filled(name: str, options: argparse.Namespace, rows: Any) -> dict[str, Any]:
    """Fill the caches of both teachers; a training after it never loads the old model."""
    from muscle_llm.distill.teachers import LiveTeacher

    spent = _clock(options.device)
    old, _ = _cached(name, options, rows, lambda who: LiveTeacher(_adapted(options, [who]).eval()))
    seconds = (_clock(options.device) - spent) / sum(row.targets for row in rows)
    return {"bytes_per_token": old.store.bytes_per_token(), "fill_seconds_per_token": seconds}


def _cached(name: str, options: argparse.Namespace, rows: Any, live: Callable[[str], Any]) -> tuple[Any, Any]:
    """Return both teachers, read from their caches."""
    import torch

    from muscle_llm.train.teaching import CacheSettings, cached_teacher

    vocabulary = SHAPES[options.shape]["vocab_size"]
    settings = CacheSettings(Path(options.folder), 64 if name == "top_k" else None, 2.0, vocabulary)
    made = [
        cached_teacher(
            identity={"who": who},
            live=lambda who=who: live(who),
            rows=rows,
            tokenizer=_Tokens(),  # pyright: ignore[reportArgumentType]
            settings=settings,
            device=torch.device(options.device),
            title=who,
            progress=False,
        )
        for who in ("old", "new")
    ]
    return made[0], made[1]


class _Tokens:
    """Stands in for a tokenizer: the rows are random tokens."""

    eos_token_id = 2

    def get_vocab(self) -> dict[str, int]:
        """Return nothing: no text is cut."""
        return {}


def _report(found: dict[str, dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the tables as Markdown."""
    shape, tokens = SHAPES[options.shape], options.batch * options.length
    kind = "processor time, one thread" if options.device == "cpu" else "clock"
    lines = [
        f"# Training: {options.shape} on {options.device}",
        "",
        f"`python -m benchmarks training --shape {options.shape} --device {options.device} "
        f"--batch {options.batch} --length {options.length} --steps {options.steps}`",
        "",
        f"Batch {options.batch} x {options.length} tokens, {options.dtype}, LoRA rank {options.rank} on all "
        f"linear layers, vocabulary {shape['vocab_size']}, hidden {shape['hidden_size']}; best of "
        f"{options.steps} steps after one to warm up ({kind}). {_environment(options.device)}",
        "",
        "| step | seconds | against LoRA | peak memory, GB | against LoRA | tokens/s | cache, bytes/token |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in options.variants:
        row = _row(VARIANTS[name], found[name], found.get("lora", {}), tokens, "peak")
        lines.append(f"{row} {found[name].get('bytes_per_token', '-')} |")
    lines.append("")
    for name in ("cached", "top_k"):
        if "fill_seconds_per_token" in found.get(name, {}):
            spent = 1e3 * found[name]["fill_seconds_per_token"]
            lines.append(f"Filling both caches ({VARIANTS[name]}), once: {spent:.2f} ms a token.")
    lines.append("The peak of a process on the CPU includes Python and its libraries.")
    if options.losses:
        lines += _loss_table(found, options, tokens)
    lines += _aims(found)
    for name, one in found.items():
        for at, (key, share) in enumerate(one.get("profile", [])):
            lines += [] if at else ["", f"Where the time goes, {name}:", ""]
            lines.append(f"- {100 * share:.0f} % `{key}`")
    return "\n".join(lines) + "\n"


def _loss_table(found: dict[str, dict[str, Any]], options: argparse.Namespace, tokens: int) -> list[str]:
    from benchmarks._losses import LOSSES as TITLES

    lines = [
        "",
        f"The loss alone, {tokens} tokens, forward and backward; memory is what it adds to its inputs:",
        "",
        "| loss | seconds | against fused | added memory, GB | against fused | tokens/s | value |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in options.losses:
        one = found[f"loss:{name}"]
        row = _row(TITLES[name], one, found.get("loss:fused", {}), tokens, "added")
        lines.append(f"{row} {one['value']:.5f} |" if "value" in one else f"{row} - |")
    return lines


def _aims(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return which aims were met."""
    lines = ["", "| aim | limit | measured | met |", "|---|---|---|---|"]
    for title, name, reference, key, limit, sense in AIMS:
        if key not in found.get(name, {}) or not found.get(reference, {}).get(key):
            lines.append(f"| {title} | {sense} {limit:.2f} | not measured | - |")
            continue
        ratio = found[name][key] / found[reference][key]
        met = ratio <= limit if sense == "at most" else ratio >= limit
        lines.append(f"| {title} | {sense} {limit:.2f} | {ratio:.2f} | {'yes' if met else 'no'} |")
    return lines


def _row(title: str, found: dict[str, Any], reference: dict[str, Any], tokens: int, memory: str) -> str:
    """Return one line of a table, but for its last cell."""
    if "error" in found:
        return f"| {title} | {found['error'].replace('|', '/')} | - | - | - | - |"

    def against(key: str) -> str:
        return f"{found[key] / reference[key]:.2f}" if reference.get(key) else "-"

    cells = [
        title,
        f"{found['seconds']:.3f}",
        against("seconds"),
        f"{found[memory] / 1e9:.2f}",
        against(memory),
        f"{tokens / found['seconds']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _environment(device: str) -> str:
    """Return the versions and the hardware that the figures were measured with."""
    versions = []
    for name in ("torch", "transformers", "peft", "trl", "liger-kernel"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    return f"Python {platform.python_version()}, {', '.join(versions)}; {_hardware(device)}."


def _hardware(device: str) -> str:
    """Return what the figures were measured on."""
    if device != "cpu":
        import torch

        return torch.cuda.get_device_name()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
