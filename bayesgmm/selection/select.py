"""Which number of components and which covariances: criteria side by side, each with its error."""

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError, ModelError, SamplingError
from bayesgmm.mixture.threads import one_for_matrices
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.model.priors import Priors
from bayesgmm.model.specification import Specification
from bayesgmm.progress import progress
from bayesgmm.search.likelihood import Likelihood
from bayesgmm.search.problem import MANY_ROWS
from bayesgmm.selection.asked import check_names, check_numbers, check_proper, check_rows, check_shortlist
from bayesgmm.selection.journal import Journal, Progress, fingerprint
from bayesgmm.selection.ladder import Ladder, Model
from bayesgmm.selection.posteriors import Judgement, sampled
from bayesgmm.selection.ranking import distinct, models_of, ranked, with_posteriors
from bayesgmm.selection.selection import Selection

if TYPE_CHECKING:
    import xarray as xr

LARGEST_SEED = 2**31 - 1
# Steps of arithmetic of a climb, as many passes over the data of so many operations a number.
PASSES, OPERATIONS = 1_500, 4


@one_for_matrices()
def select(
    X: Any,
    *,
    n_components: Iterable[int] = range(1, 10),
    covariances: Iterable[str] = tuple(COVARIANCE_TYPES),
    priors: Priors | None = None,
    shortlist: int | Iterable[tuple[int, str]] = 3,
    resolution: Any = "auto",
    sample_weight: Any = None,
    missing: str = "error",
    random_seed: int | None = None,
    store: str | os.PathLike | None = None,
    progressbar: bool = True,
) -> Selection:
    r"""Compare numbers of components and covariance structures.

    Of every model the likelihood is maximised, and with P free parameters and N rows

    .. math:: \mathrm{BIC} = -2 \log L + P \log N, \qquad \mathrm{AIC} = -2 \log L + 2 P, \qquad
              \mathrm{ICL} = \mathrm{BIC} - 2 \sum_n \log \max_k r_{nk},

    scikit-learn's sign: smaller is better. The likelihood of a mixture has no bound (a component may collapse on a
    row), so its maximum is the highest at which no component has; a recorded feature's rounding variance is part of
    every covariance. Of a shortlist the posterior is sampled: leave-one-out density, evidence, verdict.

    Parameters
    ----------
    X : (N, D) array or data frame
    n_components : iterable of int, default range(1, 10)
    covariances : iterable of str, default ("full", "tied", "diag", "spherical")
    priors : Priors, optional
        Of the posteriors; the criteria at the maximum of the likelihood need none.
    shortlist : int or iterable of (n_components, covariance_type), default 3
        The models that are sampled: so many of the least BIC, or those named. 0: none, as where rows are not in memory:
        then the maxima of 20,000 rows are climbed on to those of all.
    resolution, sample_weight, missing
        As for :func:`bayesgmm.build_model`.
    random_seed : int, optional
    store : path, optional
        A folder that keeps what was computed: the same call after an interruption goes on where it was, to the same
        table.
    progressbar : bool, default True

    Returns
    -------
    Selection

    Raises
    ------
    InvalidArgumentError, InvalidDataError, InvalidDataTypeError, InvalidPriorError
    StorageError
        ``store`` holds a selection of something else, or nothing can be written there.

    References
    ----------
    Schwarz (1978), Annals of Statistics 6, 461-464, https://doi.org/10.1214/aos/1176344136. Biernacki, Celeux and
    Govaert (2000), Assessing a mixture model for clustering with the integrated completed likelihood, IEEE TPAMI 22,
    719-725, https://doi.org/10.1109/34.865189. Scrucca, Fop, Murphy and Raftery (2016), mclust 5, R Journal 8, 289-317,
    https://doi.org/10.32614/RJ-2016-021.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> selection = bg.select(bg.datasets.load_faithful(), n_components=range(1, 4), shortlist=0, random_seed=1)
    >>> tuple(selection.best)
    (3, 'tied')
    >>> float(selection.table["bic"].iloc[0].round(1))
    2314.3
    """
    numbers, names = check_numbers(n_components), check_names(covariances)
    listed = check_shortlist(shortlist, numbers, names)
    seed = None if random_seed is None else check_count(random_seed, "random_seed", least=0)
    table = Table.to_fit(X, sample_weight=sample_weight, resolution=resolution, missing=missing)
    check_rows(table, numbers)
    listed = _possible(listed, table)
    # Priors may fit some numbers of components and not others.
    every = numbers if priors is not None else numbers[:1]
    assumed, *_ = [Specification.of(table, k, covariance_type=names[0], priors=priors) for k in every]
    if listed:
        check_proper(assumed)
    asked = {
        "rows": fingerprint(table), "n_components": list(numbers), "covariances": list(names),
        "priors": str(assumed.in_words()),
    }  # fmt: skip
    journal = Journal(None if store is None else Path(store), asked if seed is None else asked | {"seed": seed})
    few = table.subsample(MANY_ROWS, np.random.default_rng(0)) if table.elsewhere else table
    climbed = _climbed(Ladder(few, numbers, names), seed, journal, progressbar)
    if few is not table:
        climbed = _on_all_rows(table, climbed)
    rows, seconds = ranked(table, climbed.found), dict(climbed.seconds)
    posteriors: dict[tuple[int, str], xr.DataTree] = {}
    judged: dict[Model, Judgement] = {}
    for model in models_of(distinct(rows).head(listed)) if isinstance(listed, int) else listed:
        began = time.perf_counter()
        try:
            dt = journal.posterior(model)
            if dt is None:
                dt = sampled(table, model, priors, climbed.seed, progressbar)
                journal.keep(model, dt)
            judged[model], posteriors[model] = Judgement.of(dt, climbed.seed), dt
        except (ModelError, SamplingError, InvalidDataError) as error:
            judged[model] = Judgement.none(str(error))
        seconds[model] += time.perf_counter() - began
    return Selection(with_posteriors(rows, judged, seconds), posteriors, table, priors, climbed.seed)


def _possible(listed: int | list[Model], table: Table) -> int | list[Model]:
    """The shortlist, of which rows that are not in memory have none."""
    if not table.elsewhere:
        return listed
    if isinstance(listed, list) and listed:
        raise InvalidArgumentError(
            "shortlist names models, but rows that are not in memory are compared at the maximum of the likelihood "
            "only: leave it out, or select on a sample of the rows."
        )
    return 0


def _on_all_rows(table: Table, climbed: Progress) -> Progress:
    """What was found on some of the rows, climbed to the maximum of all of them."""
    found = {
        model: replace(one, maximum=Likelihood(table, model.family).climb(one.maximum.mixture))
        for model, one in climbed.found.items()
    }
    return replace(climbed, found=found)


def _climbed(ladder: Ladder, seed: int | None, journal: Journal, show: bool) -> Progress:
    """The maxima of the likelihood of all models, from where the journal has come to."""
    state = journal.read()
    if state is None:
        drawn = int(np.random.default_rng().integers(LARGEST_SEED)) if seed is None else seed
        state = Progress(drawn, 0, {}, {})
    steps, values = ladder.steps, ladder.table.values
    work = float(OPERATIONS * PASSES * len(steps) * values.size * np.mean(ladder.numbers))
    try:
        with progress("Climbing", len(steps), work=work, show=show) as done:
            for i, (sweep, model) in enumerate(steps):
                if i >= state.n_steps:
                    began = time.perf_counter()
                    found = ladder.climb(sweep, model, state.found, state.seed)
                    state = state.after(model, found, time.perf_counter() - began)
                    journal.write(state)
                done()
    finally:
        journal.write(state, now=True)
    return state
