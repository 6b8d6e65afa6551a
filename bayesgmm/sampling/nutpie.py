"""The adaptor to nutpie, and the only place that imports it.

nutpie's own ``compile_pymc_model`` compiles for 9 to 12 seconds what it does not cache. Our C function is cached, and
the constrained values are computed after the run, for all draws at once; so the model that nutpie is given is made by
hand.

Tested with nutpie 0.16.11. ``nutpie.compile_pymc.CompiledPyMCModel`` and its fields are not documented: where a version
changes them, ``tests/test_upstream.py`` says so, and the remedy is to follow that class's definition.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import SamplingError
from bayesgmm.graph.axes import InAxes, in_axes
from bayesgmm.graph.compiled import copy_through
from bayesgmm.mixture.threads import limited_to
from bayesgmm.record.arviz import chain_and_draw_are_right
from bayesgmm.record.trees import LOG_POSTERIOR
from bayesgmm.sampling.run import Chain

if TYPE_CHECKING:
    import xarray as xr

# nutpie's names for what it records, and ArviZ's.
STATISTICS = {
    "logp": LOG_POSTERIOR,
    "diverging": "diverging",
    "energy": "energy",
    "energy_error": "energy_error",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "mean_tree_accept": "acceptance_rate",
}
LIBRARY = "nutpie"
# In standard deviations of each axis.
BESIDE_THE_MODE = 0.01


@dataclass(frozen=True)
class Settings:
    """How long to sample and on how many processors."""

    draws: int
    tune: int
    cores: int
    progressbar: bool


def run_chains(density: InAxes, n_chains: int, settings: Settings, *, mode: int, seed: int, sink: Any) -> list[Chain]:
    """Draw chains of a density by NUTS, from beside its mode; ``sink`` keeps draws as they come, if there is one.

    Raises
    ------
    SamplingError
    """
    import nutpie

    try:
        # Chains run side by side; a pass over the data gets the cores that they leave, or one that they share gets all.
        with (
            limited_to(settings.cores // (1 if density.shared else min(n_chains, settings.cores))),
            chain_and_draw_are_right(),
        ):
            trace = nutpie.sample(
                _compiled(density),
                draws=settings.draws,
                tune=settings.tune,
                chains=n_chains,
                cores=n_chains if density.shared else settings.cores,
                seed=seed,
                adaptation="diag",
                progress_bar=settings.progressbar,
                save_warmup=False,
                zarr_store=sink,
            )
    except BaseException as error:
        # What a function of Python's raised: the sampler says no more than that there was something.
        if density.error is not None:
            raise density.error from None
        if isinstance(error, RuntimeError):
            raise SamplingError(f"the sampler stopped: {error}") from error
        raise
    return _chains(mode, trace)


def sink_in(folder: Path) -> Any:
    """Where nutpie writes the draws of some chains as they come."""
    from nutpie import zarr_store

    return zarr_store.LocalStore(prefix=str(folder), mkdir=True)


def _compiled(density: InAxes) -> Any:
    from nutpie.compile_pymc import CompiledPyMCModel

    n = density.mode.size
    return CompiledPyMCModel(
        compiled_logp_func=in_axes,
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


def _chains(mode: int, trace: "xr.DataTree") -> list[Chain]:
    u = trace["posterior"]["u"].transpose("chain", "draw", ...).values
    stats = trace["sample_stats"]
    recorded = {STATISTICS[name]: stats[name].transpose("chain", "draw").values for name in STATISTICS if name in stats}
    return [Chain.of(mode, u[c], {name: values[c] for name, values in recorded.items()}) for c in range(len(u))]
