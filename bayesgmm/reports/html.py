"""One self-contained page about a fit, to hand to a colleague."""

import base64
import hashlib
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.model.priors import VARIANCE_SHAPE, Priors
from bayesgmm.posterior.assignments import assignments, interval
from bayesgmm.posterior.diagnostics import diagnose
from bayesgmm.posterior.draws import Draws, in_proportion, observed
from bayesgmm.posterior.storage import check_writable, write_whole
from bayesgmm.reports.figures import brief, pictures
from bayesgmm.reports.palette import colours
from bayesgmm.reports.tables import SURE, assignment_table, least_certain
from bayesgmm.validation import check_count, check_probability

if TYPE_CHECKING:
    import xarray as xr

# Features that stand beside a row in the table of the least certain ones.
SHOWN_FEATURES = 4
ROUNDING = "recorded in steps of"
PACKAGES = ("bayesgmm", "pymc", "pytensor", "nutpie", "arviz", "numpy", "scipy", "numba")


def report(
    dt: "xr.DataTree",
    path: str | os.PathLike,
    *,
    title: str | None = None,
    ci_prob: float = 0.89,
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
    ci_prob : float, default 0.89
        Probability of all intervals.
    n_rows : int, default 500
        Rows of the table of the least certain ones.
    progressbar : bool, default True
        Show a bar where there is much to compute.

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
    ci_prob = check_probability(ci_prob, "ci_prob")
    n_rows = check_count(n_rows, "n_rows")
    if title is not None and not isinstance(title, str):
        raise InvalidArgumentError(f"title = {title!r} must be a string.")
    check_writable(path)
    return write_whole(page(dt, title, ci_prob, n_rows, progressbar).encode("utf-8", "replace"), path)


def page(dt: "xr.DataTree", title: str | None, ci_prob: float, n_rows: int, progressbar: bool) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    draws, x = Draws.of(dt), observed(dt)
    diagnosis = diagnose(dt)
    soft = assignments(dt, ci_prob=ci_prob, progressbar=progressbar)
    priors = list(_priors(dt, draws))
    attrs = {str(name): value for name, value in dt["posterior"].attrs.items()}
    n, d, k = *x.shape, draws.n_components
    templates = Environment(
        loader=PackageLoader("bayesgmm.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {"number": number, "short": short, "brief": brief}
    style, script = (_source(name) for name in ("report.css", "report.js"))
    return templates.get_template("report.html").render(
        title=title or f"{k} component{'s' * (k > 1)} in {n:,} rows of {d} feature{'s' * (d > 1)}",
        style=style,
        script=script,
        # Nothing but this very style and script may run, and nothing may be loaded: names in the data are just text.
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        diagnosis=diagnosis,
        checks=_checks(diagnosis),
        interval_name=f"{100 * ci_prob:.0f} %",
        components=list(_components(draws, ci_prob, soft)),
        features=draws.features,
        tied=not draws.structure.per_component,
        diagonal=draws.structure.diagonal,
        n_features=d,
        n_rows=n,
        allocated=assignment_table(dt, soft).reset_index().to_dict("records"),
        sure=SURE,
        rows=_rows(soft, x, draws.features, n_rows),
        shown_features=draws.features[:SHOWN_FEATURES],
        pictures=pictures(dt, soft),
        covariance_type=draws.structure.name,
        priors=priors,
        other_terms=_other_terms(attrs),
        correlated=draws.structure.correlated and d > 1,
        rounded=any(name == ROUNDING for name, _ in priors),
        settings=_settings(dt, x),
        versions=_versions(),
        code=_code(dt, draws),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def number(value: Any) -> str:
    """A number to be read: four digits, or as many as it has before the point."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "\u2013"
    value = float(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f") if abs(value) >= 1e4 else f"{int(value)}"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.3e}"
    digits = int(np.clip(3 - np.floor(np.log10(abs(value))), 0, 6))
    return f"{value:.{digits}f}"


def short(value: Any) -> str:
    """A number that was set rather than estimated."""
    return f"{float(value):.6g}"


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _checks(diagnosis: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": float(row["value"]), "limit": float(row["limit"]), "passed": bool(row["passed"])}
        for name, row in diagnosis.table.iterrows()
    ]


def _components(draws: Draws, ci_prob: float, soft: "xr.Dataset") -> Iterator[dict[str, Any]]:
    """Weight, means, standard deviations and covariances of every component, each as (mean, lower, upper)."""
    from matplotlib.colors import to_hex

    def summary(values: np.ndarray) -> np.ndarray:
        return np.stack([values.mean(axis=0), *interval(values, ci_prob)], axis=-1)

    _, _, covariances = draws.mixtures(slice(None))
    weights, means = summary(draws.weights), summary(draws.means)
    spread = summary(np.sqrt(np.einsum("skii->ski", covariances)))
    shared = summary(covariances)
    label = soft["label"].values
    for k in range(draws.n_components):
        yield {
            "name": k,
            "colour": to_hex(colours(draws.n_components)[k]),
            "weight": weights[k],
            "rows": int((label == k).sum()),
            "means": means[k],
            "scales": spread[k],
            "covariances": shared[k],
        }


def _rows(soft: "xr.Dataset", x: np.ndarray, features: tuple[str, ...], most: int) -> list[dict[str, Any]]:
    """The least certain rows, with their first features."""
    table = least_certain(soft.assign_coords(obs_id=np.arange(len(x))), most).reset_index()
    names = soft["obs_id"].values
    return [
        {
            "name": str(names[row["row"]]),
            "component": int(row["component"]),
            "values": x[row["row"], :SHOWN_FEATURES],
            **{key: float(row[key]) for key in ("probability", "lower", "upper", "entropy", "mutual_information")},
        }
        for row in table.to_dict("records")
    ]


def _priors(dt: "xr.DataTree", draws: Draws) -> Iterator[tuple[str, str]]:
    """Each prior in numbers, per feature where it differs."""
    attrs = dt["posterior"].attrs
    if "constant_data" not in dt:
        return
    constants = {str(name): np.atleast_1d(v.values) for name, v in dt["constant_data"].dataset.data_vars.items()}

    def per_feature(words: Any) -> str:
        return "; ".join(f"{brief(name)}: {words(j)}" for j, name in enumerate(draws.features))

    if "concentration" in constants:
        yield "weights", f"Dirichlet({', '.join(short(c) for c in constants['concentration'])})"
    if "midrange" in constants:
        low, wide = constants["midrange"], constants["range"]
        yield "means", per_feature(lambda j: f"Normal({short(low[j])}, sd {short(wide[j])})")
    if "variance_scale" in constants:
        scale = constants["variance_scale"]
        yield (
            "variances",
            per_feature(lambda j: f"InverseGamma({VARIANCE_SHAPE:g}, {short(scale[j])})")
            if len(scale) == draws.n_features
            else f"InverseGamma({VARIANCE_SHAPE:g}, {short(scale[0])})",
        )
    for name in ("means", "variances", "scales"):
        if f"prior_{name}" in attrs:
            yield name, str(attrs[f"prior_{name}"]).split("~", 1)[-1].strip()
    if "lkj_eta" in constants:
        yield "correlations", f"LKJ({short(constants['lkj_eta'][0])})"
    if (constants.get("resolution", np.zeros(1)) > 0).any():
        step = constants["resolution"]
        yield ROUNDING, per_feature(lambda j: short(step[j]) if step[j] > 0 else "not rounded")


def _other_terms(attrs: dict[str, Any]) -> list[str]:
    own = {f"prior_{name}" for name in ("means", "variances", "scales")}
    return [str(v) for name, v in attrs.items() if name.startswith("prior_") and name not in own]


def _settings(dt: "xr.DataTree", x: np.ndarray) -> list[tuple[str, str]]:
    attrs, sizes = dt["posterior"].attrs, dt["posterior"].sizes
    listed = [
        ("inference", {"nuts": "NUTS", "laplace": "Laplace approximation at the mode"}.get(
            str(attrs.get("inference_method")), "draws from elsewhere")),
        ("chains \u00d7 draws", f"{sizes['chain']} \u00d7 {sizes['draw']}"),
        ("tuning steps a chain", attrs.get("tuning_steps")),
        ("starts of the search for the mode", attrs.get("n_init")),
        ("relabelling", attrs.get("relabelled")),
        ("random seed", attrs.get("random_seed")),
        ("chains weighted by their modes' shares", "yes" if in_proportion(dt) is not dt else "no"),
        ("draws made", str(attrs.get("created_at", ""))[:16].replace("T", " ")),
        ("data", f"{x.shape[0]} \u00d7 {x.shape[1]}, SHA-256 {hashlib.sha256(x.tobytes()).hexdigest()[:16]}…"),
        ("row weights", "yes" if "constant_data" in dt and "sample_weight" in dt["constant_data"] else "no"),
    ]  # fmt: skip
    return [(name, str(value)) for name, value in listed if value not in (None, "")]


def _versions() -> list[tuple[str, str]]:
    found = [("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def _code(dt: "xr.DataTree", draws: Draws) -> str:
    """Python that makes the fit again from its data."""
    attrs, sizes = dt["posterior"].attrs, dt["posterior"].sizes
    given = {
        name: f", random_seed={attrs[name]}" if name in attrs else "" for name in ("random_seed", "map_random_seed")
    }
    columns = ", ".join(repr(name) for name in draws.features)
    find = f"estimate = bg.find_MAP(model, n_init={attrs.get('n_init', 10)}{given['map_random_seed']})"
    length = f"draws={sizes['draw']}, tune={attrs.get('tuning_steps')}, chains={sizes['chain']}{given['random_seed']}"
    if attrs.get("inference_method") == "laplace":
        fit = [find, f"dt = estimate.laplace({sizes['draw']}{given['random_seed']})"]
    elif attrs.get("start") == "dispersed":
        fit = [f'dt = bg.sample(model, start="dispersed", {length})']
    elif "map_random_seed" in attrs:
        fit = [find, f"dt = bg.sample(model, start=estimate, {length})"]
    else:
        fit = [f"dt = bg.sample(model, {length})"]
    return "\n".join(
        [
            "import bayesgmm as bg",
            "import pandas as pd",
            "",
            f'X = pd.read_csv("your-data.csv")[[{columns}]]',
            "model = bg.build_model(",
            f"    X, n_components={draws.n_components}, covariance_type={draws.structure.name!r},",
            f"    {_assumed(dt, draws)},",
            ")",
            *fit,
            'bg.report(dt, "report.html")',
        ]
    )


def _assumed(dt: "xr.DataTree", draws: Draws) -> str:
    """The resolution and those priors that are not the default ones, as arguments of ``build_model``."""
    attrs = dt["posterior"].attrs
    constants = dt["constant_data"].dataset if "constant_data" in dt else {}
    step = np.atleast_1d(constants["resolution"].values) if "resolution" in constants else np.zeros(1)
    said = [f"resolution={step.tolist()}" if (step > 0).any() else "resolution=None"]
    priors = [f"{name}=..." for name in ("means", "variances", "scales") if f"prior_{name}" in attrs]
    if "concentration" in constants and (constants["concentration"].values != 1).any():
        priors.insert(0, f"concentration={constants['concentration'].values.tolist()}")
    if "lkj_eta" in constants and float(constants["lkj_eta"]) != Priors().eta(draws.n_features):
        priors.append(f"lkj_eta={float(constants['lkj_eta']):g}")
    if priors:
        said.append(f"priors=bg.Priors({', '.join(priors)})")
    if "sample_weight" in constants:
        said.append("sample_weight=...")
    return ", ".join(said)
