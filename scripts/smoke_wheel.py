"""Build the wheel and try it outside the checkout: without the training extra, then with it.

The light trial is a virtual environment of its own with the locked base dependencies only, so that a torch
import creeping into the comparing half fails here. The full trial takes the wheel's code with the training
libraries of the environment this script runs in. In both, pip finds what the wheel says it needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROWS = 20


def run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None, expect: int = 0) -> str:
    """Run a command and return what it printed; fail when its exit code is another than expected."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != expect:
        sys.exit(
            f"{' '.join(command)}\nexit code {done.returncode}, expected {expect}\n{done.stdout}{done.stderr}"
        )
    return done.stdout + done.stderr


def pip(command: str, *arguments: str, into: Path | None = None) -> list[str]:
    """Return a command of this environment's pip, which works on the environment ``into`` if one is given."""
    where = ["--python", str(into)] if into else []
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", *where, command, *arguments]


def build(folder: Path) -> Path:
    """Build the wheel into ``folder`` and return its path."""
    run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        cwd=folder,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def write_sample(folder: Path) -> None:
    """Write two small prediction files."""
    for name, wrong in (("old", {1}), ("new", {2, 3})):
        rows = [{"id": str(i), "answer": "x" if i in wrong else "y", "reference": "y"} for i in range(ROWS)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def try_compare(command: list[str], folder: Path, env: dict[str, str] | None = None) -> None:
    """Compare the sample and check the counts and the page."""
    shown = run([*command, "compare", "old.jsonl", "new.jsonl", "--json", "-"], cwd=folder, env=env)
    counts = json.loads(shown)["counts"]
    assert (counts["negative_flips"], counts["positive_flips"], counts["n"]) == (2, 1, ROWS), counts
    run([*command, "compare", "old.jsonl", "new.jsonl", "--html", "page.html"], cwd=folder, env=env)
    assert "<html" in (folder / "page.html").read_text(encoding="utf-8")


def try_light(wheel: Path, folder: Path) -> None:
    """Try the wheel where only the base dependencies are installed."""
    # No pip of its own and no compiling of what is never imported: these took half of this trial's time.
    venv.create(folder / "light", with_pip=False)
    python = folder / "light" / "bin" / "python"
    light = str(ROOT / "requirements" / "light.txt")
    run(pip("install", "--no-compile", "--no-deps", "--require-hashes", "-r", light, into=python), cwd=folder)
    run(pip("install", "--no-deps", str(wheel), into=python), cwd=folder)
    run(pip("check", into=python), cwd=folder)
    run([str(python), "-c", "import torch"], cwd=folder, expect=1)
    command = [str(folder / "light" / "bin" / "muscle-llm")]
    run([*command, "--version"], cwd=folder)
    best = min(_seconds([*command, "--help"], folder) for _ in range(3))
    try_compare(command, folder)
    refused = run([*command, "demo", "--out", "run"], cwd=folder, expect=2)
    assert "pip install 'muscle-llm[train]'" in refused, refused
    assert "Traceback" not in refused, refused
    print(f"wheel without the extra: ok (--help in {best:.2f} s; training commands name the extra)")


def try_full(wheel: Path, folder: Path) -> None:
    """Try the wheel's training half with this environment's libraries."""
    target = folder / "full"
    # Without an index the wheel's own requirements, the extra's among them, must be met by what is there.
    run(pip("install", "--no-index", "--dry-run", f"{wheel}[train]"), cwd=folder)
    run(pip("install", "--no-index", "--no-deps", "--target", str(target), str(wheel)), cwd=folder)
    env = {**os.environ, "PYTHONPATH": str(target)}
    where = run([sys.executable, "-c", "import muscle_llm; print(muscle_llm.__file__)"], cwd=folder, env=env)
    assert str(target) in where, f"the wheel is hidden by {where}"
    command = [sys.executable, "-m", "muscle_llm"]
    try_compare(command, folder, env)
    shown = run([*command, "demo", "--out", "run", "--size", "smoke"], cwd=folder, env=env)
    assert "muscle" in shown, shown
    print("wheel with the extra: ok (a whole small update ran)")


def _seconds(command: list[str], folder: Path) -> float:
    begun = time.monotonic()
    run(command, cwd=folder)
    return time.monotonic() - begun


def main() -> None:
    """Build, then both trials."""
    with tempfile.TemporaryDirectory(prefix="muscle-llm-wheel-") as name:
        folder = Path(name)
        wheel = build(folder)
        print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.1f} MiB")
        write_sample(folder)
        try_light(wheel, folder)
        try_full(wheel, folder)


if __name__ == "__main__":
    main()
