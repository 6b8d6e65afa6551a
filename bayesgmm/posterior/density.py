"""The mixture's density, its marginals and its conditionals, under every draw (equations: ``mixture/mixture.py``)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_ci_prob
from bayesgmm.data.reading import column_names
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.posterior.assignments import interval
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr

# Points of a grid: on a line, and on either side of a plane.
GRID = {1: 200, 2: 60}
# A grid goes beyond the data by this part of their range.
MARGIN = 0.1
# Points are taken in blocks for which the densities of all draws fit in this many doubles (32 MB).
BLOCK_DOUBLES = 2**22
# Steps of arithmetic at a point, of one component of one draw.
OPERATIONS = 30


def density(
    dt: "xr.DataTree",
    points: Any = None,
    *,
    features: Sequence[str] | None = None,
    given: Mapping[str, float] | None = None,
    ci_prob: float | None = None,
    progressbar: bool = True,
) -> "xr.Dataset":
    """The density of the mixture, a marginal or a conditional of it, with the posterior's band.

    Parameters
    ----------
    dt : xr.DataTree
        Draws; they need not be relabelled.
    points : (M, d) array or data frame, optional
        Where to compute it, one column a feature of ``features``. Default: a grid over the data, 200 points of one
        feature or 60 x 60 of two.
    features : sequence of str, optional
        Whose density; the others are integrated out. Default: all that are not given.
    given : mapping of str to float, optional
        Features held at a value, in the data's units: the density is conditional on them.
    ci_prob : float, optional
        Posterior probability of the equal-tailed band, at every point. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    xr.Dataset
        ``density``, its posterior mean, which is the posterior predictive density, ``density_sd``, ``lower`` and
        ``upper``, per unit of every feature. On a grid the dims are the features; else ``point``, with the features as
        coordinates.

    Raises
    ------
    InvalidArgumentError
        A feature that is not there or is named twice; no points for three features or more.
    InvalidDataError, InvalidDataTypeError, ModelError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1)
    >>> dict(bg.density(dt, features=["eruptions"]).sizes)
    {'eruptions': 200}
    >>> after_80 = bg.density(dt, given={"waiting": 80})
    >>> bool(abs(after_80["density"].integrate("eruptions") - 1) < 0.01)
    True
    """
    import xarray as xr

    ci_prob = check_ci_prob(ci_prob)
    fit = Fit.of(dt)
    asked, values = _check_features(fit.features, features, given)
    axes = [fit.features.index(name) for name in asked]
    where, coords = _grid(fit.x[:, axes], asked) if points is None else _points(points, asked)
    narrowed = fit.mixture.conditional(axes, values)
    shape = tuple(len(c) for _, c in coords.values()) if points is None else (len(where),)
    dims = asked if points is None else ("point",)
    mean, sd, lower, upper = _over_draws(narrowed, where, ci_prob, progressbar)
    names = {"density": mean, "density_sd": sd, "lower": lower, "upper": upper}
    return xr.Dataset(
        {name: (dims, v.reshape(shape)) for name, v in names.items()},
        coords=coords,
        attrs={"ci_prob": ci_prob, "ci_kind": "eti"} | {f"given {name}": v for name, v in (given or {}).items()},
    )


def regression(
    dt: "xr.DataTree",
    feature: str,
    *,
    given: Mapping[str, Any],
    ci_prob: float | None = None,
    progressbar: bool = True,
) -> "xr.Dataset":
    r"""The mean of a feature given others, a curve with the posterior's band, and the spread about it.

    .. math:: E[x_a \mid x_b] = \sum_k \pi_k(x_b)\, \mu_k(x_b)

    Features that are neither asked for nor given are integrated out. Rows of no component (``noise``) are left out: the
    mean is that of the components.

    Parameters
    ----------
    dt : xr.DataTree
        Draws; they need not be relabelled.
    feature : str
        The feature to predict.
    given : mapping of str to float or (M,) array
        Values of the features to predict it from; numbers go with every value of the arrays.
    ci_prob : float, optional
        Posterior probability of the equal-tailed band, at every point. Default: ArviZ's ``rcParams["stats.ci_prob"]``.
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    xr.Dataset
        ``mean``, ``lower`` and ``upper`` of the conditional mean, and ``sd``, the standard deviation of a new row's
        feature about it (the root of the posterior mean of the conditional variance plus the variance of the
        conditional mean), with dim ``point`` and the given features as coordinates.

    Raises
    ------
    InvalidArgumentError, ModelError

    References
    ----------
    Mueller, Erkanli and West (1996), Bayesian curve fitting using multivariate normal mixtures, Biometrika 83, 67-79,
    https://doi.org/10.1093/biomet/83.1.67.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> dt = bg.find_MAP(model, random_seed=1).laplace(200, random_seed=1)
    >>> bg.regression(dt, "eruptions", given={"waiting": [50.0, 80.0]})["mean"].values.round(1)
    array([2. , 4.3])
    """
    import xarray as xr

    ci_prob = check_ci_prob(ci_prob)
    fit = Fit.of(dt)
    draws = fit.mixture
    if not isinstance(given, Mapping) or not given:
        raise InvalidArgumentError("given must name at least one feature and its values, such as {'waiting': 80}.")
    columns = {str(name): _numbers(name, value) for name, value in given.items()}
    lengths = {len(c) for c in columns.values() if c.ndim}
    if len(lengths) > 1:
        raise InvalidArgumentError(f"given holds arrays of different lengths, {sorted(lengths)}: they go together.")
    n_points = lengths.pop() if lengths else 1
    columns = {name: np.broadcast_to(c, (n_points,)) for name, c in columns.items()}
    means, variances = np.empty((len(draws), n_points)), np.empty((len(draws), n_points))
    work = float(len(draws) * draws.n_components * n_points * len(columns) ** 2 * OPERATIONS)
    with progress("Regression", n_points, work=work, show=progressbar) as done:
        for i in range(n_points):
            (name,), values = _check_features(fit.features, [feature], {n: float(c[i]) for n, c in columns.items()})
            part = draws.conditional([fit.features.index(name)], values)
            centre, own = part.means[..., 0], part.scales[..., 0] ** 2
            means[:, i] = (part.weights * centre).sum(axis=1)
            # About the mixture's mean, not as a difference of squares, which would cancel.
            variances[:, i] = (part.weights * (own + (centre - means[:, [i]]) ** 2)).sum(axis=1)
            done()
    lower, upper = interval(means, ci_prob)
    sd = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return xr.Dataset(
        {
            name: (("point",), v)
            for name, v in {"mean": means.mean(axis=0), "lower": lower, "upper": upper, "sd": sd}.items()
        },
        coords={name: ("point", c) for name, c in columns.items()},
        attrs={"feature": feature, "ci_prob": ci_prob, "ci_kind": "eti"},
    )


def _over_draws(draws: Mixture, points: np.ndarray, ci_prob: float, progressbar: bool) -> tuple[np.ndarray, ...]:
    """Mean, standard deviation, lower and upper end of the density at every point."""
    result = np.empty((4, len(points)))
    block = max(1, BLOCK_DOUBLES // len(draws))
    starts = range(0, len(points), block)
    work = float(len(points) * len(draws) * draws.n_components * OPERATIONS)
    with progress("Density", len(starts), work=work, show=progressbar) as done:
        for start in starts:
            own = slice(start, start + block)
            at_points = np.exp(draws.log_density(points[own]))
            result[0, own], result[1, own] = at_points.mean(axis=0), at_points.std(axis=0)
            result[2:, own] = interval(at_points, ci_prob)
            done()
    return tuple(result)


def _check_features(
    known: tuple[str, ...], features: Sequence[str] | None, given: Mapping[str, float] | None
) -> tuple[tuple[str, ...], dict[int, float]]:
    """The features asked for, and the values of those given by their positions."""
    given = {} if given is None else given
    asked = [f for f in known if f not in given] if features is None else features
    if isinstance(asked, str):
        raise InvalidArgumentError(f"features = {asked!r} must be a list of names: [{asked!r}].")
    names = [*asked, *given]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidArgumentError(f"there is no feature {unknown[0]!r}; the features are {', '.join(known)}.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidArgumentError(f"feature {twice[0]!r} is named twice: a feature is asked for or given, once.")
    if not asked:
        raise InvalidArgumentError("every feature is given: leave at least one whose density to compute.")
    values = {}
    for name, value in given.items():
        number = _numbers(name, value)
        if number.ndim:
            raise InvalidArgumentError(f"given[{name!r}] must be one number; for a curve use bayesgmm.regression.")
        values[known.index(name)] = float(number)
    return tuple(asked), values


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    if numbers.ndim > 1 or numbers.size == 0 or not np.isfinite(numbers).all():
        raise InvalidArgumentError(f"given[{name!r}] = {value!r} must be a finite number or a flat array of such.")
    return numbers


def _grid(x: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, dict[str, Any]]:
    if len(names) not in GRID:
        raise InvalidArgumentError(
            f"a density of {len(names)} features has no grid: give points, or choose one or two features."
        )
    least, greatest = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
    margin = MARGIN * (greatest - least)
    lines = [
        np.linspace(low, high, GRID[len(names)]) for low, high in zip(least - margin, greatest + margin, strict=True)
    ]
    mesh = np.meshgrid(*lines, indexing="ij")
    coords = {name: ((name,), line) for name, line in zip(names, lines, strict=True)}
    return np.column_stack([m.ravel() for m in mesh]), coords


def _points(points: Any, names: tuple[str, ...]) -> tuple[np.ndarray, dict[str, Any]]:
    values = points
    if isinstance(points, (list, tuple, np.ndarray)) and len(names) == 1 and np.ndim(points) == 1:
        values = np.asarray(points)[:, None]
    named = column_names(values)
    columns = len(named) if named is not None else np.shape(values)[-1] if np.ndim(values) == 2 else len(names)
    if columns < len(names) or (named is None and columns > len(names)):
        raise InvalidDataError(
            f"points have {columns} columns, but the density is of {len(names)} features: {', '.join(names)}."
        )
    where = Table.like(values, names).values
    return where, {name: ("point", where[:, j]) for j, name in enumerate(names)}
