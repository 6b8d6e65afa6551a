r"""The observed information of a mixture: second derivatives of its log posterior, of which only the rows' are many.

With :math:`r_{nk}` the responsibilities and :math:`s_{nk} = \partial_q \log \pi_k N(x_n \mid \mu_k, \Sigma_k)` the
rows' scores, row weights :math:`g_n`, and :math:`\theta = (\pi, \mu, \Sigma)` (Louis 1982),

.. math:: \partial^2 \sum_n g_n \log p(x_n) = \sum_{nk} g_n r_{nk}\, \partial^2_q \log \pi_k N(x_n \mid \mu_k, \Sigma_k)
          + \sum_n g_n \Big( \sum_k r_{nk} s_{nk} s_{nk}^\top - \bar s_n \bar s_n^\top \Big),
          \qquad \bar s_n = \sum_k r_{nk} s_{nk} .

The first sum needs the rows' statistics alone. It has a part that is quadratic in :math:`\partial\theta/\partial q`, in
closed form below, and :math:`\langle \partial L / \partial\theta, \partial^2_q \theta \rangle`. The second sum is a
product of matrices, in which only rows take part that more than one component may have made.

What does not involve the rows, :math:`\partial^2_q \theta` and the log priors and other terms of the model, comes by
central differences of gradients. Parts of different components do not meet there: all components go one step at once,
so there are as many steps as one component has parameters.

Louis (1982), Finding the observed information matrix when using the EM algorithm, JRSS B 44, 226-233,
https://doi.org/10.1111/j.2517-6161.1982.tb01203.x.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, solve_triangular

from bayesgmm.data.table import Chunk, Table
from bayesgmm.graph.compiled import LogDensity
from bayesgmm.graph.mixture_map import MixtureMap
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.statistics import Statistics
from bayesgmm.model.em import expectation

# Central differences err as h^2 and round as eps / h: the cube root of eps balances them. In units of the scales.
STEP = 6e-6
# A component takes part in a row's doubt if it may have made it with more than this.
LEAST_DOUBT = 1e-16
# Numbers of the rows' scores, and of a batch of mixtures, that are held at once: 3 MB. With 1,456 parameters second
# derivatives took 0.58 s so, 0.67 with 64 MB, which no cache holds.
MOST_NUMBERS = 400_000
# Divided by in a weight's place where a climb has taken it to 0: such a component has no rows.
TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class MixtureTerm:
    """What a log-density holds of a mixture's rows, and what else.

    Parameters
    ----------
    table : Table
    map : MixtureMap
    owners : (P,) array
        The component that an entry of q belongs to, -1 where it is not one component's.
    rest : LogDensity, optional
        The log-density of no rows. None: rows of which not all is seen, whose second derivatives come by differences;
        how the axes of a climb lie is known of them too.
    """

    table: Table
    map: MixtureMap
    owners: np.ndarray
    rest: LogDensity | None

    @property
    def seconds_of_differences(self) -> float:
        """About how long central differences of the gradient take, one after another."""
        n_features, n_components = self.table.n_features, self.map.n_components
        rows = self.table.n_rows * n_components * (4.0 + 0.1 * n_features**2)
        return 2e-9 * self.owners.size * (rows + 3.0 * (n_components + 1) * n_features**3)

    def negative_hessian(self, q: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Minus the second derivatives at ``q``, (P, P), in units of ``scales`` (P,).

        Raises
        ------
        numpy.linalg.LinAlgError
            A covariance is not positive definite there.
        """
        mixture, statistics = self.at(q)
        together = _Together(self.owners, scales)
        hessian = self._rowless(q, together, mixture, statistics)
        components = self._components(q, together, mixture)
        for one in components:
            one.add(hessian, -one.complete(statistics))
        return hessian - self.table.sum_over(partial(_doubt, q.size, mixture, components))

    def information_axes(self, q: np.ndarray, scales: np.ndarray) -> sparse.csr_array:
        """Axes (P, P) in which the information of rows whose components are known is the identity.

        In blocks: each component's own entries of q, and those that they share. The priors, which have no part in it,
        are taken to be worth as many rows as there are features: from four starts on breast cancer (569 x 30, K = 2)
        L-BFGS took 163 iterations on average so, 250 with a third of that, 400 with one row.
        """
        mixture, statistics = self.at(q)
        components = self._components(q, _Together(self.owners, scales), mixture)
        entries = [np.flatnonzero(self.owners == k) for k in range(-1, len(components))]
        blocks = [self.table.n_features * np.eye(len(own)) for own in entries]
        gram, of = np.empty(0), None
        for one in components:
            # One covariance for all has one strain: that of 61 features takes a third of a second.
            if of is None or not np.array_equal(one.strain, of):
                gram, of = one.gram, one.strain
            information = one.information(statistics, gram)
            for k in (-1, one.k):
                part = self.owners[one.columns] == k
                at = np.searchsorted(entries[k + 1], one.columns[part])
                blocks[k + 1][np.ix_(at, at)] += information[np.ix_(part, part)]
        roots = sparse.block_diag(
            [sparse.coo_array(solve_triangular(cholesky(b), np.eye(len(b)))) for b in blocks], format="csr"
        )
        order = np.argsort(np.concatenate(entries))
        return sparse.csr_array(sparse.diags_array(scales) @ roots[order][:, order])

    def at(self, q: np.ndarray) -> tuple[Mixture, Statistics]:
        """The mixture at ``q`` and the statistics of all rows under it."""
        mixture = Mixture(*(v[0] for v in self.map(q[None])))
        return mixture, expectation(mixture, self.table)

    def _components(self, q: np.ndarray, together: "_Together", mixture: Mixture) -> list["_Component"]:
        batched = _Batched(self.map, self._batch(mixture))
        moves = list(map(np.concatenate, zip(*together.differences(batched, q), strict=True)))
        candidates = [np.flatnonzero((self.owners == k) | (self.owners < 0)) for k in range(mixture.n_components)]
        return [
            _Component.of(mixture, k, columns, [move[together.step[columns], k] for move in moves])
            for k, columns in enumerate(candidates)
        ]

    @staticmethod
    def _batch(mixture: Mixture) -> int:
        return max(1, MOST_NUMBERS // mixture.covariances.size)

    def _rowless(self, q: np.ndarray, together: "_Together", mixture: Mixture, statistics: Statistics) -> np.ndarray:
        """The part that does not involve the rows: minus the rest's, and that of the map to the mixture."""
        slopes = [statistics.counts / np.maximum(mixture.weights, TINY), statistics.first, 0.5 * statistics.second]

        def gradient(batch: np.ndarray) -> list[np.ndarray]:
            assert self.rest is not None
            return [self.map.pullback(batch, slopes) + [self.rest(one)[1] for one in batch]]

        changes = together.differences(_Batched(gradient, self._batch(mixture)), q)
        return -together.spread(np.concatenate([change for [change] in changes]))


@dataclass(frozen=True)
class _Batched:
    """A function of a batch of q that gives a list of arrays, and how many q it takes at once."""

    function: Callable[[np.ndarray], list[np.ndarray]]
    size: int


class _Together:
    """The steps of differences: an entry that components share alone, the others one of each component together."""

    def __init__(self, owners: np.ndarray, scales: np.ndarray):
        self.owners, self.scales = owners, scales
        # The number of the step in which an entry goes.
        self.step = np.empty(owners.size, dtype=np.int64)
        shared = owners < 0
        self.step[shared] = np.arange(shared.sum())
        for k in range(owners.max(initial=-1) + 1):
            self.step[owners == k] = shared.sum() + np.arange((owners == k).sum())

    def differences(self, batched: _Batched, q: np.ndarray) -> Iterator[list[np.ndarray]]:
        """What changes by a step of one scale, at the rate at ``q``; of some steps after others."""
        moved = np.zeros((self.step.max() + 1, q.size))
        moved[self.step, np.arange(q.size)] = STEP * self.scales
        for start in range(0, len(moved), batched.size):
            some = moved[start : start + batched.size]
            above, below = batched.function(q + some), batched.function(q - some)
            yield [(a - b) / (2 * STEP) for a, b in zip(above, below, strict=True)]

    def spread(self, changes: np.ndarray) -> np.ndarray:
        """The symmetric matrix (P, P) of a gradient's changes (steps, P): components do not meet in it."""
        shared = self.owners < 0
        matrix = changes[self.step] * self.scales
        matrix[~shared[:, None] & (self.owners[:, None] != self.owners)] = 0.0
        matrix[np.ix_(~shared, shared)] = matrix[np.ix_(shared, ~shared)].T
        return (matrix + matrix.T) / 2


@dataclass(frozen=True)
class _Component:
    r"""One component and how it moves with those entries of q that move it.

    With W its whitener: :math:`c_i = \partial_i \log\pi`, :math:`e_i = W \partial_i \mu`,
    :math:`M_i = W (\partial_i \Sigma) W^\top`, in units of the scales. Entries that do not move it are left out.
    """

    k: int
    mean: np.ndarray
    factor: np.ndarray
    columns: np.ndarray
    log_weight: np.ndarray  # c, (P_k,)
    shift: np.ndarray  # e, (P_k, D)
    strain: np.ndarray  # M, (P_k, D, D)

    @classmethod
    def of(cls, mixture: Mixture, k: int, columns: np.ndarray, moves: list[np.ndarray]) -> "_Component":
        factor = np.linalg.cholesky(mixture.covariances[k])
        whitener = np.linalg.inv(factor)
        moved = np.any([(move != 0).reshape(len(columns), -1).any(axis=1) for move in moves], axis=0)
        d_weight, d_mean, d_covariance = (move[moved] for move in moves)
        strain = whitener @ d_covariance @ whitener.T
        log_weight = d_weight / max(mixture.weights[k], TINY)
        return cls(k, mixture.means[k], factor, columns[moved], log_weight, d_mean @ whitener.T, strain)

    def add(self, hessian: np.ndarray, part: np.ndarray) -> None:
        hessian[np.ix_(self.columns, self.columns)] += part

    def complete(self, statistics: Statistics) -> np.ndarray:
        r"""The quadratic part of the first sum, (P_k, P_k), with the whitened rows' moments N, b and A.

        .. math:: -N (c_i c_j + e_i^\top e_j) - e_i^\top M_j b - e_j^\top M_i b
                  + \tfrac12 \mathrm{tr}\, M_i (N M_j - A M_j - M_j A) .
        """
        count = statistics.counts[self.k]
        first = self.factor.T @ statistics.first[self.k]
        second = self.factor.T @ statistics.second[self.k] @ self.factor + count * np.eye(len(first))
        scattered = self.strain @ second
        pulled = count * self.strain - scattered - np.swapaxes(scattered, 1, 2)
        crossed = self.shift @ (self.strain @ first).T
        n = len(self.columns)
        return (
            self.strain.reshape(n, -1) @ pulled.reshape(n, -1).T / 2
            - count * (np.outer(self.log_weight, self.log_weight) + self.shift @ self.shift.T)
            - crossed
            - crossed.T
        )

    @property
    def gram(self) -> np.ndarray:
        r""":math:`\tfrac12 \mathrm{tr}\, M_i M_j`, (P_k, P_k); they are symmetric."""
        rows, columns = np.tril_indices(self.factor.shape[0])
        flat = self.strain[:, rows, columns] * np.where(rows == columns, math.sqrt(0.5), 1.0)
        return flat @ flat.T

    def information(self, statistics: Statistics, gram: np.ndarray) -> np.ndarray:
        r"""What rows of this component tell: :math:`N (c_i c_j + e_i^\top e_j + \tfrac12 \mathrm{tr}\, M_i M_j)`."""
        parts = (np.outer(self.log_weight, self.log_weight), self.shift @ self.shift.T, gram)
        return statistics.counts[self.k] * sum(parts)

    @cached_property
    def _coefficients(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The scores as a linear function of a constant, z, and the products of its entries."""
        rows, columns = np.tril_indices(self.factor.shape[0])
        half = np.where(rows == columns, 0.5, 1.0)
        constant = self.log_weight - np.einsum("pii->p", self.strain) / 2
        return rows, columns, constant, self.strain[:, rows, columns] * half

    def scores(self, x: np.ndarray) -> np.ndarray:
        r"""Scores (n, P_k) of rows: :math:`c_i + e_i^\top z + \tfrac12 (z^\top M_i z - \mathrm{tr} M_i)`."""
        rows, columns, constant, products = self._coefficients
        z = solve_triangular(self.factor, (x - self.mean).T, lower=True).T
        return constant + z @ self.shift.T + (z[:, rows] * z[:, columns]) @ products.T


def _doubt(length: int, mixture: Mixture, components: list[_Component], chunk: Chunk) -> np.ndarray:
    """The second sum of the module's equation over some rows, (P, P)."""
    hessian, x = np.zeros((length, length)), chunk.values
    assert isinstance(x, np.ndarray)
    responsibilities = mixture.responsibilities(x)
    doubtful = np.flatnonzero((responsibilities > LEAST_DOUBT).sum(axis=1) > 1)
    size = max(1, MOST_NUMBERS // len(hessian))
    for start in range(0, len(doubtful), size):
        rows = doubtful[start : start + size]
        weights = chunk.weights[rows] if chunk.weights.size > 1 else np.broadcast_to(chunk.weights, rows.shape)
        average = np.zeros((len(rows), len(hessian)))
        for one, r in zip(components, responsibilities[rows].T, strict=True):
            used = r > LEAST_DOUBT
            scores = one.scores(x[rows[used]])
            average[np.ix_(used, one.columns)] += r[used, None] * scores
            scores *= np.sqrt(weights * r)[used, None]
            one.add(hessian, scores.T @ scores)
        average *= np.sqrt(weights)[:, None]
        hessian -= average.T @ average
    return hessian


class MixtureDensity(LogDensity):
    """A log-density that knows its mixture."""

    def __init__(self, density: LogDensity, term: MixtureTerm):
        self.density, self.term = density, term
        self.function, self.held, self.inputs = density.function, density.held, density.inputs

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        return self.density(q)
