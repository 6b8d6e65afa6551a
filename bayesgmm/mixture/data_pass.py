"""The pass itself: rows in blocks, blocks in portions, portions on threads. Its equations stand in ``kernel.py``."""

import math
from typing import NamedTuple

import numpy as np
from numba import carray

from bayesgmm.mixture.components import Components
from bayesgmm.mixture.elementary import exp, jit, jit_sum, log
from bayesgmm.mixture.threads import pointer, shared_by_threads

# Rows go in blocks, features-major inside a block, so that every inner loop runs over rows and vectorises.
BLOCK_ROWS = 256
# A block's whitened rows should stay in the second-level cache: fewer rows a block when K x D is large.
BLOCK_DOUBLES = 32_768
# Smaller responsibilities are exactly 0: denormals would slow the sums fivefold.
LEAST = 1e-200
EXP_CUTOFF = math.log(LEAST) - 1e-6
# A portion of the rows is what one thread takes at a time: about half a millisecond, and no more than 64 of them, as
# each has sums of its own.
PORTION_NANOSECONDS = 5e5
MAX_PORTIONS = 64


class Wanted(NamedTuple):
    """What a pass is to give."""

    log_density: bool
    responsibilities: bool
    sums: bool


class Sums(NamedTuple):
    """The sums of some rows, in whitened coordinates: see ``kernel.py``; each has the portions as its first axis."""

    log_likelihood: np.ndarray  # (P,)
    counts: np.ndarray  # (P, K)
    first: np.ndarray  # (P, K, D)
    second: np.ndarray  # (P, K, D, D), lower triangle


