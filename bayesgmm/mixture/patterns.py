r"""The pass over rows of which not all is seen: a pass over every group of rows of which the same is seen.

Of a row whose features O were seen, and whose component may be known to be one of C,

.. math:: p(x_O) = \sum_{k \in C} \pi_k\, N(x_O \mid \mu_{k,O}, \Sigma_{k,OO}),

which is the density of a mixture of fewer features or components: its marginal over what was not seen. The derivatives
by the means and covariances of that are those by entries of the whole's, so that its statistics, with zeros for what
was not seen, add up with those of other rows (:class:`bayesgmm.mixture.statistics.Statistics`).

Rows come with an ``order`` (N,) in which rows of one pattern stand side by side. Any order gives the same result, to
rounding; one that is no order of the rows at all is not used. ``labels`` (N,) are -1 where a component is not known.
"""

import math

import numpy as np

from bayesgmm.mixture import kernel
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
def _groups(x, order, labels):
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
def _seen(x, row):
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
def responsibilities(x, order, labels, weights, means, covariances, diagonal):
    """Log-density of every row's seen features, (N,), and its probability of every component, (N, K)."""
    log_density = np.empty(x.shape[0])
    probability = np.zeros((x.shape[0], weights.size))
    order, starts = _groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        seen = _seen(x, rows[0])
        first, part, part_means, part_covariances = _marginal(seen, labels[rows[0]], weights, means, covariances)
        if seen.size == 0:
            total = part.sum()
            for n in rows:
                log_density[n] = math.log(total)
                for k in range(part.size):
                    probability[n, first + k] = part[k] / total
            continue
        own, shares = kernel.responsibilities(_gathered(x, rows, seen), part, part_means, part_covariances, diagonal)
        for i in range(rows.size):
            log_density[rows[i]] = own[i]
            for k in range(part.size):
                probability[rows[i], first + k] = shares[i, k]
    return log_density, probability


@jit
def responsibilities_of_draws(x, order, labels, weights, means, covariances, diagonal):
    """Every row's probability of every component under S mixtures, (S, N, K); the parameters have a first axis S."""
    probability = np.empty((weights.shape[0], x.shape[0], weights.shape[1]))
    for s in range(weights.shape[0]):
        probability[s] = responsibilities(x, order, labels, weights[s], means[s], covariances[s], diagonal)[1]
    return probability


@jit
def statistics(x, order, labels, weights, means, covariances, diagonal, row_weights):
    """The statistics of some rows; ``row_weights`` are N, or one for all rows."""
    n_components, n_features = means.shape
    log_likelihood = 0.0
    counts, first_moments = np.zeros(n_components), np.zeros((n_components, n_features))
    second_moments = np.zeros((n_components, n_features, n_features))
    order, starts = _groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        seen = _seen(x, rows[0])
        own_weights = row_weights
        if row_weights.size > 1:
            own_weights = np.empty(rows.size)
            for i in range(rows.size):
                own_weights[i] = row_weights[rows[i]]
        first, part, part_means, part_covariances = _marginal(seen, labels[rows[0]], weights, means, covariances)
        if seen.size == 0:
            n = own_weights.sum() if row_weights.size > 1 else rows.size * row_weights[0]
            log_likelihood += n * math.log(part.sum())
            for k in range(part.size):
                counts[first + k] += n * part[k] / part.sum()
            continue
        own = kernel.statistics(
            _gathered(x, rows, seen), part, part_means, part_covariances, diagonal, own_weights
        )  # fmt: skip
        log_likelihood += own.log_likelihood
        for k in range(part.size):
            counts[first + k] += own.counts[k]
            for a in range(seen.size):
                first_moments[first + k, seen[a]] += own.first[k, a]
                for b in range(seen.size):
                    second_moments[first + k, seen[a], seen[b]] += own.second[k, a, b]
    return Statistics(log_likelihood, counts, first_moments, second_moments)


@jit
def gradient(x, order, labels, weights, means, covariances, diagonal, row_weights):
    """As `kernel.gradient`."""
    own = statistics(x, order, labels, weights, means, covariances, diagonal, row_weights)
    return kernel.slopes(own, weights)


@jit
def _factor(axes, covariance, factor):
    """Fill ``factor`` (D, D) with the Cholesky factor of a covariance of which the features are in another order."""
    for i in range(axes.size):
        for j in range(i + 1):
            s = covariance[axes[i], axes[j]]
            for m in range(j):
                s -= factor[i, m] * factor[j, m]
            factor[i, j] = math.sqrt(s) if i == j else s / factor[j, j]


@jit
def _seen_first(x, row):
    """The features, those of a row that were seen before the others, (D,), and how many these are."""
    axes = np.empty(x.shape[1], dtype=np.int64)
    seen = _seen(x, row)
    axes[: seen.size] = seen
    at = seen.size
    for j in range(x.shape[1]):
        if math.isnan(x[row, j]):
            axes[at] = j
            at += 1
    return axes, seen.size


@jit
def _completed(x, n, axes, n_seen, mean, factor, z, row):
    """Fill ``row`` (D,), in the order of the axes, with what a normal distribution makes of a row.

    With the Cholesky factor L of the features in that order, seen ones give :math:`z_i` by forward substitution, and
    what was not seen is :math:`\\mu_i + \\sum_j L_{ij} z_j` with the noise that stands in ``z`` (D,) beyond them.
    """
    for i in range(axes.size):
        s = 0.0
        for j in range(i):
            s += factor[i, j] * z[j]
        if i < n_seen:
            row[i] = x[n, axes[i]]
            z[i] = (row[i] - mean[axes[i]] - s) / factor[i, i]
        else:
            row[i] = mean[axes[i]] + s + factor[i, i] * z[i]


@jit
def draw_unseen(rng, x, order, labels, responsibilities, means, covariances):
    """Rows (N, D) in which what was not seen is drawn, given what was, from a component that is drawn too."""
    n_components, n_features = means.shape
    filled = x.copy()
    factors = np.zeros((n_components, n_features, n_features))
    row = np.empty(n_features)
    order, starts = _groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        axes, n_seen = _seen_first(x, rows[0])
        if n_seen == n_features:
            continue
        for k in range(n_components):
            _factor(axes, covariances[k], factors[k])
        for n in rows:
            u, k = rng.random() * responsibilities[n].sum(), 0
            while k < n_components - 1 and u >= responsibilities[n, k]:
                u -= responsibilities[n, k]
                k += 1
            _completed(x, n, axes, n_seen, means[k], factors[k], rng.normal(0.0, 1.0, n_features), row)
            for i in range(n_seen, n_features):
                filled[n, axes[i]] = row[i]
    return filled


@jit
def expect_unseen(x, order, labels, responsibilities, means, covariances):
    """Rows (N, D) in which what was not seen is what the rest of the row lets expect."""
    n_components, n_features = means.shape
    filled = x.copy()
    factor = np.zeros((n_features, n_features))
    row = np.empty(n_features)
    order, starts = _groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        axes, n_seen = _seen_first(x, rows[0])
        for k in range(n_components if n_seen < n_features else 0):
            _factor(axes, covariances[k], factor)
            for n in rows:
                _completed(x, n, axes, n_seen, means[k], factor, np.zeros(n_features), row)
                for i in range(n_seen, n_features):
                    so_far = filled[n, axes[i]] if k > 0 else 0.0
                    filled[n, axes[i]] = so_far + responsibilities[n, k] * row[i]
    return filled
