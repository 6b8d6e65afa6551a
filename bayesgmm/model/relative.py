r"""The default prior of the covariances: each around a common reference, at a scale of its own.

.. math:: \Sigma_k = B M_k B^\top + \mathrm{diag}(\delta_j^2/12), \qquad M_k = h_k N_k ,

with :math:`B B^\top` the reference covariance, :math:`h_k` the harmonic mean of :math:`M_k`'s eigenvalues and
:math:`N_k` its shape: that of an inverse-Wishart matrix with :math:`\nu` degrees of freedom, whose scale
:math:`h_k` has a wide distribution instead,
:math:`p(\log h) \propto \exp(-\tfrac12 (\log h)^2 / \tau^2 - b / h)`. So a component may be much
smaller or larger than the others, :math:`\nu` rows say that its shape is like theirs, and b / h, a wall, stops it from
closing in on few rows that lie on a plane or coincide.

Every component has a :math:`\nu` of its own (:func:`likenesses`), which is summed out: one whose shape differs from
those of others that are alike is not drawn to them by as many rows as they are to one another.

The reference is a parameter too (:mod:`bayesgmm.model.within`): distance between clusters is no part of it, and where
two clusterings are equally good the prior prefers neither. The prior does not change under a linear map of the
features.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import gammaln, multigammaln

from bayesgmm.mixture import log_cholesky
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.frame import Frame, lower
from bayesgmm.model.root import around, common_root, inverses, log_scales

# tau: the standard deviation of a component's log variance about the reference's.
SCALE_SPREAD = 1.5
# b: the wall acts like 2 b / D rows of the reference's own covariance.
SCALE_WALL = 0.01
# Rows that any component is of the reference's shape by, beyond those that the prior needs to be proper.
EXTRA_ROWS = 1.0
# J, where components have a nu each.
LIKENESSES = 10
# Of the reference: the least that EM adds to a scatter, and the least that its own estimate is given.
LEAST_WEIGHT, LEAST_SHARE = 1e-12, 1e-6
# Fixed-point rounds in which a reference is found for covariances; they end where no log scale changes by more.
ROUNDS, SETTLED = 8, 1e-3
# To a scale given its shape, at most: with 8 a component a hundred times as wide as the reference fell short of it.
NEWTON_STEPS = 60


def likenesses(extra: float, family: CovarianceType, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    r"""The nu that components' shapes may have, (J,), and their shares, where ``extra`` are what alike ones are worth.

    .. math:: \nu = \nu_0 + \epsilon, \qquad \epsilon \sim \mathrm{Gamma}(d / 2, d / \epsilon_0),

    with :math:`\nu_0` the degrees of freedom that the prior needs and one more, d the number of parameters of a shape,
    and :math:`\epsilon_0` what is left of ``extra``. As the constant of a density is nearly :math:`\nu^{d/2}`, given a
    shape at the distance Q from R :math:`\epsilon` is about :math:`\epsilon_0 / (1 + \epsilon_0 Q / d)`: at the highest
    density, where Q = 0, all of :math:`\epsilon_0`. The tails are as heavy as the mode allows: with a uniform
    :math:`\epsilon` its held-out density on wine (D = 13) fell by 0.25 a row. The integral is Gauss' quadrature.
    """
    least, d = (n_features, (n_features + 2) * (n_features - 1) / 2) if family.correlated else (1, n_features - 1)
    if not family.per_feature or d == 0:
        return np.array([least + extra]), np.ones(1)
    # Golub and Welsch (1969), https://doi.org/10.1090/S0025-5718-69-99647-1: of Laguerre's polynomials. SciPy's
    # roots_genlaguerre has weights that overflow from 26 features on.
    i = np.arange(LIKENESSES)
    nodes, vectors = eigh_tridiagonal(2 * i + d / 2, np.sqrt(i[1:] * (i[1:] + d / 2 - 1)))
    return least + EXTRA_ROWS + (extra - EXTRA_ROWS) / d * nodes, vectors[0] ** 2


@dataclass(frozen=True, eq=False)
class RelativePrior(Frame):
    """The prior in numbers.

    Parameters
    ----------
    family : CovarianceType
    outer : array
        Cholesky factor (D, D) of the reference, or of all rows' covariance where the reference is learned; standard
        deviations, (D,) or (), where features do not correlate.
    rows : (J,) array
        The nu, degrees of freedom, that a component's shape may have.
    shares : (J,) array
        How likely each is; they sum to 1.
    spread, wall : float
        tau and b.
    learned : bool
        Whether the reference is a parameter.
    total_rows : float
        What the covariance of all rows is worth to a reference that is one (:mod:`bayesgmm.model.within`).
    """

    rows: np.ndarray
    shares: np.ndarray
    spread: float = SCALE_SPREAD
    wall: float = SCALE_WALL
    learned: bool = True
    total_rows: float = 0.0

    def log_scale_density(self, u: np.ndarray) -> np.ndarray:
        """log p(u) of u = log h, but for a constant."""
        return -(u**2) / (2 * self.spread**2) - self.wall * np.exp(-u)

    def reference(self, natural: np.ndarray) -> np.ndarray:
        r"""The reference in its natural shape: the one that natural covariances (K, ...) are most likely around.

        .. math:: R^{-1} = \sum_k \nu_k h_k \Sigma_k^{-1} / \sum_k \nu_k, \qquad h_k = D / \mathrm{tr}(R \Sigma_k^{-1}),

        with :math:`\nu_k = E[\nu \mid \Sigma_k, R]`, scaled so that the geometric mean of the h is 1. By its own prior
        the covariance of all rows is one of the :math:`\Sigma_k`, of ``total_rows``, in the sums.
        """
        root, *_ = self._root(natural)
        return root @ root.T if self.family.correlated else root**2

    def _root(self, natural: np.ndarray) -> tuple[np.ndarray, ...]:
        """A root F of the reference F F^T, h and nu, (K,), and inverse factors of the covariances.

        Where features do not correlate, standard deviations and their inverses.
        """
        correlated = self.family.correlated
        # By factors throughout: inverses of inverses would not stay positive definite where covariances hardly are.
        whiteners = inverses(self._factors(natural)) if correlated else 1 / np.sqrt(natural)
        if not self.learned:
            return self.outer, *self._around(self.outer, whiteners), whiteners
        if not self.family.per_feature:
            root = np.exp(np.log(natural).mean(axis=0) / 2)
            return root, *self._around(root, whiteners), whiteners
        if correlated:
            root = self._factors(natural.mean(axis=0))
            total = self._total_whitener
            found = common_root(
                root, whiteners, self.rows, self.log_constants, total, self.total_rows, ROUNDS, SETTLED
            )  # fmt: skip
            return *found, whiteners
        root = np.sqrt(natural.mean(axis=0))
        harmonic, rows = self._around(root, whiteners)
        for _ in range(ROUNDS):
            total = self.total_rows / ((root / self.outer) ** 2).mean() / self.outer**2
            root = np.sqrt((rows.sum() + self.total_rows) / ((harmonic * rows) @ whiteners**2 + total))
            last, (harmonic, rows) = harmonic, self._around(root, whiteners)
            if np.abs(np.log(harmonic / last)).max() < SETTLED:
                break
        scale = np.exp(np.log(harmonic).mean())
        return root * np.sqrt(scale), harmonic / scale, rows, whiteners

    @cached_property
    def _total_whitener(self) -> np.ndarray:
        return np.linalg.inv(self.outer)

    def _around(self, root: np.ndarray, whiteners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""h and :math:`E[\nu \mid \Sigma_k, R]`, (K,), of a reference's root and inverse factors of covariances."""
        if not self.family.per_feature:
            return 1 / (whiteners * root) ** 2, np.zeros(len(whiteners))
        if self.family.correlated:
            return around(root, whiteners, self.rows, self.log_constants)
        d = root.shape[-1]
        scales = whiteners * root
        harmonic = 1 / (scales**2).mean(axis=-1)
        distance = -np.log(np.abs(scales)).sum(axis=-1) - d / 2 * np.log(harmonic)
        logs = self.log_constants - self.rows * distance[:, None]
        share = np.exp(logs - logs.max(axis=-1, keepdims=True))
        return harmonic, share @ self.rows / share.sum(axis=-1)

    def expected_rows(self, factors: np.ndarray, around: np.ndarray | None) -> np.ndarray:
        r""":math:`E[\nu \mid \Sigma_k, R]`, (M,), from roots relative to ``outer``; None: R has that of ``outer``.

        Lower triangles (M, D, D) and (D, D), or scales (M, D) and (D,) where features do not correlate.
        """
        if around is None:
            around = np.eye(factors.shape[-1]) if self.family.correlated else np.ones(factors.shape[-1])
        return self._around(around, inverses(factors) if self.family.correlated else 1 / factors)[1]

    @cached_property
    def log_constants(self) -> np.ndarray:
        r"""Logs of what normalises the shapes of each nu, (J,), but for a constant."""
        d = self.outer.shape[-1]
        log_gamma = multigammaln(self.rows / 2, d) if self.family.correlated else d * gammaln(self.rows / 2)
        half = self.rows * d / 2
        return gammaln(half) - log_gamma - half * np.log(d) + np.log(self.shares)

    def covariances(
        self, counts: np.ndarray, scatter: np.ndarray, last: Mixture | None, rounding: np.ndarray | None = None
    ) -> np.ndarray:
        r"""EM's M-step: covariances as a :class:`Mixture` takes them, which hold ``rounding`` (D,).

        .. math:: \Sigma_k \leftarrow \frac{C_k + w_k R}{N_k + \nu_k}, \qquad
                  w_k = \left(\nu_k - \frac{2 \log h_k}{\tau^2 D}\right) h_k + \frac{2 b}{D},

        what maximises a bound of the penalised likelihood that touches it at the covariances before, each at its best
        scale: R is their reference, :math:`\nu_k = E[\nu \mid \Sigma_k, R]` (the log of the prior is convex in the
        shape's distance Q from R, and has the slope :math:`-\nu_k`), and u = log h_k maximises
        :math:`-\tfrac12 N_k D u - \tfrac12 t_k e^{-u} - \tfrac12 u^2 / \tau^2 - b e^{-u}` with
        :math:`t_k = \mathrm{tr}(C_k \Sigma_k^{-1}) h_k`; A spherical covariance has a scale
        and no shape: it is h_k R.

        Where nu is large the first formula alone moves a scale by a few per cent a step: with nu = 404 ten steps of EM
        left a component on 20 rows six times as wide as they are.
        """
        family = self.family
        n_features = scatter.shape[-1] if family.per_feature else 1
        rounding = np.broadcast_to(self.floor, scatter.shape[-1:]) if rounding is None else rounding
        n, own = self.summed(counts, scatter)
        expand = (slice(None), *(None,) * (own.ndim - 1))
        if last is None:
            pooled = own.sum(axis=0) / n.sum()
            reference = pooled + LEAST_SHARE * self.centre if self.learned else self.centre
            root = self._factors(reference) if family.correlated else np.sqrt(reference)
            inverse = np.linalg.inv(root) if family.correlated else 1 / root
            rows = np.full(len(n), self.shares @ self.rows)
            u = self._log_scales(n, self._traces(own, inverse), n_features)
            if self.learned:
                u, reference = u - u.mean(), reference * np.exp(u.mean())
        else:
            natural, own = self.before_rounding(n, own, self.natural(last), rounding)
            root, harmonic, rows, whiteners = self._root(natural)
            reference = root @ root.T if family.correlated else root**2
            u = self._log_scales(n, harmonic * self._traces(own, whiteners), n_features)
        if family.per_feature:
            weight = (rows - 2 * u / (self.spread**2 * n_features)) * np.exp(u) + 2 * self.wall / n_features
            natural = (own + np.maximum(weight, LEAST_WEIGHT)[expand] * reference) / (n + rows)[expand]
        else:
            natural = np.exp(u) * reference
        if last is None:
            natural = self._beside(natural, rounding)
        return self.expanded(self.with_rounding(natural, rounding), scatter.shape[:2])

    def _traces(self, scatter: np.ndarray, whiteners: np.ndarray) -> np.ndarray:
        """Traces of scatters times inverse covariances, (K,), of natural shape as their inverse factors are."""
        if self.family.correlated:
            return ((whiteners @ scatter) * whiteners).sum(axis=(-2, -1))
        traces = scatter * whiteners**2
        return traces.sum(axis=-1) if self.family.per_feature else traces

    def _log_scales(self, counts: np.ndarray, traces: np.ndarray, n_features: int) -> np.ndarray:
        """The u of the M-step, (K,)."""
        # Rounding can leave a scatter of no spread below 0.
        least = np.maximum(traces, 0) / 2 + self.wall + LEAST_WEIGHT
        return log_scales(counts * n_features / 2, least, self.spread, NEWTON_STEPS)

    def coordinates(self, natural: np.ndarray, rounding: np.ndarray) -> dict[str, np.ndarray]:
        """The unconstrained variables of covariances in their natural shape, by name.

        Rounding, (D,), is no part of them.
        """
        natural = self._beside(natural, rounding)
        own = {"log_cholesky": self._seen(natural)}
        if not self.learned:
            return own
        if not self.family.correlated:
            return own | {"reference_log_cholesky": self._seen(self.reference(natural))}
        inverse = np.linalg.inv(self.outer)
        return own | {"reference_log_cholesky": log_cholesky.coordinates(lower(inverse @ self._root(natural)[0]))}
