"""Chains in the coordinates that are used, and in the model's own: steps a draw, divergences, effective draws.

    python benchmarks/coordinates.py    # writes docs/coordinates.csv

Used are covariances as seen from their roots at the mode (``bayesgmm.graph.roots``), with axes to match; the model's
own are log-Cholesky coordinates relative to the covariance of all rows, in the axes of the curvature there. Chains
start at the same mode. Tables are those by which the default prior was chosen, and clusters near a plane. Figures are
counts: nothing here is timed.
"""

import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from arviz_stats.base import array_stats
from data_sets import DataSet, from_r, real, simulated
from measure import RESULTS

import bayesgmm as bg
from bayesgmm.graph.in_axes import ModeAxes
from bayesgmm.graph.roots import Roots
from bayesgmm.search import mode as mode_module

OUT = RESULTS.parents[1] / "docs" / "coordinates.csv"
THIN = 1.0, 0.1, 0.01, 0.001
SEEDS = 0, 1, 2


def near_a_plane() -> Iterator[DataSet]:
    """Two clusters of 150 rows; the second lies near a plane across all five features."""
    normal = np.ones(5) / np.sqrt(5)
    for thin in THIN:
        rng = np.random.default_rng(0)
        round_one = rng.normal(size=(150, 5))
        turned = rng.normal(size=(150, 5)) @ (np.eye(5) + 0.4 * rng.normal(size=(5, 5)))
        flat = turned - np.outer(turned @ normal - thin * rng.normal(size=150), normal)
        yield DataSet(f"{thin:g} from a plane", np.concatenate([round_one, flat + 6]), np.arange(300) // 150, 2)


def unequal_shapes() -> Iterator[DataSet]:
    """Clusters of covariances that are products of random matrices: some are nearly singular."""
    for n_rows, d, k, apart in ((300, 9, 4, 2.5), (700, 14, 3, 1.5), (1_200, 6, 6, 2.0), (400, 4, 4, 3.0)):
        rng = np.random.default_rng([n_rows, d, k])
        centres, labels = apart * rng.normal(size=(k, d)), rng.integers(k, size=n_rows)
        roots = np.eye(d) + 0.4 * rng.normal(size=(k, d, d))
        x = centres[labels] + np.einsum("nij,nj->ni", roots[labels], rng.normal(size=(n_rows, d)))
        yield DataSet(f"unequal, {n_rows} x {d}", x, labels, k)


def in_own_coordinates(mode: mode_module.Mode) -> ModeAxes:
    """Axes of q itself."""
    hessian = mode_module.negative_hessian(mode.problem.sampling_density, mode.q, mode.problem.scales)
    return ModeAxes(mode.q, Roots.none(), mode_module.sampling_axes(hessian, mode.problem.scales))


def figures(estimate: bg.MapEstimate) -> dict[str, float]:
    """Medians over seeds, and the range of effective draws."""
    found = []
    for seed in SEEDS:
        dt = bg.sample(estimate.problem.model, start=estimate, random_seed=seed, progressbar=False)
        statistics, posterior = dt["sample_stats"], dt["posterior"].dataset
        draws = [posterior[name].values for name in ("weights", "means", "scales")]
        values = np.concatenate([v.reshape(*v.shape[:2], -1) for v in draws], axis=2)
        effective = [array_stats.ess(values[..., i]) for i in range(values.shape[2])]
        gradients = float(statistics["n_steps"].sum())
        found.append(
            (int(statistics["diverging"].sum()), gradients / 4_000, 1e3 * float(np.nanmin(effective)) / gradients)
        )
    diverging, steps, effective = np.array(found).T
    return {
        "diverging": diverging.mean(),
        "steps": np.median(steps),
        "effective": np.median(effective),
        "least": effective.min(),
        "most": effective.max(),
    }


def main() -> None:
    warnings.simplefilter("ignore")
    rows = []
    used = mode_module.Mode.with_axes
    for data in (*near_a_plane(), *unequal_shapes(), *real(), *from_r(), *simulated()):
        estimate = bg.find_MAP(bg.build_model(data.x, data.n_components), random_seed=0, progressbar=False).modes[0]
        row: dict[str, object] = {"set": data.name, "rows": len(data.x), "features": data.x.shape[1]}
        row |= {"components": data.n_components, "parameters": estimate.q.size}
        row |= {f"{name}_used": value for name, value in figures(estimate).items()}
        try:
            mode_module.Mode.with_axes = property(in_own_coordinates)
            row |= {f"{name}_own": value for name, value in figures(estimate).items()}
        finally:
            mode_module.Mode.with_axes = used
        rows.append(row)
        print({name: round(v, 2) if isinstance(v, float) else v for name, v in row.items()}, flush=True)
        pd.DataFrame(rows).to_csv(OUT, index=False, float_format="%.3g")


if __name__ == "__main__":
    sys.exit(main())
