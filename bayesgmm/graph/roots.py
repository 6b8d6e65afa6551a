r"""Covariances as seen from roots of their own: the coordinates in which the posterior is climbed and sampled.

In the log-Cholesky coordinates y of the model (:mod:`bayesgmm.mixture.log_cholesky`) a plane near which the rows of a
component lie turns when their scales along it change. With N rows these vary by one part in :math:`\sqrt N`, and the
plane's place goes with them by more than the rows' distance from it: no linear map of y makes that round. Seen from a
root C of a covariance at hand, :math:`M = C L L^\top C^\top`, rows and directions of every component look alike
there, whatever M is. The mode that chains begin at, or the origin of a climb's round, is at z = 0,

.. math:: q \leftrightarrow z, \qquad y(C L) \leftrightarrow y(L),

other entries of q are the same. No volume changes.

Measured, y against z: 97 and 0 of 4,000 draws diverged, and there were 0.8 and 104 effective draws in a thousand
gradients, at (1200, 6, 6) with a component 1e-3 as wide across a plane as along it; 15 and 81 at (300, 9, 4); the same
on iris and wine.

Pinheiro and Bates (1996), https://doi.org/10.1007/BF00140873 (y).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from bayesgmm.mixture import log_cholesky

# A function of one flat vector: its value and its gradient.
Function = Callable[[np.ndarray], tuple[float, np.ndarray]]
# Of differences of slopes, whose second derivatives are near 1.
STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Roots:
    """The map between flat vectors q (P,) and z (P,).

    Parameters
    ----------
    entries : (M, D (D + 1) / 2) array
        The entries of q that hold the y of each covariance.
    factors : (M, D, D) array
        What each is seen from: lower triangles.
    """

    entries: np.ndarray
    factors: np.ndarray = field(repr=False)

    @classmethod
    def at(cls, q: np.ndarray, entries: np.ndarray) -> "Roots":
        """The roots of the covariances at ``q``."""
        return cls(entries, log_cholesky.triangles(q[entries]))

    @classmethod
    def none(cls) -> "Roots":
        """z = q."""
        return cls(np.empty((0, 1), dtype=np.int64), np.empty((0, 1, 1)))

    def there(self, q: np.ndarray) -> np.ndarray:
        """z of q."""
        return self._changed(q, log_cholesky.to_roots)

    def back(self, z: np.ndarray) -> np.ndarray:
        """q (..., P) of z (..., P)."""
        return self._changed(z, log_cholesky.from_roots)

    def _changed(self, q: np.ndarray, change: Callable) -> np.ndarray:
        if not self.entries.size:
            return q
        changed = np.array(q)
        own = np.ascontiguousarray(changed[..., self.entries])
        changed[..., self.entries] = change(own.reshape(-1, *self.entries.shape), self.factors).reshape(own.shape)
        return changed

    def slopes(self, z: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The gradient by z at z (P,), of what has this gradient by q."""
        if not self.entries.size:
            return gradient
        slopes = gradient.copy()
        slopes[self.entries] = self._pulled_back(z[self.entries][None], gradient[self.entries][None])[0]
        return slopes

    def _pulled_back(self, z: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        return log_cholesky.from_roots_pullback(z, self.factors, np.ascontiguousarray(gradients))

    def seen(self, density: Function) -> Function:
        """A function of q as one of z."""

        def of_z(z: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = density(self.back(z))
            return value, self.slopes(z, gradient)

        return of_z

    def curvature(self, hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        r"""The negative Hessian by z at the roots' own place, of what has these slopes and this negative Hessian by q.

        .. math:: J^\top H J - \sum_i g_i \, \partial^2 q_i / \partial z^2, \qquad J = \partial q / \partial z .
        """
        if not self.entries.size:
            return hessian
        m, n = self.entries.shape
        each = np.broadcast_to(np.eye(n)[:, None], (n, m, n))
        own = np.broadcast_to(gradient[self.entries], (n, m, n))
        by_z = self._pulled_back(np.zeros((n, m, n)), each)
        bent = (self._pulled_back(STEP * each, own) - self._pulled_back(-STEP * each, own)) / (2 * STEP)
        others = np.ones(len(hessian))
        others[self.entries] = 0.0
        to_q = self._blocks(by_z, len(hessian)) + sparse.diags_array(others)
        return np.asarray(to_q.T @ (to_q.T @ hessian.T).T - self._blocks(bent, len(hessian)).toarray(), dtype=float)

    def _blocks(self, blocks: np.ndarray, length: int) -> sparse.csr_array:
        """Blocks of a matrix (P, P), one a covariance: (rows, M, columns)."""
        values = blocks.swapaxes(0, 1)
        rows = np.broadcast_to(self.entries[:, :, None], values.shape)
        columns = np.broadcast_to(self.entries[:, None], values.shape)
        return sparse.csr_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=(length, length))
