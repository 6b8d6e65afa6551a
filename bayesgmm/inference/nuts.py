"""The full posterior by NUTS: the only caller of a sampler."""

import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError, ModelError, MultipleModesWarning, SamplingError
from bayesgmm.inference.basis import InBasis, in_basis
from bayesgmm.inference.compiled import copy_through
from bayesgmm.inference.estimate import MapEstimate, recorded
from bayesgmm.inference.log_posterior import LogPosterior
from bayesgmm.inference.map import find_MAP
from bayesgmm.inference.modes import (
    Mode,
    chains_per_mode,
    distinct_modes,
    importance_shares,
    in_words,
    others_that_matter,
    shares,
)
from bayesgmm.inference.run import Chain, Plan, Store, chains_of_trace, draws_tree
from bayesgmm.inference.tree import chain_and_draw_are_right
from bayesgmm.likelihood.threads import available_cores, limited_to
from bayesgmm.model.build import mixture_facts
from bayesgmm.validation import check_count, moments

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

# Chains start at the mode and in its axes, so little is left to learn. Measured over N = 272 to 5,000, D = 1 to 10,
# K = 1 to 5: from 200 on, more tuning gains nothing.
DEFAULT_TUNE = 200
# In standard deviations of each axis.
BESIDE_THE_MODE = 0.01


def sample_nuts(
    model: "pm.Model",
    *,
    draws: int,
    tune: int | None,
    chains: int,
    cores: int | None,
    random_seed: Any,
    start: MapEstimate | str | None,
    progressbar: bool,
    store: Any = None,
) -> "xr.DataTree":
    """Draws of the posterior by nutpie's NUTS, started at the modes, labels as the sampler left them.

    See :func:`bayesgmm.sample`, which relabels the result.
    """
    draws, chains = check_count(draws, "draws"), check_count(chains, "chains")
    tune = check_count(DEFAULT_TUNE if tune is None else tune, "tune", least=1)
    cores = available_cores() if cores is None else check_count(cores, "cores")
    mixture_facts(model)
    rng = np.random.default_rng(random_seed)
    dispersed = isinstance(start, str) and start == "dispersed"
    if start is None or dispersed:
        estimate = find_MAP(model, random_seed=rng)
    elif isinstance(start, MapEstimate):
        estimate = start
    else:
        raise InvalidArgumentError(
            f"start = {start!r} must be a MapEstimate of this model (find_MAP), 'dispersed' or None."
        )
    same = estimate.target.model is model and estimate.target.function.is_current()
    target = estimate.target if same else LogPosterior(model)
    _check_start(target, estimate)
    modes, plan, found = _where_to_start(target, estimate, draws, tune, chains, dispersed, rng)
    attrs = {
        "inference_library": "nutpie",
        "inference_library_version": version("nutpie"),
        "inference_method": "nuts",
        "tuning_steps": tune,
        **({"start": "dispersed"} if dispersed else {}),
        **recorded("random_seed", random_seed),
        **estimate.attrs,
        **found,
    }
    kept = None if store is None else Store.create(store, model, plan, modes, attrs)
    done: list[Chain] = []
    for m, (mode, n) in enumerate(zip(modes, plan.chains, strict=True)):
        trace = _run_nutpie(
            InBasis(target, mode.q, mode.axes), draws=draws, tune=tune, chains=n, cores=cores,
            seed=int(rng.integers(2**31 - 1)), progressbar=progressbar, sink=None if kept is None else kept.sink(m),
        )  # fmt: skip
        done += chains_of_trace(m, trace)
        if any(len(chain.u) < draws for chain in done):  # interrupted
            break
    return draws_tree(target, modes, plan, done, attrs)


def _where_to_start(
    target: LogPosterior,
    estimate: MapEstimate,
    draws: int,
    tune: int,
    chains: int,
    dispersed: bool,
    rng: np.random.Generator,
) -> tuple[list[Mode], Plan, dict[str, Any]]:
    """The modes at which chains start, how many at each, and what a tree keeps of the modes that the starts found."""
    facts = mixture_facts(target.model)
    feature_scales = np.sqrt(moments(facts.x, facts.row_weights)[1])
    modes = distinct_modes(target, facts, estimate.near_optima, estimate.scales, feature_scales)
    share = shares(modes)
    found: dict[str, Any] = {"mode_shares": share}
    others = others_that_matter(share)
    if not dispersed:
        if others:
            warnings.warn(
                f"the posterior has different modes: the starts found {1 + len(others)}, holding about "
                f"{in_words([share[0], *others])} of it (Laplace). All chains start at the first and may never see the "
                "others: try start='dispersed', fewer components, or more informative priors.",
                MultipleModesWarning,
                stacklevel=4,
            )
        return modes[:1], Plan(draws, tune, (chains,)), found
    counts = chains_per_mode(share, chains)
    if len(others) + 1 > (counts > 0).sum():
        warnings.warn(
            f"the posterior has {1 + len(others)} different modes, more than the {chains} chains: "
            "those that hold least are left out. Ask for more chains.",
            MultipleModesWarning,
            stacklevel=4,
        )
    used = [mode for mode, n in zip(modes, counts, strict=True) if n]
    if len(used) > 1:
        weight, shape = importance_shares(target, used, rng)
        found |= {"started_mode_shares": weight, "started_mode_pareto_k": shape}
    return used, Plan(draws, tune, tuple(int(n) for n in counts if n)), found


def _check_start(target: LogPosterior, estimate: MapEstimate) -> None:
    if estimate.q.shape != (target.n_parameters,):
        raise ModelError(
            f"start has {estimate.q.size} unconstrained parameters, the model has {target.n_parameters}: "
            "it is another model's."
        )
    value, gradient = target(estimate.q, 1.0)
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise SamplingError(
            f"the log posterior at the start is {value} or its gradient is not finite; run find_MAP(model) and look "
            "at what it reports."
        )


def _run_nutpie(
    density: InBasis,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    seed: int,
    progressbar: bool,
    sink: Any,
) -> "xr.DataTree":
    import nutpie
    from nutpie.compile_pymc import CompiledPyMCModel

    # nutpie's own `compile_pymc_model` compiles for 9 to 12 seconds what it does not cache; our C function is cached,
    # and the constrained values are computed after the run, for all draws at once.
    n = density.mode.size
    compiled = CompiledPyMCModel(
        compiled_logp_func=in_basis,
        compiled_expand_func=copy_through,
        # No jitter: it would throw chains into other labellings and into poor modes. But not the very mode either,
        # where slopes may be exactly zero, from which nutpie can tell no scales and refuses to start.
        initial_point_func=lambda seed: np.full(n, BESIDE_THE_MODE),
        user_data=density.inputs,
        shared_data={str(i): value for i, value in enumerate(density.held)},
        shared_var_keys={},
        n_expanded=n,
        shape_info=(["u"], [slice(0, n)], [(n,)]),
        logp_func=None,
        expand_func=None,
        dims={},
        reparameterized_names=[],
        _n_dim=n,
        _shapes={"u": (n,)},
        _coords={},
    )
    try:
        # Chains run side by side; a pass over the data gets the cores that they leave.
        with limited_to(cores // min(chains, cores)), chain_and_draw_are_right():
            return nutpie.sample(
                compiled,
                draws=draws,
                tune=tune,
                chains=chains,
                cores=cores,
                seed=seed,
                adaptation="diag",
                progress_bar=progressbar,
                save_warmup=False,
                zarr_store=sink,
            )
    except RuntimeError as error:
        raise SamplingError(f"the sampler stopped: {error}") from error
