"""Values in the place of those that were not seen, each with what is not known of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_count
from bayesgmm.data.observations import Observations
from bayesgmm.exceptions import InvalidDataError
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
    import xarray as xr

    n_draws = check_count(draws, "draws")
    fit = Fit.of(dt)
    rows = fit.rows(X)
    if not isinstance(rows.observations, Observations):
        raise InvalidDataError(
            'every value was seen, and NaN had been an error: build the model with missing="marginalise", which takes '
            "rows as they are."
        )
    rng = np.random.default_rng(random_seed)
    mixture = fit.mixture
    chosen = np.linspace(0, len(mixture) - 1, n_draws).round().astype(int)
    x = np.empty((n_draws, *rows.values.shape))
    with progress("Imputing", n_draws, work=float(x.size * fit.n_components), show=progressbar) as done:
        for s, draw in enumerate(chosen):
            x[s] = mixture[int(draw)].draw_rows(rows.observations, rng)
            done()
    return xr.Dataset(
        {"x": (("draw", "obs_id", "feature"), x), "missing": (("obs_id", "feature"), np.isnan(rows.values))},
        coords={
            "draw": np.arange(n_draws),
            "obs_id": np.arange(rows.n_rows) if rows.names is None else rows.names,
            "feature": list(fit.features),
        },
    )
