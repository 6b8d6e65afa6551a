r"""Axes of the curvature at a mode, in which a sampler moves (:mod:`bayesgmm.graph.in_axes`).

.. math:: z = \hat z + B u, \qquad B^\top H B = I,

with H the negative Hessian at the mode :math:`\hat z`. Near the mode u is standard normal, so the sampler has only
a step size and some scales left to learn. Measured (min ESS a second, tuning included) against learning a low-rank
metric from the draws: 15,000 and 5,000 at (N, D, K) = (1e3, 2, 3), 1,400 and 550 at (5e3, 5, 4), 530 and 60 at
(2e3, 10, 5), which has 329 parameters.

Of few parameters B has the principal axes, :math:`B = V \Lambda^{-1/2}` with :math:`H = V \Lambda V^\top`. Of many it
is the triangle :math:`B = U^{-\top}` with :math:`H = U U^\top`, U upper triangular, which comes five times sooner, and
which a gradient reads in a fraction of the time. Components that share no rows do not meet in it: variables that have
one part a component come last in z, and a column of B ends where its component ends.

Where axes S are known in closed form (:mod:`bayesgmm.search.fisher`), the curvature in them is near 1 but for a few
directions V, in which rows are in doubt between components (:mod:`bayesgmm.search.low_rank`), and

.. math:: B = S (I + V \mathrm{diag}(c) V^\top), \qquad 1 + c = \lambda^{-1/2},

with :math:`\lambda` the curvature along V. That is worth as many effective draws a gradient as the curvature's own
axes: at (1e3, 30, 5) there are 17 thousand numbers to read, and not 2.5 million.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cholesky, get_lapack_funcs
from scipy.sparse.linalg import SuperLU, splu

# The least curvature, in units of the data's scale, that an axis is given: where there is less, or none, the posterior
# is far from Gaussian, and an axis as long as this is enough for the sampler to learn the rest.
LEAST_CURVATURE = 1e-2
# Parameters from which on the axes are a triangle.
MANY = 200
# What B may be off by, as a part of 1 in the Frobenius norm of its effect on u.
NEGLIGIBLE = 0.02
# The parts of a sparse matrix.
SPARSE = ("data", "indices", "indptr")


def axes(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """B of the module's equation, (P, P), from a negative Hessian (P, P); ``scales`` (P,) are the units of z."""
    if len(hessian) <= MANY:
        return principal_axes(hessian, scales)
    scaled = hessian * np.outer(scales, scales)
    try:
        # It stands if no curvature is less than the least.
        cholesky(scaled - LEAST_CURVATURE * np.eye(len(scaled)), overwrite_a=True)
        # Backwards, so that the first of z are eliminated last.
        factor = cholesky(scaled[::-1, ::-1], lower=True, overwrite_a=True)
    except (LinAlgError, ValueError):
        return principal_axes(hessian, scales)
    (invert,) = get_lapack_funcs(("trtri",), (factor,))
    inverse, _ = invert(factor, lower=True, overwrite_c=True)
    return np.ascontiguousarray(scales[:, None] * inverse[::-1, ::-1].T)


