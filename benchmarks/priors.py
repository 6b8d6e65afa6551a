"""Which prior of the covariances should be the default: held-out log-density, agreement with known classes, time.

Every candidate is fitted by the package's own search with the same starts, but for scikit-learn's.
"""

import csv
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from data_sets import DataSet, from_r, real, simulated
from measure import RESULTS
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold

import bayesgmm as bg
from bayesgmm.data.seeds import spread_positions, whitened
from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.model.em import ExpectationMaximisation
from bayesgmm.model.reference import relative_prior
from bayesgmm.model.relative import RelativePrior

FULL = COVARIANCE_TYPES["full"]
STARTS, STEPS = 10, 300
TABLE = RESULTS.parents[1] / "docs" / "priors.csv"
Fitted = Callable[[np.ndarray, int], Mixture]


def scikit_learn(reg_covar: float) -> Fitted:
    def fitted(x, n_components):
        found = GaussianMixture(n_components, n_init=STARTS, reg_covar=reg_covar, random_state=0).fit(x)
        return Mixture(found.weights_, found.means_, found.covariances_)

    return fitted


def default(x, n_components):
    return bg.find_MAP(bg.build_model(x, n_components, resolution=None), random_seed=0, progressbar=False).mixture


def first_default(x, n_components):
    model = bg.build_model(x, n_components, resolution=None, priors=bg.Priors(reference=None))
    return bg.find_MAP(model, random_seed=0, progressbar=False).mixture


@dataclass(frozen=True)
class InverseWishart:
    """Inverse-Wishart around a learned reference: no scale of its own for a component."""

    rows: float

    def reference(self, covariances):
        return np.linalg.inv(np.linalg.inv(covariances).mean(axis=0))

    def __call__(self, counts, scatter, last):
        common = scatter.sum(axis=0) / counts.sum() if last is None else self.reference(last.covariances)
        return (scatter + self.rows * common) / (counts + self.rows)[:, None, None]

    def log_density(self, mixture):
        common = self.reference(mixture.covariances)
        trace = np.einsum("ij,kji->", common, np.linalg.inv(mixture.covariances))
        log_det = np.linalg.slogdet(mixture.covariances)[1] - np.linalg.slogdet(common)[1]
        return -self.rows / 2 * (log_det.sum() + trace)


@dataclass(frozen=True)
class Relative:
    """The default prior with other numbers."""

    prior: RelativePrior

    def __call__(self, counts, scatter, last):
        return self.prior.covariances(counts, scatter, last)

    def log_density(self, mixture):
        p, d = self.prior, mixture.n_features
        common = p.reference(mixture.covariances)
        trace = np.einsum("ij,kji->k", common, np.linalg.inv(mixture.covariances))
        log_det = np.linalg.slogdet(mixture.covariances)[1] - np.linalg.slogdet(common)[1]
        u = np.log(d / trace)
        distance = log_det / 2 + d / 2 * np.log(trace / d)
        shape = logsumexp(p.log_constants - p.rows * distance[:, None], axis=1)
        return (shape - u**2 / (2 * p.spread**2) - p.wall * np.exp(-u)).sum()


def by_em(prior_of: Callable) -> Fitted:
    """The highest of EM from k-means++ in two metrics, run to its end."""

    def fitted(x, n_components):
        table = Table.to_fit(x, resolution=None)
        prior = prior_of(table, n_components)
        em = ExpectationMaximisation(table, prior)
        rng = np.random.default_rng(0)
        metrics = [(x - x.mean(axis=0)) / x.std(axis=0), whitened(table)]
        best, highest = None, -np.inf
        for i in range(STARTS):
            rows = metrics[i % 2]
            centres = rows[spread_positions(rows, n_components, table.row_weights, rng)]
            mixture, _ = em.run(em.from_centres(rows, centres), max_steps=STEPS, tolerance=1e-8)
            value = em.expect(mixture).log_likelihood + prior.log_density(mixture)
            if best is None or value > highest:
                best, highest = mixture, value
        return best

    return fitted


def relative(**changes) -> Callable:
    def prior_of(table, n_components):
        prior = relative_prior(table, n_components, FULL)
        if "rows" in changes:
            prior = replace(prior, shares=np.ones(1))
        own = {name: change(table) if callable(change) else change for name, change in changes.items()}
        return Relative(replace(prior, **own))

    return prior_of


CANDIDATES: dict[str, Fitted] = {
    "scikit-learn": scikit_learn(1e-6),
    "scikit-learn, 1e-3": scikit_learn(1e-3),
    "no reference (the first default)": first_default,
    "inverse-Wishart around a learned reference": by_em(lambda t, k: InverseWishart(t.n_features + 2)),
    "around the total covariance": by_em(relative(learned=False)),
    "shape worth D + 2 rows": by_em(relative(rows=lambda t: np.array([t.n_features + 2.0]))),
    "shape worth 2 D rows": by_em(relative(rows=lambda t: np.array([2.0 * t.n_features]))),
    "scale's spread 3": by_em(relative(spread=3.0)),
    "scale's spread 0.5": by_em(relative(spread=0.5)),
    "wall 0.1": by_em(relative(wall=0.1)),
    "wall 0.001": by_em(relative(wall=0.001)),
    "the default": default,
}


def measured(data: DataSet, fitted: Fitted) -> tuple[float, float, float]:
    """Held-out log-density a row (5-fold, features in units of their standard deviations), adjusted Rand index, s."""
    x = (data.x - data.x.mean(axis=0)) / data.x.std(axis=0)
    held_out = []
    for train, test in KFold(5, shuffle=True, random_state=0).split(x):
        try:
            held_out.append(fitted(x[train], data.n_components).log_density(x[test]))
        except (ValueError, np.linalg.LinAlgError):
            held_out.append(np.full(len(test), -np.inf))
    began = time.perf_counter()
    try:
        whole = fitted(x, data.n_components)
    except (ValueError, np.linalg.LinAlgError):
        return -np.inf, np.nan, np.nan
    took = time.perf_counter() - began
    rand = np.nan
    if data.classes is not None:
        rand = adjusted_rand_score(data.classes, whole.responsibilities(x).argmax(axis=1))
    return float(np.concatenate(held_out).mean()), rand, took


def main() -> None:
    wanted = sys.argv[1:]
    rows: list[dict[str, str]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source in (simulated, from_r, real):
            for data in source():
                if wanted and data.name not in wanted:
                    continue
                results = {name: measured(data, fitted) for name, fitted in CANDIDATES.items()}
                rows.append({"data": data.name} | {n: f"{d:.2f} / {a:.2f}" for n, (d, a, _) in results.items()})
                # After each, so that a run that is stopped leaves what it has.
                write(rows, results)


def write(rows: list[dict[str, str]], results: dict) -> None:
    """Print the last row, and keep all for the page in the docs."""
    print(rows[-1]["data"], {name: f"{d:.2f} / {a:.2f}, {s:.1f} s" for name, (d, a, s) in results.items()}, flush=True)
    with TABLE.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
