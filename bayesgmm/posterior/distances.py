r"""Whether the rows of a component lie as far from it as a Gaussian's would.

With :math:`d^2_{nk} = (x_n - \mu_k)^\top \Sigma_k^{-1} (x_n - \mu_k)`, which of a Gaussian's rows has the chi-squared
distribution of D degrees of freedom, and responsibilities :math:`r_{nk}`,

.. math:: T_k = \max_t \Big| \frac{\sum_n r_{nk} 1(d^2_{nk} \le t)}{\sum_n r_{nk}} - F_{\chi^2_D}(t) \Big| ,

averaged over draws. Under every draw the same is computed of as many rows simulated from it, recorded in the same
steps: if the model is right the two are alike, of however few rows or many features (Gelman, Meng and Stern 1996).
Shapes that no feature shows alone are seen so: tails that are heavier in all directions, rows along an arc. Of 402
tables of one to four Gaussian clusters (40 to 1,000 rows, 1 to 13 features, a fifth of them rounded), near and far
apart, none was above the limit, of four standard deviations of the simulated ones; of 217 others one was above three.

Gelman, Meng and Stern (1996), Posterior predictive assessment of model fitness via realized discrepancies, Statistica
Sinica 6, 733-807. Gnanadesikan and Kettenring (1972), Robust estimates, residuals, and outlier detection with
multiresponse data, Biometrics 28, 81-124, https://doi.org/10.2307/2528963 (the distances).
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import gammainc

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.posterior.check import Check
from bayesgmm.posterior.misfit import LARGEST_SHARE, MOST_ROWS
from bayesgmm.record.fit import Fit

# Draws that are looked at, and by how many standard deviations of what is simulated rows may be off.
MOST_DRAWS, DEVIATIONS = 40, 4.0
# A component of fewer rows has no shape, and of a row of which it has less hardly anything is its own.
LEAST_ROWS, OWN = 5.0, 1e-3


class Distances(NamedTuple):
    """How a component's rows are off, where most, and how far they may be."""

    component: int
    share: float
    limit: float
    nearer: float
    expected: float


def at_a_gaussians_distances(fit: Fit, *, alone: bool = True) -> Check:
    """Whether the rows of every component are spread about it as a Gaussian's.

    Rows of which not all was seen, or that were measured with errors of their own, are not looked at. Not ``alone``:
    features' values were found not to be described either, and what to do about that has been said.
    """
    table = fit.table.counted.subsample(MOST_ROWS, np.random.default_rng(0))
    found = [] if table.gaps or table.errors is not None else distances(table, fit.mixture.thinned(MOST_DRAWS))
    worst = max(found, key=lambda one: one.share - one.limit, default=Distances(0, 0.0, LARGEST_SHARE, 0.0, 0.0))

    def sentence() -> str:
        others = [str(one.component) for one in found if one.share > one.limit and one is not worst]
        besides = f", nor those of {', '.join(others)}" if others else ""
        crowded = worst.nearer > worst.expected
        counted = f"{worst.nearer:.0%} of them are as near to its mean as {worst.expected:.0%} would be"
        means = "many in the middle and others far out" if crowded else "few in the middle, as of an arc or a ring"
        rows = f"the rows of component {worst.component} are not spread like a Gaussian's{besides}"
        seen = f"{rows}: {counted}, {means}"
        if not alone:
            return f"{seen}. The same remedies hold."
        noise = "noise=True if some are scattered anywhere, " if crowded and fit.table.box is None else ""
        return (
            f"{seen}. Intervals and densities suppose that they are. Try the logarithm of what is skewed, "
            f"{noise}or more components, which then stand for a shape and are no clusters."
        )

    return Check(
        "rows too near to their component or too far", worst.share, worst.limit, worst.share <= worst.limit,
        sentence=sentence,
    )  # fmt: skip


def distances(table: Table, draws: Mixture) -> list[Distances]:
    """Of every component that has rows to speak of."""
    rng = np.random.default_rng(0)
    own = [_off(table.values, table.row_weights, draw) for draw in draws]
    simulated = [
        _off(_recorded(draw.simulate(len(table.values), rng)[0], table), table.row_weights, draw) for draw in draws
    ]
    found = []
    for k in range(draws.n_components):
        count, share, nearer, expected = np.mean([one[k] for one in own], axis=0)
        if count < LEAST_ROWS:
            continue
        by_chance = np.array([one[k, 1] for one in simulated])
        limit = max(LARGEST_SHARE, float(by_chance.mean() + DEVIATIONS * by_chance.std()))
        found.append(Distances(k, float(share), limit, float(nearer), float(expected)))
    return found


def _off(x: np.ndarray, weights: np.ndarray, mixture: Mixture) -> np.ndarray:
    """Rows of every component, the largest share that is off, and the two shares there: (K, 4)."""
    responsibilities = mixture.responsibilities(x)
    found = np.zeros((mixture.n_components, 4))
    for k, (mean, covariance) in enumerate(zip(mixture.means, mixture.full_covariances, strict=True)):
        own = responsibilities[:, k] > OWN
        part = responsibilities[own, k] * weights[own]
        count = float(part.sum())
        if count < 1:
            found[k, 1] = 1.0
            continue
        away = solve_triangular(cholesky(covariance, lower=True), (x[own] - mean).T, lower=True)
        expected = gammainc(len(mean) / 2, (away**2).sum(axis=0) / 2)
        order = np.argsort(expected)
        expected, part = expected[order], part[order] / count
        # A row counts half where it is.
        nearer = np.cumsum(part) - part / 2
        most = int(np.abs(nearer - expected).argmax())
        found[k] = count, abs(nearer[most] - expected[most]), nearer[most], expected[most]
    return found


def _recorded(x: np.ndarray, table: Table) -> np.ndarray:
    """Simulated rows as the table's were recorded: in its steps."""
    if table.resolution is None or not len(x):
        return x
    steps, first = np.asarray(table.resolution), table.values[0]
    rounded = first + np.round((x - first) / np.where(steps > 0, steps, 1.0)) * steps
    return np.where(steps > 0, rounded, x)
