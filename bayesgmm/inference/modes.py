r"""The posterior's distinct modes, and how much of the posterior each of them holds.

A sampler started at one mode does not see another. So each mode that the starts found gets a Gaussian, matched to the
density of the unconstrained parameters q, and its share of the posterior two ways: at once, by that Gaussian's own
volume (Laplace), and where it matters by importance sampling from all of them, which needs no shape to be Gaussian:

.. math:: Z_m = \mathrm{E}_{q \sim N_m}\!\left[ \frac{p(x, q)}{\sum_j N_j(q)} \right].

The sum of the Z is the posterior's mass near any of the modes, also where some of the Gaussians overlap.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from bayesgmm.inference.basis import principal_axes
from bayesgmm.inference.em import Mixture
from bayesgmm.inference.laplace import negative_hessian, precision_cholesky
from bayesgmm.inference.log_posterior import LogPosterior
from bayesgmm.inference.optimum import climb, same_mixture
from bayesgmm.inference.parameters import mixture_of
from bayesgmm.model.build import MixtureFacts

# A mode that holds less of the posterior than this is not worth a chain.
NEGLIGIBLE_SHARE = 0.01
IMPORTANCE_DRAWS = 2_000


@dataclass(frozen=True)
class Mode:
    """One mode of the density of q, and the Gaussian matched to it.

    ``axes`` (P, P) map standard normal u to q = ``q`` + axes u; ``log_mass`` is the log of the Gaussian's integral,
    NaN where the density is not curved downwards in every direction.
    """

    q: np.ndarray
    axes: np.ndarray
    log_mass: float


def mode_near(target: LogPosterior, q: np.ndarray, scales: np.ndarray) -> Mode:
    """The mode of the density of q, Jacobian included, above a point."""
    top = climb(target, q, scales, jacobian=1.0)
    hessian = negative_hessian(target, top.q, scales, 1.0)
    factor = precision_cholesky(hessian, scales)
    log_mass = np.nan
    if factor is not None:
        half_log_volume = 0.5 * q.size * np.log(2 * np.pi) - np.log(np.diag(factor)).sum() + np.log(scales).sum()
        log_mass = top.log_posterior + half_log_volume
    return Mode(top.q, principal_axes(hessian, scales), float(log_mass))


def distinct_modes(
    target: LogPosterior,
    facts: MixtureFacts,
    optima: Iterable[np.ndarray],
    scales: np.ndarray,
    feature_scales: np.ndarray,
) -> list[Mode]:
    """The modes above several optima (best first), each once up to the order of its components."""
    modes: list[Mode] = []
    mixtures: list[Mixture] = []
    for q in optima:
        mode = mode_near(target, q, scales)
        mixture = mixture_of(target.constrain(mode.q), facts)
        if not any(same_mixture(mixture, other, feature_scales) for other in mixtures):
            modes.append(mode)
            mixtures.append(mixture)
    return modes


def shares(modes: list[Mode]) -> np.ndarray:
    """Each mode's share of the posterior by its Gaussian's volume, (M,); NaN where it has none."""
    log_mass = np.array([mode.log_mass for mode in modes])
    known = np.isfinite(log_mass)
    share = np.full(len(modes), np.nan)
    if known.any():
        share[known] = softmax(log_mass[known])
    return share


def others_that_matter(share: np.ndarray) -> list[float]:
    """The shares of the modes after the first that are not negligible, or not known."""
    return [float(s) for s in share[1:] if not s < NEGLIGIBLE_SHARE]


def in_words(share: Iterable[float]) -> str:
    """Shares as percentages."""
    return ", ".join("an unknown share" if np.isnan(s) else f"{s:.0%}" for s in share)


def importance_shares(
    target: LogPosterior, modes: list[Mode], rng: np.random.Generator, draws: int = IMPORTANCE_DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Each mode's share by Pareto-smoothed importance sampling, (M,), and its Pareto shape k, (M,).

    A shape above 0.7 says that the share is not to be relied on (Vehtari, Simpson, Gelman, Yao and Gabry 2024).
    """
    from arviz_stats.base import array_stats

    inverses = [np.linalg.inv(mode.axes) for mode in modes]
    log_volumes = [np.linalg.slogdet(mode.axes)[1] for mode in modes]

    def log_proposal(q: np.ndarray) -> np.ndarray:
        terms = [
            -0.5 * (((q - mode.q) @ inverse.T) ** 2).sum(axis=1) - log_volume - 0.5 * mode.q.size * np.log(2 * np.pi)
            for mode, inverse, log_volume in zip(modes, inverses, log_volumes, strict=True)
        ]
        return np.asarray(logsumexp(terms, axis=0))

    log_mass, shape = np.empty(len(modes)), np.empty(len(modes))
    for m, mode in enumerate(modes):
        q = mode.q + rng.standard_normal((draws, mode.q.size)) @ mode.axes.T
        density = np.array([target(row, 1.0)[0] for row in q])
        ratio = np.where(np.isfinite(density), density, -np.inf) - log_proposal(q)
        # ArviZ takes the negative of the log weights, and gives them back normalised.
        smoothed, shape[m] = array_stats.psislw(-ratio, r_eff=1.0)
        log_mass[m] = logsumexp(_unnormalised(ratio, smoothed)) - np.log(draws)
    return softmax(log_mass), shape


def _unnormalised(ratio: np.ndarray, smoothed: np.ndarray) -> np.ndarray:
    """Smoothed log weights on the scale of the plain ones: below the tail, smoothing only shifts them."""
    middle = np.argsort(ratio)[len(ratio) // 2]
    return smoothed - smoothed[middle] + ratio[middle]


def chains_per_mode(share: np.ndarray, chains: int) -> np.ndarray:
    """How many chains start at each mode: one at least for those not negligible while there are chains, then by share.

    A mode whose share is unknown counts as one that matters.
    """
    counts = np.zeros(len(share), dtype=np.int64)
    kept = np.flatnonzero(~(share < NEGLIGIBLE_SHARE))
    known = np.nan_to_num(share, nan=0.0)
    kept = kept[np.argsort(-np.nan_to_num(share[kept], nan=1.0), kind="stable")][:chains]
    counts[kept] = 1
    for _ in range(chains - len(kept)):
        counts[kept[np.argmax(known[kept] / (counts[kept] + 0.5))]] += 1
    return counts
