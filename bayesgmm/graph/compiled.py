"""PyTensor graphs as compiled functions that all models of the same graph share.

Compiling costs seconds and running microseconds. So the data, and every other array of numbers in a graph, are lifted
out of it as inputs, and what is left is looked up in a cache: a second fit of other data compiles nothing.

A value with its gradient becomes a C function, cached on disk. Python calls it through ctypes, the sampler by its
address; neither holds the interpreter's lock meanwhile, and it keeps no state, so chains can share it.
"""

import ctypes
from collections.abc import Callable
from itertools import batched
from typing import Any

import numba
import numpy as np
import pytensor
from pytensor.compile.mode import Mode, get_mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FrozenFunctionGraph
from pytensor.graph.traversal import graph_inputs, io_toposort
from pytensor.link.numba.cache import compile_numba_function_src
from pytensor.link.numba.dispatch.basic import numba_funcify_and_cache_key, numba_njit
from pytensor.link.numba.linker import NumbaLinker
from pytensor.scalar.basic import Second
from pytensor.tensor.elemwise import Elemwise

import bayesgmm.graph.ops  # noqa: F401 (registers the rewrite that makes one pass of two)
from bayesgmm.graph.lifted import lift, of_data, with_gradient
from bayesgmm.mixture.threads import pointer, raise_interrupt

# Arguments that a call can have for Numba to inline it.
MOST_INLINED = 30

# Part of the disk cache's key: raise it when `_SOURCE` changes.
VERSION = 4

# PyTensor writes the Python that it generates to files: without a folder of their own, some twenty in every process
# stay behind in the temporary one. In a folder they are named by their content, and old ones go (PyTensor 3.3.8).
if hasattr(pytensor.config, "generated_src_dir") and not pytensor.config.generated_src_dir:
    pytensor.config.generated_src_dir = str(pytensor.config.base_compiledir / "generated_source")

_functions: dict[tuple, Any] = {}


def shared_by_graph(kind: str, inputs: list[Variable], outputs: list[Variable], build: Callable) -> Any:
    """What ``build(inputs, outputs)`` makes, made once for all graphs that are equal."""
    key = (kind, FrozenFunctionGraph.from_io(inputs, outputs))
    if key not in _functions:
        _functions[key] = build(inputs, outputs)
    return _functions[key]


class Interpreted:
    """A function run node by node: arrays in, a list of arrays out.

    For what is called a few times, over all draws at once: neither simplifying its graph nor compiling it would pay.
    """

    def __init__(self, inputs: list[Variable], outputs: list[Variable]):
        nodes = io_toposort(inputs, outputs)
        # One cell a variable, which the nodes read and write.
        cells: dict[Variable, list[Any]] = {v: [None] for v in inputs}
        for v in graph_inputs(outputs):
            if isinstance(v, SharedVariable):
                cells[v] = [v.get_value()]
            elif isinstance(v, Constant):
                cells[v] = [v.data]
        made: dict[Variable, list[Any]] = {v: [None] for node in nodes for v in node.outputs}
        cells |= made
        computed = {v: [True] for v in cells}
        self._steps = [_filling(node, cells) or node.op.make_py_thunk(node, cells, computed, []) for node in nodes]
        self._inputs, self._made = [cells[v] for v in inputs], list(made.values())
        self._outputs = [cells[v] for v in outputs]

    def __call__(self, *arguments: np.ndarray) -> list[np.ndarray]:
        for cell, argument in zip(self._inputs, arguments, strict=True):
            cell[0] = argument
        # Batched nodes choose how to run in their first call, and would call a C compiler. And a graph as it was
        # written computes both branches of every choice.
        with pytensor.config.change_flags(cxx=""), np.errstate(all="ignore"):
            for step in self._steps:
                step()
        results = [np.asarray(cell[0]) for cell in self._outputs]
        # Nodes may write a result where the last one stands.
        for cell in self._made:
            cell[0] = None
        return results


def _filling(node: Apply, cells: dict[Variable, list[Any]]) -> Callable[[], None] | None:
    """The step of a node that gives one input the shape of another; None of another node.

    PyTensor (3.3.8) runs it as a Python function of every entry: of the curvature of 1,456 parameters a sixth.
    """
    if not (isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Second)):
        return None
    shaped, value = (cells[v] for v in node.inputs)
    [filled], dtype = (cells[v] for v in node.outputs), node.outputs[0].dtype

    def step() -> None:
        shape = np.broadcast_shapes(np.shape(shaped[0]), np.shape(value[0]))
        filled[0] = np.broadcast_to(value[0], shape).astype(dtype)

    return step


