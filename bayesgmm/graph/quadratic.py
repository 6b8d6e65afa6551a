r"""A log-density with a quadratic in the place of its costly part.

.. math:: \log r(q) + g^\top d - \tfrac12 d^\top H d, \qquad d = q - \hat q,

with r the density of no rows, and g and H the slope and the negative curvature of the log-likelihood at
:math:`\hat q`.
"""

import numba
import numpy as np
from numba import carray

from bayesgmm.graph.compiled import SIGNATURE, LogDensity
from bayesgmm.graph.in_axes import call
from bayesgmm.mixture.threads import pointer


class WithQuadratic(LogDensity):
    """The density of the module's equation.

    Parameters
    ----------
    rest : LogDensity
    at, slope : (P,) arrays
    curvature : (P, P) array
    """

    def __init__(self, rest: LogDensity, at: np.ndarray, slope: np.ndarray, curvature: np.ndarray):
        own = [np.ascontiguousarray(v, dtype=np.float64) for v in (at, slope, curvature)]
        super().__init__(with_quadratic, [rest.inputs, *own, *rest.held])
        self.inputs = np.array([rest.function.address, *(v.ctypes.data for v in self.held[:4])], dtype=np.int64)


@numba.cfunc(SIGNATURE, cache=True)
def with_quadratic(n, q_, gradient_, value_, inputs_):
    table = carray(inputs_, (5,), np.int64)
    at = carray(pointer(table[2]), (n,), np.float64)
    slope = carray(pointer(table[3]), (n,), np.float64)
    curvature = carray(pointer(table[4]), (n, n), np.float64)
    q, gradient, value = carray(q_, (n,)), carray(gradient_, (n,)), carray(value_, (1,))
    own, rest = np.zeros(n), np.empty(1)
    code = call(table[0], n, q.ctypes.data, own.ctypes.data, rest.ctypes.data, table[1])
    total = rest[0]
    for i in range(n):
        pulled = 0.0
        for j in range(n):
            pulled += curvature[i, j] * (q[j] - at[j])
        total += (q[i] - at[i]) * (slope[i] - 0.5 * pulled)
        gradient[i] = own[i] + slope[i] - pulled
    value[0] = total
    return code
