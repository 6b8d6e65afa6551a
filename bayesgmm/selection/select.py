"""Which number of components and which covariances: criteria side by side, each with its error."""

import os
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
from bayesgmm.notebook import card
from bayesgmm.posterior.sample import sample
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit
from bayesgmm.search.find_map import find_MAP
from bayesgmm.search.likelihood import Likelihood
from bayesgmm.search.problem import MANY_ROWS
from bayesgmm.selection.asked import check_names, check_numbers, check_proper, check_rows, check_shortlist
from bayesgmm.selection.journal import Journal, Progress, fingerprint
from bayesgmm.selection.ladder import Ladder, Model
from bayesgmm.selection.posteriors import Judgement
from bayesgmm.selection.ranking import distinct, models_of, ranked, with_posteriors

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Models that are printed.
SHOWN = 10
# A difference of BIC that is not worth more than a bare mention (Kass and Raftery 1995).
BARE_MENTION = 2.0
LARGEST_SEED = 2**31 - 1
# Steps of arithmetic of a climb, as many passes over the data of so many operations a number.
PASSES, OPERATIONS = 1_500, 4


@dataclass(frozen=True, eq=False)
class Selection:
    """Models side by side.

    Attributes
    ----------
    table : pandas.DataFrame
        One row a model, in the order of their rank. ``n_components``, ``covariance_type``; at the maximum of the
        likelihood ``log_likelihood`` (nats), ``n_parameters``, ``bic``, ``icl``, ``aic`` (smaller is better), the
        ``spurious_penalty`` of components of so few rows that these may lie close by chance, which is added to BIC to
        rank models, and whether it is ``sound``: no component has collapsed, nor a shared covariance for want of rows.
        Of the models that were sampled ``elpd`` (leave-one-out, nats; larger is better) and ``elpd_se``, what it is
        from the best's, ``elpd_diff`` and ``elpd_diff_se``, ``log_evidence`` (nats) and ``log_evidence_se``, the
        stacking ``weight`` and the ``verdict`` of :func:`bayesgmm.diagnose`, else NaN and ""; ``seconds``; and
        ``doubts``, why not to trust the row, "" if nothing speaks against it. Draws that fail have no weight.
    posteriors : dict
        (n_components, covariance_type) -> the tree of draws of every model that was sampled.
    """

    table: "pd.DataFrame"
    posteriors: Mapping[tuple[int, str], "xr.DataTree"]
    data: Table = field(repr=False)
    priors: Priors | None = field(repr=False)
    random_seed: int = field(repr=False)

    @property
    def best(self) -> tuple[int, str]:
        """(n_components, covariance_type) of the least BIC with its penalty, among sound models if there are any."""
        return models_of(self.table)[0]

    @property
    def indistinguishable(self) -> list[tuple[int, str]]:
        """The models whose BIC is less than 2 above the best, itself first: no more than a bare mention.

        Kass and Raftery (1995), Bayes factors, JASA 90, 773-795, https://doi.org/10.1080/01621459.1995.10476572.
        """
        charged = self.table["bic"] + self.table["spurious_penalty"]
        near = distinct(self.table[(charged < charged.iloc[0] + BARE_MENTION) & self.table["sound"]])
        return list(models_of(near))

    @property
    def others(self) -> dict[str, tuple[int, str]]:
        """What the evidence and the leave-one-out density prefer, where it is not the best by BIC."""
        usable = self.table[self.table["verdict"].isin(["ok", "caution"])]
        found = {
            said: models_of(usable.loc[[usable[name].idxmax()]])[0]
            for said, name in (("the evidence", "log_evidence"), ("leave-one-out", "elpd_diff"))
            if usable[name].notna().any()
        }
        return {said: model for said, model in found.items() if model != self.best}

    def fit(
        self, n_components: int | None = None, covariance_type: str | None = None, *, progressbar: bool = True
    ) -> "xr.DataTree":
        """Draws from the posterior of one of the models, the best by default; sampled if they have not been.

        The tree keeps the table in its group ``selection``, which :func:`bayesgmm.report` shows.

        Parameters
        ----------
        n_components : int, optional
        covariance_type : str, optional
            Default: that of the least BIC among those of ``n_components``.
        progressbar : bool, default True

        Returns
        -------
        xr.DataTree

        Raises
        ------
        InvalidArgumentError
            The selection has no such model.
        """
        rows = self.table
        for name, value in (("n_components", n_components), ("covariance_type", covariance_type)):
            if value is not None:
                rows = rows[rows[name] == value]
        if rows.empty:
            raise InvalidArgumentError(
                f"n_components = {n_components!r}, covariance_type = {covariance_type!r} is none of the models of "
                "this selection: see its table."
            )
        model = models_of(rows)[0]
        dt = self.posteriors.get(model)
        if dt is None:
            dt = _sampled(self.data, model, self.priors, self.random_seed, progressbar)
        return Fit.of(dt).selected_from(self.table).tree

    def _repr_html_(self) -> str:
        (title, *lines), shown = self._sentences, self._columns
        rows = [
            [f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row]
            for row in shown.astype(object).where(shown.notna(), "").itertuples(index=False)
        ]
        return card(f"Selection: {title}", lines=lines, head=[str(name).replace("_", " ") for name in shown], rows=rows)

    def __str__(self) -> str:
        lines, shown = self._sentences, self._columns.head(SHOWN)
        if len(shown) < len(self.table):
            lines.append(f"The first {len(shown)} of {len(self.table)} models:")
        return "\n".join([*lines, shown.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.2f}")])

    @property
    def _columns(self) -> "pd.DataFrame":
        """The table without what is not printed."""
        shown = self.table.drop(columns=["sound", "doubts", "seconds", "n_parameters", "elpd_se"])
        return shown if self.posteriors else shown.iloc[:, : list(shown).index("elpd")]

    @property
    def _sentences(self) -> list[str]:
        """What is best, and what speaks against it."""
        k, name = self.best
        lines = [f"{k} component{'s' * (k > 1)}, {name} covariances, by BIC"]
        others = [f"{name} {k}" for k, name in self.indistinguishable[1:]]
        if others:
            lines[0] += f"; not distinguishable from it: {', '.join(others)}"
        lines += [f"{criterion} prefers {k} {name}" for criterion, (k, name) in self.others.items()]
        doubts = self.table["doubts"].iloc[0]
        if doubts:
            lines.append(f"  {doubts}")
        return lines


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
                dt = _sampled(table, model, priors, climbed.seed, progressbar)
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


def _sampled(table: Table, model: Model, priors: Priors | None, seed: int, show: bool) -> "xr.DataTree":
    """Draws of a model's posterior; an interruption leaves none."""
    k, name = model
    specification = Specification.of(table, k, covariance_type=name, priors=priors)
    with warnings.catch_warnings():
        # What they warn of is in the verdict.
        warnings.simplefilter("ignore", UserWarning)
        built = specification.build(table)
        estimate = find_MAP(built, random_seed=seed, progressbar=show)
        dt = sample(built, estimate=estimate, random_seed=seed, progressbar=show)
    if not Fit.of(dt).provenance.complete:
        raise KeyboardInterrupt
    return dt