class _Graph:
    """A graph's Numba function, not compiled yet, and its cache key (None: it cannot be cached)."""

    def __init__(self, function: Callable, key: str | None):
        self.function, self.key = function, key


class _GraphLinker(NumbaLinker):
    """PyTensor's Numba linker up to the point where it would compile: that is left to :class:`ValueAndGradient`."""

    def fgraph_convert(self, fgraph, **kwargs):
        function, key = numba_funcify_and_cache_key(fgraph, **kwargs)
        return _Graph(function.py_func, key)

    def jit_compile(self, graph):
        return graph


def bounds(check_bounds: bool) -> str:
    """PyMC's own choice: parameters outside their range give -inf, or are not looked at if the model says so."""
    return "local_check_parameter_to_ninf_switch" if check_bounds else "local_remove_check_parameter"


# int64 f(uint64 n, double* q, double* gradient, double* value, void* inputs), as nutpie calls it.
SIGNATURE = numba.types.int64(
    numba.types.uint64,
    numba.types.CPointer(numba.types.float64),
    numba.types.CPointer(numba.types.float64),
    numba.types.CPointer(numba.types.float64),
    numba.types.voidptr,
)
_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *(4 * [ctypes.c_void_p]))

# `inputs` points to one int64 for the address of every input, followed by its lengths. The codes that are returned are
# nutpie's: 1 an exception, 3 and 4 a gradient or a value that is not finite.
_SOURCE = """
def value_and_gradient(n, q_, gradient_, value_, inputs_):
    q = carray(q_, (n,))
    table = carray(inputs_, ({length},), np.int64)
    out = carray(gradient_, (n,))
{views}
    try:
        value, gradient = graph({arguments})
    except Exception:
        return 1
    carray(value_, (1,))[0] = value[()]
    code = 0 if np.isfinite(value[()]) else 4
    for i in range(n):
        out[i] = gradient[i]
        if not np.isfinite(gradient[i]):
            code = 3
    return code
"""


def _c_function(graph: _Graph, values: list[np.ndarray]) -> Any:
    """Compile a graph as a C function with inputs like ``values`` in number, type and rank."""
    views, names, at = [], [], 0
    for i, value in enumerate(values):
        lengths = "".join(f"table[{at + 1 + j}], " for j in range(value.ndim))
        views.append(f"    v{i} = carray(pointer(table[{at}]), ({lengths}), np.{value.dtype.name})")
        names.append(f"v{i}")
        at += 1 + value.ndim
    inlined = len(values) < MOST_INLINED
    arguments = ", ".join(["q", *names])
    if not inlined:
        # Of more than 30 at once Python makes a list, which Numba takes for no arguments.
        arguments = "*(" + " + ".join(f"({', '.join(part)},)" for part in batched(["q", *names], 20)) + ")"
    source = _SOURCE.format(length=at, views="\n".join(views), arguments=arguments)
    ranks = "_".join(f"{value.dtype.char}{value.ndim}" for value in values)
    function = compile_numba_function_src(
        source,
        "value_and_gradient",
        # Inlined, so that the graph is optimised once and not a second time inside this function: half the time. Python
        # hands on more arguments as one tuple, which Numba (0.68) inlines not.
        global_env={
            "__name__": __name__,
            "np": np,
            "carray": numba.carray,
            "pointer": pointer,
            "graph": numba_njit(graph.function, inline="always" if inlined else "never"),
        },
        cache_key=None if graph.key is None else f"{graph.key}_{ranks}_{VERSION}_{pytensor.__version__}",
    )
    return numba.cfunc(SIGNATURE, cache=graph.key is not None)(function)


