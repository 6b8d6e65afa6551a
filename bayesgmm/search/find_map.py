"""Maximum a posteriori: many starts, EM, every optimum climbed to the top, and the curvature there.

The objective is that of ``pm.find_MAP``, which is not called: it compiles anew in every call (1.4 s with all cached),
while the compiled function that NUTS uses too climbs from a start in milliseconds. The tests hold its result against
that of ``pm.find_MAP``.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count, random_generator
from bayesgmm.data.table import Table
from bayesgmm.exceptions import (
    CollapsedComponentWarning,
    InvalidArgumentError,
    ModelError,
    UnboundedPosteriorWarning,
)
from bayesgmm.graph.backends import check_backend
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.threads import one_for_matrices
from bayesgmm.mixture.widths import against_collapse, collapsed, named_rows, own_rows, widths
from bayesgmm.model.specification import Specification
from bayesgmm.progress import progress
from bayesgmm.search.ascents import LEAST_STARTS, Ascents
from bayesgmm.search.checkpoint import Checkpoint
from bayesgmm.search.climb import Optimum
from bayesgmm.search.estimate import MapEstimate
from bayesgmm.search.given import given_starts
from bayesgmm.search.optima import Optima
from bayesgmm.search.planes import check_components, check_data
from bayesgmm.search.problem import SAME, Problem
from bayesgmm.search.units import fitting_priors

if TYPE_CHECKING:
    import pymc as pm

# Optima so many nats below the best, and one for every parameter of a component, hold nothing: volumes do not differ by
# as much. A component on a few rows is narrower than one on 20 times as many by 1.5 nats a parameter.
DEEPEST_GAP = 30.0
# Steps of arithmetic of a start, as many passes over the data of so many operations a number.
PASSES, OPERATIONS = 400, 4


@one_for_matrices()
def find_MAP(
    model: "pm.Model",
    *,
    n_init: int | str = "auto",
    start: Any = None,
    max_iter: int | None = None,
    random_seed: Any = None,
    progressbar: bool = True,
    backend: str = "numba",
    store: str | os.PathLike | None = None,
) -> MapEstimate:
    r"""The maximum a posteriori estimate of a mixture.

    .. math:: \hat\theta = \arg\max_\theta \; \sum_n w_n \log p(x_n \mid \theta) + \log p(\theta)

    over the parameters themselves (no Jacobian), as ``pm.find_MAP`` defines it. A mixture has several local maxima,
    and PyMC's initial point, at which all components are alike, is a stationary point; so there are many starts:
    k-means in five metrics, random rows, the best optimum so far with components split and merged, and the same after
    EM of rows with random weights; of twelve components and more the highest of five such moves. Each is followed by EM
    steps and climbed by L-BFGS with the exact gradient. A start that is far below the best is given up. ``starts`` says
    what each came to; an optimum that was found once may not be the best there is.

    Parameters
    ----------
    model : pm.Model
        From :func:`build_model`.
    n_init : int or "auto", default "auto"
        Number of starts. "auto": until the best optimum was found three times and five starts for every component
        (ten, unless two kinds of starts found it that do not begin at it) have found nothing better; at least 24, and
        besides these the starts of reweighted rows, ten more of them where one of them found the best; at most 300,
        and 1 of a single component.
    start : dict, MapEstimate, fitted GaussianMixture, or list of these, optional
        Where the search begins: ``weights``, ``means`` and ``covariances`` as ``point`` has them, an estimate, or a
        fitted estimator of ours or of scikit-learn. They are the first of ``n_init`` starts; with ``n_init=1`` a search
        from one start is that climb alone.
    max_iter : int, optional
        Iterations of every climb at most, and EM steps of a given ``start`` before it. 0: the best start as it is.
        Default: as many as it takes.
    random_seed : int or numpy.random.Generator, optional
    progressbar : bool, default True
        Show a bar where there is much to compute.
    backend : {"numba", "jax"}, default "numba"
        What computes the log posterior and its gradient: this package's own kernel on all processors, or JAX, with the
        data on its device, once (``pip install "bayesgmm[jax]"``).
    store : str or path, optional
        A folder in which climbs are kept as they come, the one under way every two seconds: the same call goes on where
        another one was stopped, whatever stopped it. Without ``random_seed`` the seed is kept there too.

    Returns
    -------
    MapEstimate

    Raises
    ------
    ModelError
        ``model`` was not made by :func:`build_model`, or no start reached a finite density.
    ImproperPosteriorError
        Rows lie exactly on a slanted line or plane, more of them than the priors can bear.
    StorageError
        Nothing can be written at ``store``.
    InvalidPriorError
        Priors of a user's put components where they cannot be computed with: in other units than the rows', say.
    InvalidArgumentError
        ``start`` is no mixture of the model's components and features; ``n_init`` or ``max_iter`` is out of range.
    MissingPackageError
        JAX was asked for and is not installed.

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
    number = None if isinstance(n_init, str) and n_init == "auto" else _number(n_init)
    problem = Problem.of(model, check_backend(backend))
    if max_iter is not None:
        check_count(max_iter, "max_iter", least=0)
    given = given_starts(start, problem.specification)
    _warn_if_unbounded(problem)
    check_data(problem.specification, problem.table)
    checkpoint = Checkpoint(None if store is None else Path(store))
    random_seed = checkpoint.seed(random_seed)
    rng = random_generator(random_seed)
    with fitting_priors(problem.specification):
        begun = Ascents(problem.on_fewer_rows(rng), rng, checkpoint, max_iter)
        ascents = _search(problem, number, begun, given, progressbar)
    if ascents.best is None:
        raise ModelError(
            "the log posterior is not finite at any start: check the priors (is the data inside their support?) "
            "and any terms added to the model."
        )
    distinct = ascents.distinct
    check_components(problem.specification, problem.table, [ascent.mixture for ascent in distinct])
    if max_iter != 0:
        _warn_if_not_converged(distinct[0].optimum)
    _warn_if_collapsed(distinct[0].mixture, problem.table, problem.specification)
    return MapEstimate.at(_optima(problem, ascents), 0, random_seed)


