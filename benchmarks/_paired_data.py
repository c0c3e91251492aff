"""Made data for `benchmarks.compare`: two versions' answers to the same instances, with 100 slices.

python -m benchmarks._paired_data FOLDER ROWS      old.parquet, new.parquet (in another order)
python -m benchmarks._paired_data FOLDER page      old.jsonl, new.jsonl: 1319 rows with texts
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muscle_llm.predictions.arrow import pc

SLICES = 100
PAGE_ROWS = 1319
SEED = 20240712


def write_parquet(folder: Path, rows: int) -> None:
    """Write ``rows`` instances of four options, old right on 70 %, one answer in seven asked anew.

    Slice s of 100 loses s/1000 more, so that some slices truly get worse.
    """
    rng = np.random.default_rng(SEED)
    topic = rng.integers(0, SLICES, rows, np.int8)
    gold = rng.integers(0, 4, rows, np.int8)
    old = rng.random(rows) < 0.7
    anew = rng.random(rows) < 1 / 7
    new = np.where(anew, rng.random(rows) < 0.75 - topic / 1000, old)
    missed = [((gold + rng.integers(1, 4, rows, np.int8)) % 4).astype(np.int8) for _ in range(2)]
    old_answer = np.where(old, gold, missed[0])
    new_answer = np.where(new, gold, np.where(anew, missed[1], missed[0]))
    sides = {
        "old": (old, old_answer, np.arange(rows)),
        "new": (new, new_answer, rng.permutation(rows)),
    }
    topics, letters = [f"topic {s:02d}" for s in range(SLICES)], list("ABCD")
    for name, (right, answer, order) in sides.items():
        ids = pc.binary_join_element_wise("instance-", pa.array(order).cast(pa.string()), "")
        table = pa.table(
            {
                "id": ids,
                "answer": _words(answer[order], letters),
                "correct": pa.array(right[order]),
                "slice_topic": _words(topic[order], topics),
            }
        )
        pq.write_table(table, folder / f"{name}.parquet")


def _words(codes: np.ndarray, words: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words)).cast(pa.string())


def write_page_logs(folder: Path) -> None:
    """Write 1319 instances with questions and worked answers, as long as those of GSM8K."""
    draw = random.Random(SEED)
    words = [f"word{i}" for i in range(400)]

    def text(mean: int) -> str:
        return " ".join(draw.choices(words, k=max(3, int(draw.gauss(mean, mean / 3)))))

    questions = [text(45) for _ in range(PAGE_ROWS)]
    gold = [str(draw.randrange(1000)) for _ in range(PAGE_ROWS)]
    for name, share in (("old", 0.35), ("new", 0.56)):
        lines = []
        for number, (question, right) in enumerate(zip(questions, gold, strict=True)):
            answer = right if draw.random() < share else str(draw.randrange(1000))
            row = {"id": f"q{number}", "prompt": question, "output": text(90), "answer": answer}
            lines.append(json.dumps({**row, "reference": right}))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if sys.argv[2] == "page":
        write_page_logs(target)
    else:
        write_parquet(target, int(sys.argv[2]))
