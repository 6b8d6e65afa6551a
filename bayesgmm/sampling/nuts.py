"""The full posterior by NUTS: chains at the posterior's modes, in the axes of its curvature."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bayesgmm.arguments import STARTS, random_generator
from bayesgmm.exceptions import InvalidArgumentError, ModelError, MultipleModesWarning, SamplingError
from bayesgmm.graph.backends import SAMPLERS_BACKENDS, check_backend
from bayesgmm.graph.in_axes import InAxes
from bayesgmm.record.provenance import DIVERGENT_LIMIT, NEARLY_ALL, others_that_matter, percentages, seed_of
from bayesgmm.sampling.corrected import corrected, with_gaussian_likelihood
from bayesgmm.sampling.nutpie import LIBRARY, Group, run_chains
from bayesgmm.sampling.run import MANY_STEPS, SMALLER_STEPS, Chain, Plan, Run, Settings
from bayesgmm.sampling.store import Store, check_new_store
from bayesgmm.search.estimate import MapEstimate
from bayesgmm.search.find_map import find_MAP
from bayesgmm.search.mode import chains_per_mode, importance_shares
from bayesgmm.search.problem import Problem
from bayesgmm.search.units import fitting_priors

# Chains start at the mode and in its axes, so little is left to learn. Measured over N = 272 to 5,000, D = 1 to 10,
# K = 1 to 5: from 200 on, more tuning gains nothing.
DEFAULT_TUNE = 200

Start = MapEstimate | str


def run_nuts(
    model: Any,
    n_chains: int,
    settings: Settings,
    *,
    start: Start,
    estimate: MapEstimate | None = None,
    random_seed: Any,
    store: Any = None,
    likelihood: str = "exact",
    backend: str = "numba",
) -> Run:
    """Draws of the posterior, started at the modes, labels as the sampler left them; see :func:`bayesgmm.sample`."""
    problem = Problem.of(model)
    problem.specification.check_proper()
    if store is not None:
        check_new_store(store)
    in_jax = _is_in_jax(backend, problem, likelihood, store)
    rng = random_generator(random_seed)
    estimate = _estimate(problem, start, estimate, rng, settings.progressbar, in_jax)
    problem = estimate.problem
    gaussian = likelihood == "gaussian"
    # One Gaussian is of one mode.
    at = "heaviest" if gaussian and start == "auto" else start
    order, counts = _where_to_start(estimate, at, n_chains, "inference='nuts'" if gaussian else "start='auto'")
    if gaussian and (store is not None or sum(n > 0 for n in counts) > 1):
        given = f"start = {start!r}" if store is None else "store"
        raise InvalidArgumentError(
            f'likelihood = "gaussian" is around one mode, and its draws are made at the end: leave out {given}.'
        )
    with fitting_priors(problem.specification):
        modes = [estimate.optima.mode(i).with_axes for i, n in zip(order, counts, strict=True) if n]
    counts = tuple(n for n in counts if n)
    found = estimate.optima.record(order)
    if len(modes) > 1:
        weight, shape = importance_shares(problem.sampling_density, modes, rng)
        found = replace(found, started_shares=weight, started_pareto_k=shape)
    plan = Plan(settings.draws, settings.tune, counts)
    provenance = estimate.provenance.changed(
        method="nuts",
        library="numpyro" if in_jax else LIBRARY,
        backend=backend,
        seed=seed_of(random_seed),
        tuning_steps=settings.tune,
        acceptance=settings.acceptance(problem.n_parameters),
        start=start if isinstance(start, str) else estimate.written,
        modes=found,
    )
    run = Run(problem, modes, plan, [], provenance)
    kept = None if store is None else Store.create(store, run)
    problem = problem.on(backend)
    quadratic = with_gaussian_likelihood(problem, estimate.optima.mode(order[0])) if gaussian else None
    numbered = list(enumerate(zip(modes, counts, [int(rng.integers(2**31 - 1)) for _ in modes], strict=True)))
    densities = [] if in_jax else [quadratic or InAxes(problem.sampling_density, mode) for mode in modes]

    def chains(settings: Settings, attempt: int) -> list[Chain]:
        if in_jax:
            from bayesgmm.sampling import numpyro

            density = problem.sampling_density
            each = (numpyro.run_chains(density, mode, n, settings, number=m, seed=s) for m, (mode, n, s) in numbered)
            return [chain for some in each for chain in some]
        sinks = [None if kept is None else kept.sink(m, attempt) for m in range(len(modes))]
        groups = [Group(m, densities[m], n, seed, sinks[m]) for m, (_, n, seed) in numbered]
        return run_chains(groups, settings)

    run = _with_few_divergent(run, settings, chains)
    return run if quadratic is None or not run.chains else corrected(run, quadratic, rng)


def _with_few_divergent(run: Run, settings: Settings, chains: Callable[[Settings, int], list[Chain]]) -> Run:
    """A run with chains, drawn again with smaller steps while more of their draws diverge than may."""
    run = replace(run, chains=chains(settings, 0))
    for attempt, accept in enumerate(SMALLER_STEPS, start=1):
        if not run.complete or run.diverged <= DIVERGENT_LIMIT * run.plan.total or run.steps > MANY_STEPS:
            break
        again = replace(
            run,
            chains=chains(replace(settings, accept=accept), attempt),
            provenance=run.provenance.changed(acceptance=accept),
        )
        if not again.complete:  # interrupted: the draws before are all there
            break
        run = again
    return run


def _is_in_jax(backend: str, problem: Problem, likelihood: str, store: Any) -> bool:
    """Whether chains are drawn in JAX; raises InvalidArgumentError where what else was asked for cannot be there."""
    if check_backend(backend, SAMPLERS_BACKENDS) == "numba":
        return False
    if problem.table.elsewhere or likelihood != "exact":
        given = "rows that are not in memory" if problem.table.elsewhere else f"likelihood = {likelihood!r}"
        raise InvalidArgumentError(f'backend = {backend!r} does not go with {given}: use backend="numba".')
    if store is not None:
        raise InvalidArgumentError(
            f"a run with backend = {backend!r} has no draws to keep in a store before its end: leave store out, and "
            "save what sample returns (bayesgmm.save)."
        )
    return True


def _estimate(
    problem: Problem,
    start: Start,
    given: MapEstimate | None,
    rng: np.random.Generator,
    progressbar: bool,
    in_jax: bool,
) -> MapEstimate:
    """What the search found, of the data that the model holds now."""
    _check_start(start, given)
    estimate = start if isinstance(start, MapEstimate) else given
    if estimate is None:
        backend = "jax" if in_jax else "numba"
        estimate = find_MAP(problem.model, random_seed=rng, progressbar=progressbar, backend=backend)
    if not (estimate.problem.model is problem.model and estimate.problem.is_current):
        estimate = replace(estimate, optima=replace(estimate.optima, problem=problem))
    _check_estimate(estimate.problem, estimate)
    return estimate


def _check_start(start: Start, estimate: MapEstimate | None) -> None:
    if not (isinstance(start, MapEstimate) or (isinstance(start, str) and start in STARTS["nuts"])):
        raise InvalidArgumentError(
            f"start = {start!r} must be one of {', '.join(map(repr, STARTS['nuts']))}, or a MapEstimate of this model "
            "(find_MAP, or one of its modes)."
        )
    if not (estimate is None or isinstance(estimate, MapEstimate)):
        raise InvalidArgumentError(f"estimate = {estimate!r} must be a MapEstimate of this model (find_MAP) or None.")


def _where_to_start(
    estimate: MapEstimate, start: Start, n_chains: int, remedy: str
) -> tuple[list[int], tuple[int, ...]]:
    """Optima, the first of them those at whose modes chains start, and how many chains at each."""
    optima = estimate.optima
    order = optima.by_share
    if isinstance(start, MapEstimate):
        order = [estimate.index, *(i for i in order if not optima.have_one_mode(i, estimate.index))]
    share = np.array([optima.share(i) for i in order])
    apart = start == "dispersed" or (start == "auto" and not share[0] >= NEARLY_ALL)
    counts = chains_per_mode(share, n_chains) if apart else np.array([n_chains] + [0] * (len(order) - 1))
    others = others_that_matter(share)
    if not apart and others and start != "auto":
        warnings.warn(
            f"the posterior has different modes: the starts found {1 + len(others)}, holding about "
            f"{percentages([share[0], *others])} of it (Laplace). All chains start at the first and may "
            f"never see the others: try {remedy}, fewer components, or more informative priors.",
            MultipleModesWarning,
            stacklevel=5,
        )
    if apart and len(others) + 1 > (counts > 0).sum():
        warnings.warn(
            f"the posterior has {1 + len(others)} different modes, more than the {n_chains} chains: "
            "those that hold least are left out. Ask for more chains.",
            MultipleModesWarning,
            stacklevel=5,
        )
    return order, tuple(int(n) for n in counts)


def _check_estimate(problem: Problem, estimate: MapEstimate) -> None:
    if estimate.q.shape != (problem.n_parameters,):
        raise ModelError(
            f"start has {estimate.q.size} unconstrained parameters, the model has {problem.n_parameters}: "
            "it is another model's."
        )
    value, gradient = problem.sampling_density(estimate.q)
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise SamplingError(
            f"the log posterior at the start is {value} or its gradient is not finite; run find_MAP(model) and look "
            "at what it reports."
        )
