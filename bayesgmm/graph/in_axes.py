r"""The log posterior around a mode, in coordinates in which it is nearly standard normal: what NUTS samples.

.. math:: q \leftarrow z = \hat z + B u ,

with z the parameters q, but covariances as seen from roots of their own (:mod:`bayesgmm.graph.roots`) and means of few
rows as seen from their component (:mod:`bayesgmm.graph.non_centred`), and B axes of the curvature there
(:mod:`bayesgmm.graph.axes`).
"""

from dataclasses import dataclass, field
from functools import cached_property

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic
from scipy import sparse

from bayesgmm.graph.axes import Axes, in_single_precision
from bayesgmm.graph.compiled import SIGNATURE, CalledBack, LogDensity
from bayesgmm.graph.non_centred import NonCentred
from bayesgmm.graph.roots import Roots
from bayesgmm.mixture.elementary import jit, jit_sum
from bayesgmm.mixture.log_cholesky import from_roots, from_roots_pullback
from bayesgmm.mixture.offsets import offsets, offsets_pullback
from bayesgmm.mixture.threads import pointer

# Zeros in a column that are read all the same, where another span would begin after them.
GAP = 8


@dataclass(frozen=True, eq=False)
class ModeAxes:
    """A mode of the density of q (P,), what it is seen from there, and axes that map standard normal u to z."""

    q: np.ndarray
    roots: Roots
    axes: Axes
    non_centred: NonCentred = field(default_factory=NonCentred.none)

    @cached_property
    def centre(self) -> np.ndarray:
        """The mode as z, (P,)."""
        return self._seen(self.q)

    def _seen(self, q: np.ndarray) -> np.ndarray:
        return self.roots.there(self.non_centred.there(q))

    def unconstrained(self, u: np.ndarray) -> np.ndarray:
        """q (..., P) of u (..., P)."""
        return self.non_centred.back(self.roots.back(self.centre + self.axes.moved(u)))

    def log_volume(self, u: np.ndarray) -> np.ndarray:
        """By how much the log-density of u (..., P), in which chains move, is above that of q, but for a constant."""
        return self.non_centred.log_volume(self.roots.back(self.centre + self.axes.moved(u)))

    def log_gaussian(self, q: np.ndarray) -> np.ndarray:
        """The log density, (N,), of q (N, P) whose u are standard normal."""
        squares = (self.axes.back(self._seen(q) - self.centre) ** 2).sum(axis=1)
        log_volume = self.axes.log_volume + self.non_centred.log_unit + self.non_centred.log_volume(q)
        return np.asarray(-squares / 2 - log_volume - self.q.size / 2 * np.log(2 * np.pi))


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


class InAxes(LogDensity):
    """A log-density as a function of u.

    Parameters
    ----------
    density : LogDensity
        Of q; that of u differs from it by :meth:`ModeAxes.log_volume` and a constant, which is left out.
    mode : ModeAxes
    """

    def __init__(self, density: LogDensity, mode: ModeAxes):
        self._of_q, axes, roots, means = density.function, mode.axes, mode.roots, mode.non_centred
        units, single = in_single_precision(axes.matrix)
        packed, spans = _packed(sparse.csc_array(single).sorted_indices())
        directions = np.ascontiguousarray(axes.directions, dtype=np.float32)
        # The C function's inputs, and the arrays that they point to, which must outlive it.
        own = [np.ascontiguousarray(v) for v in (mode.centre, units, packed, spans, directions, axes.stretch)]
        seen = roots.entries, roots.factors, means.means, means.covariances, means.centres, means.outer
        pointed = [density.inputs, *own, *map(np.ascontiguousarray, seen)]
        self.held = [*pointed, *density.held]
        self.size = mode.q.size
        lengths = packed.size, len(spans), len(directions), *roots.entries.shape, roots.factors.shape[-1]
        lengths += *means.means.shape, means.covariances.shape[-1]
        self._become(in_axes, np.array([density.function.address, *(v.ctypes.data for v in pointed), *lengths]))

    @property
    def shared(self) -> bool:
        """Whether chains that run side by side share what a value costs."""
        return isinstance(self._of_q, CalledBack)

    @property
    def error(self) -> BaseException | None:
        """What the function raised, if it is one of Python's."""
        return self._of_q.error if isinstance(self._of_q, CalledBack) else None


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
def _to_z(u, centre, units, packed, spans, z):
    along = np.zeros(z.size)
    at = 0
    for s in range(len(spans)):
        begin, length = spans[s, 1], spans[s, 2]
        column, part, step = packed[at : at + length], along[begin : begin + length], u[spans[s, 0]]
        for i in range(length):
            part[i] += column[i] * step
        at += length
    for i in range(z.size):
        z[i] = centre[i] + units[i] * along[i]


