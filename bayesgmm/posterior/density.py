r"""The mixture's density, its marginals and its conditionals, under every draw.

A Gaussian mixture's marginals and conditionals are Gaussian mixtures, so all of them are exact. With features a asked
for, features b given and the others dropped,

.. math:: p(x_a \mid x_b) = \sum_k \pi_k(x_b)\, N(x_a \mid \mu_k(x_b), \Sigma_k^{a|b}), \qquad
          \pi_k(x_b) \propto \pi_k N(x_b \mid \mu_k^b, \Sigma_k^{bb}),

.. math:: \mu_k(x_b) = \mu_k^a + \Sigma_k^{ab} (\Sigma_k^{bb})^{-1} (x_b - \mu_k^b), \qquad
          \Sigma_k^{a|b} = \Sigma_k^{aa} - \Sigma_k^{ab} (\Sigma_k^{bb})^{-1} \Sigma_k^{ba} .
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.posterior.assignments import interval
from bayesgmm.posterior.draws import Draws, observed
from bayesgmm.validation import check_probability, check_table

if TYPE_CHECKING:
    import xarray as xr

# Points of a grid: on a line, and on either side of a plane.
GRID = {1: 200, 2: 60}
# A grid goes beyond the data by this part of their range.
MARGIN = 0.1
# Points are taken in blocks for which the densities of all draws fit in this many doubles (32 MB).
BLOCK_DOUBLES = 2**22


def density(
    dt: "xr.DataTree",
    points: Any = None,
    *,
    features: Sequence[str] | None = None,
    given: Mapping[str, float] | None = None,
    ci_prob: float = 0.89,
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
    ci_prob : float, default 0.89
        Posterior probability of the equal-tailed band, at every point.

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

    ci_prob = check_probability(ci_prob, "ci_prob")
    draws = Draws.of(dt)
    asked, values = _check_features(draws, features, given)
    axes = [draws.features.index(name) for name in asked]
    where, coords = _grid(observed(dt)[:, axes], asked) if points is None else _points(points, asked)
    narrowed = conditional(draws, axes, values)
    shape = tuple(len(c) for _, c in coords.values()) if points is None else (len(where),)
    dims = asked if points is None else ("point",)
    mean, sd, lower, upper = _over_draws(narrowed, where, ci_prob)
    names = {"density": mean, "density_sd": sd, "lower": lower, "upper": upper}
    return xr.Dataset(
        {name: (dims, v.reshape(shape)) for name, v in names.items()},
        coords=coords,
        attrs={"ci_prob": ci_prob, "ci_kind": "eti"} | {f"given {name}": v for name, v in (given or {}).items()},
    )


def regression(dt: "xr.DataTree", feature: str, *, given: Mapping[str, Any], ci_prob: float = 0.89) -> "xr.Dataset":
    r"""The mean of a feature given others, a curve with the posterior's band, and the spread about it.

    .. math:: E[x_a \mid x_b] = \sum_k \pi_k(x_b)\, \mu_k(x_b)

    Features that are neither asked for nor given are integrated out.

    Parameters
    ----------
    dt : xr.DataTree
        Draws; they need not be relabelled.
    feature : str
        The feature to predict.
    given : mapping of str to float or (M,) array
        Values of the features to predict it from; numbers go with every value of the arrays.
    ci_prob : float, default 0.89
        Posterior probability of the equal-tailed band, at every point.

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

    ci_prob = check_probability(ci_prob, "ci_prob")
    draws = Draws.of(dt)
    if not isinstance(given, Mapping) or not given:
        raise InvalidArgumentError("given must name at least one feature and its values, such as {'waiting': 80}.")
    columns = {str(name): _numbers(name, value) for name, value in given.items()}
    lengths = {len(c) for c in columns.values() if c.ndim}
    if len(lengths) > 1:
        raise InvalidArgumentError(f"given holds arrays of different lengths, {sorted(lengths)}: they go together.")
    n_points = lengths.pop() if lengths else 1
    columns = {name: np.broadcast_to(c, (n_points,)) for name, c in columns.items()}
    means, variances = np.empty((len(draws), n_points)), np.empty((len(draws), n_points))
    for i in range(n_points):
        (name,), values = _check_features(draws, [feature], {n: float(c[i]) for n, c in columns.items()})
        part = conditional(draws, [draws.features.index(name)], values)
        centre, own = part.means[..., 0], part.natural_covariances[..., 0, 0]
        means[:, i] = (part.weights * centre).sum(axis=1)
        # About the mixture's mean, not as a difference of squares, which would cancel.
        variances[:, i] = (part.weights * (own + (centre - means[:, [i]]) ** 2)).sum(axis=1)
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


