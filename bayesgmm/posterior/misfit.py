r"""Whether the mixture describes the values of every feature.

The posterior predictive distribution function of feature j at row n, and its largest distance from the rows' own,

.. math:: u_{nj} = \mathrm{E} \sum_k \pi_k \Phi\Big( \frac{x_{nj} - \mu_{kj}}{\sigma_{kj}} \Big), \qquad
          D_j = \max_n |\hat F_j(u_{nj}) - u_{nj}| ,

with :math:`\hat F_j` the share of the rows below, those at the same place counting half; of rounded features at the
upper ends of the steps. :math:`D_j` is Kolmogorov and Smirnov's. A mixture that was fitted to the rows is nearer to
them than their law says (as Lilliefors 1967 has it of one Gaussian): of 1,042 features of simulated tables, one to
three Gaussian clusters of 40 to 1,000 rows, near and far apart, :math:`\sqrt N D` was above 0.94 in one of a hundred
and never above 1.25, where the law has 1.63 as its hundredth.

Lilliefors (1967), On the Kolmogorov-Smirnov test for normality with mean and variance unknown, JASA 62, 399-402,
https://doi.org/10.1080/01621459.1967.10482916. Massey (1951), The Kolmogorov-Smirnov test for goodness of fit, JASA 46,
68-78, https://doi.org/10.1080/01621459.1951.10500769. Stephens (1974), EDF statistics for goodness of fit and some
comparisons, JASA 69, 730-737, https://doi.org/10.1080/01621459.1974.10480196. Gelman, Meng and Stern (1996), Posterior
predictive assessment of model fitness via realized discrepancies, Statistica Sinica 6, 733-807.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import kolmogi, ndtr

from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.prior import brief_number
from bayesgmm.posterior.check import Check
from bayesgmm.record.fit import Fit

# Draws and rows that are looked at.
MOST_DRAWS, MOST_ROWS = 50, 2_000
# A feature is described badly if so large a share of the rows is on the wrong side of some value, and more than chance
# gives once in a hundred tables.
LARGEST_SHARE, LEAST_PROBABILITY = 0.05, 0.01
# What is fitted to rows is nearer to them than the law of what is not says, by this factor at least (above).
FITTED = 1.3


class Misfit(NamedTuple):
    """How far rows are from what is said of a feature, and how far they may be."""

    share: float
    limit: float
    feature: int
    value: float
    rows_below: float
    mixture_below: float

    @property
    def found(self) -> bool:
        return self.share > self.limit


def described(fit: Fit) -> Check:
    """Whether every feature's values are spread as the mixture says.

    A feature of which values were not seen is passed over: which ones these are may depend on the others, as it may
    where values are missing at random, and those that were seen have another distribution then.
    """
    table = fit.table.counted.subsample(MOST_ROWS, np.random.default_rng(0))
    mixture = fit.mixture.thinned(MOST_DRAWS)
    seen = np.flatnonzero(~np.isnan(fit.x).any(axis=0))
    found = sorted((misfit(table, mixture, int(j), of=len(seen)) for j in seen), key=lambda m: m.limit - m.share)
    worst = found[0] if found else Misfit(0.0, LARGEST_SHARE, 0, np.nan, np.nan, np.nan)

    def sentence() -> str:
        others = [fit.features[one.feature] for one in found[1:] if one.found]
        besides = f", nor those of {', '.join(others)}" if others else ""
        remedy = "" if fit.table.box is not None else "noise=True if some are scattered anywhere, "
        shares = f"of the rows {worst.rows_below:.0%} are at most {brief_number(worst.value)}"
        return (
            f"the mixture does not describe the values of {fit.features[worst.feature]}{besides}: {shares}, of the "
            f"mixture {worst.mixture_below:.0%}. Components that stand for a shape are no clusters. Try the logarithm "
            f"of what is skewed, {remedy}more components, or to leave the feature out."
        )

    return Check("rows on the wrong side of a value", worst.share, worst.limit, not worst.found, sentence=sentence)


def misfit(table: Table, mixture: Mixture, feature: int, *, of: int = 1) -> Misfit:
    """The largest distance between the rows' distribution and that of a batch of draws, of one ``of`` some features."""
    x, weights = table.values[:, feature], table.row_weights
    step, rounding = (0.0, 0.0) if table.resolution is None else (table.resolution[feature], table.rounding[feature])
    errors = 0.0 if table.errors is None else table.errors[:, feature, feature][:, None]
    below = np.mean([_below(x + step / 2, errors - rounding, draw, feature) for draw in mixture], axis=0)
    # Rows at the same place count half where they are, but whole where a step's upper end is known.
    places, which = np.unique(below, return_inverse=True)
    shares = np.bincount(which, weights) / weights.sum()
    off = np.cumsum(shares) - (shares / 2 if step == 0 else 0.0) - places
    worst = int(np.abs(off).argmax())
    row = int(np.flatnonzero(which == worst)[0])
    return Misfit(
        float(np.abs(off[worst])), max(LARGEST_SHARE, by_chance(weights, of)), feature,
        float(x[row]), float(places[worst] + off[worst]), float(places[worst]),
    )  # fmt: skip


def by_chance(weights: np.ndarray, features: int) -> float:
    """The distance that chance exceeds in one table of a hundred with so many features, fitted to rows of weights."""
    # Rows of unlike weights tell as much as so many of the same (Kish); the law of few rows is Stephens's.
    root = weights.sum() / np.sqrt((weights**2).sum())
    return float(kolmogi(LEAST_PROBABILITY / max(features, 1)) / (root + 0.12 + 0.11 / root) / FITTED)


def _below(x: np.ndarray, variance: "float | np.ndarray", mixture: Mixture, feature: int) -> np.ndarray:
    """The probability of values below x (N,) under a single mixture, with variances (N, 1) added to the components'."""
    scales = np.sqrt(np.maximum(mixture.scales[:, feature] ** 2 + variance, np.finfo(float).tiny))
    below = ndtr((x[:, None] - mixture.means[:, feature]) / scales) @ mixture.weights
    if mixture.noise is None:
        return below
    share, low, high = mixture.noise.share, mixture.noise.low[feature], mixture.noise.high[feature]
    return (1 - share) * below + share * np.clip((x - low) / (high - low), 0, 1)
