"""Graphs without their numbers: data as inputs, so that one compiled function serves all models of the same graph."""

import numpy as np
import pytensor.tensor as pt
from pymc.pytensorf import rewrite_pregrad
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import graph_inputs

Lifted = list[tuple[Variable, np.ndarray]]


def lift(inputs: list[Variable], outputs: list[Variable]) -> tuple[list[Variable], list[Variable], Lifted]:
    """Replace a graph's shared variables and floating-point arrays by inputs.

    Returns the inputs with the added ones, the new outputs, and the variables that were replaced, with their values.
    """
    added, lifted, replace = [], [], {}
    for variable in graph_inputs(outputs):
        if isinstance(variable, SharedVariable):
            value = np.asarray(variable.get_value(borrow=True), order="C")
        elif isinstance(variable, Constant) and getattr(variable, "ndim", 0) > 0 and variable.dtype == "float64":
            value = np.array(variable.data, order="C")
        else:
            continue
        lifted.append((variable, value))
        replace[variable] = variable.type()
        added.append(replace[variable])
    return inputs + added, graph_replace(outputs, replace) if replace else outputs, lifted


def of_data(outputs: list[Variable]) -> Lifted:
    """The shared variables of graphs, with their values."""
    return [(v, v.get_value(borrow=True)) for v in graph_inputs(outputs) if isinstance(v, SharedVariable)]


def with_gradient(
    inputs: list[Variable], outputs: list[Variable], n_parts: int
) -> tuple[list[Variable], list[Variable]]:
    """The graph of a value of q, of a second number, and of parts of q, with its gradient; without the parts.

    ``inputs`` are q, the number, the parts and what else there is, ``outputs`` the value and what the parts are of q.
    """
    variables = inputs[2 : 2 + n_parts]
    # Merged and simplified first, so that the gradient does not repeat what the value holds twice.
    value = rewrite_pregrad(outputs[0])
    gradient = pt.concatenate([g.ravel() for g in pt.grad(value, variables)])
    both = graph_replace([value, gradient], dict(zip(variables, outputs[1:], strict=True)))
    return [*inputs[:2], *inputs[2 + n_parts :]], both
