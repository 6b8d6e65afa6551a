"""The full posterior, relabelled: sampling and relabelling as one verb."""

import os
from typing import TYPE_CHECKING, Any, Literal

from bayesgmm.inference.estimate import MapEstimate
from bayesgmm.inference.nuts import sample_nuts
from bayesgmm.posterior.invariants import weigh_chains
from bayesgmm.posterior.relabel import METHODS, relabel as relabel_draws
from bayesgmm.validation import check_choice

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr


def sample(
    model: "pm.Model",
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    random_seed: Any = None,
    start: MapEstimate | Literal["dispersed"] | None = None,
    relabel: str | None = "stephens",
    store: str | os.PathLike | None = None,
    progressbar: bool = True,
) -> "xr.DataTree":
    """Draw from the posterior of a mixture by NUTS, from the MAP on, and relabel the draws.

    Parameters
    ----------
    model : pm.Model
        From :func:`build_model`; terms may have been added to it.
    draws : int, default 1000
        Kept draws of every chain.
    tune : int, optional
        Adaptation steps of every chain before them, not kept. Default 200.
    chains : int, default 4
    cores : int, optional
        Processors to use: chains run side by side, and a pass over many rows shares what they leave. Default: all.
    random_seed : int or numpy.random.Generator, optional
        The same seed gives the same draws on the same machine, whatever ``cores`` is.
    start : MapEstimate or "dispersed", optional
        Where chains start, without jitter. Default: all at ``find_MAP(model)``. Chains that start at one mode may never
        see another; where the starts found others that hold more than 1 % of the posterior, a warning says so.
        "dispersed" starts chains at each of them. Chains that then stay apart are not pooled: the tree keeps each
        chain's share in ``sample_stats["chain_weight"]``, by Pareto-smoothed importance sampling of the modes, and
        this package's summaries use it.
    relabel : {"stephens", "ecr"} or None, default "stephens"
        How to undo label switching (:func:`bayesgmm.relabel`); None leaves the sampler's labels.
    store : path, optional
        A new folder, such as "run.zarr", that keeps draws as they come: if the process is killed, :func:`open_run`
        reads what was written.
    progressbar : bool, default True

    Returns
    -------
    xr.DataTree
        Groups posterior, sample_stats (with ``permutation``), observed_data and constant_data. After an interruption
        (Ctrl-C) it holds the draws so far, and ``attrs["complete"]`` is 0.

    Raises
    ------
    ModelError, InvalidArgumentError, SamplingError

    Warns
    -----
    MultipleModesWarning
        The posterior has other modes than those that chains start at.

    References
    ----------
    Hoffman and Gelman (2014), The No-U-Turn Sampler, JMLR 15, 1593-1623. The sampler is nutpie's,
    https://github.com/pymc-devs/nutpie.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.sample(model, draws=200, chains=2, random_seed=1, progressbar=False)
    >>> dt["posterior"]["weights"].dims
    ('chain', 'draw', 'component')
    """
    if relabel is not None:
        check_choice(relabel, "relabel", METHODS)
    dt = sample_nuts(
        model,
        draws=draws,
        tune=tune,
        chains=chains,
        cores=cores,
        random_seed=random_seed,
        start=start,
        progressbar=progressbar,
        store=store,
    )
    if dt["posterior"].sizes["draw"] == 0:
        return dt
    dt = weigh_chains(dt)
    return dt if relabel is None else relabel_draws(dt, relabel)
