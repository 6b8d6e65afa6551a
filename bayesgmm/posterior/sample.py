"""The full posterior, relabelled: sampling, or reading what was sampled, and relabelling as one verb."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.arguments import check_choice, check_count
from bayesgmm.data.cores import available_cores
from bayesgmm.mixture.threads import one_for_matrices
from bayesgmm.posterior.invariants import weigh_chains
from bayesgmm.posterior.relabel import METHODS, relabelled
from bayesgmm.progress import is_watched
from bayesgmm.sampling.nuts import DEFAULT_TUNE, Start, run_nuts
from bayesgmm.sampling.run import Run, Settings
from bayesgmm.sampling.store import Store
from bayesgmm.search.estimate import MapEstimate

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr


LIKELIHOODS = ("exact", "gaussian")


@one_for_matrices()
def sample(
    model: "pm.Model",
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    random_seed: Any = None,
    start: Start = "auto",
    estimate: MapEstimate | None = None,
    likelihood: str = "exact",
    relabel: str | None = "stephens",
    store: str | os.PathLike | None = None,
    progressbar: bool = True,
    backend: str = "numba",
) -> "xr.DataTree":
    """Draw from the posterior of a mixture by NUTS, from where its mass is, and relabel the draws.

    Steps are tuned to an acceptance of 0.8, of 100 parameters and more 0.65. Where more than one draw in a thousand
    diverges, all are drawn again with 0.95, and then with 0.99, unless a draw takes more than 200 steps already;
    ``attrs["target_accept"]`` says which it was.

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
    start : "auto", "heaviest", "dispersed" or MapEstimate, default "auto"
        Where chains start, without jitter: chains that start at one mode may never see another. "auto": at the mode
        that holds most of the posterior, or where none holds 95 % of what the starts found, at every mode that holds
        more than 1 %. "heaviest" and "dispersed" are the one or the other whatever the modes hold. An estimate, such as
        ``find_MAP(model)`` or one of its ``modes``: all at that one. Chains that started apart and stay apart are not
        pooled: the tree keeps each chain's share in ``sample_stats["chain_weight"]``, by Pareto-smoothed importance
        sampling of the modes, and this package's summaries use it.
    estimate : MapEstimate, optional
        What ``find_MAP(model)`` found, so that it need not be searched for again.
    likelihood : {"exact", "gaussian"}, default "exact"
        "gaussian": chains move under the priors and a quadratic in the log-likelihood's place, which takes no pass over
        the rows; then every draw gets one, and draws are drawn anew with Pareto-smoothed weights. The Pareto shape k
        (``attrs["pareto_k"]``) says how good the quadratic was: above 0.7 the draws are not to be relied on, and
        :func:`diagnose` says so. With very many rows it is the right tool, as the likelihood is nearly Gaussian then.
    relabel : {"stephens", "ecr"} or None, default "stephens"
        How to undo label switching (:func:`bayesgmm.relabel`); None leaves the sampler's labels, and those of sticks,
        which every draw has in an order of its own (``Priors(weights="stick-breaking")``).
    store : path, optional
        A new folder, such as "run.zarr", that keeps draws as they come: if the process is killed, :func:`open_run`
        reads what was written.
    progressbar : bool, default True
    backend : {"numba", "jax", "jax-float32"}, default "numba"
        "jax": NUTS by NumPyro, all chains side by side on JAX's device, which is a GPU where there is one, with the
        data there once (``pip install "bayesgmm[jax]"``). ``cores`` plays no part then, there is no bar and no
        ``store``, and an interrupted run leaves no draws. "jax-float32": the same with what is computed for every row
        in single precision, and sums in double; the mode is found in double precision.

    Returns
    -------
    xr.DataTree
        Groups posterior, sample_stats (with ``permutation``), observed_data and constant_data. After an interruption
        (Ctrl-C) it holds the draws so far, and ``attrs["complete"]`` is 0.

    Raises
    ------
    ModelError, InvalidArgumentError, SamplingError, MissingPackageError

    Warns
    -----
    MultipleModesWarning
        The posterior has other modes than those that chains start at, by a user's choice of ``start`` or for want of
        chains.

    References
    ----------
    Hoffman and Gelman (2014), The No-U-Turn Sampler, JMLR 15, 1593-1623. The sampler is nutpie's,
    https://github.com/pymc-devs/nutpie, or in JAX NumPyro's, https://github.com/pyro-ppl/numpyro. Vehtari, Simpson,
    Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72), 1-58.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.sample(model, draws=200, chains=2, random_seed=1, progressbar=False)
    >>> dt["posterior"]["weights"].dims
    ('chain', 'draw', 'component')
    """
    _check_method(relabel)
    check_choice(likelihood, "likelihood", LIKELIHOODS)
    settings = Settings(
        draws=check_count(draws, "draws"),
        tune=check_count(DEFAULT_TUNE if tune is None else tune, "tune"),
        cores=available_cores() if cores is None else check_count(cores, "cores"),
        progressbar=progressbar and is_watched(),
    )
    run = run_nuts(
        model, check_count(chains, "chains"), settings, start=start, estimate=estimate, random_seed=random_seed,
        store=store, likelihood=likelihood, backend=backend,
    )  # fmt: skip
    return _finished(run, relabel)


def open_run(
    path: str | os.PathLike, *, model: "pm.Model | None" = None, relabel: str | None = "stephens"
) -> "xr.DataTree":
    """Read the draws of a run that was sampled with ``store=path``, whether it ended or not.

    Of a run that was stopped, by whatever, the tree holds as many draws as a rectangle of whole chains can, and
    ``attrs["complete"]`` is 0; the folder keeps all. A run that goes on can be read at any time.

    Parameters
    ----------
    path : str or path
        The ``store`` of :func:`sample`.
    model : pm.Model, optional
        The model that was sampled, where it has terms of its own, or a prior that is not just a distribution's name
        and numbers. Others are built anew from what the store holds.
    relabel : {"stephens", "ecr"} or None, default "stephens"
        As for :func:`sample`.

    Returns
    -------
    xr.DataTree
        As :func:`sample` returns it. A run stopped before the first draws were written gives 0 draws.

    Raises
    ------
    StorageError
        There is no run at ``path``.
    ModelError
        The run can be read with its own model only.
    """
    _check_method(relabel)
    return _finished(Store(Path(path)).read(model), relabel)


def _check_method(relabel: str | None) -> None:
    if relabel is not None:
        check_choice(relabel, "relabel", METHODS)


def _finished(run: Run, relabel: str | None) -> "xr.DataTree":
    """A run's draws as a tree: chains that stay apart weighed, components under common labels."""
    fit = run.fit()
    if fit.n_draws == 0:
        return fit.tree
    fit = weigh_chains(fit)
    return (fit if relabel is None else relabelled(fit, relabel)).tree
