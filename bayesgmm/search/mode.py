r"""The posterior's distinct modes, and how much of the posterior each of them holds.

A sampler started at one mode does not see another. So each mode that the starts found gets a Gaussian, matched to the
density of the unconstrained parameters q. Its volume is the evidence of that mode by Laplace's method,

.. math:: \log Z_m = \log p(x, \hat q_m) + \tfrac{P}{2} \log 2\pi - \tfrac12 \log|H_m| + \log K!,

the last because each mode is there once for every order of the components; where the priors tell components apart, for
every order in which the density is the same (stick-breaking weights are sampled in any order). The mode's share of the
posterior follows at once, and where it matters by importance sampling from all the Gaussians, which needs no shape to
be Gaussian:

.. math:: Z_m = \mathrm{E}_{q \sim N_m}\!\left[ \frac{p(x, q)}{\sum_j N_j(q)} \right].

The sum of the Z is the posterior's mass near any of the modes, also where some of the Gaussians overlap.

Kass and Raftery (1995), Bayes factors, JASA 90, 773-795, https://doi.org/10.1080/01621459.1995.10476572 (Laplace).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, solve_triangular
from scipy.sparse.linalg import splu
from scipy.special import logsumexp, softmax

from bayesgmm.graph.axes import MANY, sampling_axes
from bayesgmm.graph.compiled import LogDensity
from bayesgmm.graph.in_axes import ModeAxes
from bayesgmm.graph.roots import Roots
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.threads import all_for_matrices
from bayesgmm.record.provenance import NEGLIGIBLE_SHARE
from bayesgmm.search.climb import VERY_MANY, climb
from bayesgmm.search.curvature import mixture_term, negative_hessian, precision_cholesky
from bayesgmm.search.low_rank import nearly_round
from bayesgmm.search.problem import Problem

IMPORTANCE_DRAWS = 2_000
# Fewer where the density is finite show no tail.
LEAST_DRAWS = 25
# Mixtures that agree to this in weights, log scales and means, these in units of the scales, are one.
SAME_PARAMETERS = 2e-2
# Of what is roughly so many nats below the best only the rough evidence is known. On breast cancer (569 x 30, K = 2) it
# is the exact one to 1.5 nats, and on wine to 0.4 but for an optimum 41 nats below the best.
ROUGHLY_NOTHING = 9.0


@dataclass(frozen=True, eq=False)
class Mode:
    """One mode of a problem's density of q, Jacobian included, and the Gaussian matched to it.

    Attributes
    ----------
    problem : Problem
    q : (P,) array
    log_density : float
    """

    problem: Problem
    q: np.ndarray = field(repr=False)
    log_density: float

    @classmethod
    def near(cls, problem: Problem, q: np.ndarray) -> "Mode":
        """The mode above a point."""
        density = problem.sampling_density
        top = climb(density, q, problem.scales, roots=problem.roots, round_axes=problem.round_axes)
        return cls(problem, top.q, top.log_posterior)

    @cached_property
    def roots(self) -> Roots:
        """What covariances are seen from: those at the mode, from themselves."""
        return self.problem.roots(self.q)

    @cached_property
    def hessian(self) -> np.ndarray:
        """Minus the second derivatives by z there, (P, P)."""
        density = self.problem.sampling_density
        return self.roots.curvature(negative_hessian(density, self.q, self.problem.scales), density(self.q)[1])

    @cached_property
    def factor(self) -> np.ndarray | None:
        """Cholesky factor (P, P) of the precision in units of the problem's scales.

        None where the density is not curved downwards in every direction.
        """
        return precision_cholesky(self.hessian, self.problem.scales)

    @cached_property
    def log_evidence(self) -> float:
        """The log of the density's integral near the mode, over all orders of components that are alike.

        NaN where it is not curved downwards in every direction.
        """
        if self.factor is None:
            return np.nan
        log_volume = np.log(self.problem.scales).sum() - np.log(np.diag(self.factor)).sum()
        return float(
            self.log_density + self.q.size / 2 * np.log(2 * np.pi) + log_volume + self.problem.log_orders(self.q)
        )

    @cached_property
    def with_axes(self) -> ModeAxes:
        """The mode with the axes that a sampler takes, which take a second: modes that no chain starts at have none."""
        problem, roots, means = self.problem, self.roots, self.problem.non_centred(self.q)
        try:
            known = problem.round_axes(self.q) if self.q.size > MANY else None
        except LinAlgError:  # a covariance is hardly positive definite, as where rows are fewer than features
            known = None
        if known is not None:
            known = sparse.csr_array(means.from_q(self.q) @ known)
            density = roots.seen(means.seen(problem.sampling_density))
            axes, are_round = nearly_round(density, roots.there(means.there(self.q)), known)
            if are_round or self.q.size > VERY_MANY:
                return ModeAxes(self.q, roots, axes, means)
        # By q the slopes are 0 there, so that how the coordinates bend has no part; the log volume is linear.
        to_q = means.to_q(self.q)
        hessian, scales = to_q.T @ (to_q.T @ self.hessian.T).T, problem.scales.copy()
        scales[means.means] = 1.0
        return ModeAxes(self.q, roots, sampling_axes(hessian, scales), means)

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (n, P) of the Gaussian; the density must be curved downwards in every direction."""
        assert self.factor is not None
        noise = rng.standard_normal((self.q.size, n))
        away = solve_triangular(self.factor, noise, lower=True, trans="T").T * self.problem.scales
        return self.roots.back(self.roots.there(self.q) + away)


