r"""A model's log posterior as a function of one flat vector.

.. math:: f(q) = \log p(x, \theta(q)) + j \log|\partial\theta/\partial q|

with q the unconstrained parameters. j = 0 gives the density in the user's own parameters, whose maximum is the MAP;
j = 1 gives the density of q, which is what NUTS samples. One compiled function serves both. Of weights without a mode
of their own (``SoftmaxBasis``) the Jacobian is part of both; and at j = 1 stick-breaking weights may be in any order
(:mod:`bayesgmm.graph.orders`).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import ancestors

from bayesgmm.exceptions import ModelError
from bayesgmm.graph.compiled import Interpreted, LogDensity, ValueAndGradient
from bayesgmm.graph.orders import log_density_in_any_order
from bayesgmm.graph.sticks import StickBreakingRV, log_density

# The name of the number, 0 or 1, that says whether the order is left open.
ANY_ORDER = "any_order"


class LogPosterior:
    """A model's log posterior over the flat vector of its unconstrained parameters, and the way to it and back.

    Parameters
    ----------
    model : pm.Model
        All its free variables must be continuous.
    backend : str
        What its densities are computed with, one of ``BACKENDS``.
    """

    def __init__(self, model: pm.Model, backend: str = "numba"):
        if model.discrete_value_vars:
            names = ", ".join(v.name for v in model.discrete_value_vars)
            raise ModelError(f"the model has discrete variables ({names}); only continuous ones can be fitted here.")
        self.model, self.backend = model, backend
        self.variables = list(model.value_vars)
        self._shapes = self._value_shapes()
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self.n_parameters = sum(self._sizes)
        self._constrain: Interpreted | None = None
        # The way to a mixture, if it was asked for (:mod:`bayesgmm.graph.mixture_map`).
        self.map: Any = None
        self._unconstrain: Interpreted | None = None

    @cached_property
    def function(self) -> Any:
        """The compiled function, made when it is first called: named parameters need none."""
        q, jacobian = pt.vector("q"), pt.scalar("jacobian")
        own = self.model.logp(jacobian=False) + self._log_jacobian(basis=True)
        value = own + jacobian * (self._log_jacobian(basis=False) + self._in_any_order())
        given = q, jacobian, self._split(q), value, self.model.check_bounds
        if self.backend == "numba":
            return ValueAndGradient(*given)
        from bayesgmm.graph import device

        return device.ValueAndGradient(*given, dtype="float32" if self.backend == "jax-float32" else "float64")

    def densities(
        self, data: dict[str, np.ndarray] | None = None, *, any_order: bool = True
    ) -> tuple[LogDensity, LogDensity]:
        """The log-densities of the parameters and of q, of other data by the names of the model's if they are given.

        Stick-breaking weights are in any order in that of q, unless ``any_order`` is False.
        """
        given = ({} if data is None else data) | {ANY_ORDER: np.array(float(any_order))}
        own = self.function.at(0.0, given)
        return own, own.with_parameter(1.0)

    @property
    def layout(self) -> list[list[str]]:
        """The unconstrained variables in their order, each with its transform: what an entry of q means."""
        model = self.model
        return [
            [str(v.name), type(model.rvs_to_transforms.get(model.values_to_rvs[v])).__name__] for v in self.variables
        ]

    @property
    def entries(self) -> dict[str, np.ndarray]:
        """The positions in q of each free variable, by its name."""
        positions = self.named(np.arange(self.n_parameters))
        return {str(self.model.values_to_rvs[v].name): positions[str(v.name)] for v in self.variables}

    @cached_property
    def owners(self) -> np.ndarray:
        """The component whose part of a variable an entry of q is, (P,); -1 where it is no one component's."""
        model, owners = self.model, []
        for v, shape in zip(self.variables, self._shapes, strict=True):
            rv = model.values_to_rvs[v]
            first = (model.named_vars_to_dims.get(str(rv.name)) or (None,))[0]
            # Weights have an entry less than there are components.
            own = first == "component" and shape[:1] == (len(model.coords["component"]),)
            index = np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1)) if own else -1
            owners.append(np.broadcast_to(index, shape).ravel())
        return np.concatenate(owners)

    @cached_property
    def rows_alone(self) -> bool:
        """Whether the rows are in the mixture's likelihood and in no other term, which may need all of them."""
        model = self.model
        rows = {
            model[name]
            for name in ("x", "x_data", "sample_weight", "row_order", "labels", "measurement_covariance")
            if name in model.named_vars
        }
        others = [v for v in (*model.basic_RVs, *model.potentials) if v is not model["x"]]
        return rows.isdisjoint(ancestors(others))

    # The graphs -----------------------------------------------------------------------------------------------------

    def _value_shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the value variables: computed from their graphs, as dims give them no static ones."""
        model = self.model
        free = list(model.free_RVs)
        variables = [
            rv if (transform := model.rvs_to_transforms.get(rv)) is None else transform.forward(rv, *rv.owner.inputs)
            for rv in free
        ]
        by_value = dict(zip((model.rvs_to_values[rv] for rv in free), (v.shape for v in variables), strict=True))
        # What has no integral cannot be drawn, and has as many entries as it is asked for.
        improper = (type(pm.Flat.rv_op), type(pm.HalfFlat.rv_op))
        undrawn = {rv: pt.ones(rv.owner.inputs[1]) for rv in free if isinstance(rv.owner.op, improper)}
        shapes = Interpreted([], graph_replace([by_value[v] for v in self.variables], undrawn, strict=False))()
        return [tuple(int(n) for n in shape) for shape in shapes]

    def _split(self, q: Variable) -> dict[Variable, Variable]:
        """The value variables as parts of the flat vector ``q``; where it is cut is no constant of the graph."""
        # One input for all: functions of more than 30 arguments take twice as long to compile.
        ends = pytensor.shared(np.cumsum([0, *self._sizes]))
        return {
            v: q[ends[i] : ends[i + 1]].reshape(pytensor.shared(np.array(shape, dtype=np.int64)), ndim=v.ndim)
            for i, (v, shape) in enumerate(zip(self.variables, self._shapes, strict=True))
        }

    def _log_jacobian(self, *, basis: bool) -> Variable:
        """Of the transforms to coordinates that the parameters' own density is in, or of all others."""
        model, terms = self.model, []
        for rv, value in model.rvs_to_values.items():
            transform = model.rvs_to_transforms.get(rv)
            if transform is not None and getattr(transform, "is_basis", False) == basis:
                terms.append(transform.log_jac_det(value, *rv.owner.inputs).sum())
        [total] = model.replace_rvs_by_values([sum(terms, start=pt.constant(0.0))])
        return total

    def _in_any_order(self) -> Variable:
        """What the log-density of stick-breaking weights gains when it is averaged over all orders."""
        model = self.model
        gains = [
            log_density_in_any_order(rv, rv.owner.inputs[-1]) - log_density(rv, rv.owner.inputs[-1])
            for rv in model.free_RVs
            if isinstance(rv.owner.op, StickBreakingRV)
        ]
        if not gains:
            return pt.constant(0.0)
        return pytensor.shared(1.0, name=ANY_ORDER) * sum(model.replace_rvs_by_values(gains))

    def constrained(self, variables: list[Variable]) -> list[Variable]:
        """Variables of the model as graphs of the unconstrained ones."""
        model = self.model
        transformed = {
            rv: model.rvs_to_transforms[rv].backward(value, *rv.owner.inputs)
            if model.rvs_to_transforms.get(rv) is not None
            else value
            for rv, value in model.rvs_to_values.items()
            if rv in model.free_RVs
        }
        return [model.replace_rvs_by_values([transformed.get(v, v)])[0] for v in variables]

    def in_batches(self, outputs: list[Variable], others: Sequence[Variable] = ()) -> Interpreted:
        """Graphs of the unconstrained variables as a function of a batch of flat vectors, and of others not batched."""
        flat = pt.vector("q", shape=(self.n_parameters,))
        outputs = graph_replace(outputs, self._split(flat), strict=False)
        batch = pt.matrix("q", shape=(None, self.n_parameters))
        return Interpreted([batch, *others], list(vectorize_graph(outputs, {flat: batch})))

    # What the inference calls ---------------------------------------------------------------------------------------

    def constrain(self, q: np.ndarray) -> dict[str, np.ndarray]:
        """All named variables, deterministics too, at a batch ``q`` (B, n_parameters): name -> (B, ...)."""
        model = self.model
        variables = [*model.free_RVs, *model.deterministics]
        if self._constrain is None:
            self._constrain = self.in_batches(self.constrained(variables))
        q = np.atleast_2d(q)
        results = self._constrain(q)
        # An output that does not depend on q keeps no batch axis; give it one.
        shapes = [tuple(int(n) for n in np.shape(r)) for r in results]
        return {
            str(v.name): r
            if shape[:1] == (len(q),) and len(shape) == v.ndim + 1
            else np.broadcast_to(r, (len(q), *shape))
            for v, r, shape in zip(variables, results, shapes, strict=True)
        }

    def unconstrain(self, point: dict[str, np.ndarray]) -> np.ndarray:
        """The flat vector of a point given by its free variables' names."""
        return self.unconstrained({name: np.asarray(value)[None] for name, value in point.items()})[0]

    def unconstrained(self, points: dict[str, np.ndarray]) -> np.ndarray:
        """The flat vectors (B, n_parameters) of a batch of points, name -> (B, ...)."""
        model = self.model
        free = list(model.free_RVs)
        if self._unconstrain is None:
            each = [rv.type(rv.name) for rv in free]
            by_rv = dict(zip(free, each, strict=True))
            outputs = []
            for rv in free:
                transform = model.rvs_to_transforms.get(rv)
                outputs.append(by_rv[rv] if transform is None else transform.forward(by_rv[rv], *rv.owner.inputs))
            outputs = graph_replace(outputs, by_rv, strict=False)
            batches = [pt.tensor(rv.name, dtype="float64", shape=(None, *rv.type.shape)) for rv in free]
            outputs = vectorize_graph(outputs, dict(zip(each, batches, strict=True)))
            self._unconstrain = Interpreted(batches, list(outputs))
        given = [np.ascontiguousarray(points[str(rv.name)], dtype=np.float64) for rv in free]
        return np.concatenate([part.reshape(len(part), -1) for part in self._unconstrain(*given)], axis=1)

    def reordered(self, q: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Flat vectors (B, n_parameters) with the components in another order: a map that keeps volumes."""
        model, parts = self.model, []
        for v, shape, part in zip(
            self.variables, self._shapes, np.split(q, np.cumsum(self._sizes)[:-1], axis=1), strict=True
        ):
            dims = list(model.named_vars_to_dims.get(str(model.values_to_rvs[v].name)) or ())
            if "component" in dims:
                axis = 1 + dims.index("component")
                whole = part.reshape(len(q), *shape)
                if shape[axis - 1] < len(order):  # a simplex: the last is what makes the sum 0
                    whole = np.concatenate([whole, -whole.sum(axis=axis, keepdims=True)], axis=axis)
                part = np.take(whole, order[: shape[axis - 1]], axis=axis).reshape(len(q), -1)
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def named(self, q: np.ndarray) -> dict[str, np.ndarray]:
        """The value variables of one flat vector, by name: a PyMC point."""
        parts = np.split(q, np.cumsum(self._sizes)[:-1])
        return {str(v.name): p.reshape(s) for v, p, s in zip(self.variables, parts, self._shapes, strict=True)}

    def flat(self, point: dict[str, np.ndarray]) -> np.ndarray:
        """A PyMC point, by value variables' names, as a flat vector."""
        return np.concatenate([np.ravel(point[str(v.name)]) for v in self.variables])

    @property
    def initial(self) -> np.ndarray:
        """The model's initial point as a flat vector."""
        point = self.model.initial_point(random_seed=0)
        return np.concatenate([np.ravel(point[str(v.name)]) for v in self.variables])

    def lengths(self, given: dict[str, np.ndarray]) -> np.ndarray:
        """Lengths for every entry of q, (P,): those given by a value variable's name, and 1 for the others."""
        return np.concatenate(
            [
                np.broadcast_to(given.get(str(v.name), 1.0), shape).ravel()
                for v, shape in zip(self.variables, self._shapes, strict=True)
            ]
        )
