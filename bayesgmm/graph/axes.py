r"""The log posterior in the axes of its own curvature: what NUTS samples.

.. math:: q = \hat q + B u, \qquad B = V \Lambda^{-1/2}, \qquad H = V \Lambda V^\top,

with H the negative Hessian at the mode :math:`\hat q`. Near the mode u is standard normal, so the sampler has only
a step size and some scales left to learn. Measured (min ESS a second, tuning included) against learning a low-rank
metric from the draws: 15,000 and 5,000 at (N, D, K) = (1e3, 2, 3), 1,400 and 550 at (5e3, 5, 4), 530 and 60 at
(2e3, 10, 5), which has 329 parameters.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from bayesgmm.graph.compiled import SIGNATURE, LogDensity
from bayesgmm.mixture.elementary import jit_sum
from bayesgmm.mixture.threads import pointer

# The least curvature, in units of the data's scale, that an axis is given: where there is less, or none, the posterior
# is far from Gaussian, and an axis as long as this is enough for the sampler to learn the rest.
LEAST_CURVATURE = 1e-2


def principal_axes(hessian: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """B of the module's equation, (P, P), from a negative Hessian (P, P); ``scales`` (P,) are the units of q."""
    curvature, directions = np.linalg.eigh(hessian * np.outer(scales, scales))
    lengths = 1.0 / np.sqrt(np.maximum(np.abs(curvature), LEAST_CURVATURE))
    return np.ascontiguousarray(scales[:, None] * directions * lengths)


class InAxes:
    """A log-density as a function of u: the inputs with which the C function ``in_axes`` computes it.

    Parameters
    ----------
    density : LogDensity
        Of q; that of u differs from it by a constant, which is left out.
    mode : (P,) array
    axes : (P, P) array
    """

    def __init__(self, density: LogDensity, mode: np.ndarray, axes: np.ndarray):
        self.mode, self.axes = np.ascontiguousarray(mode), np.ascontiguousarray(axes)
        # The C function's inputs, and the arrays that they point to, which must outlive it.
        self.held: list[np.ndarray] = [density.inputs, self.mode, self.axes, *density.held]
        self.inputs = np.array([density.function.address, *(v.ctypes.data for v in self.held[:3])])

    def unconstrained(self, u: np.ndarray) -> np.ndarray:
        """q (..., P) of u (..., P)."""
        return self.mode + u @ self.axes.T


@intrinsic
def _call(typingctx, address, n, q, gradient, value, inputs):
    """Call a C function of ``SIGNATURE`` by its address."""

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
def _to_q(u, mode, axes, q):
    for i in range(q.size):
        total = 0.0
        for j in range(u.size):
            total += axes[i, j] * u[j]
        q[i] = mode[i] + total


@jit_sum
def _pull_back(gradient, axes, out):
    for j in range(out.size):
        out[j] = 0.0
    for i in range(gradient.size):
        slope = gradient[i]
        for j in range(out.size):
            out[j] += axes[i, j] * slope


@numba.cfunc(SIGNATURE, cache=True)
def in_axes(n, u_, gradient_, value_, inputs_):
    table = carray(inputs_, (4,), np.int64)
    mode = carray(pointer(table[2]), (n,), np.float64)
    axes = carray(pointer(table[3]), (n, n), np.float64)
    q, gradient = np.empty(n), np.zeros(n)
    _to_q(carray(u_, (n,)), mode, axes, q)
    code = _call(table[0], n, q.ctypes.data, gradient.ctypes.data, value_, table[1])
    # After the call, so that q, known to it by address only, outlives it.
    _pull_back(gradient, axes, q)
    out = carray(gradient_, (n,))
    for i in range(n):
        out[i] = q[i]
    return code
