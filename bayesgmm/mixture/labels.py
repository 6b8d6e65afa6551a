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

from bayesgmm.mixture.threads import share

# Of a slice of the draws, (S, N, K).
Responsibilities = Callable[[slice], np.ndarray]
# Responsibilities that a thread holds at once, and slabs at most: each has a sum of its own, in the draws' order.
SLAB, MOST_SLABS = 200_000, 128
MAX_ROUNDS = 30
# The least probability that Q may hold, so that a logarithm stays finite.
LEAST = 1e-12


def _assign(cost: np.ndarray) -> np.ndarray:
    """The permutation nu with the least sum of cost[k, nu(k)]."""
    return linear_sum_assignment(cost)[1]


def surprise_of(reference: np.ndarray) -> np.ndarray:
    """-log of Q, (K, N). Its product with a draw's responsibilities is the divergence, up to a constant."""
    return np.ascontiguousarray(-np.log(np.maximum(reference, LEAST)).T)


def stephens(responsibilities: Responsibilities, n_draws: int, pivot: int = 0) -> np.ndarray:
    """Stephens' algorithm, some draws at a time, on all cores.

    Parameters
    ----------
    responsibilities : callable
        A slice of the draws -> (S, N, K). Called in every round, so that memory does not grow with the draws.
    n_draws : int
    pivot : int
        The draw whose labels the first round follows.

    Returns
    -------
    (n_draws, K) int array
        ``permutation[s, k]`` is draw s's own label of the component that is given label k.
    """
    reference = responsibilities(slice(pivot, pivot + 1))[0]
    permutation = np.tile(np.arange(reference.shape[1]), (n_draws, 1))
    slabs = _slabs(n_draws, reference.size)
    totals = np.empty((len(slabs), *reference.shape))
    for round_ in range(MAX_ROUNDS):
        surprise, last = surprise_of(reference), permutation.copy()

        def assign(i: int, surprise: np.ndarray = surprise) -> None:
            probability = responsibilities(slabs[i])
            permutation[slabs[i]] = [_assign(cost) for cost in surprise @ probability]
            totals[i] = np.take_along_axis(probability, permutation[slabs[i], None], axis=2).sum(axis=0)

        share(len(slabs), assign)
        reference = totals.sum(axis=0) / n_draws
        if round_ > 0 and np.array_equal(permutation, last):
            break
    return permutation


def ecr(responsibilities: Responsibilities, n_draws: int, pivot: int = 0) -> np.ndarray:
    """Equivalence classes representatives: agree with the pivot's allocation. Arguments as for :func:`stephens`."""
    reference = responsibilities(slice(pivot, pivot + 1))[0]
    n_components = reference.shape[1]
    one_hot = np.eye(n_components)[reference.argmax(axis=1)]
    permutation = np.empty((n_draws, n_components), dtype=np.int64)
    slabs = _slabs(n_draws, reference.size)

    def assign(i: int) -> None:
        allocation = np.eye(n_components)[responsibilities(slabs[i]).argmax(axis=2)]
        permutation[slabs[i]] = [_assign(cost) for cost in -(one_hot.T @ allocation)]

    share(len(slabs), assign)
    return permutation


def _slabs(n_draws: int, size: int) -> list[slice]:
    """Draws that are relabelled at once, by a draw's number of responsibilities; whatever the number of threads."""
    length = max(1, SLAB // size, -(-n_draws // MOST_SLABS))
    return [slice(start, min(start + length, n_draws)) for start in range(0, n_draws, length)]