def distinct_modes(problem: Problem, optima: Iterable[np.ndarray]) -> tuple[list[Mode], np.ndarray]:
    """The modes above several optima, each once up to the order of its components, and which is above each optimum."""
    modes: list[Mode] = []
    mixtures: list[Mixture] = []
    above: list[int] = []
    for q in optima:
        mode = Mode.near(problem, q)
        mixture = problem.mixture(mode.q)
        same = [mixture.matches(other, SAME_PARAMETERS) for other in mixtures]
        above.append(same.index(True) if any(same) else len(modes))
        if not any(same):
            modes.append(mode)
            mixtures.append(mixture)
    return modes, np.array(above)


def rough_log_evidence(problem: Problem, optima: Sequence[np.ndarray]) -> np.ndarray:
    """The log evidence of the mode near each of some optima, (M,), to a few nats and but for a constant.

    By axes in which the posterior is nearly round. Where exact modes take no time they all have the same.
    """
    if mixture_term(problem.sampling_density) is None or len(optima) < 2:
        return np.zeros(len(optima))
    return np.array([log_mass(problem, q) for q in optima])


def log_mass(problem: Problem, q: np.ndarray) -> float:
    """The log of the density's integral near an optimum, to a few nats and but for a constant.

    Where no axes are known the log of the density itself; where there is no mixture to speak of, minus infinity.
    """
    density, term = problem.sampling_density(q)[0], mixture_term(problem.sampling_density)
    try:
        axes = problem.round_axes(q)
        if axes is None and term is not None:
            axes = term.information_axes(q, problem.scales)
        log_volume = 0.0 if axes is None else np.log(np.abs(splu(axes.tocsc()).U.diagonal())).sum()
    except (LinAlgError, RuntimeError):
        return -np.inf
    return -np.inf if np.isnan(density) else float(density + log_volume)


def shares(log_evidence: np.ndarray, each_once: list[int]) -> np.ndarray:
    """The share of each mode, (M,), of what those numbered ``each_once`` hold; NaN where a mode's is unknown."""
    known = log_evidence[each_once]
    return np.asarray(np.exp(log_evidence - np.logaddexp.reduce(known[np.isfinite(known)])))


def importance_shares(
    density: LogDensity, modes: Sequence[ModeAxes], rng: np.random.Generator, *, draws: int = IMPORTANCE_DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Each mode's share by Pareto-smoothed importance sampling, (M,), and its Pareto shape k, (M,).

    A shape above 0.7 says that the share is not to be relied on (Vehtari, Simpson, Gelman, Yao and Gabry 2024).
    """
    from arviz_stats.base import array_stats

    log_mass, shape = np.empty(len(modes)), np.empty(len(modes))
    for m, mode in enumerate(modes):
        noise = rng.standard_normal((draws, mode.q.size))
        with all_for_matrices():
            q = mode.unconstrained(noise)
            proposed = logsumexp([each.log_gaussian(q) for each in modes], axis=0)
        log_density = np.array([density(row)[0] for row in q])
        ratio = (log_density - proposed)[np.isfinite(log_density)]
        smoothed, shape[m] = ratio, np.inf
        if len(ratio) > LEAST_DRAWS:
            # ArviZ takes the negative of the log weights, and gives them back normalised.
            normalised, shape[m] = array_stats.psislw(-ratio, r_eff=1.0)
            smoothed = _unnormalised(ratio, normalised)
        log_mass[m] = logsumexp(smoothed) - np.log(draws) if len(ratio) else -np.inf
    if np.isneginf(log_mass).all():  # nothing is known
        return np.full(len(modes), 1 / len(modes)), shape
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
