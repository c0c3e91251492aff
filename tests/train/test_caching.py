"""Caches of both teachers, written ahead of a training."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from muscle_llm.distill.teachers import LiveTeacher  # noqa: E402
from muscle_llm.errors import InputError  # noqa: E402
from muscle_llm.models import load_tokenizer  # noqa: E402
from muscle_llm.train import train_compat_adapter  # noqa: E402
from muscle_llm.train.caching import cache_teachers, truncation_error  # noqa: E402
from muscle_llm.train.data import tokenize  # noqa: E402
from muscle_llm.train.pairs import load_task_model  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture
def models(tiny_base, tiny_base_2, adapters, examples, short):
    return {
        "new_base": tiny_base_2,
        "new_adapter": adapters[1],
        "old_base": tiny_base,
        "old_adapter": adapters[0],
        "examples": examples,
        "training": replace(short, max_steps=1),
        "progress": False,
    }


def test_processes_write_together_and_a_training_reads_it(models, tmp_path):
    other = cache_teachers(**models, cache_dir=tmp_path / "caches", rank=1, processes=2)
    assert [(r.shards, r.missing) for r in other] == [(1, 1), (1, 1)]  # the one shard is the first process's
    with pytest.raises(InputError, match="1 of 1 shards of this teacher cache are missing"):
        cache_teachers(**models, cache_dir=tmp_path / "caches", fill=False)
    whole = cache_teachers(**models, cache_dir=tmp_path / "caches", rank=0, processes=2)
    assert [r.missing for r in whole] == [0, 0]
    assert [r.teacher for r in cache_teachers(**models, cache_dir=tmp_path / "caches", fill=False)] == [
        "old",
        "new",
    ]
    result = train_compat_adapter(
        **models, output_dir=tmp_path / "c", cache_dir=tmp_path / "caches", fill_cache=False
    )
    assert result.steps == 1


def test_what_truncation_leaves_out_is_reported(models, tmp_path):
    reports = {k: cache_teachers(**models, cache_dir=tmp_path, top_k=k, measure_rows=6) for k in (1, 8, 64)}
    rest = [reports[k][0].rest_share for k in (1, 8, 64)]
    assert rest == sorted(rest, reverse=True)
    assert rest[-1] == pytest.approx(0.0, abs=1e-6)  # all 64 tokens were kept
    assert reports[8][0].full_kl == pytest.approx(reports[64][0].full_kl)
    assert 0 < reports[8][0].truncation_error < reports[8][0].full_kl
    assert reports[64][0].truncation_error == pytest.approx(0.0, abs=1e-5)
    assert (reports[8][1].truncation_error, reports[8][1].full_kl) == (None, None)  # of the old teacher only


def test_the_truncation_error_falls_with_k(tiny_base, tiny_base_2, adapters, examples):
    rows = tokenize(examples[:5], load_tokenizer(tiny_base), max_length=64)
    old, new = (
        LiveTeacher(load_task_model(base, adapter, "auto"))
        for base, adapter in zip((tiny_base, tiny_base_2), adapters, strict=True)
    )
    errors = [truncation_error(old, new, rows, k, 2.0)[0] for k in (1, 4, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    assert truncation_error(old, old, rows, 4, 2.0) == pytest.approx((0.0, 0.0), abs=1e-5)
