"""`muscle-llm compare` from 0.1 to 10 million rows, against a plain bootstrap in pandas and NumPy.

    python -m benchmarks compare [--sizes 100000 1000000 10000000] [--out benchmarks/results/compare.md]

Every measurement is a process of its own, start-up included: wall-clock, processor time (user and system)
and peak memory as the operating system counts them. The data are made, with a seed, in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

DRAWS = 2000  # resamples of the plain bootstrap; `compare` uses as many where it draws
PLAIN = {100_000: DRAWS, 1_000_000: 60}  # rows -> resamples measured; the rest is extrapolated
FIGURES = (
    "accuracy_old",
    "accuracy_new",
    "accuracy_difference",
    "nfr",
    "pfr",
    "nfr_mc",
    "agreement",
    "churn",
)
FIGURES += ("btc", "bec", "nfr_relative", "both_right", "both_wrong")


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of wall clock and of processor, bytes at its peak."""

    wall: float
    cpu: float
    peak: int


def run(command: Sequence[str], output: Path) -> Cost:
    """Run a command to its end, its standard output to a file."""
    start = time.perf_counter()
    actions = [(os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)]
    child = os.posix_spawn(command[0], list(command), os.environ, file_actions=actions)
    _, status, used = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(command)} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def compare(folder: Path, suffix: str, *outputs: str) -> Cost:
    """Run `muscle-llm compare` on old and new of a folder."""
    files = [str(folder / f"{side}.{suffix}") for side in ("old", "new")]
    return run(
        [sys.executable, "-m", "muscle_llm", "compare", *files, *outputs],
        folder / "printed.txt",
    )


def plain(folder: Path, draws: int) -> tuple[Cost, dict[str, Any]]:
    """Run the plain bootstrap, and return what it printed."""
    files = [str(folder / f"{side}.parquet") for side in ("old", "new")]
    output = folder / "plain.json"
    cost = run([sys.executable, "-m", "benchmarks._plain_bootstrap", *files, str(draws)], output)
    return cost, json.loads(output.read_text())


def agreement(document: dict[str, Any], found: dict[str, Any]) -> dict[str, float]:
    """Return the largest difference of a figure, and of a bound overall and in slices, in half-widths."""
    values, bounds = [], {"all": [], "slices": []}
    pairs = [("all", document["metrics"], found["all"])]
    pairs += [("slices", s["metrics"], found["slices"][s["value"]]) for s in document["slices"]]
    for where, ours, theirs in pairs:
        for figure in FIGURES:
            value, low, high = theirs[figure]
            values.append(abs(ours[figure]["value"] - value))
            half = (ours[figure]["high"] - ours[figure]["low"]) / 2
            bounds[where] += [abs(ours[figure]["low"] - low) / half, abs(ours[figure]["high"] - high) / half]
    return {
        "figure": max(values),
        "all": max(bounds["all"]),
        "slices": max(bounds["slices"]),
        "slices_median": statistics.median(bounds["slices"]),
        # Standard error of a normal 2.5 % quantile from n draws: sqrt(p (1-p) / n) / density.
        "noise": math.sqrt(0.025 * 0.975 / found["draws"]) / 0.05845 / 1.96,
    }


def measure_size(rows: int) -> tuple[dict[str, Any], list[str]]:
    """Return a row of the table of sizes, and lines about the plain bootstrap."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([sys.executable, "-m", "benchmarks._paired_data", name, str(rows)], folder / "made.txt")
        ours = compare(folder, "parquet", "--json", str(folder / "out.json"))
        page = compare(folder, "parquet", "--html", str(folder / "out.html"))
        row = {"rows": rows, "json": ours, "page": page, "bytes": (folder / "out.html").stat().st_size}
        lines: list[str] = []
        if rows in PLAIN:
            cost, found = plain(folder, PLAIN[rows])
            whole = cost.wall + (DRAWS - found["draws"]) * found["seconds_per_draw"]
            agree = agreement(json.loads((folder / "out.json").read_text()), found)
            lines = _plain_lines(rows, ours, cost, found, whole, agree)
            row["ratio"] = whole / ours.wall
    return row, lines


def _plain_lines(
    rows: int, ours: Cost, cost: Cost, found: dict[str, Any], whole: float, agree: dict[str, Any]
) -> list[str]:
    drawn = found["draws"]
    how = (
        "all measured"
        if drawn == DRAWS
        else f"{drawn} measured in {cost.wall:.0f} s, the rest at {found['seconds_per_draw']:.3f} s each"
    )
    cells = [
        f"{rows:,}",
        f"{ours.wall:.2f}",
        f"{whole:.0f} ({how})",
        f"{whole / ours.wall:.0f}",
        f"{cost.peak / 1e9:.2f}",
        f"{agree['figure']:.0e}",
        f"{agree['all']:.2f}",
        f"{agree['slices_median']:.2f} / {agree['slices']:.2f}",
        f"{agree['noise']:.2f}",
    ]
    return [f"| {' | '.join(cells)} |"]


def measure_page(times: int) -> list[Cost]:
    """Return what 1319 JSONL rows with texts take: start-up, reading, comparing, the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([sys.executable, "-m", "benchmarks._paired_data", name, "page"], folder / "made.txt")
        return [compare(folder, "jsonl", "--html", str(folder / "out.html")) for _ in range(times)]


