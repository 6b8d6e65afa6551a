"""The full posterior by NUTS: the only caller of a sampler."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError, ModelError, SamplingError
from bayesgmm.inference.basis import InBasis, in_basis, principal_axes
from bayesgmm.inference.compiled import copy_through
from bayesgmm.inference.laplace import negative_hessian
from bayesgmm.inference.log_posterior import LogPosterior
from bayesgmm.inference.map import MapEstimate, find_MAP
from bayesgmm.inference.optimum import climb
from bayesgmm.inference.tree import posterior_tree
from bayesgmm.likelihood.threads import available_cores, limited_to
from bayesgmm.model.build import mixture_facts
from bayesgmm.validation import check_count

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

# Chains start at the mode and in its axes, so little is left to learn. Measured over N = 272 to 5,000, D = 1 to 10,
# K = 1 to 5: from 200 on, more tuning gains nothing.
DEFAULT_TUNE = 200

# nutpie's names for what it records, and ArviZ's.
STATISTICS = {
    "logp": "lp",
    "diverging": "diverging",
    "energy": "energy",
    "energy_error": "energy_error",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "mean_tree_accept": "acceptance_rate",
}


def sample_nuts(
    model: "pm.Model",
    *,
    draws: int,
    tune: int | None,
    chains: int,
    cores: int | None,
    random_seed: Any,
    start: MapEstimate | None,
    progressbar: bool,
) -> "xr.DataTree":
    """Draws of the posterior by nutpie's NUTS, started at the MAP, labels as the sampler left them.

    See :func:`bayesgmm.sample`, which relabels the result.
    """
    draws, chains = check_count(draws, "draws"), check_count(chains, "chains")
    tune = check_count(DEFAULT_TUNE if tune is None else tune, "tune", least=1)
    cores = available_cores() if cores is None else check_count(cores, "cores")
    mixture_facts(model)
    rng = np.random.default_rng(random_seed)
    if start is None:
        start = find_MAP(model, random_seed=rng)
    elif not isinstance(start, MapEstimate):
        raise InvalidArgumentError(f"start = {start!r} must be a MapEstimate of this model (find_MAP) or None.")
    same = start.target.model is model and start.target.function.is_current()
    target = start.target if same else LogPosterior(model)
    if start.q.shape != (target.n_parameters,):
        raise ModelError(
            f"start has {start.q.size} unconstrained parameters, the model has {target.n_parameters}: "
            "it is another model's."
        )
    value, gradient = target(start.q, 1.0)
    if not (np.isfinite(value) and np.isfinite(gradient).all()):
        raise SamplingError(
            f"the log posterior at the start is {value} or its gradient is not finite; run find_MAP(model) and look "
            "at what it reports."
        )
    # The mode of the density of q, which is not quite that of the parameters: there it has a Jacobian term.
    mode = climb(target, start.q, start.scales, jacobian=1.0).q
    axes = principal_axes(negative_hessian(target, mode, start.scales, 1.0), start.scales)
    density = InBasis(target, mode, axes)
    trace = _run_nutpie(
        density, draws=draws, tune=tune, chains=chains, cores=cores, seed=int(rng.integers(2**31 - 1)),
        progressbar=progressbar,
    )  # fmt: skip
    u = trace["posterior"]["u"].transpose("chain", "draw", ...).values
    named = target.constrain(density.unconstrained(u.reshape(-1, target.n_parameters)))
    posterior = {name: value.reshape(*u.shape[:2], *value.shape[1:]) for name, value in named.items()}
    recorded = trace["sample_stats"]
    statistics = {
        ours: recorded[theirs].transpose("chain", "draw").values
        for theirs, ours in STATISTICS.items()
        if theirs in recorded
    }
    import nutpie

    attrs = {
        "inference_library": "nutpie",
        "inference_library_version": nutpie.__version__,
        "inference_method": "nuts",
        "tuning_steps": tune,
        **start.attrs,
    }
    return posterior_tree(model, posterior, statistics, attrs)


def _run_nutpie(
    density: InBasis,
    *,
    draws: int,
    tune: int,
    chains: int,
    cores: int,
    seed: int,
    progressbar: bool,
) -> "xr.DataTree":
    import nutpie
    from nutpie.compile_pymc import CompiledPyMCModel

    # nutpie's own `compile_pymc_model` compiles for 9 to 12 seconds what it does not cache; our C function is cached,
    # and the constrained values are computed after the run, for all draws at once.
    n = density.mode.size
    compiled = CompiledPyMCModel(
        compiled_logp_func=in_basis,
        compiled_expand_func=copy_through,
        # No jitter: it would throw chains into other labellings and into poor modes.
        initial_point_func=lambda seed: np.zeros(n),
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
        with limited_to(cores // min(chains, cores)):
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
            )
    except RuntimeError as error:
        raise SamplingError(f"the sampler stopped: {error}") from error
