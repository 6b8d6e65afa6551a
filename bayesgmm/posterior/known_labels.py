r"""Whether the labels that are known of rows contradict the clusters that the rows form.

A known label pins its row to its component, whatever the row is: a wrong one widens the component, and no other check
need see it. So the rows are looked at as if no label were known. With :math:`\bar r_{nk}` the probability of component
k then, a label is contradicted if the probability of its component is below 0.01. If probabilities are right, the
expected number of such rows is

.. math:: \lambda = \sum_n \sum_k \bar r_{nk} 1(\bar r_{nk} < 0.01) ,

over the rows of known labels, and their number is like that of a Poisson variable.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.stats import poisson

from bayesgmm.data.observations import UNKNOWN, Observations
from bayesgmm.mixture.widths import named_rows
from bayesgmm.posterior.check import Check
from bayesgmm.record.fit import Fit

# A label is contradicted below this probability; so many of them are no chance if such a number has less than this.
IMPROBABLE, CHANCE = 0.01, 0.01
# Draws that are looked at.
MOST_DRAWS = 40


def of_labels(fit: Fit) -> Iterator[Check]:
    """Whether more known labels are improbable than chance has it."""
    rows = fit.observations
    if not isinstance(rows, Observations) or rows.labels is None:
        return
    known = np.flatnonzero(rows.labels != UNKNOWN)
    if not known.size:
        return
    unlabelled = replace(rows[known], labels=None)
    draws = fit.mixture.thinned(MOST_DRAWS)
    probability = np.mean([mixture.responsibilities(unlabelled) for mixture in draws], axis=0)
    # A row of a known label is no noise.
    probability /= np.maximum(probability.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    against = np.zeros(len(rows), dtype=bool)
    against[known] = probability[np.arange(known.size), rows.labels[known]] < IMPROBABLE
    number, limit = int(against.sum()), float(poisson.isf(CHANCE, probability[probability < IMPROBABLE].sum()))

    def sentence() -> str:
        named = named_rows(against, fit.row_names)
        return (
            f"the labels of {number} of {known.size} rows (rows {named}) contradict their values, by "
            "which they are of another component, and components that take them in are too wide. Look at these labels "
            "and leave out those that are wrong; or classes are not what clusters are: try more components."
        )

    yield Check("labels that rows contradict", number, limit, number <= limit, sentence=sentence)
