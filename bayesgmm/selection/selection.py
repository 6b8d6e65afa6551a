"""Models side by side, and which of them is best."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.model.priors import Priors
from bayesgmm.notebook import card
from bayesgmm.record.fit import Fit
from bayesgmm.selection.posteriors import sampled
from bayesgmm.selection.ranking import distinct, models_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Models that are printed.
SHOWN = 10
# A difference of BIC that is not worth more than a bare mention (Kass and Raftery 1995).
BARE_MENTION = 2.0


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
    def edge(self) -> str:
        """A sentence where the best has as many components as any that was tried, else ""."""
        tried = self.table["n_components"]
        if tried.nunique() == 1 or self.best[0] < tried.max():
            return ""
        return (
            f"{tried.max()} components are the most that were tried: try more. If the BIC goes on falling, the rows "
            "are a continuum: a mixture describes it, and its components are no count of anything."
        )

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

    @property
    def usable(self) -> tuple[int, str]:
        """What to fit: the best, or where its draws fail the first in rank whose draws do not, if there is one."""
        known = self.table[self.table["verdict"].isin(["ok", "caution"])]
        return self.best if not self._best_fails or known.empty else models_of(known)[0]

    @property
    def passed_over(self) -> str:
        """A sentence where the draws of the best fail, else ""."""
        if not self._best_fails:
            return ""
        (k, name), (other, structure) = self.best, self.usable
        said = f"The draws of {k} {name} cannot be trusted (verdict fail)"
        if self.usable == self.best:
            return f"{said}, nor those of any other that was sampled: a longer shortlist may have some that can."
        return f"{said}: {other} {structure} is the next whose can."

    @property
    def _best_fails(self) -> bool:
        return bool(self.table["verdict"].iloc[0] == "fail")

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
            dt = sampled(self.data, model, self.priors, self.random_seed, progressbar)
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
        lines += filter(None, [self.edge, self.passed_over])
        doubts = self.table["doubts"].iloc[0]
        if doubts:
            lines.append(f"  {doubts}")
        return lines
