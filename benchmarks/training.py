"""What a compatibility step costs against a plain LoRA step, in time and memory.

    python -m benchmarks training                       # 60M parameters on the CPU
    python -m benchmarks training --shape llama-3.2-1b --device cuda

Every variant runs in a process of its own, so that its peak memory is its own. Weights are random: the cost
does not depend on them. On a CPU the time is processor time with one thread, which other programs on
the machine disturb less than the clock; on a GPU it is the clock.
"""

from __future__ import annotations

import argparse
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
LOSSES = {
    "fused": "fused loss of this package (one teacher a token)",
    "plain": "plain loss, full logits (one teacher)",
    "trl": "TRL chunked divergence (one teacher)",
    "liger": "Liger fused linear JSD (one teacher)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all variants, print the table and keep it in ``benchmarks/results``."""
    options = _options(argv)
    if options.one is not None:
        print(json.dumps(_measure_one(options)))
        return 0
    measured = {name: _in_a_process(name, options) for name in options.variants}
    losses = {name: _in_a_process(f"loss:{name}", options) for name in options.losses}
    text = _report(measured, losses, options)
    print(text)
    if options.save:
        folder = Path(__file__).parent / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"training-{options.shape}-{options.device}.md").write_text(text, encoding="utf-8")
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
    options = parser.parse_args(argv)
    if options.dtype is None:
        options.dtype = "float32" if options.device == "cpu" else "bfloat16"
    return options


