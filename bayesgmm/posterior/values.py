"""Checks of the rows' values: codes, values that a component rests on, and what the mixture describes badly."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bayesgmm.mixture.widths import OWN
from bayesgmm.model.prior import brief_number
from bayesgmm.posterior.check import Check
from bayesgmm.posterior.distances import at_a_gaussians_distances
from bayesgmm.posterior.misfit import described
from bayesgmm.record.fit import Fit

# A feature with fewer different values is a code: two answers, or the absence of something.
LEAST_VALUES = 3
# A component rests on one value of a feature if more of its rows than this have it, and there are as many as these.
SAME_VALUE, LEAST_ROWS = 0.8, 3
# Features determine one another if a weighted sum of them, standardised, has a smaller standard deviation; those take
# part in it whose weight is this part of the largest.
DETERMINED, TAKES_PART = 1e-6, 0.01
# Rows a component in which a feature was seen. Three clusters of 200 rows in three features, 89 % intervals of values
# that were hidden: of a feature seen in 4, 8, 16, 32 rows they held 75, 83, 83, 85 %; of one cluster 72, 76, 81, 87 %.
SEEN = 10
# A recording step that is so small a part of a feature's standard deviation explains no equal values.
FINE = 1e-4
# The second commonest of rounded values has a larger part of the commonest's rows than this: 0.45 of iris' widths.
SPIKE = 0.3


def of_the_table(fit: Fit) -> tuple[Check, Check, Check]:
    """Of values that no mixture describes, whatever its components: the cause of much that others find."""
    return _one_value(fit), _fewest_values(fit), _determined(fit)


def of_the_gaps(fit: Fit) -> Iterator[Check]:
    """Whether every feature was seen in rows enough to tell its mean and spread in every component."""
    if not fit.table.gaps:
        return
    seen = (~np.isnan(fit.table.counted.values)).sum(axis=0)
    least, limit = int(seen.argmin()), min(SEEN * fit.n_components, fit.table.counted.n_rows)
    yield Check(
        "rows that have the least seen feature", int(seen[least]), limit, bool(seen[least] >= limit),
        sentence=lambda: f"{fit.features[least]} was seen in {seen[least]} of {fit.table.counted.n_rows} rows: what is "
        "said of it is the prior's for the most part, and intervals of it may be too narrow. Leave it out, or fewer "
        "components.",
    )  # fmt: skip


def of_the_mixture(fit: Fit, codes: Check, redundant: Check) -> Iterator[Check]:
    """Of what the mixture describes badly; of a code nothing more is said."""
    if codes.passed:
        features = described(fit)
        yield features
        if redundant.passed:  # else distances are those of a direction without width, too
            yield at_a_gaussians_distances(fit, alone=features.passed)


def _one_value(fit: Fit) -> Check:
    """Whether a component rests on equal values of a feature that no recording step explains.

    So do rounded values of which a logarithm, say, was taken, which put them at uneven distances; and fractions, as of
    a minute, that were written with many digits.
    """
    x = fit.x
    fine = np.sqrt(12 * fit.table.rounding) <= FINE * np.nanstd(x, axis=0)
    tied = [int(j) for j in np.flatnonzero(fine) if np.unique(x[:, j], equal_nan=False).size < len(x)]
    found = [
        _commonest(x[:, j], own, component=k, feature=j)
        for mixture in fit.mixture.thinned(3)
        for k, own in enumerate((mixture.responsibilities(fit.observations) > OWN).T)
        for j in (tied if own.sum() >= LEAST_ROWS else ())
    ]
    worst = max(found, key=lambda value: value.share, default=None)

    def sentence() -> str:
        assert worst is not None
        feature, column = fit.features[worst.feature], x[:, worst.feature]
        rests = (
            f"component {worst.component} rests on one value of {feature}, {brief_number(worst.value)}, which "
            f"{worst.share:.0%} of its rows have: its width there is the prior's. "
        )
        counts = np.sort(np.unique(column[~np.isnan(column)], return_counts=True)[1])
        if counts.size > 1 and counts[-2] < SPIKE * counts[-1]:
            return f"{rests}No other value is as common: it is a bound or a code. Leave these rows out, or {feature}."
        gaps = np.abs(column - worst.value)
        step = np.min(gaps, initial=np.inf, where=gaps > 0) / 2
        return (
            f"{rests}If {feature} was rounded before it was transformed, fit it as it was recorded, or give the step "
            f"near there in resolution: {brief_number(step)}, half the distance to the next value, say."
        )

    share = 0.0 if worst is None else worst.share
    return Check("rows of a component with one value", share, SAME_VALUE, share <= SAME_VALUE, sentence=sentence)


def _fewest_values(fit: Fit) -> Check:
    """Whether a feature is a code, such as 0 and 1, of which a component can only be what has one value."""
    x = fit.x
    numbers = [np.unique(column[~np.isnan(column)]).size for column in x.T] if len(x) else [LEAST_VALUES]
    least = int(np.argmin(numbers))
    few = numbers[least] < LEAST_VALUES and len(x) > LEAST_VALUES
    return Check(
        "different values of a feature", numbers[least], LEAST_VALUES, not few,
        sentence=lambda: f"{fit.features[least]} has {numbers[least]} different values: it is a code, which no "
        "Gaussian describes, and components are drawn to its values. Leave it out, and compare the clusters with it "
        "afterwards.",
    )  # fmt: skip


def _determined(fit: Fit) -> Check:
    """Whether a feature is a sum of others, or one of them in other units, or rows are no more than features."""
    rows = fit.x[~np.isnan(fit.x).any(axis=1)]
    least, members = 1.0, np.empty(0, dtype=np.int64)
    few = fit.covariance.correlated and 1 < len(fit.x) <= fit.n_features
    if few:
        least = 0.0
    elif len(rows) > fit.n_features > 1 and (rows.std(axis=0) > 0).all():
        standardised = (rows - rows.mean(axis=0)) / rows.std(axis=0)
        _, widths, directions = np.linalg.svd(standardised / np.sqrt(len(rows)), full_matrices=False)
        least, share = float(widths[-1]), np.abs(directions[-1])
        members = np.flatnonzero(share > TAKES_PART * share.max())

    def sentence() -> str:
        if few:
            return (
                f"{len(fit.x)} rows of {fit.n_features} features lie on a plane, whatever they are, and nothing can be "
                "learned of the spread across it. Try covariance_type='diag', or fewer features."
            )
        names = [fit.features[int(j)] for j in members]
        return (
            f"{', '.join(names[:-1])} and {names[-1]} determine one another: a weighted sum of them is the same for "
            "all rows. Nothing can be learned of the spread in that direction. Leave one of them out."
        )

    return Check("least width of all rows", least, DETERMINED, least >= DETERMINED, sentence=sentence)


class _Commonest(NamedTuple):
    """The commonest value of a feature among a component's rows."""

    share: float
    value: float
    component: int
    feature: int


def _commonest(column: np.ndarray, own: np.ndarray, *, component: int, feature: int) -> _Commonest:
    own = own & ~np.isnan(column)
    if not own.any():
        return _Commonest(0.0, np.nan, component, feature)
    values, counts = np.unique(column[own], return_counts=True)
    return _Commonest(counts.max() / own.sum(), float(values[counts.argmax()]), component, feature)
