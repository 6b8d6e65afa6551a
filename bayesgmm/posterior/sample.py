"""The full posterior, relabelled: sampling and relabelling as one verb."""

from typing import TYPE_CHECKING, Any

from bayesgmm.inference.map import MapEstimate
from bayesgmm.inference.nuts import sample_nuts
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
    start: MapEstimate | None = None,
    relabel: str | None = "stephens",
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
    start : MapEstimate, optional
        Where all chains start, without jitter. Default: ``find_MAP(model)``. Chains that start at one mode cannot see
        another: look at ``start.starts`` and at :func:`diagnose`.
    relabel : {"stephens", "ecr"} or None, default "stephens"
        How to undo label switching (:func:`bayesgmm.relabel`); None leaves the sampler's labels.
    progressbar : bool, default True

    Returns
    -------
    xr.DataTree
        Groups posterior, sample_stats (with ``permutation``), observed_data and constant_data.

    Raises
    ------
    ModelError, InvalidArgumentError, SamplingError

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
    )
    return dt if relabel is None else relabel_draws(dt, relabel)
