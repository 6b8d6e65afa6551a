"""The pass itself: rows in blocks, blocks in chunks, chunks on threads. Its equations stand in ``kernel.py``."""

import math

import numpy as np
from numba import carray

from bayesgmm.likelihood.elementary import exp, jit, jit_sum, log
from bayesgmm.likelihood.threads import pointer, shared_by_threads

LOG_2PI = math.log(2.0 * math.pi)
# Rows go in blocks, features-major inside a block, so that every inner loop runs over rows and vectorises.
BLOCK_ROWS = 256
# A block's whitened rows should stay in the second-level cache: fewer rows a block when K x D is large.
BLOCK_DOUBLES = 32_768
# Smaller responsibilities are exactly 0: denormals would slow the sums fivefold.
LEAST = 1e-200
EXP_CUTOFF = math.log(LEAST) - 1e-6
# A chunk of rows is what one thread takes at a time: about half a millisecond, and no more than 64 of them, as each
# has statistics of its own.
CHUNK_NANOSECONDS = 5e5
MAX_CHUNKS = 64


@jit
def factorize(weights, means, covariances, diagonal):
    r"""Inverse Cholesky factors and log normalising constants of every component.

    Returns
    -------
    whiteners : (K, D, D) array
        Lower-triangular :math:`W_k = L_k^{-1}` with :math:`\Sigma_k = L_k L_k^\top`.
    constants : (K,) array
        :math:`\log\pi_k + \log|W_k| - \tfrac{D}{2}\log 2\pi`; NaN where :math:`\Sigma_k` is not positive definite.
    """
    n_components, n_features = means.shape
    bandwidth = 0 if diagonal else n_features
    whiteners = np.zeros((n_components, n_features, n_features))
    constants = np.empty(n_components)
    cholesky = np.zeros((n_features, n_features))
    for k in range(n_components):
        log_det = 0.0
        for i in range(n_features):
            first = max(0, i - bandwidth)
            for j in range(first, i + 1):
                s = covariances[k, i, j]
                for m in range(first, j):
                    s -= cholesky[i, m] * cholesky[j, m]
                if i == j:
                    cholesky[i, i] = math.sqrt(s) if s > 0.0 else math.nan
                else:
                    cholesky[i, j] = s / cholesky[j, j]
            whiteners[k, i, i] = 1.0 / cholesky[i, i]
            for j in range(first, i):
                s = 0.0
                for m in range(j, i):
                    s -= cholesky[i, m] * whiteners[k, m, j]
                whiteners[k, i, j] = s / cholesky[i, i]
            log_det += math.log(cholesky[i, i])
        log_weight = math.log(weights[k]) if weights[k] > 0.0 else -math.inf
        constants[k] = log_weight - log_det - 0.5 * n_features * LOG_2PI
    return whiteners, constants


@jit
def _transpose(x, xt):
    """A block's rows as rows of ``xt``, one a feature."""
    for i in range(0, x.shape[1] - 1, 2):
        for n in range(x.shape[0]):
            xt[i, n] = x[n, i]
            xt[i + 1, n] = x[n, i + 1]
    if x.shape[1] % 2:
        i = x.shape[1] - 1
        for n in range(x.shape[0]):
            xt[i, n] = x[n, i]


