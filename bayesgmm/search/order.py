"""Climbing where the order of the components matters: to the top of the best order."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bayesgmm.graph.compiled import LogDensity
from bayesgmm.search.climb import Optimum, climb
from bayesgmm.search.problem import Problem

# The best order is known for given weights, and may be another at the weights that it leads to.
MOST_CHANGES = 5


def climb_in_order(
    problem: Problem,
    start: np.ndarray,
    *,
    curvature: LogDensity | None = None,
    known: Callable[[np.ndarray, float], bool] | None = None,
    each: Callable[[np.ndarray, float], None] | None = None,
    max_iter: int | None = None,
) -> Optimum:
    """The optimum above a start in the best order of its components; see :func:`bayesgmm.search.climb.climb`."""
    optimum, iterations = None, 0
    for _ in range(1 + MOST_CHANGES):
        q = problem.in_best_order(start if optimum is None else optimum.q)
        if optimum is not None and q is optimum.q:
            break
        optimum = climb(
            problem.parameter_density,
            q,
            problem.scales,
            roots=problem.roots,
            curvature=curvature,
            round_axes=problem.round_axes,
            known=known,
            each=each,
            max_iter=max_iter,
        )
        iterations += optimum.iterations
    assert optimum is not None
    return replace(optimum, iterations=iterations)