def principal_axes(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """B with columns along the eigenvectors; where there is hardly any curvature they have a greatest length."""
    curvature, directions = np.linalg.eigh(hessian * np.outer(scales, scales))
    lengths = 1.0 / np.sqrt(np.maximum(np.abs(curvature), LEAST_CURVATURE))
    return np.ascontiguousarray(scales[:, None] * directions * lengths)


@dataclass(frozen=True, eq=False)
class Axes:
    r"""Axes B (P, P): those of a matrix S, but for other lengths along a few directions V.

    .. math:: B = S (I + V \mathrm{diag}(c) V^\top)

    Parameters
    ----------
    matrix : (P, P) array or sparse array
        S.
    directions : (R, P) array
        V transposed: orthonormal.
    stretch : (R,) array
        c, above -1.
    """

    matrix: np.ndarray | sparse.csr_array
    directions: np.ndarray
    stretch: np.ndarray

    @classmethod
    def of(
        cls,
        matrix: np.ndarray | sparse.csr_array,
        directions: np.ndarray | None = None,
        stretch: np.ndarray | None = None,
    ) -> "Axes":
        """Axes in single precision: a sampler reads them so, and all else that maps u to z is to have the same."""
        n = matrix.shape[0]
        units, single = in_single_precision(matrix)
        return cls(
            units[:, None] * single
            if isinstance(single, np.ndarray)
            else sparse.csr_array(single.multiply(units[:, None])),
            np.empty((0, n)) if directions is None else directions.astype(np.float32).astype(float),
            np.empty(0) if stretch is None else stretch,
        )

    @classmethod
    def of_numbers(cls, numbers: Mapping[str, np.ndarray]) -> "Axes":
        """Axes of what :attr:`numbers` are."""
        n = numbers["directions"].shape[1]
        parts = tuple(numbers[name] for name in SPARSE if name in numbers)
        matrix = sparse.csr_array(parts, shape=(n, n)) if parts else numbers["matrix"]
        return cls(matrix, numbers["directions"], numbers["stretch"])

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """All that the axes are, by name; a sparse matrix by its parts."""
        dense = isinstance(self.matrix, np.ndarray)
        matrix = {"matrix": self.matrix} if dense else {name: getattr(self.matrix, name) for name in SPARSE}
        return {**matrix, "directions": self.directions, "stretch": self.stretch}

    def moved(self, u: np.ndarray) -> np.ndarray:
        """B u, (..., P), of u (..., P)."""
        return np.asarray((u + (u @ self.directions.T * self.stretch) @ self.directions) @ self.matrix.T)

    def back(self, away: np.ndarray) -> np.ndarray:
        """The u (N, P) of B u, (N, P)."""
        u = self._eliminated.solve(away.T).T
        return np.asarray(u - (u @ self.directions.T * (self.stretch / (1 + self.stretch))) @ self.directions)

    @cached_property
    def log_volume(self) -> float:
        """Log of the absolute determinant of B."""
        log_volume = np.log(np.abs(self._eliminated.U.diagonal())).sum()
        return float(log_volume + np.log1p(self.stretch).sum())

    @cached_property
    def _eliminated(self) -> SuperLU:
        return splu(sparse.csc_array(self.matrix))

    @property
    def dense(self) -> np.ndarray:
        """B, (P, P)."""
        return self.moved(np.eye(self.directions.shape[1])).T


def sampling_axes(hessian: np.ndarray, scales: np.ndarray) -> Axes:
    """B as a sampler takes it: without the ends of its columns that hardly count.

    Any B serves that is near enough. A gradient at P = 1,456 read 17 MB of B twice, and took 0.4 ms for the rest.
    """
    columns = axes(hessian, scales).T
    # What a column's tail adds to the curvature along it, at most.
    sizes = columns**2 * np.abs(np.diag(hessian))
    tails = np.cumsum(sizes[:, ::-1], axis=1)[:, ::-1]
    return Axes.of(np.where(tails < NEGLIGIBLE**2 / len(columns), 0.0, columns).T)


def in_single_precision(matrix: np.ndarray | sparse.csr_array) -> tuple[np.ndarray, np.ndarray | sparse.csr_array]:
    """Units (P,) of the rows of B, powers of two, and B in them: any units of the data fit so, and are exact."""
    if isinstance(matrix, np.ndarray):
        units = np.ldexp(1.0, np.frexp(np.abs(matrix).max(axis=1))[1])
        return units, (matrix / units[:, None]).astype(np.float32)
    units = np.ldexp(1.0, np.frexp(abs(matrix).max(axis=1).toarray().ravel())[1])
    return units, sparse.csr_array(matrix.multiply(1 / units[:, None])).astype(np.float32)
