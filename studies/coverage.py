"""How often the intervals hold the truth, and how often unchanged slices are called worse.

    python studies/coverage.py            prints the tables
    python studies/coverage.py --write    also keeps them in studies/coverage.md

Data are simulated with a known truth, thousands of times a cell; the package's own functions give the
intervals. Everything is seeded: the same numbers come out every time. `studies/interval_choice.py` computes
without random numbers what any interval can reach, and what others than these do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
MANY = 50_000  # simulations of counts; of instances: SOME, by N
SOME = {100: 20_000, 1000: 10_000, 10_000: 5000}
CHURN = 0.1  # instances that flip each way without any difference
REPEATS = 5
CLUSTER = 5  # questions on one passage
SHARED = 0.2  # correlation of two questions on one passage
EXPERIMENTS, SLICES = 2000, 100
SPREAD = 2.0  # rates drawn around the nominal one, from rate / SPREAD to rate * SPREAD
HIGHEST = 0.5


def held(bounds: Bounds, truth: Floats | float) -> float:
    """Return the share of intervals that hold the truth."""
    return float(np.mean((bounds[0] <= truth) & (truth <= bounds[1])))


def negative_flips(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """`rate` of the instances are lost."""
    return held(wilson(rng.binomial(n, rate), n), rate)


def accuracy_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """New minus old: a tenth of the instances is lost, a tenth and `rate` gained."""
    return _paired(rng, n, CHURN + rate, np.full_like(rate, CHURN))


def nfr_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """A remedy's NFR minus the update's: a twentieth and `rate` recovered, a twentieth newly broken."""
    return _paired(rng, n, np.full_like(rate, CHURN / 2), CHURN / 2 + rate)


def excess_rerun(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """NFR minus that of an old re-run: a tenth each, a half of it the same instances, and `rate` more."""
    return _paired(rng, n, CHURN / 2 + rate, np.full_like(rate, CHURN / 2))


def sparse_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """New minus old: `rate` lost, half as many again gained, and nothing else flips."""
    return _paired(rng, n, 1.5 * rate, rate)


def sparse_nfr_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """A remedy of an update with this NFR: 60 % of the flips recovered, a sixth as many newly broken."""
    return _paired(rng, n, 0.1 * rate, 0.6 * rate)


def sparse_excess(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """An update with this NFR, an old re-run with half as many flips, a half of them shared."""
    return _paired(rng, n, 0.75 * rate, 0.25 * rate)


def _paired(rng: np.random.Generator, n: int, up: Floats, down: Floats) -> float:
    first = rng.binomial(n, up)
    second = rng.binomial(n - first, down / (1 - up))
    return held(paired_difference(first, second, n), up - down)


def excess_repeats(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """Five answers each: a fifth of the instances wavers; of the others so many fall from
    0.9 right to 0.1 that the excess is `rate`."""
    waver = rng.random((rate.size, n)) < 0.2
    p = np.full(waver.shape, 0.9)
    p[waver] = rng.beta(2, 2, int(waver.sum()))
    # Where they fall, p(1-q) - p(1-p) is 0.9 times 0.8.
    falls = rng.random(waver.shape) < (rate / (0.8 * 0.9 * 0.8))[:, None]
    q = np.where(falls & ~waver, 0.1, p)
    tries = np.full(p.shape, float(REPEATS))
    hits = [rng.binomial(REPEATS, share).astype(float) for share in (p, q)]
    values = excess_per_instance((hits[0], tries), (hits[1], tries))
    mean, square = values.mean(1), (values**2).mean(1)
    error = values.std(1, ddof=1) / np.sqrt(n)
    return held(difference_bounds(mean, square, error, np.full(rate.size, n)), rate)


def _cluster_error(sums: Floats, n: int) -> Floats:
    count = sums.shape[1]
    deviations = sums - sums.mean(1, keepdims=True)
    return np.sqrt(count / (count - 1) * (deviations**2).sum(1)) / n


def _passages(
    rng: np.random.Generator, n: int, up: Floats, down: Floats, size: int = CLUSTER, shared: float = SHARED
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, per simulation and passage, how many of its ``size`` questions go up, and down: the passages'
    own shares vary by Dirichlet's distribution."""
    scale = (1 - shared) / shared
    shares = np.stack([up, down, 1 - up - down], axis=-1)[:, None, :] * scale
    weights = rng.standard_gamma(np.broadcast_to(shares, (up.size, n // size, 3)))
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    first = rng.binomial(size, weights[..., 0])
    rest = np.maximum(1 - weights[..., 0], 1e-300)
    return first, rng.binomial(size - first, np.clip(weights[..., 1] / rest, 0, 1))


def clustered_rate(
    rng: np.random.Generator, n: int, rate: Floats, size: int = CLUSTER, shared: float = SHARED
) -> float:
    """`rate` of the instances are lost; five questions share a passage."""
    lost = _passages(rng, n, rate, np.zeros_like(rate), size, shared)[0].astype(float)
    bounds = rate_bounds(lost.sum(1) / n, _cluster_error(lost, n), np.full(rate.size, n // size))
    return held(bounds, rate)


def clustered_difference(rng: np.random.Generator, n: int, rate: Floats) -> float:
    """A tenth is lost, a tenth and `rate` gained; five questions share a passage."""
    up, down = _passages(rng, n, CHURN + rate, np.full_like(rate, CHURN))
    sums = (up - down).astype(float)
    mean, square = sums.sum(1) / n, (up + down).sum(1) / n
    bounds = difference_bounds(mean, square, _cluster_error(sums, n), np.full(rate.size, n // CLUSTER))
    return held(bounds, rate)


TEXT = """# Coverage of the intervals

`python studies/coverage.py --write`

How often a 95 % interval holds the truth, in per cent: averaged over rates from half the rate to twice the
rate and, in brackets, at the rate itself. The rate is the true value of the figure. Where it is a difference,
about a tenth of the instances flips each way besides, as between two versions of Mistral-7B on MMLU-Pro.
{many} simulations a cell for figures that are counts; for the others
{some} (standard error 0.1 to 0.3 points).

{coverage}

{verdict}

Counts are whole numbers, so the coverage jumps as the rate moves past the bound of an interval: with half a
flip expected there are 0, 1 or 2, and no interval without random numbers lies between 94 and 96 % at every
rate ([interval_choice.md](interval_choice.md)). The average over nearby rates is what an interval can keep.
{outside}

What is simulated, beside the rate:

{legend}

# Where next to nothing flips

The same, where the rate is the NFR and nothing else flips: with fewer than five flips expected, the interval
of a difference errs to the safe side. With nothing flipped of 100 it still allows for a difference of 3.7
points, as it should: at half a flip expected it holds the truth whatever comes out.

{sparse}

{sparse_legend}

# Few passages

NFR at 5 %, averaged over rates around it, with ten questions to a passage. Where the flips come bunched in
a few of few passages, the clustered interval is too narrow, as clustered standard errors are: count the
passages that have a flip before you trust it.

| passages | correlation 0.2 | correlation 0.5 |
|---|---|---|
{few}

# Slices called worse

{experiments} experiments a row with 100 slices; in unchanged slices 10 % of the instances flip each way,
in worse ones 25 % are lost. Slices are called by Benjamini-Hochberg at {level:g} %: of the calls, at
most {level:g} % are expected to be false.

{slices}
"""

Simulation = Callable[[np.random.Generator, int, Floats], float]


class Cell(NamedTuple):
    """One simulated setting: its coverage at the rate, and averaged over rates around it."""

    name: str
    n: int
    rate: float
    at: float
    near: float


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
SPARSE: tuple[tuple[str, Simulation], ...] = (
    ("accuracy difference", sparse_difference),
    ("NFR difference of a remedy", sparse_nfr_difference),
    ("excess NFR over an old re-run", sparse_excess),
)


def cover(simulate: Simulation, seed: list[int], n: int, rate: float, times: int) -> tuple[float, float]:
    """Return the coverage at the rate itself, and averaged over rates around it (logarithms even)."""
    rng = np.random.default_rng(seed)
    block = max(1, 4_000_000 // n)
    ends = np.log(rate / SPREAD), np.log(min(rate * SPREAD, HIGHEST))
    results: tuple[list[float], list[float]] = [], []
    for start in range(0, times, block):
        size = min(block, times - start)
        for kind, rates in enumerate((np.full(size, rate), np.exp(rng.uniform(*ends, size)))):
            results[kind].append(simulate(rng, n, rates) * size)
    return sum(results[0]) / times, sum(results[1]) / times


def coverage_table(
    simulations: tuple[tuple[str, Simulation], ...],
    rates: tuple[float, ...],
    times: dict[int, int],
    series: int,
) -> tuple[list[str], list[Cell]]:
    """Return a table's lines without its head, and its cells."""
    lines, cells = [], []
    for number, (name, simulate) in enumerate(simulations):
        for rate in rates:
            row = []
            for n in SIZES:
                at, near = cover(simulate, [series, number, n, round(rate * 1000)], n, rate, times[n])
                row.append(Cell(name, n, rate, at, near))
            shown = [f"{100 * c.near:.1f} ({100 * c.at:.1f})" for c in row]
            lines.append(f"| {name} | {100 * rate:g} % | {' | '.join(shown)} |")
            cells += row
    return lines, cells


HEAD = ["| interval | rate | " + " | ".join(f"N = {n}" for n in SIZES) + " |", "|---|---|---|---|---|"]


def legend(simulations: tuple[tuple[str, Simulation], ...]) -> str:
    """Return what each simulation does, from its docstring."""
    return "\n".join(f"- {name}: {' '.join((s.__doc__ or '').split())}" for name, s in simulations)


def within(coverage: float) -> bool:
    """Return whether a coverage lies between 94 and 96 %."""
    return 0.94 <= coverage <= 0.96


def verdict(cells: list[Cell]) -> str:
    """Return how many cells lie between 94 and 96 %."""
    near, at = (sum(map(within, values)) for values in ([c.near for c in cells], [c.at for c in cells]))
    low, high = min(c.near for c in cells), max(c.near for c in cells)
    return (
        f"Of {len(cells)} averages {near} lie between 94 and 96 % (lowest {100 * low:.1f}, highest "
        f"{100 * high:.1f}); at the rate itself {at} of {len(cells)} do."
    )


def outside(cells: list[Cell]) -> str:
    """Return the cells outside 94 to 96 % at the rate itself, a line each."""
    named = [
        f"- {c.name}, N = {c.n}, {100 * c.rate:g} % ({c.n * c.rate:g} flips expected): {100 * c.at:.1f} %"
        for c in cells
        if not within(c.at)
    ]
    return "\n".join(["At the rate itself these lie outside:", "", *named]) if named else ""


def few_passages() -> list[str]:
    """Return the coverage of NFR at 5 % with ten questions to a passage, by number of passages."""
    lines = []
    for passages in (10, 30, 100, 300):
        shown = []
        for shared in (0.2, 0.5):
            simulate = partial(clustered_rate, size=10, shared=shared)
            seed = [3, passages, round(shared * 10)]
            shown.append(f"{100 * cover(simulate, seed, 10 * passages, 0.05, 10_000)[1]:.1f}")
        lines.append(f"| {passages} | {' | '.join(shown)} |")
    return lines


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


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="keep the tables in studies/coverage.md")
    chosen = parser.parse_args()
    start = time.process_time()
    counted, cells = coverage_table(COUNTED, RATES, dict.fromkeys(SIZES, MANY), 0)
    drawn, more = coverage_table(DRAWN, RATES, SOME, 1)
    sparse, _ = coverage_table(SPARSE, RATES[:2], dict.fromkeys(SIZES, MANY), 2)
    cells += more
    text = TEXT.format(
        many=MANY,
        some=", ".join(f"{times} at N = {n}" for n, times in SOME.items()),
        few="\n".join(few_passages()),
        coverage="\n".join([*HEAD, *counted, *drawn]),
        verdict=verdict(cells),
        outside=outside(cells),
        legend=legend((*COUNTED, *DRAWN)),
        sparse="\n".join([*HEAD, *sparse]),
        sparse_legend=legend(SPARSE),
        experiments=EXPERIMENTS,
        level=100 * WORSE_LEVEL,
        slices="\n".join(slice_table()),
    )
    print(text)
    print(f"{time.process_time() - start:.0f} s of processor time")
    if chosen.write:
        (Path(__file__).parent / "coverage.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