def conditional(draws: Draws, axes: Sequence[int], given: Mapping[int, float]) -> Draws:
    """The mixtures of features ``axes`` given the values of others; with none given, their marginals.

    Covariances are full ones, (S, K, d, d), whatever the draws' structure.
    """
    a, b = list(axes), list(given)
    weights, means, covariances = draws.mixtures(slice(None))
    mean, covariance = means[..., a], covariances[..., a, :][..., a]
    if b:
        away = np.array([given[j] for j in b]) - means[..., b]
        factor = np.linalg.cholesky(covariances[..., b, :][..., b])
        # Whitened by L: z = L^-1 (x_b - mu_b), and C = L^-1 Sigma_ba, so that the gain is C' L^-1.
        z = np.linalg.solve(factor, away[..., None])
        across = np.linalg.solve(factor, covariances[..., b, :][..., a])
        mean = mean + (np.swapaxes(across, -1, -2) @ z)[..., 0]
        covariance = covariance - np.swapaxes(across, -1, -2) @ across
        log_det = np.log(np.einsum("...ii->...i", factor)).sum(axis=-1)
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights) - log_det - (z[..., 0] ** 2).sum(axis=-1) / 2
        weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
    return Draws(
        structure=COVARIANCE_TYPES["full"],
        features=tuple(draws.features[j] for j in a),
        weights=weights,
        means=np.ascontiguousarray(mean),
        natural_covariances=np.ascontiguousarray(covariance),
    )


def _over_draws(draws: Draws, points: np.ndarray, ci_prob: float) -> tuple[np.ndarray, ...]:
    """Mean, standard deviation, lower and upper end of the density at every point."""
    result = np.empty((4, len(points)))
    block = max(1, BLOCK_DOUBLES // len(draws))
    for start in range(0, len(points), block):
        own = slice(start, start + block)
        part = np.ascontiguousarray(points[own])
        at_points = np.exp([draws.log_density(part, s) for s in range(len(draws))])
        result[0, own], result[1, own] = at_points.mean(axis=0), at_points.std(axis=0)
        result[2:, own] = interval(at_points, ci_prob)
    return tuple(result)


def _check_features(
    draws: Draws, features: Sequence[str] | None, given: Mapping[str, float] | None
) -> tuple[tuple[str, ...], dict[int, float]]:
    """The features asked for, and the values of those given by their positions."""
    given = {} if given is None else given
    asked = [f for f in draws.features if f not in given] if features is None else features
    if isinstance(asked, str):
        raise InvalidArgumentError(f"features = {asked!r} must be a list of names: [{asked!r}].")
    names = [*asked, *given]
    unknown = [name for name in names if name not in draws.features]
    if unknown:
        raise InvalidArgumentError(f"there is no feature {unknown[0]!r}; the features are {', '.join(draws.features)}.")
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
        values[draws.features.index(name)] = float(number)
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
    margin = MARGIN * np.ptp(x, axis=0)
    lines = [
        np.linspace(low, high, GRID[len(names)])
        for low, high in zip(x.min(axis=0) - margin, x.max(axis=0) + margin, strict=True)
    ]
    mesh = np.meshgrid(*lines, indexing="ij")
    coords = {name: ((name,), line) for name, line in zip(names, lines, strict=True)}
    return np.column_stack([m.ravel() for m in mesh]), coords


def _points(points: Any, names: tuple[str, ...]) -> tuple[np.ndarray, dict[str, Any]]:
    values = points
    if isinstance(points, (list, tuple, np.ndarray)) and len(names) == 1 and np.ndim(points) == 1:
        values = np.asarray(points)[:, None]
    table = check_table(values)
    if table.shape[1] != len(names):
        raise InvalidDataError(
            f"points have {table.shape[1]} columns, but the density is of {len(names)} features: {', '.join(names)}."
        )
    # A frame's columns are taken by name, whatever their order.
    columns = [table.features.index(n) for n in names] if set(table.features) == set(names) else range(len(names))
    where = table.values[:, list(columns)]
    return where, {name: ("point", where[:, j]) for j, name in enumerate(names)}
