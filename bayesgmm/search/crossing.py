"""From two mixtures to one between them: some components of the one, the others of the other."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesgmm.mixture.mixture import Mixture

# Components that diverge by less (nats) are one.
ALIKE = 1e-3
# How often the components that are exchanged lie anywhere, and not side by side.
ANYWHERE = 0.5


def crossed(first: Mixture, second: Mixture, rng: np.random.Generator) -> Mixture | None:
    """The first mixture with some components of the second in the place of those most like them.

    Optima of many components differ in several places, and each is right in some of them: what is between two has as
    many components as they have, and may be right in all. None where they differ in less than two components.

    Gribel and Vidal (2019), HG-means: a scalable hybrid genetic algorithm for minimum sum-of-squares clustering,
    Pattern Recognition 88, 569-583, https://doi.org/10.1016/j.patcog.2018.12.022 (where all centres are exchanged at
    random).
    """
    cost = divergences(first, second)
    own, others = linear_sum_assignment(cost)
    unlike = np.flatnonzero(cost[own, others] > ALIKE)
    if len(unlike) < 2:
        return None
    number = int(rng.integers(1, len(unlike)))
    if rng.random() < ANYWHERE:
        chosen = rng.permutation(unlike)[:number]
    else:
        place = own[rng.choice(unlike)]
        away = first.means[own[unlike]] - first.means[place]
        distance = (away * np.linalg.solve(first.full_covariances[place], away.T).T).sum(axis=1)
        chosen = unlike[np.argsort(distance)[:number]]
    weights, means, covariances = first.weights.copy(), first.means.copy(), first.covariances.copy()
    weights[own[chosen]], means[own[chosen]] = second.weights[others[chosen]], second.means[others[chosen]]
    covariances[own[chosen]] = second.covariances[others[chosen]]
    return Mixture(weights / weights.sum(), means, covariances)


def divergences(first: Mixture, second: Mixture) -> np.ndarray:
    r"""How much is lost by taking a component of each for one, (K, K), in nats a row.

    .. math:: \tfrac12 \log|\Sigma_{ij}| - \tfrac14 \log|\Sigma_i| - \tfrac14 \log|\Sigma_j|,

    with :math:`\Sigma_{ij}` the covariance of both together, in equal parts. It is the same in all units.
    """
    one, other = first.full_covariances, second.full_covariances
    away = first.means[:, None] - second.means
    common = (one[:, None] + other) / 2 + away[..., :, None] * away[..., None, :] / 4
    log_volumes = np.linalg.slogdet(one)[1][:, None] + np.linalg.slogdet(other)[1]
    return np.linalg.slogdet(common)[1] / 2 - log_volumes / 4
