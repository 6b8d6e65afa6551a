r"""What one pass over rows leaves behind, in the units of the data: it adds up over any division of the rows."""

from typing import NamedTuple

import numpy as np


class Statistics(NamedTuple):
    r"""The log-likelihood and the expected sufficient statistics of some rows under a mixture.

    With row weights :math:`g_n`, responsibilities :math:`r_{nk}` and deviations :math:`d_{nk} = x_n - \mu_k`,

    .. math:: N_k = \sum_n g_n r_{nk}, \qquad f_k = \Sigma_k^{-1} \sum_n g_n r_{nk} d_{nk}, \qquad
              S_k = \Sigma_k^{-1} \Big(\sum_n g_n r_{nk} (d_{nk} d_{nk}^\top - \Sigma_k)\Big) \Sigma_k^{-1} .

    By Fisher's identity they are the gradient of the log-likelihood: :math:`N_k / \pi_k` by the weights, :math:`f_k` by
    the means, :math:`S_k / 2` by the covariances. So rows of which only some features are seen, or which come with
    errors of measurement, have statistics of the same shape, and the statistics of chunks, threads, patterns of missing
    values and machines are added by ``+``.

    A named tuple and not a data class because compiled code makes it.

    Attributes
    ----------
    log_likelihood : float
        Nats.
    counts : (K,) array
        :math:`N_k`, in rows.
    first : (K, D) array
        :math:`f_k`, per unit of each feature.
    second : (K, D, D) array
        :math:`S_k`, per unit of each of two features; symmetric. Of diagonal covariances the diagonal alone.
    """

    log_likelihood: float
    counts: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def __add__(self, other: "Statistics") -> "Statistics":  # type: ignore[override]
        return Statistics(
            self.log_likelihood + other.log_likelihood,
            self.counts + other.counts,
            self.first + other.first,
            self.second + other.second,
        )

    def __radd__(self, other: int) -> "Statistics":
        """0 + statistics, so that ``sum`` adds them up."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def moments(self, means: np.ndarray, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Each component's mean (K, D) and scatter about it (K, D, D), as EM's M-step takes them.

        .. math:: \bar x_k = \mu_k + \Sigma_k f_k / N_k, \qquad
                  N_k \Sigma_k + \Sigma_k S_k \Sigma_k - N_k (\bar x_k - \mu_k)(\bar x_k - \mu_k)^\top .

        Parameters
        ----------
        means, covariances : (K, D), (K, D, D) arrays
            Of the mixture that the statistics were taken under.
        """
        counts = self.counts[:, None, None]
        # A component without rows keeps its mean.
        shift = (
            np.einsum("kij,kj->ki", covariances, self.first) / np.maximum(self.counts, np.finfo(float).tiny)[:, None]
        )
        scatter = counts * covariances + covariances @ self.second @ covariances
        return means + shift, scatter - counts * shift[:, :, None] * shift[:, None, :]
