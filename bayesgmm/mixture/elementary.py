"""exp and log without a branch or a call, so that loops over them vectorise (libm's scalar calls cost four times more).

"contract" allows fused multiply-add. "reassoc" (sums in any order, so that they vectorise) is for sums only: it would
cancel ``ROUNDER``. NaN and infinity keep their meaning under both. A function without flags of its own would be
compiled under those of whatever calls it first, and cached so: a seed's draws would depend on what was called before.
"""

import numpy as np
from numba import njit

OPTIONS: dict = {"error_model": "numpy", "fastmath": {"contract"}}
jit = njit(cache=True, nogil=True, **OPTIONS)
jit_sum = njit(cache=True, nogil=True, **(OPTIONS | {"fastmath": {"contract", "reassoc"}}))

LOG2_E = 1.4426950408889634
# ln 2 in two parts (Cody and Waite), the first exact when multiplied by any integer in range.
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2**52 leaves the nearest integer in the low bits: rounding without a call, and it vectorises.
ROUNDER = 6755399441055744.0

# (exp(r) - 1 - r) / r**2 on |r| <= ln(2)/2 by Chebyshev interpolation: exp's relative error is below 2e-17.
E2, E3, E4, E5, E6 = 0.5, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717
E7, E8, E9 = 0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06
E10, E11 = 2.7620088445409746e-07, 2.510038549551032e-08

# (2 artanh(s) - 2 s) / s**3 in powers of s**2 on |s| <= (sqrt(2) - 1) / (sqrt(2) + 1), likewise.
L0, L1, L2, L3 = 0.666666666666667, 0.39999999999899444, 0.2857142862600327, 0.22222211130259878
L4, L5, L6 = 0.18182889455674947, 0.15331710618210773, 0.14616585424888623

MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
ONE = np.int64(0x3FF0000000000000)
SQRT_HALF = np.int64(0x3FE6A09E667F3BCD)
TWO_52 = np.int64(0x4330000000000000)
TWO_52_AND_BIAS = 4503599627370496.0 + 1023.0


@jit
def exp(t):
    """exp(t) for -700 < t < 700, within 2 ulp."""
    rounded = t * LOG2_E + ROUNDER
    n = rounded - ROUNDER
    r = (t - n * LN2_HIGH) - n * LN2_LOW
    # Even and odd powers apart: two short chains of dependent operations instead of a long one.
    u = r * r
    even = ((((E10 * u + E8) * u + E6) * u + E4) * u + E2) * u + 1.0
    odd = ((((E11 * u + E9) * u + E7) * u + E5) * u + E3) * u + 1.0
    power_of_two = np.int64((np.float64(rounded).view(np.int64) + np.int64(1023)) << np.int64(52))
    return (even + odd * r) * power_of_two.view(np.float64)


@jit
def log(t):
    """log(t) for a normal number t > 0, within 2 ulp."""
    bits = np.float64(t).view(np.int64) + (ONE - SQRT_HALF)
    # t = 2**n m with sqrt(1/2) <= m < sqrt(2).
    n = np.int64((bits >> np.int64(52)) + TWO_52).view(np.float64) - TWO_52_AND_BIAS
    m = np.int64((bits & MANTISSA) + SQRT_HALF).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    u = s * s
    u2 = u * u
    p = (L0 + L1 * u) + (L2 + L3 * u) * u2 + ((L4 + L5 * u) + L6 * u2) * (u2 * u2)
    return n * LN2_HIGH + (2.0 * s + (s * u * p + n * LN2_LOW))
