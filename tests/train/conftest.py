from __future__ import annotations

import pytest

from muscle_llm.tasks.example import Example


@pytest.fixture(scope="session")
def examples():
    """Forty little sums, of ragged length."""
    return [
        Example(str(i), f"{'please ' * (i % 4)}what is {i}+{i % 7}?", f" {i + i % 7}\n" + "ok " * (i % 3))
        for i in range(40)
    ]


@pytest.fixture(scope="session")
def short():
    """Settings of a training that takes a second."""
    pytest.importorskip("torch")
    from muscle_llm.train.settings import TrainSettings

    return TrainSettings(
        learning_rate=5e-3, batch_size=4, gradient_accumulation=2, epochs=2, warmup_steps=2, logging_steps=2
    )


@pytest.fixture(scope="session")
def lora():
    pytest.importorskip("torch")
    from muscle_llm.train.settings import LoraSettings

    return LoraSettings(rank=4, alpha=8)


@pytest.fixture(scope="session")
def adapters(tiny_base, tiny_base_2, examples, short, lora, tmp_path_factory):
    """(old, new) task adapters on tiny_base and tiny_base_2."""
    from muscle_llm.train import train_task_adapter

    folder = tmp_path_factory.mktemp("adapters")
    for base, name in ((tiny_base, "old"), (tiny_base_2, "new")):
        train_task_adapter(
            base=base, examples=examples, output_dir=folder / name, lora=lora, training=short, progress=False
        )
    return folder / "old", folder / "new"
