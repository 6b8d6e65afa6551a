r"""Curvature of a log-density.

The Hessian of few parameters is taken as central differences of exact gradients,

.. math:: H_{ij} \approx (g_j(q + h_i e_i) - g_j(q - h_i e_i)) / 2 h_i ,

made symmetric. That of many is put together from a mixture's parts (:mod:`bayesgmm.search.information`), and held
against one more difference, along a direction in which all entries of q move: a model may have terms that these parts
do not know, such as a potential that ties components to each other. Then it is taken as differences after all.
"""

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve, solve_triangular

from bayesgmm.graph.axes import MANY
from bayesgmm.graph.compiled import LogDensity
from bayesgmm.search.information import STEP, MixtureDensity, MixtureTerm
from bayesgmm.search.passes import SummedDensity

# Seconds of differences from which on the parts pay: their graphs take a tenth of a second to make, once, and a search
# climbs from twelve starts or more. With 308 parameters the parts take 31 ms, differences 149.
MANY_SECONDS = 0.03
# Densities that know their mixture.
KNOWING = (MixtureDensity, SummedDensity)
# A difference's step in standard deviations of the posterior, above which it is no derivative any more: where rows lie
# exactly on a line, the component on them is 1e-5 wide across it.
WIDE_STEP = 1e-2
# The direction's length in standard deviations an entry, and how far the slopes along it may be apart in those units:
# below 1e-6 was seen where nothing was left out.
PROBE, APART = 1e-5, 2e-5


def negative_hessian(density: LogDensity, q: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Minus the second derivatives of a log-density at ``q``, (P, P), in q's own units."""
    term = mixture_term(density)
    if term is None or term.rest is None:
        hessian = differences(density, q, scales)
        steepest = np.nanmax(np.abs(np.diag(hessian)) * scales**2, initial=0.0)
        without_parts = not isinstance(density, KNOWING) or density.term.rest is None
        if without_parts or STEP * np.sqrt(steepest) < WIDE_STEP:
            return hessian
    assert isinstance(density, KNOWING)
    units = np.outer(scales, scales)
    try:
        parts = density.term.negative_hessian(q, scales)
    except LinAlgError:  # no mixture to speak of there
        return differences(density, q, scales)
    apart = _apart(density, q, parts, scales)
    if apart < APART:
        return parts / units
    by_steps = differences(density, q, scales)
    # Where the density is steep, rounding keeps both from being exact.
    return parts / units if apart < _apart(density, q, by_steps * units, scales) else by_steps


def differences(density: LogDensity, q: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The same by central differences of the gradient."""
    n = q.size
    hessian = np.empty((n, n))
    for i in range(n):
        step = np.zeros(n)
        step[i] = STEP * scales[i]
        _, above = density(q + step)
        _, below = density(q - step)
        hessian[i] = (below - above) / (2 * step[i])
    return (hessian + hessian.T) / 2


def mixture_term(density: LogDensity) -> MixtureTerm | None:
    """What a density of many parameters knows of its mixture: None where differences take no time to speak of."""
    if isinstance(density, SummedDensity):
        return density.term
    if isinstance(density, MixtureDensity) and density.term.seconds_of_differences > MANY_SECONDS:
        return density.term
    return None


def term_of_many(density: LogDensity) -> MixtureTerm | None:
    """What a density knows of its mixture, if its parameters are so many that curvature takes long."""
    term = mixture_term(density)
    return None if term is None or term.owners.size <= MANY else term


def _apart(density: LogDensity, q: np.ndarray, hessian: np.ndarray, scales: np.ndarray) -> float:
    """How far a negative Hessian in units of ``scales`` is from the gradient's change along a random direction."""
    # In the curvature's own axes, so that no direction is left in which the step is wide.
    noise = np.random.default_rng(0).standard_normal(q.size)
    if not np.isfinite(hessian).all():
        return np.inf
    try:
        factor = cholesky(hessian, lower=True)
        direction = solve_triangular(factor, noise, lower=True, trans="T")
    except LinAlgError:
        variances, axes = np.linalg.eigh(hessian)
        factor = axes * np.sqrt(np.maximum(np.abs(variances), 1.0))
        direction = axes @ (noise / np.sqrt(np.maximum(np.abs(variances), 1.0)))
    _, above = density(q + PROBE * direction * scales)
    _, below = density(q - PROBE * direction * scales)
    change = (below - above) / (2 * PROBE) * scales
    return float(np.abs(solve(factor, hessian @ direction - change)).max())


def precision_cholesky(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor of a negative Hessian in units of ``scales``; None where it is not positive definite."""
    try:
        return cholesky(hessian * np.outer(scales, scales), lower=True)
    except (LinAlgError, ValueError):
        return None