@jit
def _whiten(xt, rows, k, means, whiteners, diagonal, difference, z, squares):
    """Fill ``z[k]`` (D, rows) with the rows whitened by component k, and ``squares[k]`` with their squared norms.

    Features go two at a time, a 2 x 2 tile of the whitener to a loop: half the memory traffic of one at a time.
    """
    n_features = means.shape[1]
    for n in range(rows):
        squares[k, n] = 0.0
    for i in range(0, n_features - 1, 2):
        mean0, mean1 = means[k, i], means[k, i + 1]
        w00, w10, w11 = whiteners[k, i, i], whiteners[k, i + 1, i], whiteners[k, i + 1, i + 1]
        for n in range(rows):
            d0 = xt[i, n] - mean0
            d1 = xt[i + 1, n] - mean1
            difference[i, n] = d0
            difference[i + 1, n] = d1
            z[k, i, n] = w00 * d0
            z[k, i + 1, n] = w11 * d1 if diagonal else w10 * d0 + w11 * d1
        for j in range(0, 0 if diagonal else i, 2):
            w00, w01, w10, w11 = (
                whiteners[k, i, j], whiteners[k, i, j + 1], whiteners[k, i + 1, j], whiteners[k, i + 1, j + 1]
            )  # fmt: skip
            for n in range(rows):
                z[k, i, n] += w00 * difference[j, n] + w01 * difference[j + 1, n]
                z[k, i + 1, n] += w10 * difference[j, n] + w11 * difference[j + 1, n]
        for n in range(rows):
            squares[k, n] += z[k, i, n] * z[k, i, n] + z[k, i + 1, n] * z[k, i + 1, n]
    if n_features % 2:
        i = n_features - 1
        mean0, w00 = means[k, i], whiteners[k, i, i]
        for n in range(rows):
            z[k, i, n] = w00 * (xt[i, n] - mean0)
        for j in range(0, 0 if diagonal else i, 2):
            w00, w01 = whiteners[k, i, j], whiteners[k, i, j + 1]
            for n in range(rows):
                z[k, i, n] += w00 * difference[j, n] + w01 * difference[j + 1, n]
        for n in range(rows):
            squares[k, n] += z[k, i, n] * z[k, i, n]


@jit
def _normalise(constants, row_weights, log_density, joint, highest, scale):
    """Turn a block's squared norms, ``joint`` (K, rows), into each component's share of the row before scaling.

    ``scale`` is what makes of them responsibilities, times the rows' weights where there are any. Also writes the rows'
    log-densities.
    """
    n_components, rows = joint.shape[0], log_density.size
    for n in range(rows):
        highest[n] = -math.inf
    for k in range(n_components):
        constant = constants[k]
        for n in range(rows):
            value = constant - 0.5 * joint[k, n]
            joint[k, n] = value
            highest[n] = value if not (value <= highest[n]) else highest[n]  # NaN is passed on
    for n in range(rows):
        log_density[n] = highest[n]
        # A row infinitely far from every component has log-density -inf and responsibilities 0, not NaN.
        highest[n] = 0.0 if highest[n] == -math.inf else highest[n]
        scale[n] = 0.0
    for k in range(n_components):
        for n in range(rows):
            t = joint[k, n] - highest[n]
            # Exactly 1 at t = 0, and below the cutoff less than LEAST.
            e = exp(EXP_CUTOFF if t < EXP_CUTOFF else t) - LEAST
            e = 0.0 if e < 0.0 else e
            joint[k, n] = e
            scale[n] += e
    for n in range(rows):
        total = scale[n] if scale[n] > 0.0 else 1.0
        log_density[n] += log(total)
        scale[n] = 1.0 / total
    if row_weights.size == 1:
        for n in range(rows):
            scale[n] *= row_weights[0]
    elif row_weights.size > 1:
        for n in range(rows):
            scale[n] *= row_weights[n]


@jit_sum
def _total(log_density, row_weights):
    """The rows' weighted log-density."""
    total = 0.0
    if row_weights.size > 1:
        for n in range(log_density.size):
            total += row_weights[n] * log_density[n]
        return total
    for n in range(log_density.size):
        total += log_density[n]
    return total * row_weights[0]


