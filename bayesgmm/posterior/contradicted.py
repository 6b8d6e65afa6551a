r"""Whether the labels that are known of rows contradict the clusters that the rows form.

A known label pins its row to its component, whatever the row is: a wrong one widens the component, and no other check
need see it. So the rows are looked at as if no label were known. With :math:`\bar r_{nk}` the probability of component
k then, a row is contradicted if that of its own label is below 0.01. If probabilities are right, the expected number of
such rows is

.. math:: \lambda = \sum_n \sum_k \bar r_{nk} 1(\bar r_{nk} < 0.01) ,

over the rows of known labels, and their number is like that of a Poisson variable.
"""

from dataclasses import replace

import numpy as np
from scipy.stats import poisson

from bayesgmm.data.observations import UNKNOWN, Observations
from bayesgmm.posterior.check import Check
from bayesgmm.record.fit import Fit

# A label is contradicted below this probability; so many of them are no chance if such a number has less than this.
IMPROBABLE, CHANCE = 0.01, 0.01
# Draws that are looked at, and rows that are named.
MOST_DRAWS, MOST_NAMED = 40, 5


def contradicted_labels(fit: Fit) -> Check | None:
    """Whether more known labels are improbable than chance has it. None: no label is known."""
    rows = fit.observations
    if not isinstance(rows, Observations) or rows.labels is None:
        return None
    known = np.flatnonzero(rows.labels != UNKNOWN)
    if not known.size:
        return None
    unlabelled = replace(rows[known], labels=None)
    draws = fit.mixture.thinned(MOST_DRAWS)
    r = np.mean([mixture.responsibilities(unlabelled) for mixture in draws], axis=0)
    r /= np.maximum(r.sum(axis=1, keepdims=True), np.finfo(float).tiny)  # a row of a known label is no noise
    own = r[np.arange(known.size), rows.labels[known]]
    against = known[own < IMPROBABLE]
    limit = float(poisson.isf(CHANCE, r[r < IMPROBABLE].sum()))

    def sentence() -> str:
        worst = known[np.argsort(own, kind="stable")][: min(MOST_NAMED, against.size)]
        named = ", ".join(map(str, worst)) + (", ..." if against.size > worst.size else "")
        return (
            f"the labels of {against.size} of {known.size} labelled rows contradict their values, by which they would "
            f"be of another component (rows {named}): components that take them in are too wide. Look at these labels, "
            "leave out those that are wrong; or the classes are not what the clusters are: try more components."
        )

    return Check("contradicted labels", against.size, limit, against.size <= limit, sentence=sentence)
