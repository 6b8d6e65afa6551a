"""Checks of the components: few rows, no width, rows that are scattered about another."""

from collections.abc import Iterator

import numpy as np

from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.widths import COLLAPSED_WIDTH, OWN, against_collapse, named_rows, own_rows, shown, widths
from bayesgmm.model.em import expectation
from bayesgmm.posterior.check import Check
from bayesgmm.record.fit import Fit

# Draws that are looked at for the rows of each component.
MOST_DRAWS = 10
# Rows of a component are scattered about another, and no cluster, if they are fewer than so many times as many as show
# a shape, and it is so many times as wide as the other, the mean of which is within so many of its standard deviations.
FEW, WIDE, WITHIN = 4, 5.0, 3.0


def of_components(fit: Fit) -> Iterator[Check]:
    """All of them."""
    counts = np.mean([expectation(draw, fit.table.counted).counts for draw in fit.mixture.thinned(MOST_DRAWS)], axis=0)
    yield _smallest(fit, counts)
    yield _scattered(fit, counts)
    yield _narrowest(fit)


def _smallest(fit: Fit, counts: np.ndarray) -> Check:
    smallest, least = float(counts.min()), fit.n_features + 1
    k = int(counts.argmin())

    def sentence() -> str:
        own = _named(fit, k)
        rows = f"{smallest:.1f} rows" + (f" ({own})" if own else "")
        return (
            f"component {k} holds about {rows}, too few to show its shape: its parameters come from the prior. Try "
            f"{_noise(fit)}fewer components."
        )

    return Check("rows in the smallest component", smallest, least, smallest >= least, sentence=sentence)


def _scattered(fit: Fit, counts: np.ndarray) -> Check:
    """Whether a component's few rows lie about another's, far out: it is one that no cluster asks for."""
    mixture, shape = _middle(fit), fit.n_features + 1
    scales = np.exp(np.linalg.slogdet(mixture.full_covariances)[1] / (2 * fit.n_features))
    wide, k, around = 0.0, 0, 0
    for one in np.flatnonzero((counts >= shape) & (counts < FEW * shape)):
        away = mixture.means - mixture.means[one]
        squares = (away * np.linalg.solve(mixture.full_covariances[one], away.T).T).sum(axis=1)
        for other in np.flatnonzero((squares < WITHIN**2) & (counts > counts[one])):
            if scales[one] / scales[other] > wide:
                wide, k, around = float(scales[one] / scales[other]), int(one), int(other)

    def sentence() -> str:
        return (
            f"component {k} is {wide:.2g} times as wide as component {around}, about which its "
            f"{counts[k]:.0f} rows lie scattered ({_named(fit, k)}): they may be "
            f"outliers, and no cluster. Try {_noise(fit)}fewer components without these rows."
        )

    return Check("width of few rows about another component", wide, WIDE, wide <= WIDE, sentence=sentence)


def _narrowest(fit: Fit) -> Check:
    x, middle = fit.table.filled, _middle(fit)
    width = np.median([widths(draw, x) for draw in fit.mixture.thinned(3)], axis=0)
    real = [bool(w < COLLAPSED_WIDTH) and shown(middle, x, k) for k, w in enumerate(width)]
    k = int(np.where(real, np.inf, width).argmin())

    def sentence() -> str:
        rows = named_rows(own_rows(middle, x, k), fit.row_names)
        where = f"on rows {rows}" if rows else "where it has no row to itself"
        remedy = against_collapse(not (fit.specification and fit.specification.not_defaults))
        return f"component {k} has collapsed to {width[k]:.1e} of the data's width in one direction, {where}. {remedy}"

    # A Gaussian around such a mode is no approximation: its draws may have no row where the mode has many.
    level = "fail" if fit.provenance.method == "laplace" else "caution"
    good = bool(real[k] or width[k] >= COLLAPSED_WIDTH)
    return Check("narrowest component", float(width[k]), COLLAPSED_WIDTH, good, level, sentence)


def _middle(fit: Fit) -> Mixture:
    """A draw from the middle of all, as the first is near where its chain began."""
    draws = list(fit.mixture.thinned(3))
    return draws[len(draws) // 2]


def _named(fit: Fit, component: int) -> str:
    """The rows that are more probably of a component than not, over draws: where these differ one has others."""
    each = [draw.responsibilities(fit.observations)[:, component] for draw in fit.mixture.thinned(MOST_DRAWS)]
    return named_rows(np.mean(each, axis=0) > OWN, fit.row_names)


def _noise(fit: Fit) -> str:
    return "" if fit.table.box is not None else "noise=True if some rows are of no cluster, or "