def _number(n_init: Any) -> int:
    if isinstance(n_init, str):
        raise InvalidArgumentError(f'n_init = {n_init!r} must be an integer of at least 1, or "auto".')
    return check_count(n_init, "n_init")


def _search(
    problem: Problem, n_init: int | None, ascents: Ascents, given: Sequence[Mixture], progressbar: bool
) -> Ascents:
    """All ascents: on some of the rows first, where there are very many."""
    few = ascents.problem
    stages = 1 + (few is not problem)
    expected = LEAST_STARTS if n_init is None else n_init
    work = float(OPERATIONS * PASSES * expected * problem.table.values.size * problem.specification.n_components)
    with progress("Climbing", stages * expected, work=work, show=progressbar) as done:
        ascents.run(n_init, done, given)
        return ascents if few is problem else ascents.on(problem, done)


def _optima(problem: Problem, ascents: Ascents) -> Optima:
    """The distinct optima that may hold some of the posterior."""
    found = [ascent.optimum for ascent in ascents.distinct]
    lowest = found[0].log_posterior - DEEPEST_GAP - problem.n_parameters / problem.specification.n_components
    near = [optimum for optimum in found if optimum.log_posterior > lowest]
    return Optima(problem, ascents.starts, tuple(_in_order(problem, optimum) for optimum in near))


def _warn_if_unbounded(problem: Problem) -> None:
    reasons = problem.specification.unbounded_because
    if reasons:
        warnings.warn(
            "these priors do not guarantee a MAP: " + "; ".join(reasons) + ". The default priors do.",
            UnboundedPosteriorWarning,
            stacklevel=3,
        )


def _warn_if_not_converged(optimum: Optimum) -> None:
    if not optimum.converged:
        from bayesgmm.exceptions import ConvergenceWarning

        warnings.warn(
            f"the optimiser stopped before a maximum, with gradient norm {optimum.gradient_norm:.3g} "
            f"({optimum.message}). Try more starts (n_init), fewer components, or a larger max_iter if you gave one.",
            ConvergenceWarning,
            stacklevel=3,
        )


def _warn_if_collapsed(mixture: Mixture, table: Table, specification: Specification) -> None:
    x = table.filled
    width = widths(mixture, x)
    for k in np.flatnonzero(collapsed(mixture, x)):
        rows = named_rows(own_rows(mixture, x, int(k)), table.names)
        where = f"on rows {rows}" if rows else "where it has no row to itself"
        warnings.warn(
            f"a component with {mixture.weights[k]:.1%} of the weight has collapsed to {width[k]:.1e} of the data's "
            f"width in one direction, {where}: its density there is an artefact. "
            f"{against_collapse(not specification.not_defaults)}",
            CollapsedComponentWarning,
            stacklevel=3,
        )


def _in_order(problem: Problem, optimum: Optimum) -> Optimum:
    """An optimum with its components in the order of their means, if the density is the same under every order."""
    means = problem.constrain(optimum.q)["means"][0]
    q = problem.graph.reordered(optimum.q[None], np.lexsort(means.T[::-1]))[0]
    log_posterior = problem.parameter_density(q)[0]
    if not abs(log_posterior - optimum.log_posterior) < SAME * max(1.0, abs(optimum.log_posterior)):
        # The priors or a user's terms tell the components apart: then they keep the order they were found in.
        return optimum
    return replace(optimum, q=q, log_posterior=log_posterior)