@jit_sum
def _accumulate(joint, scale, k, rows, z, diagonal, weighted, counts, first, second):
    """Add a block's share of component k to its statistics, the lower triangle of ``second`` alone; see `_whiten`."""
    n_features = z.shape[1]
    count = 0.0
    for n in range(rows):
        r = joint[k, n] * scale[n]
        joint[k, n] = r
        count += r
    counts[k] += count
    for i in range(0, n_features - 1, 2):
        b0, b1, a00, a10, a11 = 0.0, 0.0, 0.0, 0.0, 0.0
        for n in range(rows):
            rz0 = joint[k, n] * z[k, i, n]
            rz1 = joint[k, n] * z[k, i + 1, n]
            weighted[0, n] = rz0
            weighted[1, n] = rz1
            b0 += rz0
            b1 += rz1
            a00 += rz0 * z[k, i, n]
            a10 += rz1 * z[k, i, n]
            a11 += rz1 * z[k, i + 1, n]
        first[k, i] += b0
        first[k, i + 1] += b1
        second[k, i, i] += a00
        second[k, i + 1, i + 1] += a11
        if diagonal:
            continue
        second[k, i + 1, i] += a10
        for j in range(0, i, 2):
            a00, a01, a10, a11 = 0.0, 0.0, 0.0, 0.0
            for n in range(rows):
                a00 += weighted[0, n] * z[k, j, n]
                a01 += weighted[0, n] * z[k, j + 1, n]
                a10 += weighted[1, n] * z[k, j, n]
                a11 += weighted[1, n] * z[k, j + 1, n]
            second[k, i, j] += a00
            second[k, i, j + 1] += a01
            second[k, i + 1, j] += a10
            second[k, i + 1, j + 1] += a11
    if n_features % 2:
        i = n_features - 1
        b0, a00 = 0.0, 0.0
        for n in range(rows):
            rz0 = joint[k, n] * z[k, i, n]
            weighted[0, n] = rz0
            b0 += rz0
            a00 += rz0 * z[k, i, n]
        first[k, i] += b0
        second[k, i, i] += a00
        for j in range(0, 0 if diagonal else i, 2):
            a00, a01 = 0.0, 0.0
            for n in range(rows):
                a00 += weighted[0, n] * z[k, j, n]
                a01 += weighted[0, n] * z[k, j + 1, n]
            second[k, i, j] += a00
            second[k, i, j + 1] += a01


