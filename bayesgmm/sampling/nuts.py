"""The full posterior by NUTS: chains at the posterior's modes, in the axes of its curvature."""

import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError, ModelError, MultipleModesWarning, SamplingError
from bayesgmm.graph.axes import InAxes
from bayesgmm.record.provenance import Modes, percentages, seed_of
from bayesgmm.sampling.nutpie import LIBRARY, Settings, run_chains
from bayesgmm.sampling.run import Chain, Plan, Run
from bayesgmm.sampling.store import Store, check_new_store
from bayesgmm.search.estimate import MapEstimate
from bayesgmm.search.find_map import find_MAP
from bayesgmm.search.mode import Mode, chains_per_mode, distinct_modes, importance_shares, shares
from bayesgmm.search.problem import Problem

# Chains start at the mode and in its axes, so little is left to learn. Measured over N = 272 to 5,000, D = 1 to 10,
# K = 1 to 5: from 200 on, more tuning gains nothing.
DEFAULT_TUNE = 200

Start = MapEstimate | Literal["dispersed"] | None


def run_nuts(
    model: Any,
    n_chains: int,
    settings: Settings,
    *,
    start: Start,
    estimate: MapEstimate | None = None,
    random_seed: Any,
    store: Any = None,
) -> Run:
    """Draws of the posterior, started at the modes, labels as the sampler left them; see :func:`bayesgmm.sample`."""
    problem = Problem.of(model)
    if store is not None:
        check_new_store(store)
    rng = np.random.default_rng(random_seed)
    estimate = _estimate(model, start, estimate, rng, settings.progressbar)
    if estimate.problem.model is model and estimate.problem.is_current:
        problem = estimate.problem
    _check_start(problem, estimate)
    dispersed = isinstance(start, str)
    modes, counts, found = _where_to_start(problem, estimate, n_chains, dispersed, rng)
    plan = Plan(settings.draws, settings.tune, counts)
    provenance = estimate.provenance.changed(
        method="nuts",
        library=LIBRARY,
        seed=seed_of(random_seed),
        tuning_steps=settings.tune,
        dispersed=dispersed,
        modes=found,
    )
    run = Run(problem, modes, plan, [], provenance)
    kept = None if store is None else Store.create(store, run)
    done: list[Chain] = []
    for m, (mode, n) in enumerate(zip(modes, counts, strict=True)):
        seed = int(rng.integers(2**31 - 1))
        density = InAxes(problem.sampling_density, mode.q, mode.axes)
        done += run_chains(density, n, settings, mode=m, seed=seed, sink=None if kept is None else kept.sink(m))
        if any(len(chain.u) < settings.draws for chain in done):  # interrupted
            break
    return replace(run, chains=done)


def _estimate(
    model: Any, start: Start, estimate: MapEstimate | None, rng: np.random.Generator, progressbar: bool
) -> MapEstimate:
    if isinstance(start, MapEstimate):
        return start
    if start is not None and not (isinstance(start, str) and start == "dispersed"):
        raise InvalidArgumentError(
            f"start = {start!r} must be a MapEstimate of this model (find_MAP), 'dispersed' or None."
        )
    if estimate is None:
        return find_MAP(model, random_seed=rng, progressbar=progressbar)
    if not isinstance(estimate, MapEstimate):
        raise InvalidArgumentError(f"estimate = {estimate!r} must be a MapEstimate of this model (find_MAP) or None.")
    return estimate


def _where_to_start(
    problem: Problem, estimate: MapEstimate, n_chains: int, dispersed: bool, rng: np.random.Generator
) -> tuple[list[Mode], tuple[int, ...], Modes]:
    """The modes at which chains start, how many chains at each, and what is known of all modes."""
    modes = distinct_modes(problem, estimate.near_optima)
    found = Modes(shares(modes), np.array([mode.log_evidence for mode in modes]))
    others = found.others
    if not dispersed:
        if others:
            warnings.warn(
                f"the posterior has different modes: the starts found {1 + len(others)}, holding about "
                f"{percentages([found.shares[0], *others])} of it (Laplace). All chains start at the first and may "
                "never see the others: try start='dispersed', fewer components, or more informative priors.",
                MultipleModesWarning,
                stacklevel=4,
            )
        return modes[:1], (n_chains,), found
    counts = chains_per_mode(found.shares, n_chains)
    if len(others) + 1 > (counts > 0).sum():
        warnings.warn(
            f"the posterior has {1 + len(others)} different modes, more than the {n_chains} chains: "
            "those that hold least are left out. Ask for more chains.",
            MultipleModesWarning,
            stacklevel=4,
        )
    used = [mode for mode, n in zip(modes, counts, strict=True) if n]
    if len(used) > 1:
        weight, shape = importance_shares(problem.sampling_density, used, rng)
        found = replace(found, started_shares=weight, started_pareto_k=shape)
    return used, tuple(int(n) for n in counts if n), found


def _check_start(problem: Problem, estimate: MapEstimate) -> None:
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
