"""Which intervals to take where little flips, and what no interval can do. Computed, without random numbers.

    python studies/interval_choice.py            prints the tables
    python studies/interval_choice.py --write    also keeps them in studies/interval_choice.md

The coverage of an interval is the chance of the counts whose interval holds the truth, summed over all
counts. `studies/coverage.py` simulates the figures that are no counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom, poisson

from muscle_llm.metrics.uncertainty import difference_standard_error, paired_difference, wilson, z_value

Floats = NDArray[np.float64]
Bounds = tuple[Floats, Floats]

LEVEL = 0.95
Z = z_value(LEVEL)
SIZES, RATES = (100, 1000, 10_000), (0.005, 0.05, 0.3)
N = 1000  # of the differences: at these counts any large N gives the same
EXPECTED = np.linspace(0.1, 10, 50)  # flips expected, of each kind
TAIL = 0.1  # the most an interval may miss on one side
COUNTS = 45  # more flips than this have a chance below 1e-12


def rate_wald(k: Floats, n: Floats) -> Bounds:
    """p +- z sqrt(p(1-p)/n)."""
    p = k / n
    half = Z * np.sqrt(p * (1 - p) / n)
    return p - half, p + half


def rate_agresti_coull(k: Floats, n: Floats) -> Bounds:
    """Wald after z^2/2 successes and failures more (Agresti and Coull 1998)."""
    return rate_wald(k + Z**2 / 2, n + Z**2)


def rate_jeffreys(k: Floats, n: Floats) -> Bounds:
    """Quantiles of Beta(k + 1/2, n - k + 1/2), 0 at k = 0 and 1 at k = n (Brown, Cai and DasGupta 2001)."""
    low = np.where(k == 0, 0.0, beta.ppf((1 - LEVEL) / 2, k + 0.5, n - k + 0.5))
    return low, np.where(k == n, 1.0, beta.ppf((1 + LEVEL) / 2, k + 0.5, n - k + 0.5))


def rate_exact(k: Floats, n: Floats) -> Bounds:
    """Clopper and Pearson (1934)."""
    low = np.where(k == 0, 0.0, beta.ppf((1 - LEVEL) / 2, np.maximum(k, 1), n - k + 1))
    return low, np.where(k == n, 1.0, beta.ppf((1 + LEVEL) / 2, k + 1, np.maximum(n - k, 1)))


def difference_wald(up: Floats, down: Floats, n: Floats) -> Bounds:
    """d +- z SE, the SE of `difference_standard_error`."""
    d, half = (up - down) / n, Z * difference_standard_error(up / n, down / n, n)
    return d - half, d + half


def difference_agresti_min(up: Floats, down: Floats, n: Floats) -> Bounds:
    """Wald after half an instance more in each of the four cells (Agresti and Min 2005)."""
    return difference_wald(up + 0.5, down + 0.5, n + 2)


def difference_bonett_price(up: Floats, down: Floats, n: Floats) -> Bounds:
    """Wald after one flip more of each kind (Bonett and Price 2012)."""
    return difference_wald(up + 1, down + 1, n + 2)


def difference_newcombe(up: Floats, down: Floats, n: Floats) -> Bounds:
    """The Wilson bounds of both flip rates, squared and added with their correlation (Newcombe 1998)."""
    p, q = up / n, down / n
    (low_p, high_p), (low_q, high_q) = wilson(up, n), wilson(down, n)
    r = -np.sqrt(p * q / ((1 - p) * (1 - q)))
    ends = []
    for a, b in ((p - low_p, high_q - q), (high_p - p, q - low_q)):
        ends.append(np.sqrt(np.maximum(a**2 - 2 * r * a * b + b**2, 0)))
    return p - q - ends[0], p - q + ends[1]


RATE: dict[str, Callable[[Floats, Floats], Bounds]] = {
    "Wilson (used)": lambda k, n: wilson(k, n, LEVEL),
    "Wald": rate_wald,
    "Agresti-Coull": rate_agresti_coull,
    "Jeffreys": rate_jeffreys,
    "Clopper-Pearson": rate_exact,
}
DIFFERENCE: dict[str, Callable[[Floats, Floats, Floats], Bounds]] = {
    "score, Tango (used)": lambda up, down, n: paired_difference(up, down, n, LEVEL),
    "Wald": difference_wald,
    "Agresti-Min": difference_agresti_min,
    "Bonett-Price": difference_bonett_price,
    "Newcombe": difference_newcombe,
}


def rate_coverage(bounds: Bounds, n: int, rate: float) -> float:
    """Return the chance that the interval of a binomial count holds the rate; bounds of shape (n + 1,)."""
    held = (bounds[0] <= rate) & (rate <= bounds[1])
    return float(binom.pmf(np.arange(n + 1), n, rate)[held].sum())


def reachable(n: int, rate: float) -> tuple[float, float]:
    """Return the coverages nearest to the level, at most it and at least it, that an interval can have whose
    bounds rise with the count: it holds the rate for some run of counts, whatever its formula."""
    total = np.concatenate([[0.0], binom.cdf(np.arange(n + 1), n, rate)])
    runs = np.clip(total[None, :] - total[:, None], 0, 1)
    fair = (total[:, None] <= TAIL) & (1 - total[None, :] <= TAIL)
    return float(runs[fair & (runs <= LEVEL)].max()), float(runs[fair & (runs >= LEVEL)].min())


def rate_tables() -> list[str]:
    """Return the coverage of the intervals of one rate, and what can be reached."""
    lines = ["| N | rate | can be reached | " + " | ".join(RATE) + " |", "|---|---|---|" + "---|" * len(RATE)]
    for n in SIZES:
        counts = np.arange(n + 1.0)
        every = {name: interval(counts, np.full_like(counts, n)) for name, interval in RATE.items()}
        for rate in RATES:
            low, high = (f"{100 * c:.1f}" for c in reachable(n, rate))
            around = np.exp(np.linspace(np.log(rate / 2), np.log(min(2 * rate, 0.5)), 41))
            shown = []
            for bounds in every.values():
                mean = np.mean([rate_coverage(bounds, n, float(r)) for r in around])
                shown.append(f"{100 * mean:.1f} ({100 * rate_coverage(bounds, n, rate):.1f})")
            lines.append(f"| {n} | {100 * rate:g} % | {low} or {high} | {' | '.join(shown)} |")
    return lines


def difference_table() -> list[str]:
    """Return how the intervals of a paired difference do over all pairs of expected flips."""
    counts = np.arange(float(COUNTS))
    up, down = np.meshgrid(counts, counts, indexing="ij")
    chance = poisson.pmf(counts, EXPECTED[:, None])
    truth = (EXPECTED[:, None] - EXPECTED[None, :]) / N
    lines = [
        "| interval | mean, % | lowest, % | pairs below 94 % | above 96 % | missed on one side, at most | "
        "with nothing flipped |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, interval in DIFFERENCE.items():
        low, high = interval(up, down, np.full_like(up, N))
        under = (truth[..., None, None] < low - 1e-12).astype(float)
        over = (truth[..., None, None] > high + 1e-12).astype(float)
        misses = [np.einsum("ijab,ia,jb->ij", side, chance, chance) for side in (under, over)]
        coverage = 1 - misses[0] - misses[1]
        worst = max(float(side.max()) for side in misses)
        lines.append(
            f"| {name} | {100 * coverage.mean():.1f} | {100 * coverage.min():.1f} | "
            f"{100 * np.mean(coverage < 0.94):.0f} % | {100 * np.mean(coverage > 0.96):.0f} % | "
            f"{100 * worst:.1f} % | +-{N * float(high[0, 0]):.1f} instances |"
        )
    return lines


TEXT = """# Which intervals, where little flips

