"""train, teachers and dial from the command line."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("lm_eval")

from muscle_llm.cli import main

pytestmark = pytest.mark.train

TRAINING = "training: {epochs: 2, batch_size: 4, gradient_accumulation: 2, learning_rate: 5e-3}\n"
SHORT = "training: {epochs: 1, batch_size: 4, gradient_accumulation: 2, learning_rate: 5e-3}\n"


@pytest.fixture(scope="module")
def world(tiny_base, tiny_base_2, tmp_path_factory):
    """A folder with a task of one's own, settings, and the task adapters of both bases."""
    folder = tmp_path_factory.mktemp("cli")
    for name, start, count in (("train", 0, 24), ("test", 50, 4)):
        rows = [
            {"prompt": f"what is {i}+{i % 7}?", "answer": f"{i + i % 7}"} for i in range(start, start + count)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "sums.yaml").write_text(
        "task: sums\ndata: {train: train.jsonl, test: test.jsonl}\nprompt: prompt\nanswer: answer\n"
    )
    for name, base in (("old", tiny_base), ("new", tiny_base_2)):
        (folder / f"{name}.yaml").write_text(
            f"base: {base}\ntask: sums.yaml\nout: {name}\nlora: {{rank: 4, alpha: 8}}\n{TRAINING}"
        )
        assert main(["train", "task", "--config", str(folder / f"{name}.yaml"), "--quiet"]) == 0
    (folder / "compat.yaml").write_text(
        f"old_base: {tiny_base}\nold_adapter: old\nnew_base: {tiny_base_2}\nnew_adapter: new\n"
        f"task: sums.yaml\nout: compat\n{SHORT}"
    )
    return folder


def run(*arguments, code=0):
    assert main([str(a) for a in arguments]) == code


def test_flags_change_the_file(world, tmp_path, capsys):
    run(
        "train",
        "task",
        "--config",
        world / "old.yaml",
        "--out",
        tmp_path / "a",
        "--max-steps",
        1,
        "--json",
        "-",
    )
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 1
    assert result["adapter_dir"] == str(tmp_path / "a")
    record = json.loads((tmp_path / "a" / "training.json").read_text())
    assert (record["training"]["max_steps"], record["training"]["learning_rate"]) == (1, 5e-3)
    assert record["lora"]["rank"] == 4


def test_a_finished_adapter_is_not_written_over_by_chance(world, capsys):
    run("train", "task", "--config", world / "old.yaml", "--quiet", code=2)
    assert "holds a finished adapter" in capsys.readouterr().err


def test_an_interrupted_training_goes_on(world, tmp_path, monkeypatch, capsys):
    from muscle_llm.train.trainer import AdapterTrainer

    real, calls = AdapterTrainer.compute_loss, []

    def killed(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    command = (
        "train",
        "task",
        "--config",
        world / "new.yaml",
        "--out",
        tmp_path / "a",
        "--checkpoint-steps",
        1,
    )
    with monkeypatch.context() as patch:
        patch.setattr(AdapterTrainer, "compute_loss", killed)
        run(*command, "--quiet", code=130)
    assert (tmp_path / "a" / "checkpoints" / "checkpoint-2").is_dir()
    run(*command, "--quiet")
    weights = "adapter_model.safetensors"
    assert (tmp_path / "a" / weights).read_bytes() == (world / "new" / weights).read_bytes()


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        ("sede: 3", (), "line 8: unknown key 'sede'. Did you mean"),
        ("loss: {mask: student_rong}", (), "line 8: 'loss': No mask is named 'student_rong'. Did you mean"),
        ("loss:\n  temperature: 0", (), "line 8: 'loss': The temperature must be above 0"),
        ("selection: best", (), "No selection is named 'best'"),
        ("", ("--mask", "old_wright"), "command line: 'loss': No mask is named 'old_wright'"),
        ("", ("--epochs", "0"), "command line: 'training': TrainSettings.epochs must be above 0"),
        ("", ("--accuracy-loss", "3"), "command line: accuracy_loss must be a share"),
        ("", ("--task", "no_such_task"), "no_such_task"),
        ("", ("--new-adapter", "nowhere"), "there is no such adapter folder"),
    ],
)
def test_mistakes_are_named(world, tmp_path, capsys, change, flags, message):
    file = world / "mistaken.yaml"
    file.write_text((world / "compat.yaml").read_text() + change + "\n")
    run("train", "compat", "--config", file, "--out", tmp_path / "c", "--quiet", *flags, code=2)
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_another_tokenizer_is_refused(world, tiny_base, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(tiny_base, other)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    for command in (
        ("train", "compat", "--out", tmp_path / "c"),
        ("teachers", "--cache-dir", tmp_path / "d"),
    ):
        run(*command, "--config", world / "compat.yaml", "--old-base", other, "--quiet", code=2)
        assert "different tokenizers" in capsys.readouterr().err


def test_the_help_names_every_mask_and_divergence(capsys):
    from muscle_llm.distill.divergences import DIVERGENCES
    from muscle_llm.distill.masks import MASKS

    run("train", "compat", "--help")
    said = capsys.readouterr().out
    assert all(name in said for name in (*MASKS, *DIVERGENCES))


def test_what_is_missing_is_named(capsys):
    run("train", "task", "--task", "piqa", code=2)
    assert "needs 'base': give --base, or 'base:' in the file of --config" in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch, capsys):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for command in (("train", "task"), ("train", "compat"), ("teachers",), ("dial",)):
        run(*command, code=2)
        assert "pip install 'muscle-llm[train]'" in capsys.readouterr().err


