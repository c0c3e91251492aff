"""How often the intervals hold the truth, and how often unchanged slices are called worse.

    python studies/coverage.py            prints the tables
    python studies/coverage.py --write    also keeps them in studies/coverage.md

Data are simulated with a known truth, thousands of times a cell; the package's own functions give the
intervals. Everything is seeded: the same numbers come out every time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muscle_llm.metrics.clusters import difference_bounds, rate_bounds
from muscle_llm.metrics.repeats import excess_per_instance
from muscle_llm.metrics.slices import WORSE_LEVEL, worse_slices
from muscle_llm.metrics.uncertainty import mcnemar, paired_difference, wilson

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]

SIZES = (100, 1000, 10_000)
RATES = (0.005, 0.05, 0.3)
MANY, SOME = 50_000, 5000  # simulations of counts, and of instances
REPEATS = 5
CLUSTER = 5  # questions on one passage
SHARED = 0.2  # correlation of two questions on one passage
EXPERIMENTS, SLICES = 2000, 100
SPREAD = 1.5  # rates drawn around the nominal one, from rate / SPREAD to rate * SPREAD


def held(bounds: Bounds, truth: Floats | float) -> float:
    """Return the share of intervals that hold the truth."""
    return float(np.mean((bounds[0] <= truth) & (truth <= bounds[1])))


def negative_flips(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """NFR of independent instances: Wilson."""
    return held(wilson(rng.binomial(n, rate), n), rate)


def accuracy_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """New minus old where ``rate`` of the instances are lost and half as many again are gained: Tango."""
    up, down = _two(rng, n, 1.5 * rate, rate)
    return held(paired_difference(up, down, n), 0.5 * rate)


def nfr_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """A remedy's NFR minus the update's: it recovers 60 % of the flips and breaks a sixth as many: Tango."""
    up, down = _two(rng, n, 0.1 * rate, 0.6 * rate)
    return held(paired_difference(up, down, n), -0.5 * rate)


def excess_rerun(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """NFR minus that of an old re-run, whose flips are half as many, a half of them shared: Tango."""
    up, down = _two(rng, n, 0.75 * rate, 0.25 * rate)
    return held(paired_difference(up, down, n), 0.5 * rate)


def _two(rng: np.random.Generator, n: int, up: Floats, down: Floats) -> tuple[Floats, Floats]:
    first = rng.binomial(n, up)
    return first.astype(float), rng.binomial(n - first, down / (1 - up)).astype(float)


def excess_repeats(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """Five answers each: a fifth of the instances wavers; at ``rate`` of the others the share right falls."""
    waver = rng.random((rate.size, n)) < 0.2
    p = np.full(waver.shape, 0.9)
    p[waver] = rng.beta(2, 2, int(waver.sum()))
    falls = rng.random(waver.shape) < rate[:, None]
    q = np.where(falls & ~waver, 0.1, p)
    # Four fifths do not waver; where they fall, from 0.9 to 0.1, p(1-q) - p(1-p) is 0.9 times 0.8.
    truth = 0.8 * rate * 0.9 * 0.8
    tries = np.full(p.shape, float(REPEATS))
    hits = [rng.binomial(REPEATS, share).astype(float) for share in (p, q)]
    values = excess_per_instance((hits[0], tries), (hits[1], tries))
    mean, square = values.mean(1), (values**2).mean(1)
    error = values.std(1, ddof=1) / np.sqrt(n)
    return held(difference_bounds(mean, square, error, np.full(rate.size, n)), truth)


def _grouped(rng: np.random.Generator, n: int, mean: Floats) -> NDArray[np.int64]:
    """Return, per simulation and passage, how many of its five questions count: beta-binomial."""
    scale = (1 - SHARED) / SHARED
    shares = rng.beta(mean[:, None] * scale, (1 - mean[:, None]) * scale, (mean.size, n // CLUSTER))
    return rng.binomial(CLUSTER, shares)


def _cluster_error(sums: Floats, n: int) -> Floats:
    count = sums.shape[1]
    deviations = sums - sums.mean(1, keepdims=True)
    return np.sqrt(count / (count - 1) * (deviations**2).sum(1)) / n


def clustered_rate(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """NFR where five questions share a passage: Wilson on the effective number of instances."""
    lost = _grouped(rng, n, rate).astype(float)
    bounds = rate_bounds(lost.sum(1) / n, _cluster_error(lost, n), np.full(rate.size, n // CLUSTER))
    return held(bounds, rate)


def clustered_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """Accuracy difference where passages as a whole get better or worse: Tango on the effective number."""
    flips = _grouped(rng, n, 2.5 * rate)
    gains = rng.random((rate.size, n // CLUSTER)) < 0.6
    sums = np.where(gains, flips, -flips).astype(float)
    mean, square = sums.sum(1) / n, flips.sum(1) / n
    bounds = difference_bounds(mean, square, _cluster_error(sums, n), np.full(rate.size, n // CLUSTER))
    return held(bounds, 0.5 * rate)


TEXT = """# Coverage of the intervals

`python studies/coverage.py --write`

How often a 95 % interval holds the truth, in per cent: at the rate itself and, in brackets, averaged
over rates from rate / {spread} to rate x {spread}. {many} simulations a cell for the first four figures,
{some} for the others (standard error 0.1 and 0.3 points). The rate is the share of instances that flip
from right to wrong; the docstrings of `studies/coverage.py` say what else moves.

{coverage}

Of {cells} cells {within} lie between 94 and 96 %, and of the averages over nearby rates {near}; of the
{most} cells in which at least 50 flips are expected, {most_within}. The lowest average is {lowest:.1f}
%.

The cells outside:

{outside}

