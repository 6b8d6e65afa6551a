r"""Common labels for the components of many mixtures: one permutation for each.

A mixture's likelihood does not know its components' labels, so draws may carry them in any order. Both methods bring
each draw to a common labelling by an assignment problem, solved exactly:

- Stephens: permute draws so that their responsibilities are close to a common matrix Q in Kullback-Leibler divergence,

  .. math:: \min_{\nu_s} \sum_{n,k} p^{(s)}_{n\nu_s(k)} \log \frac{p^{(s)}_{n\nu_s(k)}}{q_{nk}},
            \qquad Q = \frac1S \sum_s p^{(s)}_{\cdot\nu_s}, \quad\text{alternating to a fixed point};

- ECR (equivalence classes representatives): agree with a pivot draw's allocation in as many rows as possible.

Stephens (2000), Dealing with label switching in mixture models, JRSS B 62, 795-809,
https://doi.org/10.1111/1467-9868.00265. Papastamoulis and Iliopoulos (2010), An artificial allocations based solution
to the label switching problem in Bayesian analysis of mixtures of distributions, J. Computational and Graphical
Statistics 19, 313-331, https://doi.org/10.1198/jcgs.2010.09008.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

MAX_ROUNDS = 30
# The least probability that Q may hold, so that a logarithm stays finite.
LEAST = 1e-12


def _assign(cost: np.ndarray) -> np.ndarray:
    """The permutation nu with the least sum of cost[k, nu(k)]."""
    return linear_sum_assignment(cost)[1]


def surprise_of(reference: np.ndarray) -> np.ndarray:
    """-log of Q, (K, N). Its product with a draw's responsibilities is the divergence, up to a constant."""
    return np.ascontiguousarray(-np.log(np.maximum(reference, LEAST)).T)


def stephens(responsibilities: Callable[[int], np.ndarray], n_draws: int, pivot: int = 0) -> np.ndarray:
    """Stephens' algorithm, a draw at a time.

    Parameters
    ----------
    responsibilities : callable
        Draw -> (N, K) matrix. Called in every round, so that memory stays O(N K).
    n_draws : int
    pivot : int
        The draw whose labels the first round follows.

    Returns
    -------
    (n_draws, K) int array
        ``permutation[s, k]`` is draw s's own label of the component that is given label k.
    """
    reference = responsibilities(pivot)
    permutation = np.tile(np.arange(reference.shape[1]), (n_draws, 1))
    for round_ in range(MAX_ROUNDS):
        surprise, total = surprise_of(reference), np.zeros_like(reference)
        changed = False
        for s in range(n_draws):
            probability = responsibilities(s)
            order = _assign(surprise @ probability)
            changed |= not np.array_equal(order, permutation[s])
            permutation[s] = order
            total += probability[:, order]
        reference = total / n_draws
        if not changed and round_ > 0:
            break
    return permutation


def ecr(responsibilities: Callable[[int], np.ndarray], n_draws: int, pivot: int = 0) -> np.ndarray:
    """Equivalence classes representatives: agree with the pivot's allocation. Arguments as for :func:`stephens`."""
    reference = responsibilities(pivot)
    n_components = reference.shape[1]
    one_hot = np.eye(n_components)[reference.argmax(axis=1)]
    permutation = np.empty((n_draws, n_components), dtype=np.int64)
    for s in range(n_draws):
        allocation = np.eye(n_components)[responsibilities(s).argmax(axis=1)]
        permutation[s] = _assign(-(one_hot.T @ allocation))
    return permutation
