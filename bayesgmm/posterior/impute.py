"""What rows are beneath their gaps and errors, each value with what is not known of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count, random_generator
from bayesgmm.data.observations import observations
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError
from bayesgmm.progress import progress
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    import xarray as xr


def impute(
    dt: "xr.DataTree", X: Any = None, *, draws: int = 100, random_seed: Any = 0, progressbar: bool = True
) -> "xr.Dataset":
    r"""Draws of the values that were not seen, from their posterior given what was seen of their rows.

    Under a draw of the mixture a row's component z and then its unseen features U are drawn given its seen ones O,

    .. math:: z \sim r_{nk} \propto \pi_k N(x_O \mid \mu_{k,O}, \Sigma_{k,OO}), \qquad
              x_U \mid z \sim N\big(\mu_U + \Sigma_{UO} \Sigma_{OO}^{-1} (x_O - \mu_O),
              \Sigma_{UU} - \Sigma_{UO} \Sigma_{OO}^{-1} \Sigma_{OU}\big),

    so that they vary by what is not known of the mixture, of the component and of the value. An analysis of each
    completed table, and the spread of the results over them, is multiple imputation (Rubin 1987).

    Parameters
    ----------
    dt : xr.DataTree
        Draws of a model that was built with ``missing="marginalise"``.
    X : (N, D) array or data frame, optional
        New rows, NaN where a value was not seen. Default: the rows that were fitted.
    draws : int, default 100
        Completed tables, of evenly spaced draws of the posterior.
    random_seed : int or numpy.random.Generator, default 0
    progressbar : bool, default True
        Show a bar where there is much to compute.

    Returns
    -------
    xr.Dataset
        ``x`` (draw, obs_id, feature), the completed rows in the data's units; ``missing`` (obs_id, feature), whether a
        value was not seen. ``x.mean("draw")`` is what is expected of the values, ``x.std("draw")`` how well they are
        known.

    Raises
    ------
    InvalidDataError
        The mixture was not fitted with ``missing="marginalise"``; or as for the fit.
    InvalidArgumentError, ModelError

    References
    ----------
    Rubin (1987), Multiple imputation for nonresponse in surveys, https://doi.org/10.1002/9780470316696. Ghahramani and
    Jordan (1994), Supervised learning from incomplete data via an EM approach, NIPS 6, 120-127.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> X = bg.datasets.load_faithful().astype(float)
    >>> X.iloc[:5, 0] = float("nan")
    >>> model = bg.build_model(X, n_components=2, missing="marginalise")
    >>> dt = bg.find_MAP(model, random_seed=1, progressbar=False).laplace(200, random_seed=1)
    >>> completed = bg.impute(dt, draws=50)
    >>> dict(completed["x"].sizes)
    {'draw': 50, 'obs_id': 272, 'feature': 2}
    """
    fit = Fit.of(dt)
    rows = fit.rows(X)
    if not fit.gaps:
        raise InvalidDataError(
            'every value was seen, and NaN had been an error: build the model with missing="marginalise", which takes '
            "rows as they are."
        )
    completed = _drawn(fit, rows, draws, random_seed, "Imputing", progressbar)
    unseen = np.isnan(rows.values)
    # What was measured with errors stays what was measured.
    completed["x"] = completed["x"].where(unseen, rows.values)
    return completed.assign(missing=(("obs_id", "feature"), unseen))


def denoise(
    dt: "xr.DataTree",
    X: Any = None,
    *,
    measurement_covariance: Any = None,
    draws: int = 100,
    random_seed: Any = 0,
    progressbar: bool = True,
) -> "xr.Dataset":
    r"""Draws of the true coordinates of rows that were measured with errors, given what was measured.

    .. math:: x \mid y, z = k \sim N\big(\mu_k + \Sigma_k (\Sigma_k + E)^{-1} (y - \mu_k),
              \Sigma_k - \Sigma_k (\Sigma_k + E)^{-1} \Sigma_k\big)

    with y measured, E the covariance of its error, and a component z drawn by its probability: rows move towards their
    component, the more the larger their errors.

    Parameters
    ----------
    dt : xr.DataTree
    X : (N, D) array or data frame, optional
        New rows. Default: the rows that were fitted, with their errors.
    measurement_covariance : (N, D) or (N, D, D) array, optional
        Of new rows' errors; see :func:`bayesgmm.build_model`.
    draws : int, default 100
        Tables of true coordinates, of evenly spaced draws of the posterior.
    random_seed : int or numpy.random.Generator, default 0
    progressbar : bool, default True

    Returns
    -------
    xr.Dataset
        ``x`` (draw, obs_id, feature) in the data's units. Rows that are drawn as noise stay where they were measured.

    Raises
    ------
    InvalidArgumentError
        The rows have no errors.
    InvalidDataError, ModelError

    References
    ----------
    Bovy, Hogg and Roweis (2011), Annals of Applied Statistics 5, 1657-1677, https://doi.org/10.1214/10-AOAS439.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> X = bg.datasets.load_faithful()
    >>> model = bg.build_model(X, n_components=2, measurement_covariance=[[0.1, 9.0]] * len(X))
    >>> dt = bg.find_MAP(model, random_seed=1, progressbar=False).laplace(200, random_seed=1)
    >>> dict(bg.denoise(dt, draws=50)["x"].sizes)
    {'draw': 50, 'obs_id': 272, 'feature': 2}
    """
    fit = Fit.of(dt)
    rows = fit.rows(X, measurement_covariance)
    if rows.errors is None:
        raise InvalidArgumentError(
            "the rows have no errors of measurement: give measurement_covariance, variances (N, D) or covariances "
            "(N, D, D), to build_model, or here for new rows."
        )
    return _drawn(fit, rows, draws, random_seed, "Denoising", progressbar)


def _drawn(fit: Fit, rows: Table, draws: Any, random_seed: Any, doing: str, progressbar: bool) -> "xr.Dataset":
    """All features of rows, under evenly spaced draws."""
    import xarray as xr

    n_draws, mixture = check_count(draws, "draws"), fit.mixture
    rng = random_generator(random_seed)
    chosen = np.linspace(0, len(mixture) - 1, n_draws).round().astype(int)
    x = np.empty((n_draws, *rows.values.shape))
    with progress(doing, n_draws, work=float(x.size * fit.n_components), show=progressbar) as done:
        for s, draw in enumerate(chosen):
            x[s] = mixture[int(draw)].draw_rows(observations(rows.observations), rng)
            done()
    names = np.arange(rows.n_rows) if rows.names is None else rows.names
    coords = {"draw": np.arange(n_draws), "obs_id": names, "feature": list(fit.features)}
    return xr.Dataset({"x": (("draw", "obs_id", "feature"), x)}, coords=coords)
