r"""A Gaussian mixture as a value: its parameters, and all that can be asked of them about rows.

.. math:: p(x) = \sum_{k=1}^K \pi_k\, N(x \mid \mu_k, \Sigma_k)

Marginals and conditionals of a mixture are mixtures again. With features a asked for, features b given, the others
dropped,

.. math:: p(x_a \mid x_b) = \sum_k \pi_k(x_b)\, N(x_a \mid \mu_k(x_b), \Sigma_k^{a|b}), \qquad
          \pi_k(x_b) \propto \pi_k N(x_b \mid \mu_k^b, \Sigma_k^{bb}),

.. math:: \mu_k(x_b) = \mu_k^a + \Sigma_k^{ab} (\Sigma_k^{bb})^{-1} (x_b - \mu_k^b), \qquad
          \Sigma_k^{a|b} = \Sigma_k^{aa} - \Sigma_k^{ab} (\Sigma_k^{bb})^{-1} \Sigma_k^{ba} .

A mixture may have a leading axis of draws, S mixtures in one value. NumPy and the data pass; no PyMC.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import tau

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import expit, logsumexp

from bayesgmm.data.observations import Observations, Rows, observations
from bayesgmm.mixture import completed, kernel, patterns, simulation
from bayesgmm.mixture.noise import Noise
from bayesgmm.mixture.statistics import Statistics
from bayesgmm.mixture.threads import raise_interrupt

# The component of rows that are of none.
NOISE = -1
# Draws whose covariances are laid out at once.
SLAB_DRAWS = 256


@dataclass(frozen=True, eq=False)
class Mixture:
    """One mixture, or S of them.

    Parameters
    ----------
    weights : (..., K) array
    means : (..., K, D) array
    covariances : (..., K, D, D) array, or (..., K, D) where features do not correlate
        What components share may be one array under several views: nothing writes to it.
    noise : Noise, optional
        Rows of no component. The weights are the components' shares of the other rows.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    noise: Noise | None = None

    # Its shape ------------------------------------------------------------------------------------------------------

    @property
    def n_components(self) -> int:
        return self.means.shape[-2]

    @property
    def n_features(self) -> int:
        return self.means.shape[-1]

    @property
    def diagonal(self) -> bool:
        """Whether ``covariances`` are variances alone."""
        return self.covariances.ndim == self.means.ndim

    @property
    def batched(self) -> bool:
        """Whether there is a leading axis of draws."""
        return self.weights.ndim > 1

    def __len__(self) -> int:
        """Number of draws."""
        if not self.batched:
            raise TypeError("a single mixture has no length: it has no draws.")
        return len(self.weights)

    def __getitem__(self, draws: "int | slice | np.ndarray | None") -> "Mixture":
        """One draw, or several; None gives a single mixture a leading axis."""
        noise = None if self.noise is None else self.noise[draws]
        return Mixture(self.weights[draws], self.means[draws], self.covariances[draws], noise)

    def __iter__(self) -> Iterator["Mixture"]:
        return (self[s] for s in range(len(self)))

    def thinned(self, most: int) -> "Mixture":
        """At most so many draws, evenly spaced."""
        return self[np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))]

    @property
    def full_covariances(self) -> np.ndarray:
        """Covariance matrices (..., K, D, D), whatever features share."""
        return self.covariances[..., None] * np.eye(self.n_features) if self.diagonal else self.covariances

    @property
    def scales(self) -> np.ndarray:
        """Standard deviations of every component and feature, (..., K, D)."""
        return np.sqrt(self.covariances if self.diagonal else np.einsum("...ii->...i", self.covariances))

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """What the data pass takes: weights of all rows, means, covariance matrices, and whether these are diagonal."""
        weights = self.weights if self.noise is None else self.weights * (1 - np.asarray(self.noise.share))[..., None]
        return (
            np.ascontiguousarray(weights), np.ascontiguousarray(self.means),
            np.ascontiguousarray(self.full_covariances), self.diagonal,
        )  # fmt: skip

    def _partial(self, x: Rows) -> bool:
        """Whether rows are of patterns, or some of no component."""
        return self.noise is not None or isinstance(x, Observations)

    @property
    def _noise(self) -> tuple[float | np.ndarray, np.ndarray, np.ndarray]:
        """What the pass over patterns takes of noise: its share and the sides of its box."""
        share = np.zeros(self.weights.shape[:-1]) if self.noise is None else np.asarray(self.noise.share)
        box = (np.empty(0),) * 2 if self.noise is None else (self.noise.low, self.noise.high)
        return np.ascontiguousarray(share) if self.batched else float(share), *box

    # About rows -----------------------------------------------------------------------------------------------------

    # Rows are an array (N, D), or observations of which not all is seen.

    def log_density(self, x: Rows) -> np.ndarray:
        """Log-density of rows ``x`` (N, D) in nats, (N,), or under every draw (S, N)."""
        if self.batched:
            return np.array([one.log_density(x) for one in self]).reshape(len(self), len(x))
        if self._partial(x):
            return self.densities(x)[0]
        return kernel.log_density(np.ascontiguousarray(x), *self.arrays)

    def responsibilities(self, x: Rows) -> np.ndarray:
        """Every row's probability of every component, (N, K), or under every draw (S, N, K)."""
        if not self.batched:
            return self.densities(x)[1]
        slabs = [self[start : start + SLAB_DRAWS] for start in range(0, len(self), SLAB_DRAWS)]
        if self._partial(x):
            rows = observations(x).arrays
            parts = [patterns.responsibilities_of_draws(*rows, *slab._noise, *slab.arrays) for slab in slabs]
        else:
            x = np.ascontiguousarray(x)
            parts = [kernel.responsibilities_of_draws(x, *slab.arrays) for slab in slabs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def memberships(self, x: Rows) -> np.ndarray:
        """Responsibilities with a last column for noise, if there is some: (..., N, K + 1), which add up to 1."""
        r = self.responsibilities(x)
        return (
            r if self.noise is None else np.concatenate([r, np.maximum(1 - r.sum(axis=-1, keepdims=True), 0)], axis=-1)
        )

    def densities(self, x: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Log-density (N,) and responsibilities (N, K) of rows under a single mixture, from one pass."""
        if self._partial(x):
            return patterns.responsibilities(*observations(x).arrays, *self._noise, *self.arrays)
        return kernel.responsibilities(np.ascontiguousarray(x), *self.arrays)

    def predictive(self, x: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Log of the rows' density averaged over the draws, (N,), and their average responsibilities, (N, K).

        The draws pass one at a time: memory does not grow with their number.
        """
        if not self.batched:
            return self.densities(x)
        x = x if isinstance(x, Observations) else np.ascontiguousarray(x)
        log_density = np.full(len(x), -np.inf)
        responsibilities = np.zeros((len(x), self.n_components))
        for one in self:
            own = one.densities(x)
            np.logaddexp(log_density, own[0], out=log_density)
            responsibilities += own[1]
        return log_density - np.log(len(self)), responsibilities / len(self)

    def statistics(self, x: Rows, row_weights: np.ndarray | None = None) -> Statistics:
        """Log-likelihood and expected sufficient statistics of rows under a single mixture.

        ``row_weights`` (N,) count rows; without them every row counts once.
        """
        weights = np.ones(1) if row_weights is None else np.ascontiguousarray(row_weights)
        if self._partial(x):
            found = patterns.statistics(*observations(x).arrays, *self._noise, *self.arrays, weights)
        else:
            found = kernel.statistics(np.ascontiguousarray(x), *self.arrays, weights)
        raise_interrupt()
        return found

    def draw_rows(self, x: Observations, rng: np.random.Generator) -> np.ndarray:
        """All features of rows, drawn given what was seen of them, under a single mixture, (N, D)."""
        _, means, covariances, _ = self.arrays
        return completed.draw(rng, *x.arrays, self.responsibilities(x), means, covariances)

    def expect_rows(self, x: Observations) -> np.ndarray:
        """What is expected of all features of rows given what was seen of them, averaged over the draws, (N, D)."""
        if self.batched:
            total = np.zeros(x.shape)
            for one in self:
                total += one.expect_rows(x)
            return (
                total / len(self) if x.errors is not None else np.where(np.isnan(x.values), total / len(self), x.values)
            )
        _, means, covariances, _ = self.arrays
        return completed.expect(*x.arrays, self.responsibilities(x), means, covariances)

    def simulate(self, n_rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """New rows (n_rows, D) and their components (n_rows,); of S mixtures every row from a draw of its own.

        The component of noise is -1.
        """
        weights, means, covariances, _ = (self if self.batched else self[None]).arrays
        rows, components = simulation.simulate(rng, weights, means, covariances, n_rows)
        if self.noise is not None:
            share = rng.choice(np.atleast_1d(self.noise.share), size=n_rows)
            noise = np.flatnonzero(rng.random(n_rows) < share)
            rows[noise], components[noise] = self.noise.simulate(len(noise), rng), NOISE
        return rows, components

    # Mixtures of some of the features -------------------------------------------------------------------------------

    def marginal(self, axes: Sequence[int]) -> "Mixture":
        """The mixture of the features at positions ``axes``, the others integrated out."""
        a = list(axes)
        covariances = self.covariances[..., a] if self.diagonal else self.covariances[..., a, :][..., a]
        return Mixture(self.weights, self.means[..., a], covariances, self.noise and self.noise.marginal(a))

    def conditional(self, axes: Sequence[int], given: Mapping[int, float]) -> "Mixture":
        """The mixture of the features at positions ``axes`` given values of others; the rest are integrated out."""
        if not given:
            return self.marginal(axes)
        a, b = list(axes), list(given)
        values = np.array([given[j] for j in b], dtype=np.float64)
        full = self.full_covariances
        own = self.marginal(a)
        away = values - self.means[..., b]
        factor = np.linalg.cholesky(full[..., b, :][..., b])
        # Whitened by L: z = L^-1 (x_b - mu_b), and C = L^-1 Sigma_ba, so that the gain is C' L^-1.
        z = np.linalg.solve(factor, away[..., None])
        across = np.linalg.solve(factor, full[..., b, :][..., a])
        transposed = np.swapaxes(across, -1, -2)
        log_det = np.log(np.einsum("...ii->...i", factor)).sum(axis=-1)
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights) - log_det - (z[..., 0] ** 2).sum(axis=-1) / 2
        weights = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
        covariances = own.full_covariances - transposed @ across
        noise = None
        if self.noise is not None:
            given_noise = self.noise.marginal(b)
            inside = ((given_noise.low <= values) & (values <= given_noise.high)).all()
            share = np.asarray(self.noise.share)
            # As logarithms: far from all components both densities may be less than the least number.
            with np.errstate(divide="ignore"):
                log_noise = np.log(share * inside) - np.log(given_noise.volume)
                log_rest = np.log1p(-share) + logsumexp(log_weights, axis=-1) - len(b) / 2 * np.log(tau)
            noise = replace(self.noise.marginal(a), share=expit(log_noise - log_rest))
        weights /= weights.sum(axis=-1, keepdims=True)
        return Mixture(weights, own.means + (transposed @ z)[..., 0], covariances, noise)

    # Against another ------------------------------------------------------------------------------------------------

    @cached_property
    def _in_order(self) -> np.ndarray:
        """The weights, and each feature's log scales, each in ascending order."""
        values = np.concatenate([self.weights[:, None], np.log(self.scales)], axis=1)
        return np.sort(values, axis=0).ravel()

    def matches(self, other: "Mixture", tolerance: float) -> bool:
        """Whether two mixtures agree up to the order of the components.

        The weights, the logs of the scales, and the means in units of the scales agree to ``tolerance``.
        """
        return self.among([other], tolerance) is not None

    def among(self, others: Sequence["Mixture"], tolerance: float) -> int | None:
        """The position of the first of some mixtures that this one :meth:`matches`, if there is one.

        A search compares every start with all before it: one by one that took a sixth of its time.
        """
        if not others:
            return None
        # In no order do numbers agree better than in theirs: most mixtures are told apart by that.
        apart = np.abs(np.stack([other._in_order for other in others]) - self._in_order).max(axis=1)
        near = np.flatnonzero(apart < tolerance).tolist()
        return next((i for i in near if self._agrees(others[i], tolerance)), None)

    def _agrees(self, other: "Mixture", tolerance: float) -> bool:
        scales, theirs = self.scales[:, None], other.scales[None]
        cost = np.maximum(
            np.abs(self.means[:, None] - other.means[None]) / np.sqrt(scales * theirs), np.abs(np.log(scales / theirs))
        ).max(axis=2)
        cost = np.maximum(cost, np.abs(self.weights[:, None] - other.weights[None]))
        return bool(cost[linear_sum_assignment(cost)].max() < tolerance)