@jit_sum
def _pull_back(gradient, units, packed, spans, out):
    scaled = np.empty(gradient.size)
    for i in range(gradient.size):
        scaled[i] = gradient[i] * units[i]
        out[i] = 0.0
    at = 0
    for s in range(len(spans)):
        begin, length = spans[s, 1], spans[s, 2]
        column, part, total = packed[at : at + length], scaled[begin : begin + length], 0.0
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


@jit
def _some(vector, entries, some):
    for m in range(entries.shape[0]):
        for i in range(entries.shape[1]):
            some[0, m, i] = vector[entries[m, i]]


@jit
def _write(some, entries, vector):
    for m in range(entries.shape[0]):
        for i in range(entries.shape[1]):
            vector[entries[m, i]] = some[0, m, i]


@jit
def _add(some, entries, vector):
    for m in range(entries.shape[0]):
        for i in range(entries.shape[1]):
            vector[entries[m, i]] += some[0, m, i]


@jit
def _volume(y, covariances, n_features, d_y):
    """The log volume but for a constant; its gradient is added to ``d_y``."""
    total = 0.0
    for m in range(covariances.shape[0]):
        for i in range(n_features):
            at = i * (i + 3) // 2 if covariances.shape[1] > n_features else i
            total += y[0, m, at]
            d_y[0, m, at] += 1.0
    return total


@numba.cfunc(SIGNATURE, cache=True)
def in_axes(n, u_, gradient_, value_, inputs_):
    table = carray(inputs_, (23,), np.int64)
    n_numbers, n_spans, n_directions, m, length, d = table[14], table[15], table[16], table[17], table[18], table[19]
    some, n_features, n_coordinates = table[20], table[21], table[22]
    centre = carray(pointer(table[2]), (n,), np.float64)
    units = carray(pointer(table[3]), (n,), np.float64)
    packed = carray(pointer(table[4]), (n_numbers,), np.float32)
    spans = carray(pointer(table[5]), (n_spans, 3), np.int64)
    directions = carray(pointer(table[6]), (n_directions, n), np.float32)
    stretch = carray(pointer(table[7]), (n_directions,), np.float64)
    entries = carray(pointer(table[8]), (m, length), np.int64)
    factors = carray(pointer(table[9]), (m, d, d), np.float64)
    means = carray(pointer(table[10]), (some, n_features), np.int64)
    covariances = carray(pointer(table[11]), (some, n_coordinates), np.int64)
    centres = carray(pointer(table[12]), (some, n_features), np.float64)
    outer = carray(pointer(table[13]), (n_features, n_features), np.float64)
    q, gradient, along = np.empty(n), np.zeros(n), np.empty(n)
    own, slopes = np.empty((1, m, length)), np.empty((1, m, length))
    _stretched(carray(u_, (n,)), directions, stretch, along)
    _to_z(along, centre, units, packed, spans, q)
    _some(q, entries, own)
    _write(from_roots(own, factors), entries, q)
    e, y = np.empty((1, some, n_features)), np.empty((1, some, n_coordinates))
    _some(q, means, e)
    _some(q, covariances, y)
    _write(centres + offsets(e, y, outer), means, q)
    code = call(table[0], n, q.ctypes.data, gradient.ctypes.data, value_, table[1])
    d_means = np.empty(e.shape)
    _some(gradient, means, d_means)
    d_e, d_y = offsets_pullback(e, y, outer, d_means)
    _write(d_e, means, gradient)
    carray(value_, (1,))[0] += _volume(y, covariances, n_features, d_y)
    _add(d_y, covariances, gradient)
    _some(gradient, entries, slopes)
    _write(from_roots_pullback(own, factors, slopes), entries, gradient)
    # After the call, so that q, known to it by address only, outlives it.
    _pull_back(gradient, units, packed, spans, q)
    _stretched(q, directions, stretch, carray(gradient_, (n,)))
    return code
