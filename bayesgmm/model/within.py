r"""The default prior of a covariance within clusters, of which there is one: around the covariance of all rows T.

It is that of the reference (:mod:`bayesgmm.model.relative`), and of the covariance itself where there is only one
(K = 1, or tied).

.. math:: R = B M B^\top, \qquad M = g W, \qquad B B^\top = T ,

with W the shape of a Wishart matrix with :math:`\nu` degrees of freedom, of trace D, and g, the mean of M's
eigenvalues, of a wide distribution, :math:`p(\log g) \propto \exp(-\tfrac12 (\log g)^2 / \tau^2 - c g)`; all of it
times :math:`\exp(-b\, \mathrm{tr} M^{-1})`, a wall that stops R from closing in on a plane with the components.

T is what is within clusters and what is between them. Clusters that lie apart in some directions make R less than T in
those and leave it in the others, and that is what this shape has room for: a variance :math:`\lambda` times less than
T's costs :math:`\tfrac\nu2 \log \lambda`. The shape of an inverse-Wishart matrix, which stood here before, takes
:math:`\tfrac\nu2 (D - 1) \log \lambda` for it. With 12 + 12 rows of 6 features that were 15 nats for centres 7 standard
deviations apart: most of the posterior was one cluster and an empty component.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.frame import FLOOR, Frame

# nu, less D. That in some direction or other a variance is more than lambda times less has a probability of about
# lambda^(-(nu - D + 1) / 2). On tables of 100 rows and more 0 and 3 are alike (held out to 0.02 a row; but on
# the glass fragments 0 is ahead by 0.7); with 0 or 1 the modes of fewer rows than 3 D close in on planes.
WITHIN_ROWS = 3.0
# tau: the standard deviation of the log variance about T's.
WITHIN_SPREAD = 5.0
# c: clusters are no wider than all rows.
WITHIN_CEILING = 1.0
# b: felt where clusters are more than 300 of their standard deviations apart, and costs 2 nats at 1000. Without it R
# goes with a component on tied rows (logarithms of iris) to where float64 ends, and the mode has no curvature.
WITHIN_WALL = 1e-5
# Of the quadrature of the wall's share: shapes, points, and spreads on either side.
SHAPES, POINTS, FAR = 1_000, 161, 8.0


def within_rows(family: CovarianceType, n_features: int) -> float:
    """nu; without correlations every variance has a gamma distribution of its own."""
    return WITHIN_ROWS + (n_features if family.correlated else 1)


@dataclass(frozen=True, eq=False)
class WithinPrior(Frame):
    """The prior in numbers.

    Parameters
    ----------
    family : CovarianceType
    outer : array
        Of the covariance of all rows: Cholesky factor (D, D), or standard deviations, (D,) or ().
    rows : float
        nu.
    spread, ceiling, wall : float
        tau, c and b.
    """

    rows: float
    spread: float = WITHIN_SPREAD
    ceiling: float = WITHIN_CEILING
    wall: float = WITHIN_WALL

    @cached_property
    def log_share(self) -> float:
        r"""Log of the share of the distribution without the wall that the wall leaves, :math:`E[e^{-b\,tr M^{-1}}]`.

        By quadrature over log g, and a mean over a thousand shapes that is right to 0.001 for b up to 0.01.
        """
        d, rng = np.shape(self.outer)[0] if np.ndim(self.outer) else 1, np.random.default_rng(0)
        # tr M^-1 = s / g with s = tr W^-1 tr W / D.
        if self.family.correlated:
            factors = np.tril(rng.standard_normal((SHAPES, d, d)), -1)
            factors += np.sqrt(rng.chisquare(self.rows - np.arange(d), size=(SHAPES, d)))[:, None] * np.eye(d)
            traces = (np.linalg.inv(factors) ** 2).sum(axis=(1, 2)) * (factors**2).sum(axis=(1, 2)) / d
        else:
            own = rng.chisquare(self.rows, size=(SHAPES, d))
            traces = (1 / own).sum(axis=1) * own.sum(axis=1) / d
        u = np.linspace(-FAR * self.spread, FAR * self.spread, POINTS)
        mass = np.exp(self.log_scale_density(u))
        left = np.exp(-self.wall * np.exp(-u)[:, None] * traces).mean(axis=1)
        return float(np.log(mass @ left / mass.sum()))

    def log_scale_density(self, u: np.ndarray) -> np.ndarray:
        """log p(u) of u = log g, but for a constant."""
        return -(u**2) / (2 * self.spread**2) - self.ceiling * np.exp(u)

    def expected_rows(self, factors: np.ndarray, around: np.ndarray | None) -> np.ndarray:
        """nu for every covariance, as of a prior around a reference."""
        return np.full(len(factors), self.rows)

    def covariances(
        self, counts: np.ndarray, scatter: np.ndarray, last: Mixture | None, rounding: np.ndarray | None = None
    ) -> np.ndarray:
        r"""EM's M-step: covariances as a :class:`Mixture` takes them, which hold ``rounding`` (D,).

        The log of the prior is convex in :math:`t = \mathrm{tr} M`, and has the slope :math:`-s / t` with
        :math:`s = \tfrac{\nu D}{2} + \log g / \tau^2 + c g`. With its tangent for it the best M, given the rows' number
        n and scatter C, solves :math:`C + 2 b I - (n - \nu) M - \tfrac{2 s}{t} M^2 = 0`: it has the eigenvectors of C.
        """
        family = self.family
        rounding = np.broadcast_to(self.floor, scatter.shape[-1:]) if rounding is None else rounding
        n, own = self.summed(counts, scatter)
        natural = own / n[0]
        if last is not None:
            natural, own = self.before_rounding(n, own, self.natural(last), rounding)
        if family.correlated:
            inverse = np.linalg.inv(self.outer)
            trace = np.einsum("ij,kjl,il->", inverse, natural, inverse)
            variances, directions = np.linalg.eigh(inverse @ own[0] @ inverse.T)
        else:
            trace, variances = (natural / self.centre).sum(), np.ravel(own[0] / self.centre)
        d = variances.size
        trace = max(trace, d * FLOOR)
        slope = self.rows * d / 2 + np.log(trace / d) / self.spread**2 + self.ceiling * trace / d
        excess, pull = n[0] - self.rows, 2 * max(slope, 0.0) / trace
        variances = np.maximum(variances, 0) + 2 * self.wall
        root = np.sqrt(excess**2 + 4 * pull * variances)
        # The same root, either way without a difference of numbers that may be alike.
        found = 2 * variances / (excess + root) if excess > 0 else (root - excess) / (2 * pull)
        if family.correlated:
            turned = self.outer @ directions
            natural = (turned * found) @ turned.T
        else:
            natural = np.reshape(found, np.shape(self.outer)) * self.centre
        natural = self._beside(natural[None], rounding) if last is None else natural[None]
        return self.expanded(self.with_rounding(natural, rounding), scatter.shape[:2])
