"""Maximum a posteriori: many starts, EM, every optimum climbed to the top, and the curvature there.

The objective is that of ``pm.find_MAP``, which is not called: it compiles anew in every call (1.4 s with all cached),
while the compiled function that NUTS uses too climbs from a start in milliseconds. The tests hold its result against
that of ``pm.find_MAP``.
"""

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import CollapsedComponentWarning, ConvergenceWarning, ModelError, UnboundedPosteriorWarning
from bayesgmm.inference.collapse import COLLAPSED_WIDTH, check_components, check_data, named_rows, smallest_widths
from bayesgmm.inference.em import ExpectationMaximisation, Mixture
from bayesgmm.inference.estimate import MapEstimate, Starts
from bayesgmm.inference.log_posterior import LogPosterior
from bayesgmm.inference.optimum import SAME_LOG_POSTERIOR, Optimum, climb, same_mixture
from bayesgmm.inference.parameters import mixture_of, unconstrained
from bayesgmm.inference.starts import fewer_rows, starting_mixtures
from bayesgmm.likelihood import kernel
from bayesgmm.model.build import MixtureFacts, mixture_facts
from bayesgmm.validation import check_count

if TYPE_CHECKING:
    import pymc as pm

# Optima this many nats below the best hold nothing: volumes do not differ by as much.
DEEPEST_GAP = 30.0


def find_MAP(model: "pm.Model", *, n_init: int = 10, random_seed: Any = None) -> MapEstimate:
    r"""The maximum a posteriori estimate of a mixture.

    .. math:: \hat\theta = \arg\max_\theta \; \sum_n w_n \log p(x_n \mid \theta) + \log p(\theta)

    over the parameters themselves (no Jacobian), as ``pm.find_MAP`` defines it. A mixture has several local maxima,
    and PyMC's initial point, at which all components are alike, is a stationary point; so there are many starts:
    k-means++ on whitened data and random rows in turn, each followed by EM steps and climbed by L-BFGS with the exact
    gradient.

    Parameters
    ----------
    model : pm.Model
        From :func:`build_model`.
    n_init : int, default 10
        Number of starts.
    random_seed : int or numpy.random.Generator, optional

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
    facts = mixture_facts(model)
    if facts.unbounded_because:
        warnings.warn(
            "these priors do not guarantee a MAP: " + "; ".join(facts.unbounded_because) + ". The default priors do.",
            UnboundedPosteriorWarning,
            stacklevel=2,
        )
    eta = float(model["lkj_eta"].get_value()) if "lkj_eta" in model.named_vars else None
    check_data(facts, eta)
    em = ExpectationMaximisation.of(facts)
    target = LogPosterior(model)
    feature_scales = np.sqrt(em.spread)
    scales = target.typical_scales(feature_scales)
    rng = np.random.default_rng(random_seed)
    few, few_facts = _on_fewer_rows(target, facts, rng)
    mixtures = list(starting_mixtures(replace(em, facts=few_facts), n_init, rng))
    begins = [(unconstrained(target, facts, mixture), mixture) for mixture in mixtures]
    optima, mixtures = _climb_all(few, facts, begins, scales, feature_scales)
    if few is not target:
        begins = [(optimum.q, mixture) for optimum, mixture in zip(optima, mixtures, strict=True)]
        optima, mixtures = _climb_all(target, facts, begins, scales, feature_scales, curvature=few)
    if not any(np.isfinite(o.log_posterior) for o in optima):
        raise ModelError(
            "the log posterior is not finite at any start: check the priors (is the data inside their support?) "
            "and any terms added to the model."
        )
    check_components(facts, eta, mixtures)
    best, starts = _compare(optima, mixtures, feature_scales)
    if not optima[best].converged:
        warnings.warn(
            f"the optimiser stopped before a maximum, with gradient norm {optima[best].gradient_norm:.3g} "
            f"({optima[best].message}). Try more starts (n_init), fewer components, or the default priors.",
            ConvergenceWarning,
            stacklevel=2,
        )
    # Of each distinct optimum that may hold some of the posterior, one start's point.
    firsts = [int(np.flatnonzero(starts.optimum == i)[0]) for i in range(starts.n_optima)]
    near = [optima[i].q for i in firsts[1:] if optima[i].log_posterior > optima[best].log_posterior - DEEPEST_GAP]
    _warn_if_collapsed(facts, mixtures[best])
    estimate = _estimate(target, facts, optima[best], mixtures[best], starts, scales, near)
    return replace(estimate, random_seed=random_seed)


def _warn_if_collapsed(facts: MixtureFacts, mixture: Mixture) -> None:
    widths = smallest_widths(mixture.covariances, facts.x)
    for k in np.flatnonzero(widths < COLLAPSED_WIDTH):
        own = kernel.responsibilities(facts.x, *mixture.arrays, facts.structure.diagonal)[1][:, k] > 0.5
        warnings.warn(
            f"a component with {mixture.weights[k]:.1%} of the weight has collapsed to {widths[k]:.1e} of the data's "
            f"width in one direction, on rows {named_rows(own) or 'none'}: its density there is an artefact. Use the "
            "default priors, give a resolution, or try fewer components.",
            CollapsedComponentWarning,
            stacklevel=3,
        )


def _on_fewer_rows(
    target: LogPosterior, facts: MixtureFacts, rng: np.random.Generator
) -> tuple[LogPosterior, MixtureFacts]:
    """The density and the facts of some of the rows, where there are very many: most of a climb needs no more."""
    rows = fewer_rows(facts, rng)
    if rows is None:
        return target, facts
    x, weight = np.ascontiguousarray(facts.x[rows]), facts.row_weights[rows]
    few = target.with_data({"x_data": x, "sample_weight": weight})
    # A user's own terms may need every row.
    usable = np.isfinite(few(target.flat(target.model.initial_point(random_seed=0)), 0.0)[0])
    return (few if usable else target), replace(facts, x=x, row_weights=weight)


def _climb_all(
    target: LogPosterior,
    facts: MixtureFacts,
    begins: list[tuple[np.ndarray, Mixture]],
    scales: np.ndarray,
    feature_scales: np.ndarray,
    curvature: LogPosterior | None = None,
) -> tuple[list[Optimum], list[Mixture]]:
    """Every start's optimum. Starts at one place, or at an optimum already found, share one climb."""
    optima: list[Optimum] = []
    reached: list[Mixture] = []
    for i, (q, begin) in enumerate(begins):
        twin = next(
            (
                j
                for j in range(i)
                if same_mixture(begin, begins[j][1], feature_scales) or same_mixture(begin, reached[j], feature_scales)
            ),
            None,
        )
        if twin is None:
            optima.append(climb(target, q, scales, curvature=curvature))
            reached.append(mixture_of(target.constrain(optima[-1].q), facts))
        else:
            optima.append(optima[twin])
            reached.append(reached[twin])
    return optima, reached


