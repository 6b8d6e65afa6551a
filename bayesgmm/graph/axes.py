r"""The log posterior in the axes of its own curvature: what NUTS samples.

.. math:: q = \hat q + B u, \qquad B^\top H B = I,

with H the negative Hessian at the mode :math:`\hat q`. Near the mode u is standard normal, so the sampler has only
a step size and some scales left to learn. Measured (min ESS a second, tuning included) against learning a low-rank
metric from the draws: 15,000 and 5,000 at (N, D, K) = (1e3, 2, 3), 1,400 and 550 at (5e3, 5, 4), 530 and 60 at
(2e3, 10, 5), which has 329 parameters.

Of few parameters B has the principal axes, :math:`B = V \Lambda^{-1/2}` with :math:`H = V \Lambda V^\top`. Of many it
is the triangle :math:`B = U^{-\top}` with :math:`H = U U^\top`, U upper triangular, which comes five times sooner, and
which a gradient reads in a fraction of the time. Components that share no rows do not meet in it: variables that have
one part a component come last in q, and a column of B ends where its component ends.

Where axes are known in closed form (:mod:`bayesgmm.search.fisher`) and the curvature in them is near 1, B has those: as
many effective draws a gradient, and at (1e3, 30, 5) 0.15 instead of 2.5 million numbers to read, 13 instead of 24 s.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic
from scipy.linalg import LinAlgError, cholesky, get_lapack_funcs

from bayesgmm.graph.compiled import SIGNATURE, CalledBack, LogDensity
from bayesgmm.mixture.elementary import jit_sum
from bayesgmm.mixture.threads import pointer

# The least curvature, in units of the data's scale, that an axis is given: where there is less, or none, the posterior
# is far from Gaussian, and an axis as long as this is enough for the sampler to learn the rest.
LEAST_CURVATURE = 1e-2
# Parameters from which on the axes are a triangle.
MANY = 200
# What B may be off by, as a part of 1 in the Frobenius norm of its effect on u.
NEGLIGIBLE = 0.02
# Of axes that are not the curvature's own, how much it may be in any direction: from 0.2 to 1.3 chains took as many
# steps, and were worth as many draws, as in its own.
NEARLY_ROUND = 0.125, 3.0
# Zeros in a column that are read all the same, where another span would begin after them.
GAP = 8


def axes(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """B of the module's equation, (P, P), from a negative Hessian (P, P); ``scales`` (P,) are the units of q."""
    if len(hessian) <= MANY:
        return principal_axes(hessian, scales)
    scaled = hessian * np.outer(scales, scales)
    try:
        # It stands if no curvature is less than the least.
        cholesky(scaled - LEAST_CURVATURE * np.eye(len(scaled)), overwrite_a=True)
        # Backwards, so that the first of q are eliminated last.
        factor = cholesky(scaled[::-1, ::-1], lower=True, overwrite_a=True)
    except (LinAlgError, ValueError):
        return principal_axes(hessian, scales)
    (invert,) = get_lapack_funcs(("trtri",), (factor,))
    inverse, _ = invert(factor, lower=True, overwrite_c=True)
    return np.ascontiguousarray(scales[:, None] * inverse[::-1, ::-1].T)


def is_round(curvature: np.ndarray) -> bool:
    """Whether a curvature (P, P) in some axes is near 1 in all directions: these serve a sampler as its own would."""
    one = np.eye(len(curvature))
    try:
        cholesky(curvature - NEARLY_ROUND[0] * one)
        cholesky(NEARLY_ROUND[1] * one - curvature)
    except (LinAlgError, ValueError):
        return False
    return True


