r"""A root of the reference that covariances are most likely around, and their scales: compiled, as EM asks every step.

In NumPy's calls, each for a few small matrices, they took two thirds of an M-step, which was half of a search.
"""

import math

import numpy as np

from bayesgmm.mixture.elementary import jit, jit_sum

# Newton's steps end below it.
NEAR = 1e-9
# A covariance is one beside rounding's where it is so much of that more in every direction.
CLOSE = 1e-6


@jit
def factors(matrices, less):
    """Cholesky factors of matrices (M, D, D), less a diagonal (D,), and whether all of these are positive definite."""
    n, d = matrices.shape[0], matrices.shape[1]
    found, definite = np.zeros((n, d, d)), True
    for k in range(n):
        for i in range(d):
            for j in range(i + 1):
                left = matrices[k, i, j] - (less[i] if i == j else 0.0)
                for m in range(j):
                    left -= found[k, i, m] * found[k, j, m]
                if i > j:
                    found[k, i, j] = left / found[k, j, j]
                else:
                    definite &= left > 0.0
                    found[k, i, i] = math.sqrt(left) if left > 0.0 else math.nan
    return found, definite


@jit
def inverses(lower):
    """Inverses of lower triangular matrices (M, D, D)."""
    n, d = lower.shape[0], lower.shape[1]
    found = np.zeros((n, d, d))
    for k in range(n):
        for i in range(d):
            found[k, i, i] = 1.0 / lower[k, i, i]
            for m in range(i):
                share = lower[k, i, m] * found[k, i, i]
                for j in range(m + 1):
                    found[k, i, j] -= share * found[k, m, j]
    return found


@jit
def less_rounding(rows, scatter, covariances, rounding):
    """What is expected of values before they were rounded, where they are of these covariances (M, D, D) and it is not.

    With Sigma = M + R, R the rounding's (D,), and G = M Sigma^-1: covariances M, scatters N G R + G C G^T of so many
    ``rows`` N (M,) with a scatter C (M, D, D), and whether all M are positive definite.
    """
    n, d = covariances.shape[0], covariances.shape[1]
    whole, definite = factors(covariances, np.zeros(d))
    whiteners, own, expected = inverses(whole), covariances.copy(), np.empty_like(scatter)
    for k in range(n):
        gain = -np.dot(whiteners[k].T, whiteners[k])
        for i in range(d):
            own[k, i, i] -= rounding[i]
            for j in range(d):
                gain[i, j] *= rounding[i]
            gain[i, i] += 1.0
        expected[k] = np.dot(np.dot(gain, np.ascontiguousarray(scatter[k])), gain.T)
        for i in range(d):
            for j in range(i + 1):
                mean = (expected[k, i, j] + expected[k, j, i]) / 2
                mean += rows[k] * (gain[i, j] * rounding[j] + gain[j, i] * rounding[i]) / 2
                expected[k, i, j] = expected[k, j, i] = mean
    return own, expected, definite and factors(own, CLOSE * rounding)[1]


@jit_sum
def around(root, whiteners, rows, log_constants):
    """Scales h and expected nu, (M,), of covariances with inverse factors W (M, D, D) about a reference with a root."""
    n, d = whiteners.shape[0], whiteners.shape[1]
    harmonic, expected = np.empty(n), np.empty(n)
    logs, product = np.empty(rows.size), np.empty(d)
    for k in range(n):
        squares, half_log_volume = 0.0, 0.0
        for i in range(d):
            half_log_volume += math.log(abs(whiteners[k, i, i] * root[i, i]))
            for j in range(d):
                product[j] = 0.0
            for m in range(i + 1):
                for j in range(d):
                    product[j] += whiteners[k, i, m] * root[m, j]
            for j in range(d):
                squares += product[j] * product[j]
        harmonic[k] = d / squares
        distance = -half_log_volume - 0.5 * d * math.log(harmonic[k])
        highest = -np.inf
        for j in range(rows.size):
            logs[j] = log_constants[j] - rows[j] * distance
            highest = max(highest, logs[j])
        total, mean = 0.0, 0.0
        for j in range(rows.size):
            share = math.exp(logs[j] - highest)
            total += share
            mean += share * rows[j]
        expected[k] = mean / total
    return harmonic, expected


@jit
def common_root(root, whiteners, rows, log_constants, total, total_rows, rounds, settled):
    """A root (D, D) of the reference, h and nu, (M,): by fixed-point rounds from ``root`` on.

    They end where no log scale changes by ``settled`` or more. ``total`` (D, D) is an inverse factor of the covariance
    of all rows, which is worth ``total_rows`` to the reference.
    """
    n, d = whiteners.shape[0], whiteners.shape[1]
    # As every root is below: Numba warns of products with arrays that may lie either way.
    root = np.ascontiguousarray(root)
    harmonic, expected = around(root, whiteners, rows, log_constants)
    stacked = np.empty(((n + 1) * d, d))
    for _ in range(rounds):
        all_rows = total_rows
        for k in range(n):
            all_rows += expected[k]
        for k in range(n):
            share = math.sqrt(harmonic[k] * expected[k] / all_rows)
            for i in range(d):
                for j in range(d):
                    stacked[k * d + i, j] = share * whiteners[k, i, j]
        share = math.sqrt(total_rows / all_rows * d / (np.dot(total, root) ** 2).sum())
        for i in range(d):
            for j in range(d):
                stacked[n * d + i, j] = share * total[i, j]
        # Not by the whiteners' products, which have the square of their condition.
        root = np.ascontiguousarray(np.linalg.inv(np.linalg.qr(stacked)[1]))
        last = harmonic
        harmonic, expected = around(root, whiteners, rows, log_constants)
        most = 0.0
        for k in range(n):
            most = max(most, abs(math.log(harmonic[k] / last[k])))
        if most < settled:
            break
    log_scale = 0.0
    for k in range(n):
        log_scale += math.log(harmonic[k]) / n
    scaled = root.copy()
    for i in range(d):
        for j in range(d):
            scaled[i, j] *= math.exp(0.5 * log_scale)
    for k in range(n):
        harmonic[k] *= math.exp(-log_scale)
    return scaled, harmonic, expected


@jit
def log_scales(rows, least, spread, steps):
    r"""The u, (M,), at which :math:`-m u - t e^{-u} - \tfrac12 u^2 / \tau^2` is highest, of m ``rows`` and t ``least``.

    By Newton's method from below, where it cannot overshoot, and goes about 1 a step where it is far.
    """
    u = np.empty(rows.size)
    flatness = 1.0 / spread**2
    for k in range(rows.size):
        at = min(math.log(least[k] / (rows[k] + 1.0)), 0.0)
        for _ in range(steps):
            pull = least[k] * math.exp(-at)
            step = (pull - rows[k] - at * flatness) / (pull + flatness)
            at += step
            if step < NEAR:
                break
        u[k] = at
    return u
