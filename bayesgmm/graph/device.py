"""A log posterior in JAX: its data on the device once, its value and gradient from one pass."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytensor.tensor as pt
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import graph_replace
from pytensor.link.jax.dispatch.basic import jax_funcify

from bayesgmm.graph import compiled
from bayesgmm.graph.compiled import bounds, shared_by_graph
from bayesgmm.graph.lifted import of_data, with_gradient


class ValueAndGradient:
    """As :class:`bayesgmm.graph.compiled.ValueAndGradient`, in JAX.

    Arrays of data by a name are inputs; all other numbers are constants, as JAX must know every length.

    Parameters
    ----------
    dtype : str
        Of the rows on the device, and so of what is computed for each of them (:mod:`bayesgmm.mixture.jax_pass`).
    """

    def __init__(
        self,
        q: Variable,
        parameter: Variable,
        parts: dict[Variable, Variable],
        value: Variable,
        check_bounds: bool,
        dtype: str,
    ):
        self._data, self._dtype = of_data([value]), dtype
        outputs = [value, *parts.values()]
        numbers = {v: pt.constant(own) for v, own in of_data(outputs) if not _is_given(v)}
        outputs = graph_replace(outputs, numbers, strict=False)
        self._lifted = of_data(outputs)
        given = {v: v.type() for v, _ in self._lifted}
        outputs = graph_replace(outputs, given, strict=False)

        def build(inputs, outputs):
            fgraph = FunctionGraph(*with_gradient(inputs, outputs, len(parts)), clone=True)
            get_mode("JAX").including(bounds(check_bounds)).optimizer.rewrite(fgraph)
            return jax.jit(jax_funcify(fgraph))

        inputs = [q, parameter, *parts, *given.values()]
        self.function = shared_by_graph(f"JAX, checked {check_bounds}", inputs, outputs, build)

    def is_current(self) -> bool:
        """Whether the model's data are still those that the function was made with."""
        return all(variable.get_value(borrow=True) is value for variable, value in self._data)

    def at(self, parameter: float, data: dict[str, np.ndarray] | None = None) -> "LogDensity":
        """The function of ``q`` alone: with the parameter, and with values, by name, instead of the model's data."""
        given = {} if data is None else data
        values = []
        for variable, own in self._lifted:
            dtype = self._dtype if variable.name == "x_data" else variable.dtype
            values.append(jax.device_put(np.asarray(given.get(str(variable.name), own), dtype=dtype)))
        return LogDensity(self.function, [jnp.asarray(parameter, dtype=jnp.float64), *values])


class LogDensity(compiled.LogDensity):
    """A log-density of a flat vector q, with its gradient, on the device."""

    def __init__(self, function: Any, held: list[Any]):
        self.function, self.held, self.inputs = function, held, np.empty(0, dtype=np.int64)

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at ``q`` (P,)."""
        value, gradient = self.function(np.asarray(q, dtype=np.float64), *self.held)
        return float(value), np.array(gradient)

    def with_parameter(self, parameter: float) -> "LogDensity":
        return LogDensity(self.function, [jnp.asarray(parameter, dtype=jnp.float64), *self.held[1:]])


def _is_given(variable: Variable) -> bool:
    """Whether a shared variable is data; lengths have no dimensions, and where q is cut has no name."""
    return variable.name is not None and (variable.dtype == "float64" or variable.ndim > 0)
