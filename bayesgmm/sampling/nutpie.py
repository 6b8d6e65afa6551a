"""The adaptor to nutpie, and the only place that imports it.

nutpie's own ``compile_pymc_model`` compiles for 9 to 12 seconds what it does not cache. Our C function is cached, and
the constrained values are computed after the run, for all draws at once; so the model that nutpie is given is made by
hand.

Tested with nutpie 0.16.11. ``nutpie.compile_pymc.CompiledPyMCModel`` and its fields are not documented: where a version
changes them, ``tests/test_upstream.py`` says so, and the remedy is to follow that class's definition.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.cores import limited_to
from bayesgmm.exceptions import SamplingError
from bayesgmm.graph.compiled import copy_through
from bayesgmm.graph.in_axes import InAxes
from bayesgmm.progress import progress
from bayesgmm.record.arviz import chain_and_draw_are_right
from bayesgmm.record.trees import LOG_POSTERIOR
from bayesgmm.sampling.run import Chain, Settings

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


@dataclass(frozen=True, eq=False)
class Group:
    """Chains that start beside one mode; ``sink`` keeps their draws as they come, if there is one."""

    mode: int
    density: InAxes
    n_chains: int
    seed: int
    sink: Any = None


def run_chains(groups: Sequence[Group], settings: Settings) -> list[Chain]:
    """Draw chains by NUTS, in the order of their modes. Groups run side by side where the cores suffice for all.

    Raises
    ------
    SamplingError
    """
    chains: list[Chain] = []
    # Chains run side by side; a pass over the data gets the cores that they leave, or one that they share gets all.
    for some in _side_by_side(groups, settings.cores):
        shared = any(group.density.shared for group in some)
        at_once = 1 if shared else min(sum(group.n_chains for group in some), settings.cores)
        with limited_to(settings.cores // at_once), chain_and_draw_are_right():
            chains += _run(some, settings)
        if any(len(chain.u) < settings.draws for chain in chains):  # interrupted
            break
    return sorted(chains, key=lambda chain: chain.mode)


def _side_by_side(groups: Sequence[Group], cores: int) -> list[list[Group]]:
    """Groups that run at once: each joins the first that leave it cores."""
    batches: list[list[Group]] = []
    for group in groups:
        free = (b for b in batches if sum(g.n_chains for g in b) + group.n_chains <= cores)
        batch = next(free, None)
        if batch is None:
            batches.append(batch := [])
        batch.append(group)
    return batches


def _run(groups: list[Group], settings: Settings) -> list[Chain]:
    samplers: list[Any] = []
    traces: list[xr.DataTree] = []
    total = sum(group.n_chains for group in groups) * (settings.draws + settings.tune)
    # nutpie's own bar tells of one sampler's chains.
    several = len(groups) > 1
    try:
        with progress("Sampling", total, work=np.inf, show=settings.progressbar and several) as done:
            # One by one, so that those that have begun can be ended where the next does not begin.
            for group in groups:
                samplers.append(_begun(group, settings, done if several else None))
            try:
                for sampler in samplers:
                    traces.append(sampler.wait())
            except KeyboardInterrupt:
                traces += [sampler.abort() for sampler in samplers[len(traces) :]]
    except BaseException as error:
        for sampler in samplers[len(traces) :]:
            sampler.cancel()
        # What a function of Python's raised: the sampler says no more than that there was something.
        for group in groups:
            if group.density.error is not None:
                raise group.density.error from None
        if isinstance(error, RuntimeError):
            raise SamplingError(f"the sampler stopped: {error}") from error
        raise
    return [chain for group, trace in zip(groups, traces, strict=True) for chain in _chains(group.mode, trace)]


def _begun(group: Group, settings: Settings, done: Callable[[], None] | None) -> Any:
    """A sampler at work, which calls ``done`` for every draw, or draws its own bar."""
    nutpie, drawn = _nutpie(), 0

    def count(chains: list[Any]) -> None:
        nonlocal drawn
        now = sum(chain.finished_draws for chain in chains)
        for _ in range(now - drawn):
            done()  # type: ignore[misc]
        drawn = now

    return nutpie.sample(
        _compiled(group.density),
        draws=settings.draws,
        tune=settings.tune,
        chains=group.n_chains,
        cores=group.n_chains if group.density.shared else settings.cores,
        seed=group.seed,
        adaptation="diag",
        target_accept=settings.acceptance(group.density.size),
        progress_bar=settings.progressbar and done is None,
        progress_callback=None if done is None else count,
        save_warmup=False,
        zarr_store=group.sink,
        blocking=False,
    )


def sink_in(folder: Path) -> Any:
    """Where nutpie writes the draws of some chains as they come."""
    return _nutpie().zarr_store.LocalStore(prefix=str(folder), mkdir=True)


def _nutpie() -> Any:
    """The library.

    It imports ArviZ, and thereby Matplotlib, which takes as long as 1,000 draws of four chains, for two functions of
    ``arviz_base``, which it gets in ArviZ's place (nutpie 0.16.11; ``tests/test_upstream.py``). ArviZ's name is free
    again before anyone else asks for it.
    """
    if "nutpie" not in sys.modules and "arviz" not in sys.modules:
        import arviz_base

        sys.modules["arviz"] = arviz_base
        try:
            import nutpie
        finally:
            del sys.modules["arviz"]
    import nutpie

    return nutpie


def _compiled(density: InAxes) -> Any:
    from nutpie.compile_pymc import CompiledPyMCModel

    n = density.size
    return CompiledPyMCModel(
        compiled_logp_func=density.function,
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
