from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from muscle_llm.distill.store import open_store, store_key  # noqa: E402
from muscle_llm.errors import InputError  # noqa: E402

pytestmark = pytest.mark.train

RECORD = np.dtype([("hidden", "<f4", (3,))])
COUNTS = [4, 1, 7, 2, 2, 5]
DESCRIPTION = {"data": "d", "tokenizer": "t", "temperature": 2.0}


def opened(folder, **changes):
    return open_store(
        folder, {**DESCRIPTION, **changes}, tokens_of_rows=COUNTS, record=RECORD, shard_tokens=8
    )


def content(rows):
    """Every token's record says its row and its place."""
    values = [(row, place, row * place) for row in rows for place in range(COUNTS[row])]
    return np.array([(v,) for v in values], dtype=RECORD)


def fill(store, **kw):
    for shard in store.missing(**kw):
        store.write(shard, content(store.rows_of(shard)))


def test_what_is_written_is_read_in_any_order(tmp_path):
    store = opened(tmp_path)
    assert [store.rows_of(s) for s in range(store.shards)] == [[0, 1], [2], [3, 4], [5]]
    fill(store)
    assert store.missing() == []
    for rows in ([5, 0], [1], [2, 2, 4], [3]):
        assert np.array_equal(opened(tmp_path).read(rows)["hidden"], content(rows)["hidden"])


def test_filling_goes_on_where_it_stopped(tmp_path):
    store = opened(tmp_path)
    store.write(1, content(store.rows_of(1)))
    assert opened(tmp_path).missing() == [0, 2, 3]
    (tmp_path / "00002.bin").write_bytes(b"half a shard")  # killed before its note was written
    assert opened(tmp_path).missing() == [0, 2, 3]
    fill(opened(tmp_path))
    assert np.array_equal(opened(tmp_path).read([4])["hidden"], content([4])["hidden"])


def test_processes_share_the_work(tmp_path):
    first, second = opened(tmp_path), opened(tmp_path)
    assert sorted(first.missing(rank=0, processes=2) + second.missing(rank=1, processes=2)) == [0, 1, 2, 3]
    fill(first, rank=0, processes=2)
    fill(second, rank=1, processes=2)
    assert opened(tmp_path).missing() == []


@pytest.mark.parametrize("change", [{"data": "other"}, {"tokenizer": "other"}, {"temperature": 1.0}])
def test_a_store_of_something_else_is_refused(tmp_path, change):
    fill(opened(tmp_path))
    with pytest.raises(InputError, match=f"{next(iter(change))} differ"):
        opened(tmp_path, **change)
    assert store_key({**DESCRIPTION, **change}) != store_key(DESCRIPTION)


def test_a_damaged_shard_is_refused(tmp_path):
    fill(opened(tmp_path))
    data = bytearray((tmp_path / "00001.bin").read_bytes())
    data[5] ^= 1
    (tmp_path / "00001.bin").write_bytes(data)
    store = opened(tmp_path)
    store.read([0])
    with pytest.raises(InputError, match=r"00001\.bin.*damaged"):
        store.read([2])
    (tmp_path / "00001.json").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        opened(tmp_path).read([2])


def test_a_broken_description_is_refused(tmp_path):
    opened(tmp_path)
    (tmp_path / "store.json").write_text(json.dumps([1]))
    with pytest.raises(InputError, match="not the description"):
        opened(tmp_path)
