"""Maximum a posteriori: many starts, EM, every optimum climbed to the top, and the curvature there.

The objective is that of ``pm.find_MAP``, which is not called: it compiles anew in every call (1.4 s with all cached),
while the compiled function that NUTS uses too climbs from a start in milliseconds. The tests hold its result against
that of ``pm.find_MAP``.
"""

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.exceptions import CollapsedComponentWarning, ModelError, UnboundedPosteriorWarning
from bayesgmm.graph.compiled import LogDensity
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.widths import COLLAPSED_WIDTH, named_rows, own_rows, widths
from bayesgmm.progress import progress
from bayesgmm.record.starts import Starts
from bayesgmm.search.climb import Optimum
from bayesgmm.search.estimate import MapEstimate
from bayesgmm.search.mode import SAME_PARAMETERS
from bayesgmm.search.order import climb_in_order
from bayesgmm.search.planes import check_components, check_data
from bayesgmm.search.problem import SAME, Problem
from bayesgmm.search.starts import starting_mixtures

if TYPE_CHECKING:
    import pymc as pm

# Optima this many nats below the best hold nothing: volumes do not differ by as much.
DEEPEST_GAP = 30.0
# Two optima are one if they agree to this in log posterior (nats), and in their mixtures.
SAME_LOG_POSTERIOR = 1e-2
# Steps of arithmetic of a start, as many passes over the data of so many operations a number.
PASSES, OPERATIONS = 400, 4


def find_MAP(model: "pm.Model", *, n_init: int = 10, random_seed: Any = None, progressbar: bool = True) -> MapEstimate:
    r"""The maximum a posteriori estimate of a mixture.

    .. math:: \hat\theta = \arg\max_\theta \; \sum_n w_n \log p(x_n \mid \theta) + \log p(\theta)

    over the parameters themselves (no Jacobian), as ``pm.find_MAP`` defines it. A mixture has several local maxima,
    and PyMC's initial point, at which all components are alike, is a stationary point; so there are many starts:
    k-means in three metrics and random rows in turn, each followed by EM steps and climbed by L-BFGS with the exact
    gradient.

    Parameters
    ----------
    model : pm.Model
        From :func:`build_model`.
    n_init : int, default 10
        Number of starts.
    random_seed : int or numpy.random.Generator, optional
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    MapEstimate

    Raises
    ------
    ModelError
        ``model`` was not made by :func:`build_model`, or no start reached a finite density.
    ImproperPosteriorError
        Rows lie exactly on a slanted line or plane, more of them than the priors can bear.

    Warns
    -----
    ConvergenceWarning
        The best start's optimiser stopped before a maximum.
    UnboundedPosteriorWarning
        The priors do not guarantee that a maximum exists.
    CollapsedComponentWarning
        A component has no width to speak of in some direction; the message names its rows.

    References
    ----------
    Arthur and Vassilvitskii (2007), k-means++: the advantages of careful seeding, SODA, 1027-1035. Dempster, Laird and
    Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm, JRSS B 39, 1-38,
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> estimate = bg.find_MAP(model, random_seed=1)
    >>> estimate.point["means"].round(1)
    array([[ 2. , 54.5],
           [ 4.3, 80. ]])
    """
    n_init = check_count(n_init, "n_init")
    problem = Problem.of(model)
    _warn_if_unbounded(problem)
    check_data(problem.specification, problem.table)
    rng = np.random.default_rng(random_seed)
    few = problem.on_fewer_rows(rng)
    table = few.table
    if few is not problem and not few.is_finite:
        few = problem
    work = float(OPERATIONS * PASSES * n_init * problem.table.values.size * problem.specification.n_components)
    stages = 1 + (few is not problem)
    with progress("Climbing", stages * n_init, work=work, show=progressbar) as done:
        mixtures = list(starting_mixtures(problem.specification, table, n_init, rng))
        begins = [(problem.unconstrained(mixture), mixture) for mixture in mixtures]
        optima, mixtures = _climb_all(few, begins, done)
        if few is not problem:
            begins = [(optimum.q, mixture) for optimum, mixture in zip(optima, mixtures, strict=True)]
            optima, mixtures = _climb_all(problem, begins, done, curvature=few.parameter_density)
    if not any(np.isfinite(o.log_posterior) for o in optima):
        raise ModelError(
            "the log posterior is not finite at any start: check the priors (is the data inside their support?) "
            "and any terms added to the model."
        )
    check_components(problem.specification, problem.table, mixtures)
    starts = _compare(problem, optima, mixtures)
    best = starts.best
    _warn_if_not_converged(optima[best])
    _warn_if_collapsed(mixtures[best], problem.table.values)
    # Of each distinct optimum that may hold some of the posterior, one start's point.
    firsts = [int(np.flatnonzero(starts.optimum == i)[0]) for i in range(starts.n_optima)]
    near = [optima[i].q for i in firsts[1:] if optima[i].log_posterior > optima[best].log_posterior - DEEPEST_GAP]
    estimate = _estimate(problem, optima[best], starts)
    return replace(estimate, near_optima=(estimate.q, *near), random_seed=random_seed)


