r"""A log-density around a mode with a quadratic in the place of its costly part.

.. math:: \log r(u) + g^\top u - \tfrac12 u^\top H u,

with u the coordinates that chains move in (:mod:`bayesgmm.graph.in_axes`), r the density of no rows, and g and H the
slope and the negative curvature of the log-likelihood at the mode, which is at u = 0. By u, as the likelihood of rows
near a plane is no Gaussian of q, however many they are: of 100,000 rows in clusters 1e-3 as wide across a plane as
along it the weights of draws had k = 0.9 to 4.5 by q, and have less than 0.1.
"""

import numba
import numpy as np
from numba import carray

from bayesgmm.graph.compiled import SIGNATURE, LogDensity
from bayesgmm.graph.in_axes import InAxes, ModeAxes, call
from bayesgmm.mixture.threads import pointer


class WithQuadratic(InAxes):
    """The density of the module's equation, of u.

    Parameters
    ----------
    rest : LogDensity
        Of q.
    mode : ModeAxes
    slope : (P,) array
    curvature : (P, P) array
    """

    def __init__(self, rest: LogDensity, mode: ModeAxes, slope: np.ndarray, curvature: np.ndarray):
        super().__init__(rest, mode)
        self.slope, self.curvature = (np.ascontiguousarray(v, dtype=np.float64) for v in (slope, curvature))
        pointed = [self.inputs, self.slope, self.curvature]
        self.held += pointed
        self._become(with_quadratic, np.array([self.function.address, *(v.ctypes.data for v in pointed)]))


@numba.cfunc(SIGNATURE, cache=True)
def with_quadratic(n, u_, gradient_, value_, inputs_):
    table = carray(inputs_, (4,), np.int64)
    slope = carray(pointer(table[2]), (n,), np.float64)
    curvature = carray(pointer(table[3]), (n, n), np.float64)
    u, gradient, value = carray(u_, (n,)), carray(gradient_, (n,)), carray(value_, (1,))
    code = call(table[0], n, u.ctypes.data, gradient.ctypes.data, value.ctypes.data, table[1])
    total = value[0]
    for i in range(n):
        pulled = 0.0
        for j in range(n):
            pulled += curvature[i, j] * u[j]
        total += u[i] * (slope[i] - 0.5 * pulled)
        gradient[i] += slope[i] - pulled
    value[0] = total
    return code
