"""In which orders of the components a problem's densities are the same, and which order is taken where they are not."""

from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import gammaln

from bayesgmm.graph.compiled import LogDensity
from bayesgmm.graph.log_posterior import LogPosterior
from bayesgmm.graph.orders import drawn_orders
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.model.em import START_SHARE

if TYPE_CHECKING:
    from bayesgmm.data.table import Table
    from bayesgmm.model.mixture_model import MixtureModel
    from bayesgmm.model.specification import Specification

# Log posteriors that agree to this part differ by rounding alone.
ROUNDING = 1e-10


class Ordered:
    """The methods of a problem that are about the order of its components."""

    if TYPE_CHECKING:
        specification: Specification
        table: Table
        graph: LogPosterior

        @property
        def model(self) -> MixtureModel: ...
        @property
        def n_parameters(self) -> int: ...
        @property
        def scales(self) -> np.ndarray: ...
        @property
        def parameter_density(self) -> LogDensity: ...
        @property
        def _data(self) -> dict[str, np.ndarray] | None: ...
        @property
        def _densities(self) -> tuple[LogDensity, LogDensity]: ...
        def constrain(self, q: np.ndarray) -> dict[str, np.ndarray]: ...
        def unconstrained(self, mixture: Mixture) -> np.ndarray: ...

    @cached_property
    def in_any_order(self) -> bool:
        """Whether stick-breaking weights are sampled in any order: where nothing else tells components apart."""
        if not self.specification.weights_prior.sticks:
            return False
        return self._has_no_order(self.graph.densities(self._data)[1], self._somewhere)

    @cached_property
    def orderless(self) -> bool:
        """Whether the parameters' density is the same in every order of the components, as far as one point tells."""
        return self._has_no_order(self._at_hand[0], self._somewhere)

    @property
    def _somewhere(self) -> np.ndarray:
        """A point at which no two components are alike, each near what all rows are like."""
        k, family = self.specification.n_components, self.specification.covariance
        mean, variance = self.table.moments
        covariances = np.diag(variance) if family.correlated else variance
        noise = None if self.table.box is None else Noise(np.asarray(START_SHARE), *self.table.box)
        alike = Mixture(np.full(k, 1 / k), np.tile(mean, (k, 1)), np.array([covariances] * k), noise)
        return self.unconstrained(alike) + 0.1 * self.scales * np.random.default_rng(0).normal(size=self.n_parameters)

    @property
    def _at_hand(self) -> tuple[LogDensity, LogDensity]:
        """The densities of the rows in memory, which are as symmetric as those of all."""
        return self.graph.densities(any_order=self.in_any_order) if self.table.elsewhere else self._densities

    @property
    def _by_component(self) -> dict[str, tuple[str | None, ...]]:
        """The dims of all variables that have one for the components."""
        return {name: dims for name, dims in self.model.named_vars_to_dims.items() if "component" in dims}

    def exchangeable(self, q: np.ndarray) -> bool:
        """Whether the density at ``q`` is the same under every order of the components.

        A user's priors and terms may tell components apart.
        """
        return self._has_no_order(self._at_hand[0], q)

    def kinds(self, q: np.ndarray) -> np.ndarray:
        """A number for every component, (K,): those that may trade places without a change of the density have one."""
        k, density = self.specification.n_components, self._at_hand[1]
        if self._has_no_order(density, q):
            return np.zeros(k, dtype=int)
        # Those that may trade places, two by two, without a change are alike.
        swaps = []
        for i, j in combinations(range(k), 2):
            swaps.append(np.arange(k))
            swaps[-1][[i, j]] = j, i
        alike = np.eye(k, dtype=bool)
        alike[np.triu_indices(k, 1)] = self._same_in(density, q, swaps)
        return connected_components(alike, directed=False)[1]

    def log_orders(self, q: np.ndarray) -> float:
        """Log of the number of orders of the components that the sampler's density at ``q`` is the same in."""
        return float(gammaln(np.bincount(self.kinds(q)) + 1).sum())

    def in_best_order(self, q: np.ndarray) -> np.ndarray:
        """``q`` with its components in the order that the weights' prior likes best; itself if there is no better."""
        prior = self.specification.weights_prior
        if not prior.knows_order:
            return q
        best, highest = q, self.parameter_density(q)[0]
        for order in prior.orders(self.constrain(q)["weights"][0]):
            other = self.graph.reordered(q[None], order)[0]
            value = self.parameter_density(other)[0]
            if value > highest + ROUNDING * abs(highest):
                best, highest = other, value
        return best

    def in_drawn_order(self, values: dict[str, np.ndarray], uniforms: np.ndarray) -> dict[str, np.ndarray]:
        """Draws of named variables (B, ...), each in an order of its components given all else.

        ``uniforms`` (B, K + 1) are the random numbers; draws that are in an order already keep it.
        """
        if not self.in_any_order:
            return values
        alpha = self.specification.weights_prior.concentration
        alpha = np.broadcast_to(values["concentration"] if alpha is None else alpha, len(uniforms))
        orders = drawn_orders(np.ascontiguousarray(values["weights"]), np.ascontiguousarray(alpha), uniforms)
        axes = {name: list(dims).index("component") + 1 for name, dims in self._by_component.items()}
        each = {
            name: np.moveaxis(values[name], axis, 1)[np.arange(len(orders))[:, None], orders]
            for name, axis in axes.items()
            if name in values
        }
        return values | {name: np.moveaxis(value, 1, axes[name]) for name, value in each.items()}

    def _has_no_order(self, density: LogDensity, q: np.ndarray) -> bool:
        k = self.specification.n_components
        # A shift and a swap make all orders.
        swap = np.arange(k)
        swap[:2] = swap[:2][::-1]
        return all(self._same_in(density, q, [np.roll(np.arange(k), 1), swap]))

    def _same_in(self, density: LogDensity, q: np.ndarray, orders: list[np.ndarray]) -> list[bool]:
        """In which orders of the components a density has the value that it has at ``q``."""
        values = [density(self.graph.reordered(q[None], order)[0])[0] for order in orders]
        return [bool(v) for v in np.isclose(values, density(q)[0], rtol=ROUNDING, atol=ROUNDING)]