def principal_axes(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """B with columns along the eigenvectors; where there is hardly any curvature they have a greatest length."""
    curvature, directions = np.linalg.eigh(hessian * np.outer(scales, scales))
    lengths = 1.0 / np.sqrt(np.maximum(np.abs(curvature), LEAST_CURVATURE))
    return np.ascontiguousarray(scales[:, None] * directions * lengths)


def sampling_axes(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """B as a sampler reads it: in single precision, and without the ends of its columns that hardly count.

    Any B serves that is near enough, if it is the same wherever it is used: u is mapped to q, and slopes back, by these
    very numbers. A gradient at P = 1,456 read 17 MB of B twice, and took 0.4 ms for the rest.
    """
    units, single = _in_single_precision(axes(hessian, scales))
    columns = (units[:, None] * single).T
    # What a column's tail adds to the curvature along it, at most.
    sizes = columns**2 * np.abs(np.diag(hessian))
    tails = np.cumsum(sizes[:, ::-1], axis=1)[:, ::-1]
    columns[tails < NEGLIGIBLE**2 / len(columns)] = 0.0
    return np.ascontiguousarray(columns.T)


def in_single_precision(axes: np.ndarray) -> np.ndarray:
    """B as the sampler reads it."""
    units, single = _in_single_precision(axes)
    return units[:, None] * single


def _in_single_precision(axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Units (P,) of the rows of B, powers of two, and B in them: any units of the data fit so, and are exact."""
    units = np.ldexp(1.0, np.frexp(np.abs(axes).max(axis=1))[1])
    return units, (axes / units[:, None]).astype(np.float32)


def _packed(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is not 0 in columns (P, P), one after another, and where it stands: spans (S, 3) of a column, first, length.

    A few zeros between two parts of a column are a part of one span, as beginning another takes longer.
    """
    n = len(columns)
    column, entry = np.nonzero(columns)
    begins = np.ones(len(entry), dtype=bool)
    begins[1:] = (np.diff(column) > 0) | (np.diff(entry) > GAP)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(entry)) - 1
    spans = np.stack([column[first], entry[first], entry[last] - entry[first] + 1], axis=1).astype(np.int64)
    if not len(spans):
        return np.empty(0, dtype=np.float32), np.empty((0, 3), dtype=np.int64)
    inside = np.arange(spans[:, 2].sum()) - np.repeat(np.cumsum(spans[:, 2]) - spans[:, 2], spans[:, 2])
    at = np.repeat(spans[:, 0] * n + spans[:, 1], spans[:, 2]) + inside
    return np.ascontiguousarray(columns).ravel()[at], spans


class InAxes:
    """A log-density as a function of u: the inputs with which the C function ``in_axes`` computes it.

    Parameters
    ----------
    density : LogDensity
        Of q; that of u differs from it by a constant, which is left out.
    mode : (P,) array
    axes : (P, P) array
        They are read in single precision: what cannot be held in it is rounded.
    order : (P,) array, optional
        The entries of q in the order in which what is not 0 in a column of ``axes`` stands together.
    """

    def __init__(self, density: LogDensity, mode: np.ndarray, axes: np.ndarray, order: np.ndarray | None = None):
        self.mode = np.ascontiguousarray(mode)
        self._function = density.function
        order = np.arange(len(mode)) if order is None else np.ascontiguousarray(order, dtype=np.int64)
        units, single = _in_single_precision(axes)
        self.axes = units[:, None] * single
        packed, spans = _packed(single[order].T)
        # The C function's inputs, and the arrays that they point to, which must outlive it.
        self.held: list[np.ndarray] = [density.inputs, self.mode, units[order], packed, spans, order, *density.held]
        addresses = (v.ctypes.data for v in self.held[:6])
        self.inputs = np.array([density.function.address, *addresses, packed.size, len(spans)])

    @property
    def shared(self) -> bool:
        """Whether chains that run side by side share what a value costs."""
        return isinstance(self._function, CalledBack)

    @property
    def error(self) -> BaseException | None:
        """What the function raised, if it is one of Python's."""
        return self._function.error if isinstance(self._function, CalledBack) else None

    def unconstrained(self, u: np.ndarray) -> np.ndarray:
        """q (..., P) of u (..., P)."""
        return self.mode + u @ self.axes.T


@intrinsic
def call(typingctx, address, n, q, gradient, value, inputs):
    """Call a C function of ``SIGNATURE`` by its address; arrays are given by theirs."""

    def codegen(context, builder, signature, arguments):
        kinds = [context.get_value_type(kind) for kind in SIGNATURE.args]
        function = builder.inttoptr(
            arguments[0], ir.FunctionType(context.get_value_type(SIGNATURE.return_type), kinds).as_pointer()
        )
        converted = [
            a if a.type == kind else builder.inttoptr(a, kind) if isinstance(a.type, ir.IntType) else a.bitcast(kind)
            for a, kind in zip(arguments[1:], kinds, strict=True)
        ]
        return builder.call(function, converted)

    return types.int64(address, n, q, gradient, value, inputs), codegen


@jit_sum
def _to_q(u, mode, units, packed, spans, order, q):
    along = np.zeros(q.size)
    at = 0
    for s in range(len(spans)):
        begin, length = spans[s, 1], spans[s, 2]
        column, part, step = packed[at : at + length], along[begin : begin + length], u[spans[s, 0]]
        for i in range(length):
            part[i] += column[i] * step
        at += length
    for i in range(q.size):
        q[order[i]] = mode[order[i]] + units[i] * along[i]


@jit_sum
def _pull_back(gradient, units, packed, spans, order, out):
    ordered = np.empty(gradient.size)
    for i in range(gradient.size):
        ordered[i] = gradient[order[i]] * units[i]
        out[i] = 0.0
    at = 0
    for s in range(len(spans)):
        begin, length = spans[s, 1], spans[s, 2]
        column, part, total = packed[at : at + length], ordered[begin : begin + length], 0.0
        for i in range(length):
            total += column[i] * part[i]
        out[spans[s, 0]] += total
        at += length


@numba.cfunc(SIGNATURE, cache=True)
def in_axes(n, u_, gradient_, value_, inputs_):
    table = carray(inputs_, (9,), np.int64)
    mode = carray(pointer(table[2]), (n,), np.float64)
    units = carray(pointer(table[3]), (n,), np.float64)
    packed = carray(pointer(table[4]), (table[7],), np.float32)
    spans = carray(pointer(table[5]), (table[8], 3), np.int64)
    order = carray(pointer(table[6]), (n,), np.int64)
    q, gradient = np.empty(n), np.zeros(n)
    _to_q(carray(u_, (n,)), mode, units, packed, spans, order, q)
    code = call(table[0], n, q.ctypes.data, gradient.ctypes.data, value_, table[1])
    # After the call, so that q, known to it by address only, outlives it.
    _pull_back(gradient, units, packed, spans, order, q)
    out = carray(gradient_, (n,))
    for i in range(n):
        out[i] = q[i]
    return code
