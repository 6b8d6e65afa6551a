r"""The pass over rows of which not all is seen: a pass over every group of rows of which the same is seen.

Of a row whose features O were seen, with errors of measurement :math:`E_n` if they are known, and whose component may
be known to be one of C,

.. math:: p(x_O) = \sum_{k \in C} \pi_k\, N(x_O \mid \mu_{k,O}, \Sigma_{k,OO} + E_{n,OO})
          + \frac{s}{|B_O|} 1\{x_O \in B_O\},

the density of a mixture of fewer features or components. The derivatives by the means and covariances of that are those
by entries of the whole's, so that its statistics, with zeros for what was not seen, add up with those of other rows
(:class:`bayesgmm.mixture.statistics.Statistics`). The last term are rows of no component, a share s of all, uniform
over a box B; a row of a known component is none of them. Weights are of all rows: they add up to 1 - s.

Rows come with an ``order`` (N,) in which rows of one pattern stand side by side. Any order gives the same result, to
rounding; one that is no order of the rows at all is not used. ``labels`` (N,) are -1 where a component is not known.
``errors`` are (N, D, D), or (1, 0, 0) where there are none.
"""

import math

import numpy as np

from bayesgmm.mixture import errors as measured, kernel
from bayesgmm.mixture.elementary import jit
from bayesgmm.mixture.statistics import Statistics


@jit
def _alike(x, labels, a, b):
    """Whether the same is seen of two rows."""
    alike = labels[a] == labels[b]
    for j in range(x.shape[1]):
        alike &= math.isnan(x[a, j]) == math.isnan(x[b, j])
    return alike


@jit
def groups(x, order, labels):
    """The rows, in an order, and the places in it at which another group begins, and its end: (N,), (G + 1,)."""
    n_rows = x.shape[0]
    # PyMC keeps whole numbers in 32 bits.
    rows = order.astype(np.int64) if order.size == n_rows else np.arange(n_rows)
    starts = np.empty(n_rows + 1, dtype=np.int64)
    n_groups = 0
    for i in range(n_rows):
        if i == 0 or not _alike(x, labels, rows[i - 1], rows[i]):
            starts[n_groups] = i
            n_groups += 1
    starts[n_groups] = n_rows
    return rows, starts[: n_groups + 1]


@jit
def seen_of(x, row):
    """The features of a row that were seen, (d,)."""
    seen = np.empty(x.shape[1], dtype=np.int64)
    n_seen = 0
    for j in range(x.shape[1]):
        if not math.isnan(x[row, j]):
            seen[n_seen] = j
            n_seen += 1
    return seen[:n_seen]


@jit
def _marginal(seen, label, weights, means, covariances):
    """The mixture of some features and of one or all components, and the first of these."""
    first, n_components = (label, 1) if label >= 0 else (0, weights.size)
    part_means = np.empty((n_components, seen.size))
    part_covariances = np.empty((n_components, seen.size, seen.size))
    for k in range(n_components):
        for a in range(seen.size):
            part_means[k, a] = means[first + k, seen[a]]
            for b in range(seen.size):
                part_covariances[k, a, b] = covariances[first + k, seen[a], seen[b]]
    return first, weights[first : first + n_components].copy(), part_means, part_covariances


@jit
def _gathered(x, rows, seen):
    """Some features of some rows, (n, d)."""
    block = np.empty((rows.size, seen.size))
    for i in range(rows.size):
        for a in range(seen.size):
            block[i, a] = x[rows[i], seen[a]]
    return block


@jit
def _log_noise(block, seen, label, share, low, high, log_noise):
    """Fill ``log_noise`` (n,) with the log-density of rows as noise; that inside the box, -inf where none may be."""
    if label >= 0 or not share > 0.0:
        return -math.inf
    level = math.log(share)
    for a in range(seen.size):
        level -= math.log(high[seen[a]] - low[seen[a]])
    for i in range(block.shape[0]):
        inside = True
        for a in range(seen.size):
            inside &= low[seen[a]] <= block[i, a] <= high[seen[a]]
        log_noise[i] = level if inside else -math.inf
    return level


@jit
def _add_noise(log_density, log_noise):
    """Add noise to log-densities (n,) in place, and leave in ``log_noise`` the part that is not noise."""
    for i in range(log_density.size):
        highest = max(log_density[i], log_noise[i])
        if highest == -math.inf:
            log_noise[i] = 1.0
            continue
        total = highest + math.log(math.exp(log_density[i] - highest) + math.exp(log_noise[i] - highest))
        log_noise[i] = math.exp(log_density[i] - total)
        log_density[i] = total


