"""The command line starts without what it does not need."""

from __future__ import annotations

import json
import subprocess
import sys

_RUN = """
import sys
from muscle_llm.cli import main
code = main(sys.argv[1:])
heavy = [m for m in ("pandas", "scipy", "pydantic", "yaml", "torch") if m in sys.modules]
print("|", code, heavy)
"""


def test_compare_imports_nothing_heavy(tmp_path):
    for name, right in (("old", [1, 1, 0, 1]), ("new", [1, 0, 1, 1])):
        rows = [{"id": i, "correct": r, "answer": "A"} for i, r in enumerate(right)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = ["compare", "old.jsonl", "new.jsonl", "--html", "page.html"]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.rsplit("|", 1)[1].strip() == "0 []", done.stdout


def test_pandas_still_works_after_it_was_passed_over():
    code = (
        "from muscle_llm.cli.quick import without_pandas; import sys; without_pandas();"
        "import pyarrow as pa; assert 'pandas' not in sys.modules;"
        "assert pa.table({'a': [1]}).to_pandas()['a'].tolist() == [1];"
        "import pandas as pd; assert pa.array(pd.Series([1, None])).to_pylist() == [1.0, None]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