@jit
def _pass_rows(
    x, means, whiteners, constants, diagonal, row_weights, log_density, responsibility, total, counts, first, second
):
    """The pass over some rows, into arrays that the caller owns; see `data_pass`."""
    n_rows, n_features = x.shape
    n_components = means.shape[0]
    block = min(BLOCK_ROWS, max(32, BLOCK_DOUBLES // (n_components * n_features) // 8 * 8), max(n_rows, 1))
    xt = np.empty((n_features, block))
    difference = np.empty((n_features, block))
    z = np.empty((n_components, n_features, block))
    joint = np.empty((n_components, block))
    weighted = np.empty((2, block))
    highest = np.empty(block)
    scale = np.empty(block)
    block_log_density = np.empty(block)
    for start in range(0, n_rows, block):
        stop = min(start + block, n_rows)
        rows = stop - start
        _transpose(x[start:stop], xt)
        for k in range(n_components):
            _whiten(xt, rows, k, means, whiteners, diagonal, difference, z, joint)
        rows_log_density = log_density[start:stop] if log_density.size > 0 else block_log_density[:rows]
        rows_weights = row_weights[start:stop] if row_weights.size > 1 else row_weights
        _normalise(constants, rows_weights, rows_log_density, joint, highest, scale)
        if responsibility.shape[0] > 0:
            for n in range(rows):
                for k in range(n_components):
                    responsibility[start + n, k] = joint[k, n] * scale[n]
        if row_weights.size > 0:
            total[0] += _total(rows_log_density, rows_weights)
            for k in range(n_components):
                _accumulate(joint, scale, k, rows, z, diagonal, weighted, counts, first, second)


@jit
def _pass_chunk(chunk, address):
    """One chunk of a pass, its arrays given by a table of their lengths and addresses; see `data_pass`."""
    table = carray(pointer(address), (19,), np.int64)
    n_rows, n_features, n_components, n_chunks = table[0], table[1], table[2], table[3]
    start, stop = n_rows * chunk // n_chunks, n_rows * (chunk + 1) // n_chunks
    matrix = (n_components, n_features, n_features)
    row_weights = carray(pointer(table[10]), (table[5],), np.float64)
    responsibility = carray(pointer(table[12]), (table[6], n_components), np.float64)
    log_density = carray(pointer(table[11]), (table[17],), np.float64)
    total = carray(pointer(table[18]), (n_chunks,), np.float64)[chunk : chunk + 1]
    counts = carray(pointer(table[14]), (n_chunks, n_components), np.float64)[chunk]
    first = carray(pointer(table[15]), (n_chunks, n_components, n_features), np.float64)[chunk]
    second = carray(pointer(table[16]), (n_chunks, *matrix), np.float64)[chunk]
    total[:] = 0.0
    counts[:] = 0.0
    first[:] = 0.0
    second[:] = 0.0
    _pass_rows(
        carray(pointer(table[7]), (n_rows, n_features), np.float64)[start:stop],
        carray(pointer(table[8]), (n_components, n_features), np.float64),
        carray(pointer(table[9]), matrix, np.float64),
        carray(pointer(table[13]), (n_components,), np.float64),
        table[4] != 0,
        row_weights[start:stop] if row_weights.size > 1 else row_weights,
        log_density[start:stop],
        responsibility[start:stop],
        total,
        counts,
        first,
        second,
    )


# Compiled code calls back to Python here, by a symbol's name: cached code may hold no address of this process.
share_chunks = shared_by_threads("bayesgmm_share_chunks", _pass_chunk)


@jit
def data_pass(x, weights, means, covariances, diagonal, row_weights, log_density, responsibility):
    """One pass over the rows, on several threads where that pays.

    ``log_density`` (N,) and ``responsibility`` (N, K) are filled where they have rows. The statistics are summed, and
    the weighted log-density with them, when ``row_weights`` has: N of them, or one for all rows.
    """
    n_rows, n_features = x.shape
    n_components = means.shape[0]
    whiteners, constants = factorize(weights, means, covariances, diagonal)
    nanoseconds = n_rows * n_components * (4.0 + (0.0 if diagonal else 0.1) * n_features * n_features)
    n_chunks = min(MAX_CHUNKS, max(1, int(nanoseconds / CHUNK_NANOSECONDS)))
    total = np.zeros(n_chunks)
    counts = np.zeros((n_chunks, n_components))
    first = np.zeros((n_chunks, n_components, n_features))
    second = np.zeros((n_chunks, n_components, n_features, n_features))
    if n_chunks == 1:
        _pass_rows(
            x, means, whiteners, constants, diagonal, row_weights, log_density, responsibility,
            total, counts[0], first[0], second[0],
        )  # fmt: skip
    else:
        table = np.array(
            [
                n_rows, n_features, n_components, n_chunks, diagonal, row_weights.size, responsibility.shape[0],
                x.ctypes.data, means.ctypes.data, whiteners.ctypes.data, row_weights.ctypes.data,
                log_density.ctypes.data, responsibility.ctypes.data, constants.ctypes.data,
                counts.ctypes.data, first.ctypes.data, second.ctypes.data, log_density.size, total.ctypes.data,
            ],
            dtype=np.int64,
        )  # fmt: skip
        # The table keeps nothing alive, so the arrays made here are all returned.
        share_chunks(n_chunks, table.ctypes.data)
    for chunk in range(1, n_chunks):
        total[0] += total[chunk]
        for k in range(n_components):
            counts[0, k] += counts[chunk, k]
            for i in range(n_features):
                first[0, k, i] += first[chunk, k, i]
                for j in range(i + 1):
                    second[0, k, i, j] += second[chunk, k, i, j]
    for k in range(n_components):
        for i in range(n_features):
            for j in range(i):
                second[0, k, j, i] = second[0, k, i, j]
    return total, whiteners, constants, counts[0], first[0], second[0]
