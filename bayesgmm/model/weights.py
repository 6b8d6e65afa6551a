r"""The prior of the weights: what EM makes of it, and which order of the components it prefers.

A Dirichlet prior with one concentration knows no order. With several, and under stick-breaking
(:mod:`bayesgmm.graph.sticks`), components are told apart by their place, and a mixture has a different density in every
order.

The density of stick-breaking weights has no maximum of its own: for :math:`\alpha < K - 1` it is unbounded where all
but the first weights vanish, and so is a Dirichlet density whose concentration is free, and may fall below 1. For
these priors the mode is that of the density in the softmax basis, :math:`p(\pi) \prod_k \pi_k`, which vanishes at the
edges (MacKay 1998, Choice of basis for Laplace approximation, Machine Learning 33, 77-86,
https://doi.org/10.1023/A:1007558615313); the extra factor knows no order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bayesgmm.model.em import shares


@dataclass(frozen=True, eq=False)
class WeightsPrior:
    """The prior of the weights in numbers.

    Parameters
    ----------
    sticks : bool
        Stick-breaking, not Dirichlet.
    concentration : array or None
        Dirichlet: (K,); stick-breaking: alpha, (). None: it is a variable of the model.
    """

    sticks: bool
    concentration: np.ndarray | None

    @property
    def in_softmax_basis(self) -> bool:
        """Whether the mode is that of the density in the softmax basis."""
        return self.sticks or self.concentration is None

    @property
    def knows_order(self) -> bool:
        """Whether the density depends on the order of the weights."""
        return self.sticks or (self.concentration is not None and bool(np.ptp(self.concentration) > 0))

    def step(self, counts: np.ndarray) -> np.ndarray:
        r"""EM's M-step: weights (K,) of counts n (K,).

        .. math:: \pi_k \propto n_k + c_k - 1 \quad \text{(Dirichlet)}, \qquad
                  v_k = \frac{1 + n_k}{1 + n_k + \alpha + \sum_{j>k} n_j} \quad \text{(stick-breaking)},

        the last of which is also the mean of the stick given the counts. Where the concentration is free the counts
        alone decide: EM only finds where to start from.
        """
        if self.concentration is None:
            return shares(counts)
        if not self.sticks:
            return shares(np.maximum(counts + self.concentration - 1, 0))
        later = np.append(np.cumsum(counts[:0:-1])[::-1], 0.0)
        sticks = (1 + counts) / (1 + counts + self.concentration + later)
        sticks[-1] = 1.0
        return sticks * np.cumprod(np.append(1.0, 1 - sticks[:-1]))

    def orders(self, weights: np.ndarray) -> Iterator[np.ndarray]:
        r"""Orders of weights (K,) of which one has the highest density of all K!; none where all have the same.

        Of sticks, :math:`(\alpha - 1) \log \pi_K - \sum_k \log r_k`: whichever is last, each r is least if those
        before it stand in descending order. Of a Dirichlet prior the larger weight goes with the larger concentration.
        """
        if not self.knows_order:
            return
        descending = np.argsort(-weights, kind="stable")
        if self.sticks:
            for last in descending[::-1]:
                yield np.append(descending[descending != last], last)
        else:
            assert self.concentration is not None
            order = np.empty_like(descending)
            order[np.argsort(-self.concentration, kind="stable")] = descending
            yield order