All of them expect fewer than 50 flips. Counts are whole numbers: where half a flip is expected, there
are 0, 1 or 2, and so only three intervals, and the coverage jumps as the rate moves past one of their
bounds. No interval without random numbers can hold its level at every rate then. Wilson's is below it at
some rates, above it at others, and right on the average (the brackets). The score interval of a
difference errs to the safe side: with nothing flipped it still allows for about 4 flips, so that with
0.5 expected it always holds the truth. The same goes for the 20 passages that 100 questions make.

# Slices called worse

{experiments} experiments a row with 100 slices; in unchanged slices 10 % of the instances flip each way,
in worse ones 25 % are lost. Slices are called by Benjamini-Hochberg at {level:g} %: of the calls, at
most {level:g} % are expected to be false.

{slices}
"""

Simulation = Callable[[np.random.Generator, int, Floats], float]
COUNTED: tuple[tuple[str, Simulation], ...] = (
    ("NFR", negative_flips),
    ("accuracy difference", accuracy_difference),
    ("NFR difference of a remedy", nfr_difference),
    ("excess NFR over an old re-run", excess_rerun),
)
DRAWN: tuple[tuple[str, Simulation], ...] = (
    ("excess NFR from five repeats", excess_repeats),
    ("NFR, clusters of five", clustered_rate),
    ("accuracy difference, clusters of five", clustered_difference),
)


def cover(simulate: Simulation, seed: list[int], n: int, rate: float, times: int) -> tuple[float, float]:
    """Return the coverage at the rate itself, and averaged over rates around it."""
    rng = np.random.default_rng(seed)
    block = max(1, min(times, 4_000_000 // n)) if times == SOME else times
    results: tuple[list[float], list[float]] = [], []
    for start in range(0, times, block):
        size = min(block, times - start)
        around = rate * np.exp(rng.uniform(-np.log(SPREAD), np.log(SPREAD), size))
        for kind, rates in enumerate((np.full(size, rate), np.minimum(around, 0.399))):
            results[kind].append(simulate(rng, n, rates) * size)
    return sum(results[0]) / times, sum(results[1]) / times


def coverage_table() -> tuple[list[str], list[tuple[str, int, float, float, float]]]:
    """Return the table's lines, and every cell: interval, N, rate, coverage, average coverage."""
    cells = []
    lines = ["| interval | rate | " + " | ".join(f"N = {n}" for n in SIZES) + " |", "|---|---|---|---|---|"]
    for number, (name, simulate) in enumerate((*COUNTED, *DRAWN)):
        times = MANY if number < len(COUNTED) else SOME
        for rate in RATES:
            shown = []
            for n in SIZES:
                at, near = cover(simulate, [number, n, round(rate * 1000)], n, rate, times)
                cells.append((name, n, rate, at, near))
                shown.append(f"{100 * at:.1f} ({100 * near:.1f})")
            lines.append(f"| {name} | {100 * rate:g} % | {' | '.join(shown)} |")
    return lines, cells


def slice_table() -> list[str]:
    """Return how often slices without any change are called worse."""
    lines = [
        "| slices | instances each | truly worse | experiments with a false call | false among the calls | "
        "truly worse found |",
        "|---|---|---|---|---|---|",
    ]
    for size in (50, 200, 1000):
        for worse in (0, 20):
            rng = np.random.default_rng([9, size, worse])
            lost = np.full(SLICES, 0.1)
            lost[:worse] = 0.25
            wrong, false, found = 0, 0.0, 0.0
            down = rng.binomial(size, np.broadcast_to(lost, (EXPERIMENTS, SLICES)))
            up = rng.binomial(size - down, np.broadcast_to(0.1 / (1 - lost), down.shape))
            tests = mcnemar(down, up)
            for p in tests:
                called = np.array([t.worse for t in worse_slices(p)])
                wrong += bool(called[worse:].any())
                false += called[worse:].sum() / max(1, called.sum())
                found += called[:worse].sum() / max(1, worse)
            share = "-" if not worse else f"{100 * found / EXPERIMENTS:.1f} %"
            lines.append(
                f"| {SLICES} | {size} | {worse} | {100 * wrong / EXPERIMENTS:.1f} % | "
                f"{100 * false / EXPERIMENTS:.1f} % | {share} |"
            )
    return lines


def outside(cells: list[tuple[str, int, float, float, float]]) -> list[str]:
    """Return one line for every cell outside 94 to 96 %."""
    lines = []
    for name, n, rate, at, near in cells:
        if not 0.94 <= at <= 0.96:
            lines.append(
                f"- {name}, N = {n}, rate {100 * rate:g} % ({n * rate:g} flips expected): {100 * at:.1f} %, "
                f"{100 * near:.1f} % averaged over rates around it"
            )
    return lines


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="keep the tables in studies/coverage.md")
    chosen = parser.parse_args()
    start = time.process_time()
    table, cells = coverage_table()
    slices = slice_table()
    far = outside(cells)
    most = [c for c in cells if c[1] * c[2] >= 50]
    text = TEXT.format(
        many=MANY,
        some=SOME,
        spread=SPREAD,
        level=100 * WORSE_LEVEL,
        experiments=EXPERIMENTS,
        coverage="\n".join(table),
        within=len(cells) - len(far),
        cells=len(cells),
        near=sum(0.94 <= c[4] <= 0.96 for c in cells),
        most=len(most),
        most_within=sum(0.94 <= c[3] <= 0.96 for c in most),
        lowest=100 * min(c[4] for c in cells),
        outside="\n".join(far),
        slices="\n".join(slices),
    )
    print(text)
    print(f"{time.process_time() - start:.0f} s of processor time")
    if chosen.write:
        (Path(__file__).parent / "coverage.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