`python studies/interval_choice.py --write`

## One rate

Coverage of 95 % intervals in per cent, averaged over rates from half the rate to twice the rate and, in
brackets, at the rate itself. "Can be reached": the coverages nearest to 95 % that any interval can have whose
bounds rise with the count and that misses at most 10 % on either side. Where neither lies between 94 and
96, no formula does.

{rates}

Wilson's average stays within 0.6 points of 95 % everywhere, which no other's does. Clopper and Pearson's
interval never falls below 95 %, at the price of 97 to 99 % where little flips; Wald's is unusable there.

## The difference of two rates on the same instances

All pairs of 0.1 to 10 flips expected in each direction, N = {n} (any large N gives the same).

{differences}

The score interval is the nearest to 95 % on the average. Agresti and Min's simple interval is shorter, but
where flips go one way only it misses the truth on that side as often as the table says: with nothing flipped
of 100 instances it would rule out a loss of more than 2 points, and a gate would pass too early.
"""


def main() -> None:
    """Compute the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="keep the tables in studies/interval_choice.md")
    chosen = parser.parse_args()
    text = TEXT.format(rates="\n".join(rate_tables()), differences="\n".join(difference_table()), n=N)
    print(text)
    if chosen.write:
        (Path(__file__).parent / "interval_choice.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
