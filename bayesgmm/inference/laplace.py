r"""Gaussian approximations of the posterior from its curvature.

The kernel gives exact gradients in one pass, so the Hessian is taken as central differences of gradients:
:math:`H_{ij} \approx (g_j(q + h_i e_i) - g_j(q - h_i e_i)) / 2 h_i`, made symmetric.
"""

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from bayesgmm.inference.log_posterior import LogPosterior

# Central differences err as h^2 and round as eps / h: the cube root of eps balances them.
STEP = 6e-6


def negative_hessian(log_posterior: LogPosterior, q: np.ndarray, scales: np.ndarray, jacobian: float) -> np.ndarray:
    """Minus the second derivatives of the log posterior at ``q``, (P, P), in q's own units."""
    n = q.size
    hessian = np.empty((n, n))
    for i in range(n):
        step = np.zeros(n)
        step[i] = STEP * scales[i]
        _, above = log_posterior(q + step, jacobian)
        _, below = log_posterior(q - step, jacobian)
        hessian[i] = (below - above) / (2 * step[i])
    return (hessian + hessian.T) / 2


def precision_cholesky(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor of a negative Hessian in units of ``scales``; None where it is not positive definite."""
    try:
        return cholesky(hessian * np.outer(scales, scales), lower=True)
    except (LinAlgError, ValueError):
        return None


def gaussian_draws(
    q: np.ndarray, factor: np.ndarray, scales: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Draws (draws, P) of the Gaussian at ``q`` whose precision, in units of ``scales``, has Cholesky ``factor``."""
    noise = rng.standard_normal((q.size, draws))
    return q + solve_triangular(factor, noise, lower=True, trans="T").T * scales