def _warn_if_unbounded(problem: Problem) -> None:
    reasons = problem.specification.unbounded_because
    if reasons:
        warnings.warn(
            "these priors do not guarantee a MAP: " + "; ".join(reasons) + ". The default priors do.",
            UnboundedPosteriorWarning,
            stacklevel=3,
        )


def _warn_if_not_converged(optimum: Optimum) -> None:
    if not optimum.converged:
        from bayesgmm.exceptions import ConvergenceWarning

        warnings.warn(
            f"the optimiser stopped before a maximum, with gradient norm {optimum.gradient_norm:.3g} "
            f"({optimum.message}). Try more starts (n_init), fewer components, or the default priors.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _warn_if_collapsed(mixture: Mixture, x: np.ndarray) -> None:
    width = widths(mixture, x)
    for k in np.flatnonzero(width < COLLAPSED_WIDTH):
        rows = named_rows(own_rows(mixture, x, int(k)))
        warnings.warn(
            f"a component with {mixture.weights[k]:.1%} of the weight has collapsed to {width[k]:.1e} of the data's "
            f"width in one direction, on rows {rows or 'none'}: its density there is an artefact. Use the default "
            "priors, give a resolution, or try fewer components.",
            CollapsedComponentWarning,
            stacklevel=3,
        )


def _climb_all(
    problem: Problem, begins: list[tuple[np.ndarray, Mixture]], done: Any, *, curvature: LogDensity | None = None
) -> tuple[list[Optimum], list[Mixture]]:
    """Every start's optimum. Starts at one place, or at an optimum already found, share one climb."""
    optima: list[Optimum] = []
    reached: list[Mixture] = []

    def same(a: Mixture, b: Mixture) -> bool:
        return a.matches(b, problem.feature_scales, SAME_PARAMETERS)

    for i, (q, begin) in enumerate(begins):
        twin = next((j for j in range(i) if same(begin, begins[j][1]) or same(begin, reached[j])), None)
        if twin is None:
            optima.append(climb_in_order(problem, q, curvature=curvature))
            reached.append(problem.mixture(optima[-1].q))
        else:
            optima.append(optima[twin])
            reached.append(reached[twin])
        done()
    return optima, reached


def _compare(problem: Problem, optima: list[Optimum], mixtures: list[Mixture]) -> Starts:
    """Which starts ended at the same optimum, up to the order of the components."""
    starts = Starts(
        log_posterior=np.array([o.log_posterior for o in optima]),
        optimum=np.zeros(len(optima), dtype=np.int64),
        converged=np.array([o.converged for o in optima]),
        moved=np.array([o.moved for o in optima]),
        iterations=np.array([o.iterations for o in optima]),
    )
    representatives: list[int] = []
    for i in starts.order:
        for label, r in enumerate(representatives):
            near = abs(optima[i].log_posterior - optima[r].log_posterior) < SAME_LOG_POSTERIOR
            if near and mixtures[i].matches(mixtures[r], problem.feature_scales, SAME_PARAMETERS):
                starts.optimum[i] = label
                break
        else:
            starts.optimum[i] = len(representatives)
            representatives.append(int(i))
    return starts


def _estimate(problem: Problem, optimum: Optimum, starts: Starts) -> MapEstimate:
    """The estimate at one optimum, its components put in order."""
    point = {name: value[0] for name, value in problem.constrain(optimum.q).items()}
    ordered = problem.reordered(point, np.lexsort(point["means"].T[::-1]))
    q = problem.graph.unconstrain(ordered)
    log_posterior = problem.parameter_density(q)[0]
    if not abs(log_posterior - optimum.log_posterior) < SAME * max(1.0, abs(optimum.log_posterior)):
        # The priors or a user's terms tell the components apart: then they keep the order they were found in.
        ordered, q, log_posterior = point, optimum.q, optimum.log_posterior
    mixture = problem.mixture(q)
    return MapEstimate(
        point=ordered,
        log_posterior=log_posterior,
        log_likelihood=sum(mixture.statistics(*chunk).log_likelihood for chunk in problem.table.chunks()),
        gradient_norm=optimum.gradient_norm,
        converged=optimum.converged,
        starts=starts,
        q=q,
        near_optima=(q,),
        problem=problem,
    )
