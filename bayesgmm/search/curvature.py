r"""Curvature of a log-density, from its exact gradients.

The Hessian is taken as central differences: :math:`H_{ij} \approx (g_j(q + h_i e_i) - g_j(q - h_i e_i)) / 2 h_i`, made
symmetric.
"""

import numpy as np
from scipy.linalg import LinAlgError, cholesky

from bayesgmm.graph.compiled import LogDensity

# Central differences err as h^2 and round as eps / h: the cube root of eps balances them.
STEP = 6e-6


def negative_hessian(density: LogDensity, q: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Minus the second derivatives of a log-density at ``q``, (P, P), in q's own units."""
    n = q.size
    hessian = np.empty((n, n))
    for i in range(n):
        step = np.zeros(n)
        step[i] = STEP * scales[i]
        _, above = density(q + step)
        _, below = density(q - step)
        hessian[i] = (below - above) / (2 * step[i])
    return (hessian + hessian.T) / 2


def precision_cholesky(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor of a negative Hessian in units of ``scales``; None where it is not positive definite."""
    try:
        return cholesky(hessian * np.outer(scales, scales), lower=True)
    except (LinAlgError, ValueError):
        return None
