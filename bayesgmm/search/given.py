"""Where a user has a search begin, as mixtures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.specification import Specification
from bayesgmm.search.estimate import MapEstimate

NAMES = ("weights", "means", "covariances")


def given_starts(start: Any, specification: Specification) -> list[Mixture]:
    """What ``start`` of :func:`bayesgmm.find_MAP` says: none, one, or several mixtures.

    Raises
    ------
    InvalidArgumentError
        It is not a mixture of the specification's components and features.
    """
    if start is None:
        return []
    several = start if isinstance(start, list | tuple) else [start]
    return [_mixture(_values(one), specification) for one in several]


def _values(one: Any) -> Any:
    """The weights, means and covariances of an estimate or a fitted estimator; anything else as it is."""
    if isinstance(one, MapEstimate):
        return one.point
    fitted = all(hasattr(one, f"{name}_") for name in NAMES)
    return {name: getattr(one, f"{name}_") for name in NAMES} if fitted else one


def _mixture(values: Any, specification: Specification) -> Mixture:
    missing = [name for name in NAMES if name not in values] if isinstance(values, Mapping) else NAMES
    if missing:
        raise InvalidArgumentError(
            f"start = {values!r} lacks {', '.join(missing)}: give a dict of weights, means and covariances, as "
            "MapEstimate.point is, an estimate, a fitted GaussianMixture (ours or scikit-learn's), or a list of these."
        )
    k, d = specification.n_components, specification.n_features
    family = specification.covariance
    shapes = dict(zip(NAMES, ((k,), (k, d), family.shape(family.dims, k, d)), strict=True))
    weights, means, covariances = (_numbers(values[name], name, shape) for name, shape in shapes.items())
    if (weights < 0).any() or not np.isclose(weights.sum(), 1):
        raise InvalidArgumentError(f"start: weights = {weights} must be at least 0 and add up to 1.")
    _check_covariances(covariances, family.correlated)
    return Mixture(weights, means, family.expand(covariances, k, d))


def _numbers(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        what = f"has shape {array.shape}" if array.shape != shape else "has values that are not finite"
        raise InvalidArgumentError(f"start: {name} {what}; give finite numbers of shape {shape}.")
    return array


def _check_covariances(covariances: np.ndarray, correlated: bool) -> None:
    if correlated:
        symmetric = np.allclose(covariances, covariances.swapaxes(-1, -2))
        if symmetric and (np.linalg.eigvalsh(covariances) > 0).all():
            return
    elif (covariances > 0).all():
        return
    kind = "symmetric and positive definite" if correlated else "positive"
    raise InvalidArgumentError(f"start: covariances must be {kind}; these are {covariances.tolist()}.")
