"""What one writes without a library: pandas, NumPy and a loop of resamples over the instances.

    python -m benchmarks._plain_bootstrap OLD NEW DRAWS

Prints the figures of `muscle-llm compare`, overall and per slice, each with its 95 % percentile interval.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

INDICATORS = ("accuracy_old", "accuracy_new", "nfr", "pfr", "nfr_mc", "agreement", "both_right", "both_wrong")


def load(old: str, new: str) -> pd.DataFrame:
    """Return one row per instance: the indicators whose means are the figures, and the slice."""
    sides = pd.read_parquet(old).merge(
        pd.read_parquet(new), on="id", suffixes=("_old", "_new"), validate="one_to_one"
    )
    c, d = sides["correct_old"], sides["correct_new"]
    same = sides["answer_old"] == sides["answer_new"]
    columns = {
        "accuracy_old": c,
        "accuracy_new": d,
        "nfr": c & ~d,
        "pfr": ~c & d,
        "nfr_mc": ~d & ~same,
        "agreement": same,
        "both_right": c & d,
        "both_wrong": ~c & ~d,
    }
    frame = pd.DataFrame({name: values.astype(float) for name, values in columns.items()})
    frame["slice"] = sides["slice_topic_old"].astype("category")
    return frame


def figures(means: Any) -> dict[str, Any]:
    """Return the figures of the indicators' means (numbers, or one per slice)."""
    return {
        **{name: means[name] for name in INDICATORS},
        "accuracy_difference": means["accuracy_new"] - means["accuracy_old"],
        "churn": 1 - means["agreement"],
        "btc": means["both_right"] / means["accuracy_old"],
        "bec": means["both_wrong"] / (1 - means["accuracy_old"]),
        "nfr_relative": means["nfr"] / (means["accuracy_old"] * (1 - means["accuracy_new"])),
    }


def measure(frame: pd.DataFrame) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return the figures of all instances, and per slice."""
    whole = figures(frame[list(INDICATORS)].mean())
    parts = figures(frame.groupby("slice", observed=False)[list(INDICATORS)].mean())
    return {k: float(v) for k, v in whole.items()}, {k: v.to_numpy() for k, v in parts.items()}


def main(old: str, new: str, draws: int) -> dict[str, Any]:
    """Return values and intervals, and the seconds that reading and one resample took."""
    start = time.perf_counter()
    frame = load(old, new)
    value, value_slices = measure(frame)
    ready = time.perf_counter()
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(draws):
        drawn.append(measure(frame.iloc[rng.integers(0, len(frame), len(frame))]))
    seconds = (time.perf_counter() - ready) / draws
    bounds = {k: np.quantile([d[0][k] for d in drawn], [0.025, 0.975]) for k in value}
    parts = {k: np.quantile([d[1][k] for d in drawn], [0.025, 0.975], axis=0) for k in value}
    return {
        "draws": draws,
        "setup_seconds": ready - start,
        "seconds_per_draw": seconds,
        "all": {k: [value[k], *bounds[k].tolist()] for k in value},
        "slices": {
            str(s): {k: [float(value_slices[k][i]), *parts[k][:, i].tolist()] for k in value}
            for i, s in enumerate(frame["slice"].cat.categories)
        },
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
