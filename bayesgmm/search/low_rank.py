"""Axes known in closed form, mended along the few directions in which the posterior is not round in them.

Rows in doubt between components tell less than axes in closed form say (:mod:`bayesgmm.search.fisher`), along a few
directions for each pair of components that share them. Those are the eigenvectors of the curvature in these axes whose
eigenvalues are far from the others', which Lanczos' method finds from a few products of the curvature with a vector,
each the difference of two gradients: no second derivative is computed, and there is no limit to the parameters.
"""

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from bayesgmm.graph.axes import LEAST_CURVATURE, Axes
from bayesgmm.graph.roots import Function

# Curvature in the axes that is left as it is: from 0.2 to 1.3 chains took as many steps, and were worth as many draws,
# as with 1 in all directions.
NEARLY_ROUND = 0.25, 2.0
# Directions that are looked for, more where these do not do. At 11 modes (260 to 1,952 parameters, clusters far apart
# and hardly apart) curvature was outside along 0 to 20, and never above 2.
RANKS = 16, 64
# A difference's step, in standard deviations, and the error of an eigenvalue, as a part of itself.
STEP, TOLERANCE = 1e-3, 1e-2
# Lanczos' restarts: an eigenvalue that has not settled by then is one of many that are as far from 1.
RESTARTS = 20


def nearly_round(density: Function, z: np.ndarray, matrix: sparse.csr_array) -> tuple[Axes, bool]:
    """The axes of a matrix (P, P) at ``z``, mended, and whether the curvature in them is near 1 everywhere."""
    n, middle = z.size, float(np.mean(NEARLY_ROUND))

    def off_middle(u: np.ndarray) -> np.ndarray:
        away = STEP * (matrix @ u.ravel())
        change = (density(z - away)[1] - density(z + away)[1]) / (2 * STEP)
        if not np.isfinite(change).all():
            raise LinAlgError("the density is not finite beside the mode")
        return change @ matrix - middle * u.ravel()

    operator = LinearOperator((n, n), matvec=off_middle, dtype=float)
    begin = np.random.default_rng(0).standard_normal(n)
    for rank in RANKS:
        try:
            off, vectors = eigsh(operator, min(rank, n - 1), v0=begin, tol=TOLERANCE, maxiter=RESTARTS)
        except ArpackNoConvergence as stopped:
            off, vectors = np.real(stopped.eigenvalues), np.real(stopped.eigenvectors)
        except LinAlgError:
            return Axes.of(matrix), False
        far = np.abs(off) > NEARLY_ROUND[1] - middle
        if not far.all():
            break
    curvature = np.maximum(np.abs(off[far] + middle), LEAST_CURVATURE)
    return Axes.of(matrix, vectors.T[far], curvature**-0.5 - 1), bool(len(far) and not far.all())
