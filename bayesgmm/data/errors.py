"""The errors with which rows were measured, as covariances."""

from typing import Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError

# A matrix may miss being a covariance by rounding: by so much of its largest variance.
ROUNDING = 1e-10


def read_errors(errors: Any, values: np.ndarray) -> np.ndarray:
    """Covariances (N, D, D) of the errors of rows ``values`` (N, D), from such or from variances (N, D).

    Raises
    ------
    InvalidArgumentError
    """
    n_rows, n_features = values.shape
    try:
        given = np.array(errors, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidArgumentError("measurement_covariance holds what is no number.") from None
    if given.shape == (n_rows, n_features):
        variances, given = given, np.zeros((n_rows, n_features, n_features))
        np.einsum("nii->ni", given)[:] = variances
    if given.shape != (n_rows, n_features, n_features):
        raise InvalidArgumentError(
            f"measurement_covariance has shape {given.shape}; X has {n_rows} rows of {n_features} features: give "
            f"variances ({n_rows}, {n_features}) or covariances ({n_rows}, {n_features}, {n_features})."
        )
    # Of what was not measured there is no error.
    unseen = np.isnan(values)
    given[unseen[:, :, None] | unseen[:, None, :]] = 0.0
    bad = ~np.isfinite(given).all(axis=(1, 2))
    if bad.any():
        raise InvalidArgumentError(
            f"measurement_covariance of row {int(bad.argmax())} holds NaN or infinity: a value without a known error "
            'is none; make it NaN and fit with missing="marginalise".'
        )
    scales = np.maximum(np.einsum("nii->ni", given).max(axis=1), 0.0)
    bad = np.abs(given - given.swapaxes(1, 2)).max(axis=(1, 2)) > ROUNDING * scales
    bad |= np.linalg.eigvalsh(given)[:, 0] < -ROUNDING * scales
    if bad.any():
        raise InvalidArgumentError(
            f"measurement_covariance of row {int(bad.argmax())} is no covariance: variances, the squares of standard "
            "errors, are not negative, and a matrix is symmetric and has no negative eigenvalue."
        )
    return given