def test_the_adapter_of_another_base_is_refused(world, tiny_base, tmp_path, capsys):
    run(
        "train",
        "compat",
        "--config",
        world / "compat.yaml",
        "--out",
        tmp_path,
        "--old-adapter",
        world / "new",
        code=2,
    )
    assert "belongs to another base" in capsys.readouterr().err
    flags = ("--new-adapter", world / "new", "--compat-adapter", world / "old", "--out", tmp_path / "d")
    run("dial", *flags, code=2)
    assert "bases of different shapes" in capsys.readouterr().err
    run("dial", *flags[:2], "--compat-adapter", world / "new", *flags[4:], "--base", tiny_base, code=2)
    assert "belongs to another base" in capsys.readouterr().err


def test_teachers_train_and_dial(world, tmp_path, capsys):
    """What `teachers` writes is what `train compat` reads; the dial mixes what came out."""
    config = ("--config", world / "compat.yaml", "--cache-dir", tmp_path / "caches")
    run("train", "compat", *config, "--out", tmp_path / "c", "--no-fill", "--quiet", code=2)
    assert "holds no teacher cache" in capsys.readouterr().err
    run("teachers", *config, "--verify", "--quiet", code=2)
    assert "no cache of the old teacher" in capsys.readouterr().err
    run("teachers", *config, "--json", "-", "--quiet")
    made = json.loads(capsys.readouterr().out)["caches"]
    assert [(c["teacher"], c["missing"], c["bytes_per_token"]) for c in made] == [
        ("old", 0, 128),
        ("new", 0, 192),
    ]
    run("teachers", *config, "--verify")
    assert capsys.readouterr().out.count("checksums are right") == 2
    run(
        "train",
        "compat",
        *config,
        "--out",
        tmp_path / "c",
        "--no-fill",
        "--selection",
        "nfr",
        "--json",
        tmp_path / "c.json",
    )
    assert "NFR" in capsys.readouterr().out
    result = json.loads((tmp_path / "c.json").read_text())
    assert len(result["eval_nfr"]) == len(result["eval_losses"]) == 1

    # caches of other data, tokens or temperature are refused, and the difference is named
    run("train", "compat", *config, "--out", tmp_path / "d", "--no-fill", "--seed", 1, "--quiet", code=2)
    assert "is of another data" in capsys.readouterr().err
    truncated = ("--teachers", "top_k", "--top-k", 8)
    run("teachers", *config, *truncated, "--measure", 4, "--quiet")
    assert "nats a token" in capsys.readouterr().out
    run(
        "train",
        "compat",
        *config,
        *truncated,
        "--temperature",
        1,
        "--out",
        tmp_path / "d",
        "--no-fill",
        code=2,
    )
    assert "is of another temperature" in capsys.readouterr().err
    for store in (tmp_path / "caches").glob("*/00000.bin"):
        store.write_bytes(bytes([store.read_bytes()[0] ^ 255]) + store.read_bytes()[1:])
    run("teachers", *config, "--verify", "--quiet", code=2)
    assert "damaged" in capsys.readouterr().err

    shares = ("--share", 0.25, "--share", 0.5, "--out", tmp_path / "dial")
    adapters = ("--new-adapter", world / "new", "--compat-adapter", tmp_path / "c")
    run("dial", *adapters, *shares, "--json", "-", "--quiet")
    assert [m["share"] for m in json.loads(capsys.readouterr().out)["mixtures"]] == [0.25, 0.5]
    assert json.loads((tmp_path / "dial" / "share-0.25" / "adapter_config.json").read_text())["r"] == 8
    run("dial", *adapters, *shares, code=2)
    assert "holds a finished adapter" in capsys.readouterr().err