class ValueAndGradient:
    """A scalar of a flat vector, with its gradient, as a C function.

    Parameters
    ----------
    q : PyTensor vector
    parameter : PyTensor scalar
        A second input, a number given in every call.
    parts : dict
        The variables that ``value`` is a function of, each with the part of ``q`` that it stands for.
    value : PyTensor scalar
    check_bounds : bool
        Whether distributions' parameters are to be checked, as in ``pm.Model``.
    """

    def __init__(
        self, q: Variable, parameter: Variable, parts: dict[Variable, Variable], value: Variable, check_bounds: bool
    ):
        self._data = of_data([value])
        inputs, outputs, self._lifted = lift([q, parameter, *parts], [value, *parts.values()])

        def build(inputs, outputs):
            inputs, outputs = with_gradient(inputs, outputs, len(parts))
            mode = Mode(_GraphLinker(), get_mode("NUMBA").provided_optimizer.including(bounds(check_bounds)))
            # Fast-math code would round one way in the process that compiles it and another in those that load it.
            with pytensor.config.change_flags(numba__fastmath=False):
                graph = pytensor.function(inputs, outputs, mode=mode, on_unused_input="ignore").vm.jit_fn
                return _c_function(graph, [np.zeros(()), *(value for _, value in self._lifted)])

        self.function = shared_by_graph(f"value and gradient, checked {check_bounds}", inputs, outputs, build)

    def is_current(self) -> bool:
        """Whether the model's data are still those that the function was made with."""
        return all(variable.get_value(borrow=True) is value for variable, value in self._data)

    def at(self, parameter: float, data: dict[str, np.ndarray] | None = None) -> "LogDensity":
        """The function of ``q`` alone: with the parameter, and with values, by name, instead of the model's data."""
        given = {} if data is None else data
        values = [np.asarray(given.get(str(v.name), own), dtype=own.dtype, order="C") for v, own in self._lifted]
        return LogDensity(self.function, [np.array(parameter, dtype=np.float64), *values])


class LogDensity:
    """A log-density of a flat vector q, with its gradient; called from Python, or as a C function by a sampler.

    Parameters
    ----------
    function : Numba C function of ``SIGNATURE``
    held : list of arrays
        Its inputs beside q.
    """

    def __init__(self, function: Any, held: list[np.ndarray]):
        self.held = held
        self._become(function, np.array([n for v in held for n in (v.ctypes.data, *v.shape)], dtype=np.int64))

    def _become(self, function: Any, inputs: np.ndarray) -> None:
        """``inputs`` is what the C function is given: every input's address and lengths, or what it takes for these."""
        self.function, self.inputs = function, inputs
        self._call = _PROTOTYPE(function.address)

    def with_parameter(self, parameter: float) -> "LogDensity":
        """The same with another second input."""
        return LogDensity(self.function, [np.array(parameter, dtype=np.float64), *self.held[1:]])

    def __call__(self, q: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient at ``q`` (P,); NaN where they cannot be computed."""
        q = np.ascontiguousarray(q, dtype=np.float64)
        result = np.empty(q.size + 1)
        result.fill(np.nan)
        at = _address(result)
        self._call(q.size, _address(q), at, at + 8 * q.size, _address(self.inputs))
        raise_interrupt()
        return float(result[-1]), result[:-1]


class CalledBack:
    """A Python function of q, (value, gradient), as a C function of ``SIGNATURE`` at an address.

    For values that take so long that the call back to Python is nothing beside them.
    """

    def __init__(self, function: Callable[[np.ndarray], tuple[float, np.ndarray]]):
        self.error: BaseException | None = None

        def called(n: int, q: int, gradient: int, value: int, inputs: int) -> int:
            try:
                found, slopes = function(np.ctypeslib.as_array(_doubles(q), (n,)).copy())
            except BaseException as error:  # no exception may pass through compiled code
                self.error = error
                return 1
            np.ctypeslib.as_array(_doubles(gradient), (n,))[:] = slopes
            np.ctypeslib.as_array(_doubles(value), (1,))[:] = found
            return 0 if np.isfinite(found) and np.isfinite(slopes).all() else 3

        self._callback = _PROTOTYPE(called)
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value


def _doubles(address: int) -> Any:
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_double))


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]  # a quarter of the time of array.ctypes.data


@numba.cfunc(
    numba.types.int64(
        numba.types.uint64,
        numba.types.uint64,
        numba.types.CPointer(numba.types.float64),
        numba.types.CPointer(numba.types.float64),
        numba.types.voidptr,
    ),
    cache=True,
)
def copy_through(n, n_out, q_, out_, inputs_):
    """The sampler's "expand" step: the draw itself, since all else is computed after the run."""
    q, out = numba.carray(q_, (n,)), numba.carray(out_, (n_out,))
    for i in range(n):
        out[i] = q[i]
    return 0
