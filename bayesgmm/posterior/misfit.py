r"""Whether the mixture describes the values of every feature.

The posterior predictive distribution function of feature j at row n, and its mean distance from the rows' own,

.. math:: u_{nj} = \mathrm{E} \sum_k \pi_k \Phi\Big( \frac{x_{nj} - \mu_{kj}}{\sigma_{kj}} \Big), \qquad
          D_j = \max_n |\hat F_j(u_{nj}) - u_{nj}| ,

with :math:`\hat F_j` the share of the rows below, those at the same place counting half; of rounded features at the
upper ends of the steps. :math:`D_j` is Kolmogorov and
Smirnov's; its limit law is that of a mixture which was not fitted to these rows, so that a fitted one is reported less
often than the probability says. Of 45 simulated tables of Gaussian clusters the least probability, times the number of
features, was 0.26; of 35 real and other ones it was below 0.01 on six (docs/trust.md).

Massey (1951), The Kolmogorov-Smirnov test for goodness of fit, JASA 46, 68-78,
https://doi.org/10.1080/01621459.1951.10500769. Stephens (1974), EDF statistics for goodness of fit and some
comparisons, JASA 69, 730-737, https://doi.org/10.1080/01621459.1974.10480196. Gelman, Meng and Stern (1996), Posterior
predictive assessment of model fitness via realized discrepancies, Statistica Sinica 6, 733-807.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import kolmogorov, ndtr

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.prior import brief_number
from bayesgmm.posterior.check import Check
from bayesgmm.record.fit import Fit

# Draws and rows that are looked at. Of so many rows a distance of 0.04 is what chance gives once in 300 times.
MOST_DRAWS, MOST_ROWS = 50, 2_000
# A feature is described badly if so large a share of the rows is on the wrong side of some value, and chance gives as
# much once in a hundred tables.
LARGEST_SHARE, LEAST_PROBABILITY = 0.05, 0.01


class Misfit(NamedTuple):
    """How far rows are from what is said of a feature."""

    share: float
    probability: float
    feature: int
    value: float
    rows_below: float
    mixture_below: float


def described(fit: Fit) -> Check:
    """Whether every feature's values are spread as the mixture says."""
    table = fit.table.counted.subsample(MOST_ROWS, np.random.default_rng(0))
    mixture = fit.mixture.thinned(MOST_DRAWS)
    found = [misfit(table, mixture, j) for j in range(fit.n_features)]
    unlikely = [one for one in found if one.probability * len(found) < LEAST_PROBABILITY]
    worst = max(unlikely or found, key=lambda one: one.share)
    good = not unlikely or worst.share <= LARGEST_SHARE

    def sentence() -> str:
        others = [fit.features[m.feature] for m in unlikely if m.share > LARGEST_SHARE and m is not worst]
        besides = f", nor those of {', '.join(others)}" if others else ""
        return (
            f"the mixture does not describe the values of {fit.features[worst.feature]}{besides}: of the rows "
            f"{worst.rows_below:.0%} are below {brief_number(worst.value)}, of the mixture {worst.mixture_below:.0%}. "
            "Components that stand for a shape are no clusters. Try the logarithm of what is skewed, more components, "
            "or to leave the feature out."
        )

    return Check("rows on the wrong side of a value", worst.share, LARGEST_SHARE, good, sentence=sentence)


def misfit(table: Table, mixture: Mixture, feature: int) -> Misfit:
    """The largest distance between the rows' distribution and that of a batch of draws, of a feature."""
    seen = ~np.isnan(table.values[:, feature])
    x, weights = table.values[seen, feature], table.row_weights[seen]
    if not seen.any():
        return Misfit(0.0, 1.0, feature, np.nan, np.nan, np.nan)
    step, rounding = (0.0, 0.0) if table.resolution is None else (table.resolution[feature], table.rounding[feature])
    errors = 0.0 if table.errors is None else table.errors[seen, feature, feature][:, None]
    below = np.mean([_below(x + step / 2, errors - rounding, draw, feature) for draw in mixture], axis=0)
    # Rows at the same place count half where they are, but whole where a step's upper end is known.
    places, which = np.unique(below, return_inverse=True)
    shares = np.bincount(which, weights) / weights.sum()
    off = np.cumsum(shares) - (shares / 2 if step == 0 else 0.0) - places
    worst = int(np.abs(off).argmax())
    row = int(np.flatnonzero(which == worst)[0])
    share = float(np.abs(off[worst]))
    # Rows of unlike weights tell as much as so many of the same (Kish); the law of few rows is Stephens's.
    root = np.sqrt(weights.sum() ** 2 / (weights**2).sum())
    probability = float(kolmogorov((root + 0.12 + 0.11 / root) * share))
    return Misfit(share, probability, feature, float(x[row]), float(places[worst] + off[worst]), float(places[worst]))


def _below(x: np.ndarray, variance: "float | np.ndarray", mixture: Mixture, feature: int) -> np.ndarray:
    """The probability of values below x (N,) under a single mixture, with variances (N, 1) added to the components'."""
    scales = np.sqrt(np.maximum(mixture.scales[:, feature] ** 2 + variance, np.finfo(float).tiny))
    below = ndtr((x[:, None] - mixture.means[:, feature]) / scales) @ mixture.weights
    if mixture.noise is None:
        return below
    share, low, high = mixture.noise.share, mixture.noise.low[feature], mixture.noise.high[feature]
    return (1 - share) * below + share * np.clip((x - low) / (high - low), 0, 1)
