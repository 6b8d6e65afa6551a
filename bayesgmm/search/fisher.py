r"""Axes in which a mixture's posterior is nearly round, in closed form: the information of its rows and of its prior.

Of a covariance :math:`\Sigma = F F^\top`, seen from its own root as :math:`F (I + E)(I + E)^\top F^\top` with a lower
triangle E, N rows tell N of every entry below the diagonal, 2 N of those on it, and nothing of two together; of a mean
:math:`\mu + F e` they tell N of every entry of e. So far a mixture's information is a diagonal, whatever its
covariances are.

The default prior draws each shape to a reference R by :math:`\nu` rows, and leaves the scale to the rows. Where R
moves, a covariance goes :math:`\nu / (N + \nu)` of the way with it, and what is left of R's information once the
covariances have followed is :math:`\sum_k N_k \nu_k / (N_k + \nu_k)` and its own prior's rows. That is exact where all
shapes are alike and no row is in doubt. E is what the coordinates z hold (:mod:`bayesgmm.graph.roots`), but for the
scale and what the others on its diagonal are beside it: no matrix is factorised, and most of B is 0.

At the modes of iris, wine and blobs of 10 and 20 features (54 to 1,364 parameters) the curvature in these axes is 0.2
to 1.7 in all directions, and a climb takes some ten iterations. In axes by the rows' information alone, of blocks that
had to be factorised, it was 0.03 to 1,000.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError

from bayesgmm.mixture.log_cholesky import triangles
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.relative import RelativePrior
from bayesgmm.model.specification import Specification

# What the priors of weights, and of the share of noise, are worth.
LEAST_ROWS = 1.0
# Some columns of axes: their entries of q, those of the axes, and the numbers.
Block = tuple[np.ndarray, np.ndarray, sparse.coo_array]


@dataclass(frozen=True, eq=False)
class Fisher:
    """The axes of a specification whose covariances have the default prior.

    Parameters
    ----------
    specification : Specification
    entries : dict
        Where in q and z each variable stands: name -> its positions.
    scales : (P,) array
        A length for every entry of q over which the density changes: that of what else there is, of a user's.
    """

    specification: Specification
    entries: Mapping[str, np.ndarray] = field(repr=False)
    scales: np.ndarray = field(repr=False)

    def axes(self, q: np.ndarray, mixture: Mixture, counts: np.ndarray) -> sparse.csr_array:
        """Axes (P, P) of z at ``q``, where the mixture is ``mixture`` and its components have ``counts`` of the rows.

        Raises
        ------
        LinAlgError
            A covariance is not positive definite there.
        """
        blocks = [*self._weights(mixture, counts), *self._means(mixture, counts), *self._covariances(q, counts)]
        own = np.zeros(len(q), dtype=bool)
        for at, *_ in blocks:
            own[at] = True
        others = np.flatnonzero(~own)
        blocks.append((others, others, sparse.coo_array(sparse.diags_array(self.scales[others]))))
        values = np.concatenate([block.data for _, _, block in blocks])
        if not np.isfinite(values).all():
            raise LinAlgError("no mixture to speak of")
        rows = np.concatenate([at[block.coords[0]] for at, _, block in blocks])
        columns = np.concatenate([along[block.coords[1]] for _, along, block in blocks])
        return sparse.csr_array((values, (rows, columns)), shape=(len(q), len(q)))

    def _weights(self, mixture: Mixture, counts: np.ndarray) -> list[Block]:
        """Of the logits of all components but the last, whose own makes their sum 0; and of noise."""
        found, k = [], len(counts)
        if k > 1:
            logits = np.concatenate([np.eye(k - 1), -np.ones((1, k - 1))])
            away = logits - mixture.weights @ logits
            information = away.T @ ((counts + LEAST_ROWS)[:, None] * away)
            at = self.entries["weights"].ravel()
            found.append((at, at, _root(information)))
        if mixture.noise is not None:
            share, at = float(mixture.noise.share), self.entries["noise"].ravel()
            # N s (1 - s) of a logit, and the components have N (1 - s) of the rows.
            information = np.array([[counts.sum() * share + LEAST_ROWS]])
            found.append((at, at, _root(information)))
        return found

    def _means(self, mixture: Mixture, counts: np.ndarray) -> list[Block]:
        found = []
        for at, covariance, n in zip(self.entries["means"], mixture.full_covariances, counts, strict=True):
            # A component without rows is somewhere among all of them.
            information = n * np.linalg.inv(covariance) + np.diag(self.scales[at] ** -2)
            found.append((at, at, _root(information)))
        return found

    def _covariances(self, q: np.ndarray, counts: np.ndarray) -> list[Block]:
        prior, family = self.specification.relative_prior, self.specification.covariance
        assert prior is not None
        at = np.atleast_2d(self.entries["log_cholesky"])
        rows = counts if family.per_component else counts.sum(keepdims=True)
        if not family.per_feature:  # one entry, of which every feature of a row tells
            rows = rows * self.specification.n_features
        factors = self._factors(q[at])
        reference = self.entries.get("reference_log_cholesky")
        around = None if reference is None else self._factors(q[reference.ravel()][None])[0]
        alike = prior.expected_rows(factors, around)
        d, correlated = factors.shape[-1], family.correlated
        of_scale = 4 / (prior.spread**2 * d)
        found = [
            (own, own, _axes(d, correlated, n + nu, 2 * n + of_scale))
            for own, n, nu in zip(at, rows, alike, strict=True)
        ]
        if reference is None:
            return found
        assert isinstance(prior, RelativePrior)
        left = float((rows * alike / (rows + alike)).sum()) + prior.total_rows
        of_scales, reference = len(at) * of_scale, reference.ravel()
        found.append((reference, reference, _axes(d, correlated, left, of_scales)))
        for own, n, nu in zip(at, rows, alike, strict=True):
            follow = nu / (n + nu), of_scale / (2 * n + of_scale)
            found.append((own, reference, _axes(d, correlated, left, of_scales, follow)))
        return found

    def _factors(self, y: np.ndarray) -> np.ndarray:
        """Roots relative to what y (M, ...) is relative to: lower triangles (M, D, D), or scales (M, D)."""
        return triangles(y) if self.specification.covariance.correlated else np.exp(y)


def _axes(
    d: int, correlated: bool, rows: float, of_scale: float, follow: tuple[float, float] = (1.0, 1.0)
) -> sparse.coo_array:
    """Axes of E where so many rows tell of a shape, and as much as is given of the scale.

    ``follow``: the part of the way that z goes, of shapes and of the scale.
    """
    lengths = np.full(d, follow[0] / np.sqrt(2 * rows))
    lengths[0] = follow[1] / np.sqrt(of_scale)
    diagonal = _contrasts(d) * lengths
    if not correlated:
        return sparse.coo_array(diagonal)
    i, j = np.tril_indices(d)
    on, below = np.flatnonzero(i == j), np.flatnonzero(i != j)
    return sparse.coo_array(
        (
            np.concatenate([np.full(len(below), follow[0] / np.sqrt(rows)), diagonal.ravel()]),
            (np.concatenate([below, np.repeat(on, d)]), np.concatenate([below, np.tile(on, d)])),
        ),
        shape=(len(i), len(i)),
    )


@cache
def _contrasts(n: int) -> np.ndarray:
    """An orthonormal matrix whose first column is constant."""
    columns = np.linalg.qr(np.concatenate([np.ones((n, 1)), np.eye(n)[:, 1:]], axis=1))[0]
    return columns * np.sign(columns[0, 0])


def _root(information: np.ndarray) -> sparse.coo_array:
    """An upper triangular B of B B^T, the inverse of an information."""
    return sparse.coo_array(np.linalg.inv(np.linalg.cholesky(information)).T)
