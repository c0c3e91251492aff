"""Log-likelihoods of options: this package's engine against the harness's own, in one run on one machine.

    python -m benchmarks.predict --instances 96

HellaSwag-like choices (contexts of about 45 tokens, four endings of about 25) on a random 58M Llama. Prints
the times, their ratio, and on how many instances both choose the same option.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=96)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--harness-batch", type=int, default=8, help="options at once, in the harness")
    chosen = parser.parse_args()
    import torch

    model, tokenizer = _model(chosen.hidden, chosen.layers, chosen.vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        task = _task(Path(folder), chosen.instances, chosen.vocabulary)
    ours, our_seconds = _ours(model, tokenizer, task)
    theirs, their_seconds = _harness(model, tokenizer, task, chosen.harness_batch)
    same = sum(int(np.argmax(a) == np.argmax(b)) for a, b in zip(ours, theirs, strict=True))
    largest = max(abs(x - y) for a, b in zip(ours, theirs, strict=True) for x, y in zip(a, b, strict=True))
    size = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{size:.0f}M parameters, {chosen.instances} instances of 4 options, {model.device}, {model.dtype}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    print(f"harness      {their_seconds:8.1f} s   1.00")
    print(f"muscle-llm   {our_seconds:8.1f} s   {their_seconds / our_seconds:.2f}")
    print(f"same choice on {same} of {len(ours)}; largest difference {largest:.1e} nats")


def _model(hidden: int, layers: int, vocabulary: int) -> tuple[Any, Any]:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<s>", "</s>", "<pad>", "<unk>", *(f"w{i}" for i in range(vocabulary - 4))]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 11 // 4,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        max_position_embeddings=512,
    )
    model: Any = LlamaForCausalLM(config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device).eval(), PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def _task(folder: Path, instances: int, vocabulary: int) -> Any:
    from muscle_llm.tasks import load_task

    draw = random.Random(0)

    def text(mean: float, spread: float, least: int) -> str:
        return " ".join(
            f"w{draw.randrange(vocabulary - 4)}" for _ in range(max(least, int(draw.gauss(mean, spread))))
        )

    rows = [
        {"prompt": text(45, 15, 8), "options": [text(25, 8, 3) for _ in range(4)], "gold": draw.randrange(4)}
        for _ in range(instances)
    ]
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    spec = {"task": "choices", "data": "test.jsonl", "choices": "options", "answer": "gold"}
    return load_task(spec, data_dir=folder)


def _ours(model: Any, tokenizer: Any, task: Any) -> tuple[list[list[float]], float]:
    from muscle_llm.predict import predict

    predict(model, tokenizer, task, model_name="warm-up", limit=4, progress=False)
    start = time.perf_counter()
    found = predict(model, tokenizer, task, model_name="ours", progress=False)
    return found.table["choice_scores"].to_pylist(), time.perf_counter() - start


def _harness(model: Any, tokenizer: Any, task: Any, batch: int) -> tuple[list[list[float]], float]:
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    from muscle_llm.tasks.quiet import quiet_harness

    with quiet_harness():
        start = time.perf_counter()
        engine = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)
        found: Any = lm_eval.evaluate(engine, {"tasks": {task.name: task.harness}}, bootstrap_iters=0)
        seconds = time.perf_counter() - start
    return [[r[0][0] for r in s["resps"]] for s in found["samples"][task.name]], seconds


if __name__ == "__main__":
    main()
