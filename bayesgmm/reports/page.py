"""One self-contained page about a fit, to hand to a colleague."""

import base64
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_ci_prob, check_count, check_page
from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.model.prior import shortened
from bayesgmm.posterior.assignments import interval
from bayesgmm.record.fit import Fit
from bayesgmm.record.storage import check_writable, write_whole
from bayesgmm.reports.axes import percent
from bayesgmm.reports.findings import Findings
from bayesgmm.reports.numbers import aligned, number, short
from bayesgmm.reports.parameters import component_names, covariance_grids, parameter_grids
from bayesgmm.reports.pictures import pictures
from bayesgmm.reports.recipe import recipe
from bayesgmm.reports.tables import SURE, least_certain

if TYPE_CHECKING:
    import xarray as xr

# Features that stand beside a row in the table of the least certain ones.
SHOWN_FEATURES = 4
# Models in the table of those that were compared.
SHOWN_MODELS = 12
METHODS = {
    "nuts": "NUTS", "laplace": "Laplace approximation at the mode", "map": "the posterior mode alone",
    "given": "parameters that were given",
}  # fmt: skip


def report(
    dt: "xr.DataTree",
    path: str | os.PathLike,
    *,
    title: str | None = None,
    ci_prob: float | None = None,
    n_rows: int = 500,
    progressbar: bool = True,
) -> Path:
    """Write a page about a fit: whether to believe it, the components, the rows that are unsure, the model.

    The page is one HTML file with nothing to load from elsewhere: pictures, style and script stand in it. It says the
    verdict of :func:`diagnose` first; then the components with their intervals in the data's units, the assignments
    with a table of the least certain rows to sort and search, the density, posterior predictive checks, the model with
    its priors in numbers, and how to make it all again.

    Parameters
    ----------
    dt : xr.DataTree
        Relabelled draws, from :func:`sample`, ``MapEstimate.laplace`` or :func:`load`.
    path : str or path
        Such as "report.html". What stands there is replaced when the new page is whole.
    title : str, optional
        Default: the numbers of components, rows and features.
    ci_prob : float, optional
        Probability of all intervals and bands. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    n_rows : int, default 500
        Rows of the table of the least certain ones.
    progressbar : bool, default True
        Show a bar while numbers are computed and pictures drawn.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ModelError, InvalidArgumentError, StorageError

    Examples
    --------
    >>> import bayesgmm as bg, tempfile
    >>> estimate = bg.find_MAP(bg.build_model(bg.datasets.load_faithful(), 2), random_seed=1)
    >>> path = bg.report(estimate.laplace(100, random_seed=1), tempfile.mkdtemp() + "/report.html")
    >>> path.read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    ci_prob = check_ci_prob(ci_prob)
    n_rows = check_count(n_rows, "n_rows")
    if title is not None and not isinstance(title, str):
        raise InvalidArgumentError(f"title = {title!r} must be a string.")
    check_page(path, "path")
    check_writable(path)
    found = Findings.of(dt, ci_prob, progressbar=progressbar)
    text = page(found, title, n_rows, progressbar=progressbar)
    return write_whole(text.encode("utf-8", "replace"), path)


def page(found: Findings, title: str | None, n_rows: int, *, progressbar: bool = False) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from bayesgmm import __version__

    fit = found.fit
    (n, d), k = fit.x.shape, fit.n_components
    templates = Environment(
        loader=PackageLoader("bayesgmm.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {"number": number, "short": short, "brief": shortened}
    style, script = (_source(name) for name in ("report.css", "report.js"))
    return templates.get_template("report.html").render(
        title=title or f"{k} component{'s' * (k > 1)} in {n:,} rows of {d} feature{'s' * (d > 1)}",
        style=style,
        script=script,
        # Nothing but this very style and script may run, and nothing may be loaded: names in the data are just text.
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        diagnosis=found.diagnosis,
        checks=found.diagnosis.table.reset_index().to_dict("records"),
        interval_name=percent(found.ci_prob),
        components=component_names(found),
        parameters=parameter_grids(found),
        covariances=list(covariance_grids(found)),
        features=fit.features,
        covariance=fit.covariance,
        n_rows=n,
        allocated=found.allocated.reset_index().to_dict("records"),
        sure=SURE,
        rows=_rows(found, n_rows),
        shown_features=fit.features[:SHOWN_FEATURES],
        pictures=pictures(found, progressbar=progressbar),
        selection=[] if fit.selection is None else fit.selection.head(SHOWN_MODELS).to_dict("records"),
        specification=fit.specification,
        settings=_settings(fit, found.ci_prob),
        versions=fit.provenance.versions,
        code=recipe(fit),
        written_by=__version__,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _rows(found: Findings, most: int) -> list[dict[str, Any]]:
    """The least certain rows, with their first features."""
    x, names = found.fit.x, found.soft["obs_id"].values
    colour = {name.text: name.colour for name in component_names(found)}
    table = least_certain(found.soft.assign_coords(obs_id=np.arange(len(x))), most).reset_index()
    columns = [aligned(x[table["row"], j]) for j in range(min(x.shape[1], SHOWN_FEATURES))]
    shown = list(zip(*columns, strict=True))
    return [
        {
            "name": str(names[row["row"]]),
            "component": row["component"],
            "colour": colour.get(str(row["component"]), ("transparent",) * 2),
            "values": list(zip(x[row["row"], :SHOWN_FEATURES], words, strict=True)),
            **{key: float(row[key]) for key in ("probability", "lower", "upper", "entropy", "mutual_information")},
        }
        for row, words in zip(table.to_dict("records"), shown, strict=True)
    ]


def _noise(fit: Fit, ci_prob: float) -> str:
    noise = fit.mixture.noise
    assert noise is not None
    low, high = interval(np.asarray(noise.share)[:, None], ci_prob)[:, 0]
    share = f"a share of {np.mean(noise.share):.1%} ({low:.1%} to {high:.1%}, {percent(ci_prob)} interval)"
    return f"{share}, uniform over the data's bounding box, of volume {noise.volume:.4g}"


def _settings(fit: Fit, ci_prob: float) -> list[tuple[str, str]]:
    how, x = fit.provenance, fit.x
    listed = [
        ("inference", METHODS.get(how.method, "draws from elsewhere")),
        ("chains \u00d7 draws", f"{fit.n_chains} \u00d7 {fit.n_draws}"),
        ("ended by itself", None if how.complete else "no, it was stopped"),
        ("tuning steps a chain", how.tuning_steps),
        ("acceptance that steps were tuned to", how.acceptance),
        ("starts of the search for the mode", None if how.starts is None else len(how.starts)),
        ("relabelling", how.relabelled),
        ("random seed", how.seed),
        ("random seed of the search", how.map_seed),
        ("chains weighted by their modes' shares", "no" if fit.chain_weights is None else "yes"),
        ("draws made", how.created[:16].replace("T", " ")),
        ("data", f"{x.shape[0]} \u00d7 {x.shape[1]}, SHA-256 {hashlib.sha256(x.tobytes()).hexdigest()[:16]}…"),
        ("values not seen", f"{np.isnan(x).sum():,} ({np.isnan(x).mean():.1%}), integrated out" if fit.gaps else None),
        ("rows of no component", None if fit.mixture.noise is None else _noise(fit, ci_prob)),
        ("errors of measurement", "yes" if fit.table.errors is not None else None),
        ("known labels", None if fit.table.labels is None else f"{int((fit.table.labels >= 0).sum()):,} rows"),
        ("row weights", "no" if fit.table.weights is None else "yes"),
    ]
    return [(name, str(value)) for name, value in listed if value not in (None, "")]
