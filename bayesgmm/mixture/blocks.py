"""The arithmetic of one block of rows: whitened, normalised, summed. Its equations stand in ``kernel.py``.

Rows go in blocks, features-major inside a block, so that every inner loop runs over rows and vectorises.
"""

import math

from bayesgmm.mixture.elementary import exp, jit, jit_sum, log

# Smaller responsibilities are exactly 0: denormals would slow the sums fivefold.
LEAST = 1e-200
EXP_CUTOFF = math.log(LEAST) - 1e-6
# Beside a row's most probable component, what is too little to change its sums in float64.
NEGLIGIBLE = 1e-20
# Features whose sums take as long as picking a row out.
PICKING = 8


@jit
def transpose(x, xt):
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
def whiten(xt, rows, k, components, difference, z, squares):
    """Fill ``z[k]`` (D, rows) with the rows whitened by component k, and ``squares[k]`` with their squared norms.

    Features go two at a time, a 2 x 2 tile of the whitener to a loop: half the memory traffic of one at a time.
    """
    means, whiteners, diagonal = components.means, components.whiteners, components.diagonal
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
def shift(rows, k, shifts, z, squares):
    """As `whiten`, of rows whitened by the first component, where all covariances are equal."""
    for n in range(rows):
        squares[k, n] = 0.0
    for i in range(shifts.shape[1]):
        by = shifts[k, i]
        for n in range(rows):
            own = z[0, i, n] - by
            z[k, i, n] = own
            squares[k, n] += own * own


@jit
def normalise(constants, row_weights, log_density, joint, highest, scale):
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
            # NaN is passed on, and is not lost to a number that comes after it.
            highest[n] = highest[n] if value <= highest[n] or highest[n] != highest[n] else value
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
def weighted_sum(log_density, row_weights):
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
def share(joint, scale, k, rows, counts):
    """Turn a component's shares of a block's rows into responsibilities and count them; how many matter."""
    count, few = 0.0, 0.0
    for n in range(rows):
        few += 0.0 if joint[k, n] <= NEGLIGIBLE else 1.0  # NaN is passed on
        r = joint[k, n] * scale[n]
        joint[k, n] = r
        count += r
    counts[k] += count
    return int(few)


@jit
def pick(joint, scale, k, rows, z, picked):
    """Move the rows that component k has a part in to the front; how many they are.

    Of clusters that lie apart most rows are of one component each, and half of a pass was spent on sums of nothing.
    """
    few = 0
    for n in range(rows):
        picked[few] = n
        few += 0 if joint[k, n] <= NEGLIGIBLE * scale[n] else 1  # NaN is passed on
    for m in range(few):
        joint[k, m] = joint[k, picked[m]]
    for i in range(z.shape[1]):
        for m in range(few):
            z[k, i, m] = z[k, i, picked[m]]
    return few


@jit_sum
def accumulate(joint, k, rows, z, diagonal, weighted, first, second):
    """Add component k's rows of a block to its sums, the lower triangle of ``second`` alone; see `whiten`."""
    n_features = z.shape[1]
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