def report(sizes: Sequence[int], times: int) -> str:
    """Return the results as Markdown."""
    load = os.getloadavg()[0]
    pages = measure_page(times)
    walls = [p.wall for p in pages]
    rows, plain_lines = [], []
    for size in sizes:
        print(f"{size:,} rows ...", file=sys.stderr)
        row, lines = measure_size(size)
        rows.append(row)
        plain_lines += lines
    lines = [
        "# Comparing: time and memory",
        "",
        f"`python -m benchmarks compare --sizes {' '.join(map(str, sizes))}`",
        "",
        f"{_environment()}; load average at the start {load:.1f}.",
        "",
        "Paired rows in Parquet with ids, correctness, answers and 100 slices; the new file is in another "
        "order. Start-up, all figures with intervals (overall and per slice) and writing included; every "
        "measurement is a process of its own. Above 64 MB of texts the page keeps all flips and a sample of "
        "the rest.",
        "",
        "| rows | wall, s | user + system, s | peak, GB | µs a further row | with a page: wall, s | "
        "user + system, s | peak, GB | page, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for before, row in zip([None, *rows], rows, strict=False):
        a, b = row["json"], row["page"]
        each = "-"
        if before is not None:
            each = f"{1e6 * (a.cpu - before['json'].cpu) / (row['rows'] - before['rows']):.1f}"
        cells = [f"{row['rows']:,}"]
        cells += [f"{a.wall:.2f}", f"{a.cpu:.2f}", f"{a.peak / 1e9:.2f}", each]
        cells += [f"{b.wall:.2f}", f"{b.cpu:.2f}", f"{b.peak / 1e9:.2f}", f"{row['bytes'] / 1e6:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Against a plain bootstrap in pandas and NumPy (`benchmarks/_plain_bootstrap.py`: merge, "
        f"{DRAWS} resamples of the instances, the same figures overall and per slice, percentile intervals), "
        "measured in the same run. Differences of bounds are shares of the interval's half-width, as is the "
        "error that the resampling itself leaves in a bound. The bounds of a rate here are Wilson's, which a "
        "percentile interval approaches as flips become many: in a slice of 1000 instances 30 flips are few.",
        "",
        "| rows | muscle-llm, s | plain bootstrap, s | times faster | its peak, GB | largest difference of a "
        "figure | of a bound, all | of a bound, slices: median / largest | resampling error |",
        "|---|---|---|---|---|---|---|---|---|",
        *plain_lines,
        "",
        f"1319 rows of JSONL with questions and worked answers, start-up and page included, {times} times: "
        f"wall {min(walls):.2f} s at best, {statistics.median(walls):.2f} s in the median; user + system "
        f"{statistics.median(p.cpu for p in pages):.2f} s; peak {max(p.peak for p in pages) / 1e6:.0f} MB.",
        "",
        *_aims(rows, pages),
    ]
    return "\n".join(lines) + "\n"


def _aims(rows: Sequence[dict[str, Any]], pages: Sequence[Cost]) -> list[str]:
    last, before = rows[-1], rows[-2] if len(rows) > 1 else rows[-1]
    growth = last["json"].cpu / before["json"].cpu
    times = last["rows"] / before["rows"]
    peak = max(last["json"].peak, last["page"].peak) / 1e9
    page = statistics.median(p.wall for p in pages)
    ratios = [r["ratio"] for r in rows if "ratio" in r]
    aims = [
        (f"peak at {last['rows']:,} rows, page included", "below 4 GB", f"{peak:.2f} GB", peak < 4),
        (
            f"processor time at {last['rows']:,} over that at {before['rows']:,} rows",
            f"at most {times:g}",
            f"{growth:.1f}",
            growth <= times,
        ),
        ("1319 rows, start-up and page, median wall", "below 1.5 s", f"{page:.2f} s", page < 1.5),
    ]
    if ratios:
        aims.insert(
            2,
            ("times faster than the plain bootstrap", "at least 20", f"{min(ratios):.0f}", min(ratios) >= 20),
        )
    table = [f"| {what} | {limit} | {got} | {'yes' if met else 'no'} |" for what, limit, got, met in aims]
    return ["| aim | limit | measured | met |", "|---|---|---|---|", *table]


def _environment() -> str:
    model = platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    packages = ", ".join(f"{p} {version(p)}" for p in ("pyarrow", "numpy", "pandas"))
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, {packages}"


def main() -> None:
    """Run the benchmark, print its tables and keep them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--times", type=int, default=5, help="runs of the 1319 rows")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    chosen = parser.parse_args()
    text = report(chosen.sizes, chosen.times)
    print(text)
    if chosen.out is not None:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
