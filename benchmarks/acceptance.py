"""The acceptance that a sampler's steps are tuned to: gradients a draw, divergences, effective draws.

    python benchmarks/acceptance.py    # writes docs/acceptance.csv

Tables are those by which the default prior was chosen, those that no default was chosen by, clusters near a plane and
of unequal shapes, and few rows of many features. Chains start at the same mode; means over seeds 0 and 1, 4 chains of
1,000 draws. Figures are counts: nothing here is timed.
"""

import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from coordinates import near_a_plane, unequal_shapes
from data_sets import DataSet, from_r, others, real, simulated
from measure import RESULTS

import bayesgmm as bg
from bayesgmm.sampling import nuts, run

OUT = RESULTS.parents[1] / "docs" / "acceptance.csv"
TARGETS = 0.8, 0.65
# Of fewer than 100 parameters only.
SMALL_STEPS = 0.95
SEEDS = 0, 1
# Tables with more parameters take minutes a run.
MOST_PARAMETERS = 900


def few_rows() -> Iterator[DataSet]:
    """Two clusters apart in one feature of many, and more clusters of random centres."""
    for n, d, apart in ((20, 8, 8), (25, 10, 10), (25, 10, 20), (30, 12, 20), (40, 10, 3), (60, 12, 4)):
        for seed in SEEDS:
            x = np.random.default_rng([seed, n, d]).normal(size=(2 * n, d))
            x[n:, 0] += apart
            yield DataSet(f"{n} + {n} x {d}, {apart} apart, {seed}", x, None, 2)
    for n, d, k in ((100, 6, 5), (150, 8, 6), (200, 5, 10)):
        rng = np.random.default_rng([n, d, k])
        labels, centres = rng.integers(k, size=n), 2 * rng.normal(size=(k, d))
        yield DataSet(f"{n} x {d}, K = {k}", centres[labels] + rng.normal(size=(n, d)), None, k)


def figures(estimate: bg.MapEstimate, target: float) -> dict[str, float]:
    """Means over seeds."""
    run.acceptance, nuts.SMALLER_STEPS, found = lambda n_parameters: target, (), []
    for seed in SEEDS:
        dt = bg.sample(estimate.problem.model, start=estimate, random_seed=seed, progressbar=False)
        statistics, posterior = dt["sample_stats"], dt["posterior"].dataset
        draws = [posterior[name].values for name in ("weights", "means", "scales")]
        values = np.concatenate([v.reshape(*v.shape[:2], -1) for v in draws], axis=2).transpose(2, 0, 1)
        bulk = min(array_stats.ess(v) for v in values)
        tail = min(array_stats.ess(v, method="tail", prob=(0.05, 0.95)) for v in values)
        found.append((statistics["diverging"].sum(), statistics["n_steps"].mean(), bulk, tail))
    return dict(zip(("diverging", "steps", "bulk", "tail"), np.mean(found, axis=0), strict=True))


def main() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for data in (*near_a_plane(), *unequal_shapes(), *real(), *from_r(), *simulated(), *few_rows(), *others()):
        estimate = bg.find_MAP(bg.build_model(data.x, data.n_components), random_seed=0, progressbar=False).modes[0]
        if estimate.q.size > MOST_PARAMETERS:
            continue
        for target in (SMALL_STEPS, *TARGETS) if estimate.q.size < run.MANY else TARGETS:
            row: dict[str, object] = {"set": data.name, "rows": len(data.x), "features": data.x.shape[1]}
            row |= {"components": data.n_components, "parameters": estimate.q.size, "target": target}
            rows.append(row | figures(estimate, target))
            print(rows[-1], flush=True)
            pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.4g")


if __name__ == "__main__":
    sys.exit(main())