def _compare(optima: list[Optimum], mixtures: list[Mixture], feature_scales: np.ndarray) -> tuple[int, Starts]:
    """The best optimum's index, and which starts ended at the same one, up to the order of the components."""
    order = sorted(range(len(optima)), key=lambda i: -np.nan_to_num(optima[i].log_posterior, nan=-np.inf))
    which = np.zeros(len(optima), dtype=np.int64)
    representatives: list[int] = []
    for i in order:
        for label, r in enumerate(representatives):
            near = abs(optima[i].log_posterior - optima[r].log_posterior) < SAME_LOG_POSTERIOR
            if near and same_mixture(mixtures[i], mixtures[r], feature_scales):
                which[i] = label
                break
        else:
            which[i] = len(representatives)
            representatives.append(i)
    starts = Starts(
        log_posterior=np.array([o.log_posterior for o in optima]),
        optimum=which,
        converged=np.array([o.converged for o in optima]),
        moved=np.array([o.moved for o in optima]),
        iterations=np.array([o.iterations for o in optima]),
    )
    return order[0], starts


def _estimate(
    target: LogPosterior,
    facts: MixtureFacts,
    optimum: Optimum,
    mixture: Mixture,
    starts: Starts,
    scales: np.ndarray,
    near: list[np.ndarray],
) -> MapEstimate:
    """The estimate at one optimum, its components put in order."""
    order = np.lexsort(mixture.means.T[::-1])
    point = {name: value[0] for name, value in target.constrain(optimum.q).items()}
    ordered = {
        name: np.take(value, order, axis=dims.index("component"))
        if "component" in (dims := list(target.model.named_vars_to_dims.get(name, ())))
        else value
        for name, value in point.items()
    }
    q = target.unconstrain(ordered)
    log_posterior = target(q, 0.0)[0]
    if not abs(log_posterior - optimum.log_posterior) < 1e-6 * max(1.0, abs(optimum.log_posterior)):
        # The user's own terms tell the components apart: then they keep the order they were found in.
        ordered, q, log_posterior = point, optimum.q, optimum.log_posterior
    log_density = kernel.log_density(facts.x, *mixture.arrays, facts.structure.diagonal)
    return MapEstimate(
        point=ordered,
        log_posterior=log_posterior,
        log_likelihood=float(facts.row_weights @ log_density),
        gradient_norm=optimum.gradient_norm,
        converged=optimum.converged,
        starts=starts,
        q=q,
        near_optima=(q, *near),
        target=target,
        scales=scales,
    )