# A pass as compiled code hands it to the threads, which take one address: lengths, flags, and the arrays' addresses.
PASS = np.dtype(
    [
        (name, np.int64)
        for name in (
            "n_rows", "n_features", "n_components", "n_portions", "n_row_weights",
            "diagonal", "log_density_wanted", "responsibilities_wanted", "sums_wanted",
            "x", "means", "whiteners", "constants", "row_weights", "log_density", "responsibilities",
            "log_likelihood", "counts", "first", "second",
        )
    ]
)  # fmt: skip


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
def _whiten(xt, rows, k, components, difference, z, squares):
    """Fill ``z[k]`` (D, rows) with the rows whitened by component k, and ``squares[k]`` with their squared norms.

    Features go two at a time, a 2 x 2 tile of the whitener to a loop: half the memory traffic of one at a time.
    """
    means, whiteners, _, diagonal = components
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
    else:
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
    """Add a block's share of component k to its sums, the lower triangle of ``second`` alone; see `_whiten`."""
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
def _pass_rows(x, components, row_weights, wanted, log_density, responsibilities, sums, portion):
    """The pass over one portion of the rows, into arrays that the caller owns; see `data_pass`."""
    n_rows, n_features = x.shape
    n_components = components.means.shape[0]
    block = min(BLOCK_ROWS, max(32, BLOCK_DOUBLES // (n_components * n_features) // 8 * 8), max(n_rows, 1))
    xt = np.empty((n_features, block))
    difference = np.empty((n_features, block))
    z = np.empty((n_components, n_features, block))
    joint = np.empty((n_components, block))
    weighted = np.empty((2, block))
    highest = np.empty(block)
    scale = np.empty(block)
    block_log_density = np.empty(block)
    counts, first, second = sums.counts[portion], sums.first[portion], sums.second[portion]
    total = 0.0
    for start in range(0, n_rows, block):
        stop = min(start + block, n_rows)
        rows = stop - start
        _transpose(x[start:stop], xt)
        for k in range(n_components):
            _whiten(xt, rows, k, components, difference, z, joint)
        rows_log_density = log_density[start:stop] if wanted.log_density else block_log_density[:rows]
        rows_weights = row_weights[start:stop] if row_weights.size > 1 else row_weights
        _normalise(components.constants, rows_weights, rows_log_density, joint, highest, scale)
        if wanted.responsibilities:
            for n in range(rows):
                for k in range(n_components):
                    responsibilities[start + n, k] = joint[k, n] * scale[n]
        if wanted.sums:
            total += _total(rows_log_density, rows_weights)
            for k in range(n_components):
                _accumulate(joint, scale, k, rows, z, components.diagonal, weighted, counts, first, second)
    sums.log_likelihood[portion] = total


@jit
def _pass_portion(portion, address):
    """One portion of a pass that is described at an address, as a record of type ``PASS``."""
    task = carray(pointer(address), (1,), PASS)[0]
    n_portions, n_components, n_features = task.n_portions, task.n_components, task.n_features
    start, stop = task.n_rows * portion // n_portions, task.n_rows * (portion + 1) // n_portions
    matrix = (n_components, n_features, n_features)
    row_weights = carray(pointer(task.row_weights), (task.n_row_weights,), np.float64)
    # What is not wanted has no rows, and no address that is looked at.
    n_log_density = task.n_rows if task.log_density_wanted else 0
    n_responsibilities = task.n_rows if task.responsibilities_wanted else 0
    log_density = carray(pointer(task.log_density), (n_log_density,), np.float64)
    responsibilities = carray(pointer(task.responsibilities), (n_responsibilities, n_components), np.float64)
    sums = Sums(
        carray(pointer(task.log_likelihood), (n_portions,), np.float64),
        carray(pointer(task.counts), (n_portions, n_components), np.float64),
        carray(pointer(task.first), (n_portions, n_components, n_features), np.float64),
        carray(pointer(task.second), (n_portions, *matrix), np.float64),
    )
    # A pass that was interrupted is done again.
    sums.counts[portion], sums.first[portion], sums.second[portion] = 0.0, 0.0, 0.0
    components = Components(
        carray(pointer(task.means), (n_components, n_features), np.float64),
        carray(pointer(task.whiteners), matrix, np.float64),
        carray(pointer(task.constants), (n_components,), np.float64),
        task.diagonal != 0,
    )
    _pass_rows(
        carray(pointer(task.x), (task.n_rows, n_features), np.float64)[start:stop],
        components,
        row_weights[start:stop] if row_weights.size > 1 else row_weights,
        Wanted(task.log_density_wanted != 0, task.responsibilities_wanted != 0, task.sums_wanted != 0),
        log_density[start:stop],
        responsibilities[start:stop],
        sums,
        portion,
    )


# Compiled code calls back to Python here, by a symbol's name: cached code may hold no address of this process.
share_portions = shared_by_threads("bayesgmm_share_portions", _pass_portion)


@jit
def data_pass(x, components, row_weights, wanted, log_density, responsibilities):
    """One pass over the rows, on several threads where that pays.

    Parameters
    ----------
    x : (N, D) array
    components : Components
    row_weights : (N,) or (1,) array
        One for all rows. They enter the responsibilities too.
    wanted : Wanted
    log_density, responsibilities : (N,), (N, K) arrays
        To be filled, where they are wanted.

    Returns
    -------
    Sums
        In their first portion the sums of all rows, ``second`` symmetric; zeros where they are not wanted.
    Components
        As given: an address keeps nothing alive, so compiled code must go on naming what the threads were told of.
    """
    n_rows, n_features = x.shape
    n_components = components.means.shape[0]
    nanoseconds = n_rows * n_components * (4.0 + (0.0 if components.diagonal else 0.1) * n_features * n_features)
    n_portions = min(MAX_PORTIONS, max(1, int(nanoseconds / PORTION_NANOSECONDS)))
    sums = Sums(
        np.zeros(n_portions),
        np.zeros((n_portions, n_components)),
        np.zeros((n_portions, n_components, n_features)),
        np.zeros((n_portions, n_components, n_features, n_features)),
    )
    if n_portions == 1:
        _pass_rows(x, components, row_weights, wanted, log_density, responsibilities, sums, 0)
    else:
        tasks = np.empty(1, PASS)
        task = tasks[0]
        task.n_rows, task.n_features, task.n_components = n_rows, n_features, n_components
        task.n_portions, task.n_row_weights = n_portions, row_weights.size
        task.diagonal, task.sums_wanted = components.diagonal, wanted.sums
        task.log_density_wanted, task.responsibilities_wanted = wanted.log_density, wanted.responsibilities
        task.x, task.row_weights = x.ctypes.data, row_weights.ctypes.data
        task.means, task.whiteners = components.means.ctypes.data, components.whiteners.ctypes.data
        task.constants = components.constants.ctypes.data
        task.log_density, task.responsibilities = log_density.ctypes.data, responsibilities.ctypes.data
        task.log_likelihood, task.counts = sums.log_likelihood.ctypes.data, sums.counts.ctypes.data
        task.first, task.second = sums.first.ctypes.data, sums.second.ctypes.data
        share_portions(n_portions, tasks.ctypes.data)
    if wanted.sums:
        _add_portions(sums)
    return sums, components


@jit
def _add_portions(sums):
    """Add all portions to the first, in their order, and make its ``second`` symmetric."""
    n_portions, n_components, n_features = sums.first.shape
    for p in range(1, n_portions):
        sums.log_likelihood[0] += sums.log_likelihood[p]
        for k in range(n_components):
            sums.counts[0, k] += sums.counts[p, k]
            for i in range(n_features):
                sums.first[0, k, i] += sums.first[p, k, i]
                for j in range(i + 1):
                    sums.second[0, k, i, j] += sums.second[p, k, i, j]
    for k in range(n_components):
        for i in range(n_features):
            for j in range(i):
                sums.second[0, k, j, i] = sums.second[0, k, i, j]
