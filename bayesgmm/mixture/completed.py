r"""What rows are where nothing was measured, or where it was measured with errors, given what was.

Of a row of component k, the seen features :math:`y = x_O + e` with errors :math:`e \sim N(0, E)` and all features x are
normal together,

.. math:: \begin{pmatrix} y \\ x \end{pmatrix} \sim N\left( \begin{pmatrix} \mu_O \\ \mu \end{pmatrix},
          \begin{pmatrix} \Sigma_{OO} + E & \Sigma_{O\cdot} \\ \Sigma_{\cdot O} & \Sigma \end{pmatrix} \right),

and with the Cholesky factor L of that matrix y gives the first :math:`z_i` by forward substitution, after which
:math:`x = \mu + \sum_j L_{\cdot j} z_j` with noise, or zeros, for the other z.
"""

import math

import numpy as np

from bayesgmm.mixture.elementary import jit
from bayesgmm.mixture.patterns import groups, seen_of

# A pivot less than this part of its variance is nothing: without errors x repeats y.
NOTHING = 1e-12


@jit
def _joint_factor(seen, covariance, error, factor):
    """Fill ``factor`` (d + D, d + D) with the Cholesky factor of the seen features and all features."""
    n_seen, n_features = seen.size, covariance.shape[0]
    for i in range(n_seen + n_features):
        a = seen[i] if i < n_seen else i - n_seen
        for j in range(i + 1):
            b = seen[j] if j < n_seen else j - n_seen
            s = covariance[a, b]
            if i < n_seen and error.size > 0:
                s += error[a, b]
            for m in range(j):
                s -= factor[i, m] * factor[j, m]
            if i == j:
                factor[i, i] = math.sqrt(s) if s > NOTHING * covariance[a, a] else 0.0
            else:
                factor[i, j] = s / factor[j, j] if factor[j, j] > 0.0 else 0.0


@jit
def _joint_factors(seen, covariances):
    """The factors of every component, of rows without errors, (K, d + D, d + D)."""
    length = seen.size + covariances.shape[1]
    factors = np.zeros((covariances.shape[0], length, length))
    for k in range(covariances.shape[0]):
        _joint_factor(seen, covariances[k], np.empty((0, 0)), factors[k])
    return factors


@jit
def _row(y, seen, mean, factor, z, row):
    """Fill ``row`` (D,) with the features of a row, of which ``y`` (d,) was seen; ``z`` (d + D,) has noise beyond d."""
    n_seen = seen.size
    for i in range(n_seen + mean.size):
        s = 0.0
        for j in range(i):
            s += factor[i, j] * z[j]
        if i < n_seen:
            z[i] = (y[i] - mean[seen[i]] - s) / factor[i, i]
        else:
            row[i - n_seen] = mean[i - n_seen] + s + factor[i, i] * z[i]


@jit
def draw(rng, x, order, labels, errors, responsibilities, means, covariances):
    """All features of rows (N, D), drawn given what was seen of them, from a component that is drawn too.

    A row that is of no component, as noise is, is what was seen of it; what was not is drawn as if it were of one.
    """
    n_components, n_features = means.shape
    drawn = x.copy()
    row = np.empty(n_features)
    order, starts = groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        seen = seen_of(x, rows[0])
        if seen.size == n_features and errors.size == 0:
            continue
        length = seen.size + n_features
        factors = _joint_factors(seen, covariances)
        for n in rows:
            total = responsibilities[n].sum()
            noise = rng.random() >= total
            u, k = rng.random() * total, 0
            while k < n_components - 1 and u >= responsibilities[n, k]:
                u -= responsibilities[n, k]
                k += 1
            if errors.size > 0:
                _joint_factor(seen, covariances[k], errors[n], factors[k])
            _row(x[n][seen], seen, means[k], factors[k], rng.normal(0.0, 1.0, length), row)
            for j in range(n_features):
                if math.isnan(x[n, j]) or (errors.size > 0 and not noise):
                    drawn[n, j] = row[j]
    return drawn


@jit
def expect(x, order, labels, errors, responsibilities, means, covariances):
    """What is expected of all features of rows (N, D), given what was seen of them."""
    n_components, n_features = means.shape
    expected = x.copy()
    row, mean = np.empty(n_features), np.empty(n_features)
    order, starts = groups(x, order, labels)
    for g in range(starts.size - 1):
        rows = order[starts[g] : starts[g + 1]]
        seen = seen_of(x, rows[0])
        if seen.size == n_features and errors.size == 0:
            continue
        length = seen.size + n_features
        factors = _joint_factors(seen, covariances)
        for n in rows:
            total = responsibilities[n].sum()
            mean[:] = 0.0
            for k in range(n_components):
                if errors.size > 0:
                    _joint_factor(seen, covariances[k], errors[n], factors[k])
                _row(x[n][seen], seen, means[k], factors[k], np.zeros(length), row)
                share = responsibilities[n, k] / total if total > 0.0 else 1.0 / n_components
                for j in range(n_features):
                    mean[j] += share * row[j]
            for j in range(n_features):
                if math.isnan(x[n, j]):
                    expected[n, j] = mean[j]
                elif errors.size > 0:
                    expected[n, j] = total * mean[j] + (1.0 - total) * x[n, j]
    return expected
