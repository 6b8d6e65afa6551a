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

Where axes S are known in closed form (:mod:`bayesgmm.search.fisher`), the curvature in them is near 1 but for a few
directions V, in which rows are in doubt between components (:mod:`bayesgmm.search.low_rank`), and

.. math:: B = S (I + V \mathrm{diag}(c) V^\top), \qquad 1 + c = \lambda^{-1/2},

with :math:`\lambda` the curvature along V. That is worth as many effective draws a gradient as the curvature's own
axes: at (1e3, 30, 5) there are 0.15 instead of 2.5 million numbers to read, and a run took 13 instead of 24 s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic
from scipy import sparse
from scipy.linalg import LinAlgError, cholesky, get_lapack_funcs
from scipy.sparse.linalg import SuperLU, splu

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
# The parts of a sparse matrix.
SPARSE = ("data", "indices", "indptr")
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


def principal_axes(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """B with columns along the eigenvectors; where there is hardly any curvature they have a greatest length."""
    curvature, directions = np.linalg.eigh(hessian * np.outer(scales, scales))
    lengths = 1.0 / np.sqrt(np.maximum(np.abs(curvature), LEAST_CURVATURE))
    return np.ascontiguousarray(scales[:, None] * directions * lengths)


@dataclass(frozen=True, eq=False)
class Axes:
    r"""Axes B (P, P): those of a matrix S, but for other lengths along a few directions V.

    .. math:: B = S (I + V \mathrm{diag}(c) V^\top)

    Parameters
    ----------
    matrix : (P, P) array or sparse array
        S.
    directions : (R, P) array
        V transposed: orthonormal.
    stretch : (R,) array
        c, above -1.
    order : (P,) array
        The entries of q in the order in which what is not 0 in a column of S stands together.
    """

    matrix: np.ndarray | sparse.csr_array
    directions: np.ndarray
    stretch: np.ndarray
    order: np.ndarray

    @classmethod
    def of(
        cls,
        matrix: np.ndarray | sparse.csr_array,
        directions: np.ndarray | None = None,
        stretch: np.ndarray | None = None,
        order: np.ndarray | None = None,
    ) -> "Axes":
        """Axes in single precision: a sampler reads them so, and all else that maps u to q is to have the same."""
        n = matrix.shape[0]
        units, single = _in_single_precision(matrix)
        return cls(
            units[:, None] * single
            if isinstance(single, np.ndarray)
            else sparse.csr_array(single.multiply(units[:, None])),
            np.empty((0, n)) if directions is None else directions.astype(np.float32).astype(float),
            np.empty(0) if stretch is None else stretch,
            np.arange(n) if order is None else order,
        )

    @classmethod
    def of_numbers(cls, numbers: Mapping[str, np.ndarray]) -> "Axes":
        """Axes of what :attr:`numbers` are."""
        n = len(numbers["order"])
        parts = tuple(numbers[name] for name in SPARSE if name in numbers)
        matrix = sparse.csr_array(parts, shape=(n, n)) if parts else numbers["matrix"]
        return cls(matrix, numbers["directions"], numbers["stretch"], numbers["order"])

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """All that the axes are, by name; a sparse matrix by its parts."""
        dense = isinstance(self.matrix, np.ndarray)
        matrix = {"matrix": self.matrix} if dense else {name: getattr(self.matrix, name) for name in SPARSE}
        return {**matrix, "directions": self.directions, "stretch": self.stretch, "order": self.order}

    def moved(self, u: np.ndarray) -> np.ndarray:
        """B u, (..., P), of u (..., P)."""
        return np.asarray((u + (u @ self.directions.T * self.stretch) @ self.directions) @ self.matrix.T)

    def back(self, away: np.ndarray) -> np.ndarray:
        """The u (N, P) of B u, (N, P)."""
        if isinstance(self.matrix, np.ndarray):
            u = np.linalg.solve(self.matrix, away.T).T
        else:
            u = self._eliminated.solve(away.T).T
        return np.asarray(u - (u @ self.directions.T * (self.stretch / (1 + self.stretch))) @ self.directions)

    @cached_property
    def log_volume(self) -> float:
        """Log of the absolute determinant of B."""
        if isinstance(self.matrix, np.ndarray):
            log_volume = np.linalg.slogdet(self.matrix)[1]
        else:
            log_volume = np.log(np.abs(self._eliminated.U.diagonal())).sum()
        return float(log_volume + np.log1p(self.stretch).sum())

    @cached_property
    def _eliminated(self) -> SuperLU:
        return splu(sparse.csc_array(self.matrix))

    @property
    def dense(self) -> np.ndarray:
        """B, (P, P)."""
        return self.moved(np.eye(len(self.order))).T


def sampling_axes(hessian: np.ndarray, scales: np.ndarray) -> Axes:
    """B as a sampler takes it: without the ends of its columns that hardly count.

    Any B serves that is near enough. A gradient at P = 1,456 read 17 MB of B twice, and took 0.4 ms for the rest.
    """
    columns = axes(hessian, scales).T
    # What a column's tail adds to the curvature along it, at most.
    sizes = columns**2 * np.abs(np.diag(hessian))
    tails = np.cumsum(sizes[:, ::-1], axis=1)[:, ::-1]
    return Axes.of(np.where(tails < NEGLIGIBLE**2 / len(columns), 0.0, columns).T)


def _in_single_precision(matrix: np.ndarray | sparse.csr_array) -> tuple[np.ndarray, np.ndarray | sparse.csr_array]:
    """Units (P,) of the rows of B, powers of two, and B in them: any units of the data fit so, and are exact."""
    if isinstance(matrix, np.ndarray):
        units = np.ldexp(1.0, np.frexp(np.abs(matrix).max(axis=1))[1])
        return units, (matrix / units[:, None]).astype(np.float32)
    units = np.ldexp(1.0, np.frexp(abs(matrix).max(axis=1).toarray().ravel())[1])
    return units, sparse.csr_array(matrix.multiply(1 / units[:, None])).astype(np.float32)


def _packed(matrix: sparse.csc_array) -> tuple[np.ndarray, np.ndarray]:
    """The columns of a matrix, one after another, and where they stand: spans (S, 3) of a column, first entry, length.

    A few zeros between two parts of a column are a part of one span, as beginning another takes longer.
    """
    column, entry = np.repeat(np.arange(matrix.shape[1]), np.diff(matrix.indptr)), matrix.indices
    begins = np.ones(len(entry), dtype=bool)
    begins[1:] = (np.diff(column) > 0) | (np.diff(entry) > GAP)
    first = np.flatnonzero(begins)
    lengths = entry[np.append(first[1:], len(entry)) - 1] - entry[first] + 1 if len(first) else first
    ends = np.cumsum(lengths)
    spans = np.stack([column[first], entry[first], lengths], axis=1).astype(np.int64)
    numbers = np.zeros(ends[-1] if len(ends) else 0, dtype=np.float32)
    numbers[entry + np.repeat(ends - lengths - entry[first], np.diff(np.append(first, len(entry))))] = matrix.data
    return numbers, spans


class InAxes:
    """A log-density as a function of u: the inputs with which the C function ``in_axes`` computes it.

    Parameters
    ----------
    density : LogDensity
        Of q; that of u differs from it by a constant, which is left out.
    mode : (P,) array
    axes : Axes
    """

    def __init__(self, density: LogDensity, mode: np.ndarray, axes: Axes):
        self.mode, self.axes = np.ascontiguousarray(mode), axes
        self._function = density.function
        order = np.ascontiguousarray(axes.order, dtype=np.int64)
        units, single = _in_single_precision(axes.matrix)
        packed, spans = _packed(sparse.csc_array(single[order]).sorted_indices())
        directions = np.ascontiguousarray(axes.directions, dtype=np.float32)
        # The C function's inputs, and the arrays that they point to, which must outlive it.
        pointed = [density.inputs, self.mode, units[order], packed, spans, order, directions, axes.stretch]
        self.held: list[np.ndarray] = [*pointed, *density.held]
        addresses = (v.ctypes.data for v in pointed)
        self.inputs = np.array([density.function.address, *addresses, packed.size, len(spans), len(directions)])

    @property
    def shared(self) -> bool:
        """Whether chains that run side by side share what a value costs."""
        return isinstance(self._function, CalledBack)

    @property
    def error(self) -> BaseException | None:
        """What the function raised, if it is one of Python's."""
        return self._function.error if isinstance(self._function, CalledBack) else None


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


@jit_sum
def _stretched(u, directions, stretch, out):
    """(I + V diag(c) V^T) u, which is its own transpose."""
    for i in range(u.size):
        out[i] = u[i]
    for r in range(stretch.size):
        direction, part = directions[r], 0.0
        for i in range(u.size):
            part += direction[i] * u[i]
        part *= stretch[r]
        for i in range(u.size):
            out[i] += direction[i] * part


@numba.cfunc(SIGNATURE, cache=True)
def in_axes(n, u_, gradient_, value_, inputs_):
    table = carray(inputs_, (12,), np.int64)
    mode = carray(pointer(table[2]), (n,), np.float64)
    units = carray(pointer(table[3]), (n,), np.float64)
    packed = carray(pointer(table[4]), (table[9],), np.float32)
    spans = carray(pointer(table[5]), (table[10], 3), np.int64)
    order = carray(pointer(table[6]), (n,), np.int64)
    directions = carray(pointer(table[7]), (table[11], n), np.float32)
    stretch = carray(pointer(table[8]), (table[11],), np.float64)
    q, gradient, along = np.empty(n), np.zeros(n), np.empty(n)
    _stretched(carray(u_, (n,)), directions, stretch, along)
    _to_q(along, mode, units, packed, spans, order, q)
    code = call(table[0], n, q.ctypes.data, gradient.ctypes.data, value_, table[1])
    # After the call, so that q, known to it by address only, outlives it.
    _pull_back(gradient, units, packed, spans, order, q)
    _stretched(q, directions, stretch, carray(gradient_, (n,)))
    return code