def _in_a_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one variant in a new process; return its figures, or why there are none."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training", "--one", name]
    for key in ("shape", "device", "dtype", "batch", "length", "rank", "steps"):
        command += [f"--{key}", str(getattr(options, key))]
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parent.parent, check=False
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no output"]
        return {"error": last[0][:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _measure_one(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one variant in this process."""
    import torch

    if options.device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        if options.one.startswith("loss:"):
            step, extra = _loss_step(options.one.removeprefix("loss:"), options), {}
        else:
            step, extra = _training_step(options.one, options, Path(folder))
        loaded = _memory(options.device)
        step()
        seconds = []
        for _ in range(options.steps):
            start = _clock(options.device)
            step()
            seconds.append(_clock(options.device) - start)
        return {"seconds": min(seconds), "loaded": loaded, "peak": _memory(options.device), **extra}


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


def _training_step(
    name: str, options: argparse.Namespace, folder: Path
) -> tuple[Callable[[], None], dict[str, Any]]:
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
    extra: dict[str, Any] = {}
    if name in ("lora", "naive"):
        student = _adapted(options, ["compat"])
    else:
        student = _adapted(options, ["new", "compat"])
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
        old, new, extra = _cached(name, options, rows, new, folder)
    gc.collect()
    trainable = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, fused=True)
    student.train()
    turn = [0]

    def step() -> None:
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

    return step, extra


def _cached(
    name: str, options: argparse.Namespace, rows: Any, new: Any, folder: Path
) -> tuple[Any, Any, dict[str, Any]]:
    """Fill the caches of both teachers, in a process of its own for the old model's memory; return them."""
    import torch

    from muscle_llm.distill.teachers import LiveTeacher
    from muscle_llm.train.teaching import CacheSettings, cached_teacher

    settings = CacheSettings(
        folder, 64 if name == "top_k" else None, 2.0, SHAPES[options.shape]["vocab_size"]
    )
    spent = _clock(options.device)
    made = []
    for who, live in (("old", lambda: LiveTeacher(_adapted(options, ["old"]).eval())), ("new", lambda: new)):
        made.append(
            cached_teacher(
                identity={"who": who},
                live=live,
                rows=rows,
                tokenizer=_Tokens(),  # type: ignore[arg-type]
                settings=settings,
                device=torch.device(options.device),
                title=who,
                progress=False,
            )
        )
    tokens = sum(row.targets for row in rows)
    extra = {
        "bytes_per_token": made[0].store.bytes_per_token(),
        "fill_seconds_per_token": (_clock(options.device) - spent) / tokens,
    }
    if options.device != "cpu":
        torch.cuda.reset_peak_memory_stats()  # the old model is gone; a real run fills the cache before
    return made[0], made[1], extra


class _Tokens:
    """Stands in for a tokenizer: the rows are random tokens."""

    eos_token_id = 2

    def get_vocab(self) -> dict[str, int]:
        """Return nothing: no text is cut."""
        return {}


def _loss_step(name: str, options: argparse.Namespace) -> Callable[[], None]:
    """Return the loss alone, forward and backward, from hidden states of N tokens to their gradient."""
    import torch

    from muscle_llm.distill.fused import fused_compatibility_loss
    from muscle_llm.distill.heads import Head
    from muscle_llm.distill.losses import compatibility_loss
    from muscle_llm.distill.teacher_tokens import HiddenTokens

    N, shape = options.batch * options.length, SHAPES[options.shape]
    H, V = shape["hidden_size"], shape["vocab_size"]
    dtype, device = getattr(torch, options.dtype), options.device
    student, old, new = ((torch.randn(N, H, device=device)).to(dtype) for _ in range(3))
    weights = [(torch.randn(V, H, device=device) * 0.05).to(dtype) for _ in range(2)]
    targets_N = torch.randint(0, V, (N,), device=device)
    heads = [Head(weight) for weight in weights]

    def loss_of(hidden_NH: torch.Tensor) -> torch.Tensor:
        if name == "fused":
            said = HiddenTokens(old, heads[1]), HiddenTokens(new, heads[0])
            return fused_compatibility_loss(hidden_NH[None], heads[0], *said, targets_N[None]).loss
        if name == "plain":
            z = heads[0].logits(hidden_NH)[None], heads[1].logits(old)[None]
            return compatibility_loss(z[0], z[1], z[1], targets_N[None], mask="old_only").loss
        if name == "trl":
            from trl.kernels.chunked_divergence import ChunkedDivergenceFunction

            return ChunkedDivergenceFunction.apply(
                hidden_NH, weights[0], None, old, weights[1], None, 0.0, 2.0
            )[0].mean()
        from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

        liger = LigerFusedLinearJSDLoss(
            weight_hard_loss=0.0,
            weight_soft_loss=1.0,
            beta=0.0,
            temperature=2.0,
            compiled=False,
            compute_ce_loss=False,
        )
        return liger(hidden_NH, weights[0], old, weights[1], targets_N)

    def step() -> None:
        hidden_NH = student.clone().requires_grad_()
        loss_of(hidden_NH).backward()

    return step


def _report(measured: dict[str, Any], losses: dict[str, Any], options: argparse.Namespace) -> str:
    """Return the tables as Markdown."""
    import torch
    import transformers

    shape = SHAPES[options.shape]
    kind = "processor time, one thread" if options.device == "cpu" else "clock"
    lines = [
        f"# Training: {options.shape} on {options.device}",
        "",
        f"Batch {options.batch} x {options.length} tokens, {options.dtype}, LoRA rank {options.rank} on all "
        f"linear layers, vocabulary {shape['vocab_size']}, hidden {shape['hidden_size']}; best of "
        f"{options.steps} steps ({kind}).",
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {_hardware(options.device)}.",
        "",
        "| step | seconds | against LoRA | peak memory, GB | against LoRA | tokens/s | cache, bytes/token |",
        "|---|---|---|---|---|---|---|",
    ]
    reference = measured.get("lora", {})
    tokens = options.batch * options.length
    for name, found in measured.items():
        lines.append(_row(VARIANTS[name], found, reference, tokens, cache=True))
    lines += ["", "Peak memory of a CPU process includes Python and its libraries.", ""]
    if losses:
        lines += [
            f"The loss alone, {tokens} tokens, forward and backward:",
            "",
            "| loss | seconds | against fused | peak memory, GB | against fused | tokens/s |",
            "|---|---|---|---|---|---|",
        ]
        for name, found in losses.items():
            lines.append(_row(LOSSES[name], found, losses.get("fused", {}), tokens, cache=False))
    return "\n".join(lines) + "\n"


def _row(title: str, found: dict[str, Any], reference: dict[str, Any], tokens: int, *, cache: bool) -> str:
    """Return one line of a table."""
    if "error" in found:
        return f"| {title} | not measured: {found['error'].replace('|', '/')} |" + " |" * (5 if cache else 4)

    def against(key: str) -> str:
        return f"{found[key] / reference[key]:.2f}" if key in reference else "-"

    cells = [
        title,
        f"{found['seconds']:.3f}",
        against("seconds"),
        f"{found['peak'] / 1e9:.2f}",
        against("peak"),
        f"{tokens / found['seconds']:.0f}",
    ]
    if cache:
        cells.append(str(found.get("bytes_per_token", "-")))
    return "| " + " | ".join(cells) + " |"


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