@jit
def responsibilities(x, order, labels, errors, share, low, high, weights, means, covariances, diagonal):
    """Log-density of every row's seen features, (N,), and its probability of every component, (N, K).

    New rows may be outside the box. The density there is the components' alone, as it integrates to 1; but a row that
    is far from all of them is as little of one there as inside, so probabilities are as if noise went on.
    """
    log_density = np.empty(x.shape[0])
    probability = np.zeros((x.shape[0], weights.size))
    order, starts = groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        label, seen = labels[rows[0]], seen_of(x, rows[0])
        first, part, part_means, part_covariances = _marginal(seen, label, weights, means, covariances)
        block = _gathered(x, rows, seen)
        own, shares = np.empty(rows.size), np.empty((rows.size, part.size))
        if seen.size == 0:
            own[:] = math.log(part.sum())
            for k in range(part.size):
                shares[:, k] = part[k] / part.sum()
        elif errors.size > 0:
            measured.data_pass(block, errors, rows, seen, part, part_means, part_covariances, np.ones(1), own, shares)
        else:
            own, shares = kernel.responsibilities(block, part, part_means, part_covariances, diagonal)
        rest = np.ones(rows.size)
        level = _log_noise(block, seen, label, share, low, high, rest)
        if level > -math.inf:
            alone = own.copy()
            _add_noise(own, rest)
            for i in range(rows.size):
                rest[i] = 1.0 / (1.0 + math.exp(level - alone[i]))
        for i in range(rows.size):
            log_density[rows[i]] = own[i]
            for k in range(part.size):
                probability[rows[i], first + k] = shares[i, k] * rest[i]
    return log_density, probability


@jit
def responsibilities_of_draws(x, order, labels, errors, share, low, high, weights, means, covariances, diagonal):
    """Every row's probability of every component under S mixtures, (S, N, K); the parameters have a first axis S."""
    probability = np.empty((weights.shape[0], x.shape[0], weights.shape[1]))
    for s in range(weights.shape[0]):
        probability[s] = responsibilities(
            x, order, labels, errors, share[s], low, high, weights[s], means[s], covariances[s], diagonal
        )[1]
    return probability


@jit
def statistics(x, order, labels, errors, share, low, high, weights, means, covariances, diagonal, row_weights):
    """The statistics of some rows; ``row_weights`` are N, or one for all rows.

    Rows that may be noise are passed twice: their part that is none is what they count for.
    """
    n_components, n_features = means.shape
    log_likelihood = 0.0
    counts, first_moments = np.zeros(n_components), np.zeros((n_components, n_features))
    second_moments = np.zeros((n_components, n_features, n_features))
    order, starts = groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        own_weights = row_weights
        if row_weights.size > 1:
            own_weights = np.empty(rows.size)
            for i in range(rows.size):
                own_weights[i] = row_weights[rows[i]]
        label, seen = labels[rows[0]], seen_of(x, rows[0])
        first, part, part_means, part_covariances = _marginal(seen, label, weights, means, covariances)
        if seen.size == 0:
            n = own_weights.sum() if row_weights.size > 1 else rows.size * row_weights[0]
            total = part.sum() + (share if label < 0 else 0.0)
            log_likelihood += n * math.log(total)
            for k in range(part.size):
                counts[first + k] += n * part[k] / total
            continue
        block = _gathered(x, rows, seen)
        log_density, nothing = np.empty(rows.size), np.empty((0, 0))
        rest = np.empty(rows.size)
        noisy = _log_noise(block, seen, label, share, low, high, rest) > -math.inf
        if noisy:
            if errors.size > 0:
                measured.data_pass(
                    block, errors, rows, seen, part, part_means, part_covariances, own_weights, log_density, nothing
                )
            else:
                log_density = kernel.log_density(block, part, part_means, part_covariances, diagonal)
            _add_noise(log_density, rest)
            for i in range(rows.size):
                weight = own_weights[i] if own_weights.size > 1 else own_weights[0]
                log_likelihood += weight * log_density[i]
                rest[i] *= weight
            own_weights = rest
        if errors.size > 0:
            own = measured.data_pass(
                block, errors, rows, seen, part, part_means, part_covariances, own_weights, log_density, nothing
            )
        else:
            own = kernel.statistics(block, part, part_means, part_covariances, diagonal, own_weights)
        if not noisy:
            log_likelihood += own.log_likelihood
        for k in range(part.size):
            counts[first + k] += own.counts[k]
            for a in range(seen.size):
                first_moments[first + k, seen[a]] += own.first[k, a]
                for b in range(seen.size):
                    if a == b or not diagonal:
                        second_moments[first + k, seen[a], seen[b]] += own.second[k, a, b]
    return Statistics(log_likelihood, counts, first_moments, second_moments)


@jit
def gradient(x, order, labels, errors, share, low, high, weights, means, covariances, diagonal, row_weights):
    """As `kernel.gradient`, and the derivative by the share of noise."""
    own = statistics(x, order, labels, errors, share, low, high, weights, means, covariances, diagonal, row_weights)
    total, d_weights, d_means, d_covariances = kernel.slopes(own, weights)
    n = row_weights.sum() if row_weights.size > 1 else x.shape[0] * row_weights[0]
    d_share = (n - own.counts.sum()) / share if share > 0.0 else 0.0
    return total, d_weights, d_means, d_covariances, d_share
