"""A mixture's weights, means and covariances as functions of the flat vector q, and their pullback, in batches of q."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from bayesgmm.graph.compiled import Interpreted
from bayesgmm.graph.log_posterior import LogPosterior


class MixtureMap:
    """The way from q to a mixture; run node by node, as it is called a few times with many q.

    Parameters
    ----------
    graph : LogPosterior
    n_components : int
    matrices : callable
        It makes matrices (K, D, D) of the model's covariances, as graphs.
    """

    def __init__(self, graph: LogPosterior, n_components: int, matrices: Callable[[Variable], Variable]):
        self.graph, self.n_components, self._matrices = graph, n_components, matrices

    @cached_property
    def _outputs(self) -> list[Variable]:
        weights, means, covariances = (self.graph.model[name] for name in ("weights", "means", "covariances"))
        return self.graph.constrained([weights, means, self._matrices(covariances)])

    @cached_property
    def _map(self) -> Interpreted:
        return self.graph.in_batches(self._outputs)

    @cached_property
    def _pullback(self) -> Interpreted:
        slopes = [pt.tensor(dtype="float64", shape=(None,) * v.type.ndim) for v in self._outputs]
        known = dict(zip(self._outputs, slopes, strict=True))
        parts = pt.grad(None, self.graph.variables, known_grads=known, disconnected_inputs="ignore")
        return self.graph.in_batches([pt.concatenate([part.ravel() for part in parts])], slopes)

    def __call__(self, q: np.ndarray) -> list[np.ndarray]:
        """Weights (B, K), means (B, K, D) and covariances (B, K, D, D) at ``q`` (B, P)."""
        return self._map(q)

    def pullback(self, q: np.ndarray, slopes: list[np.ndarray]) -> np.ndarray:
        """The gradient by q, (B, P), of the inner product of the three with ``slopes``, at ``q`` (B, P)."""
        return self._pullback(q, *slopes)[0]
