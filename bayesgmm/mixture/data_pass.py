"""The pass itself: rows in blocks, blocks in portions, portions on threads. Its equations stand in ``kernel.py``."""

from typing import NamedTuple

import numpy as np
from numba import carray, cfunc, types

from bayesgmm.mixture.blocks import PICKING, accumulate, normalise, pick, share, shift, transpose, weighted_sum, whiten
from bayesgmm.mixture.components import Components
from bayesgmm.mixture.elementary import OPTIONS, jit
from bayesgmm.mixture.threads import named, pointer, shared_by_threads

# Rows of a block at most.
BLOCK_ROWS = 256
# A block's whitened rows should stay in the second-level cache: fewer rows a block when K x D is large.
BLOCK_DOUBLES = 32_768
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


# A pass as it is handed to what does a portion, which takes one address: lengths, flags, and the arrays' addresses.
PASS = np.dtype(
    [
        (name, np.int64)
        for name in (
            "n_rows", "n_features", "n_components", "n_portions", "n_row_weights", "n_shifts",
            "diagonal", "log_density_wanted", "responsibilities_wanted", "sums_wanted",
            "x", "means", "whiteners", "constants", "shifts", "row_weights", "log_density", "responsibilities",
            "log_likelihood", "counts", "first", "second",
        )
    ]
)  # fmt: skip


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
    picked = np.empty(block, dtype=np.int64)
    block_log_density = np.empty(block)
    counts, first, second = sums.counts[portion], sums.first[portion], sums.second[portion]
    total = 0.0
    for start in range(0, n_rows, block):
        stop = min(start + block, n_rows)
        rows = stop - start
        transpose(x[start:stop], xt)
        for k in range(n_components):
            if k == 0 or components.shifts.shape[0] == 0:
                whiten(xt, rows, k, components, difference, z, joint)
            else:
                shift(rows, k, components.shifts, z, joint)
        rows_log_density = log_density[start:stop] if wanted.log_density else block_log_density[:rows]
        rows_weights = row_weights[start:stop] if row_weights.size > 1 else row_weights
        normalise(components.constants, rows_weights, rows_log_density, joint, highest, scale)
        if wanted.responsibilities:
            for n in range(rows):
                for k in range(n_components):
                    responsibilities[start + n, k] = joint[k, n] * scale[n]
        if wanted.sums:
            total += weighted_sum(rows_log_density, rows_weights)
            for k in range(n_components):
                few = share(joint, scale, k, rows, counts)
                summed = rows
                if not components.diagonal and few * (n_features + PICKING) < rows * n_features:
                    summed = pick(joint, scale, k, rows, z, picked)
                accumulate(joint, k, summed, z, components.diagonal, weighted, first, second)
    sums.log_likelihood[portion] = total


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
        carray(pointer(task.shifts), (task.n_shifts, n_features), np.float64),
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


# What does a portion is compiled once, and called by a symbol's name: cached code may hold no address of this process.
# Linked into its callers it was optimised anew in each of them: `responsibilities` took 2.3 s to compile and takes 0.6,
# and the first `find_MAP` in an empty cache took 7.9 s after its graph was compiled and takes 0.8.
_portion = cfunc(types.void(types.int64, types.int64), cache=True, **OPTIONS)(_pass_portion)
pass_portion = named("bayesgmm_pass_portion", _portion.address)
# Compiled code calls back to Python here.
share_portions = shared_by_threads("bayesgmm_share_portions", _portion.ctypes)


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
    rows, weights = np.ascontiguousarray(x), np.ascontiguousarray(row_weights)
    tasks = np.empty(1, PASS)
    task = tasks[0]
    task.n_rows, task.n_features, task.n_components = n_rows, n_features, n_components
    task.n_portions, task.n_row_weights = n_portions, row_weights.size
    task.diagonal, task.sums_wanted = components.diagonal, wanted.sums
    task.log_density_wanted, task.responsibilities_wanted = wanted.log_density, wanted.responsibilities
    task.x, task.row_weights = rows.ctypes.data, weights.ctypes.data
    task.means, task.whiteners = components.means.ctypes.data, components.whiteners.ctypes.data
    task.constants, task.n_shifts = components.constants.ctypes.data, components.shifts.shape[0]
    task.shifts = components.shifts.ctypes.data
    task.log_density, task.responsibilities = log_density.ctypes.data, responsibilities.ctypes.data
    task.log_likelihood, task.counts = sums.log_likelihood.ctypes.data, sums.counts.ctypes.data
    task.first, task.second = sums.first.ctypes.data, sums.second.ctypes.data
    if n_portions == 1:
        pass_portion(0, tasks.ctypes.data)
    else:
        share_portions(n_portions, tasks.ctypes.data)
    _alive(tasks, rows, weights)
    if wanted.sums:
        _add_portions(sums)
    return sums, components


@jit
def _alive(tasks, rows, weights):
    """Nothing: an address keeps nothing alive, and a compiled function gives up an array after it was last named."""


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
