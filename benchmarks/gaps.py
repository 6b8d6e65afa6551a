"""What values that were not seen cost and whether their intervals hold them, on simulated tables; writes docs/gaps.csv.

    python benchmarks/gaps.py [number of tables]

Time: a log posterior with its gradient of 10,000 rows, 5 features and 4 components, of which 10 % of the cells were not
seen, over that of the complete rows, in turn, one thread.

Coverage: tables of 150 rows with 2 to 4 components in 2 to 4 features, a fifth of the cells not seen: of every other
table completely at random, of the rest at random given the first feature, which is always seen. Intervals of 89 % of
the cells that were not seen, and of the components' means and standard deviations, by NUTS. The negative control: the
cells' expectations put in, as if they had been seen, and a fit of those complete rows, whose intervals must be too
narrow.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from gradient import as_c
from measure import in_turn, ratio, show
from problems import clusters
from scipy.optimize import linear_sum_assignment
from scipy.special import expit

import bayesgmm as bg
from bayesgmm.data import cores
from bayesgmm.record.fit import Fit
from bayesgmm.search.problem import Problem

OUT = Path(__file__).parents[1] / "docs" / "gaps.csv"
ROWS, UNSEEN, INTERVAL = 150, 0.2, 0.89
# Standard deviations between centres, at least: components are told apart, and matched with the true ones.
APART = 6.0
DRAWS = {"draws": 400, "chains": 2, "cores": 1, "progressbar": False}


# Time -----------------------------------------------------------------------------------------------------------------


def times(repeats: int = 25) -> None:
    x = clusters(10_000, 5, 4)
    gaps = np.where(np.random.default_rng(0).random(x.shape) < 0.1, np.nan, x)
    calls, problems = {}, []
    q = None
    for name, rows, missing in (("complete", x, "error"), ("gaps", gaps, "marginalise")):
        model = bg.build_model(rows, 4, resolution=None, missing=missing)
        problem = Problem.of(model)
        problems.append(problem)  # the C function knows addresses alone, and they must outlive its calls
        if q is None:
            estimate = bg.find_MAP(model, n_init=1, random_seed=0, progressbar=False)
            q = estimate.q + 0.01 * np.random.default_rng(0).normal(size=estimate.q.size)
        calls[name] = as_c(problem, q)
    with cores.limited_to(1):
        took = in_turn(calls, repeats)
    patterns = len(np.unique(np.isnan(gaps), axis=0))
    gaps_ms, complete_ms = (1e3 * np.median(took[name]) for name in ("gaps", "complete"))
    print(
        f"(10000, 5, 4), {patterns} patterns: {gaps_ms:.3g} ms over {complete_ms:.3g} ms of complete rows, "
        f"ratio {show(ratio(took['gaps'], took['complete']))}",
        flush=True,
    )


# Coverage -------------------------------------------------------------------------------------------------------------


def table(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Complete rows, the rows with gaps, and the components' true means and standard deviations."""
    rng = np.random.default_rng([2027, index])
    k, d = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = factors @ factors.swapaxes(1, 2) + 0.3 * np.eye(d)
    # Drawn until they lie apart.
    while True:
        means = APART * rng.normal(size=(k, d))
        if min(np.linalg.norm(means[a] - means[b]) for a in range(k) for b in range(a)) >= APART:
            break
    labels = rng.choice(k, size=ROWS, p=rng.dirichlet(np.full(k, 20.0)))
    x = np.array([rng.multivariate_normal(means[j], covariances[j]) for j in labels])
    if index % 2 == 0:
        hidden = rng.random(x.shape) < UNSEEN
    else:
        slope = 2.0 * (x[:, :1] - x[:, :1].mean()) / x[:, :1].std()
        share = UNSEEN * d / (d - 1)
        # Of the level at which so many are hidden on average.
        low, high = -20.0, 20.0
        for _ in range(60):
            level = (low + high) / 2
            low, high = (level, high) if expit(slope + level).mean() < share else (low, level)
        hidden = rng.random(x.shape) < expit(slope + level)
        hidden[:, 0] = False
    return x, np.where(hidden, np.nan, x), means, np.sqrt(np.einsum("kii->ki", covariances))


def covered(draws: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether equal-tailed intervals of draws, along the first axis, hold the truth."""
    lower, upper = np.quantile(draws, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], axis=0)
    return (lower <= truth) & (truth <= upper)


def fitted(rows: np.ndarray, k: int, missing: str, seed: int):
    model = bg.build_model(rows, k, resolution=None, missing=missing)
    estimate = bg.find_MAP(model, n_init=8, random_seed=seed, progressbar=False)
    return bg.sample(model, start=estimate, random_seed=seed, **DRAWS)


def of_components(dt, means: np.ndarray, scales: np.ndarray) -> tuple[float, float]:
    """Shares of the means and of the standard deviations that their intervals hold."""
    draws = Fit.of(dt).mixture
    distances = np.linalg.norm(draws.means.mean(axis=0)[:, None] - means[None], axis=2)
    ours, theirs = linear_sum_assignment(distances)
    return (
        float(covered(draws.means[:, ours], means[theirs]).mean()),
        float(covered(draws.scales[:, ours], scales[theirs]).mean()),
    )


def coverage(index: int) -> dict[str, float | str]:
    x, gaps, means, scales = table(index)
    k, d = means.shape
    began = time.perf_counter()
    dt = fitted(gaps, k, "marginalise", index)
    seconds = time.perf_counter() - began
    unseen = np.isnan(gaps)
    completed = bg.impute(dt, draws=800, random_seed=index, progressbar=False)["x"].values
    held = covered(completed[:, unseen], x[unseen])
    of_means, of_scales = of_components(dt, means, scales)
    # The control: expectations, as if they had been seen.
    plugged = fitted(completed.mean(axis=0), k, "error", index)
    control_means, control_scales = of_components(plugged, means, scales)
    return {
        "table": index, "missing": ("completely at random", "at random")[index % 2], "n_components": k, "n_features": d,
        "unseen": unseen.mean(), "cells": held.mean(), "means": of_means, "scales": of_scales,
        "control_means": control_means, "control_scales": control_scales,
        "verdict": bg.diagnose(dt).verdict, "seconds": seconds,
    }  # fmt: skip


def summarise(found: pd.DataFrame) -> None:
    """Shares with their Monte Carlo errors, which are of the tables: cells of one are alike."""
    names = ["cells", "means", "scales", "control_means", "control_scales"]
    for by, group in [("all", found), *found.groupby("missing")]:
        said = [f"{n} {100 * group[n].mean():.1f} % ({100 * group[n].sem():.1f})" for n in names]
        print(f"{by}, {len(group)} tables, {100 * group['unseen'].mean():.0f} % unseen: " + ", ".join(said))
    print("verdicts", dict(found["verdict"].value_counts()), "seconds a fit", round(found["seconds"].median(), 2))


def main(n_tables: int) -> None:
    warnings.simplefilter("ignore")
    times()
    rows = []
    for i in range(n_tables):
        rows.append(coverage(i))
        pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.4g")
        if i % 10 == 9:
            summarise(pd.DataFrame(rows))
    summarise(pd.DataFrame(rows))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or (100,)))
