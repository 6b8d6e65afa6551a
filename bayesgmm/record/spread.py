r"""Covariances from what a model has in their place.

.. math:: \Sigma = S^2 = V = P^{-1} = L L^\top ,

standard deviations S, variances V, precisions P, or lower-triangular Cholesky factors L, of every component or common.
"""

from typing import Any

import numpy as np

from bayesgmm.exceptions import ModelError
from bayesgmm.model.covariance import COVARIANCE_TYPES, CovarianceType
from bayesgmm.record.axes import COMPONENT, Known, Variable

KINDS = ("covariances", "scales", "variances", "precisions", "cholesky")
# The covariance type that each layout of axes is of. What features share and components too, or one variance for all,
# is a common covariance without correlations.
TYPES = {
    "cff": "full",
    "ff": "tied",
    "cf": "diag",
    "c": "spherical",
    "f": "tied",
    "": "tied",
    "cp": "full",
    "p": "tied",
}
MATRICES = ("cff", "ff")
# Matrices written with a few digits are symmetric up to this part of their scales.
ASYMMETRY = 1e-4


def covariances_of(
    variable: Variable, kind: str, known: Known, covariance_type: str | None
) -> tuple[np.ndarray, CovarianceType]:
    """Covariances (chain, draw, ...) in the natural shape of their type, and this type.

    Raises
    ------
    ModelError
        The shape fits nothing or two things, or the values are not of that kind.
    """
    diagonal = ("cf", "c", "f", "")
    layouts = {
        "scales": diagonal, "variances": diagonal, "cholesky": (*MATRICES, "cp", "p"),
    }.get(kind, (*MATRICES, *diagonal))  # fmt: skip
    found = known.sought(variable, layouts)
    layout = _settled(variable, list(found), known, covariance_type)
    failure: ModelError | None = None
    for order in found[layout]:
        try:
            values = _covariances(variable, variable.ordered(order), kind, layout, known)
        except ModelError as error:
            failure = failure or error
        else:
            return _shaped(values, layout, known, covariance_type)
    assert failure is not None
    raise failure


def scales_of(covariances: np.ndarray, family: CovarianceType) -> np.ndarray:
    """Standard deviations in the shape that the type has them."""
    return np.sqrt(np.einsum("...ii->...i", covariances) if family.correlated else covariances)


def _settled(variable: Variable, layouts: list[str], known: Known, covariance_type: str | None) -> str:
    """The one layout that is meant."""
    if known.n_features == 1:  # a number is a number
        own = None if covariance_type is None else COVARIANCE_TYPES[covariance_type].per_component
        if own in (None, COMPONENT in layouts[0]):
            return layouts[0]
        layouts = []
    types = [TYPES[layout] for layout in layouts]
    meant = [layout for layout in layouts if covariance_type in (None, TYPES[layout])]
    if not meant:
        said = " or ".join(map(repr, dict.fromkeys(types))) or repr("tied" if own is False else "full")
        raise ModelError(
            f"{variable.name} has sizes {variable.sizes}, which are not those of covariance_type = "
            f"{covariance_type!r}: leave that out{f', or give {said}' if types else ''}."
        )
    if len(meant) > 1:
        raise ModelError(
            f"{variable.name} has sizes {variable.sizes}: with as many components as features that may be "
            f"covariance_type={types[0]!r} or {types[1]!r}. Say which."
        )
    return meant[0]


def _covariances(variable: Variable, values: np.ndarray, kind: str, layout: str, known: Known) -> np.ndarray:
    """Variances, or where the layout is of matrices covariance matrices."""
    d = known.n_features
    assert d is not None
    if layout.endswith("p"):
        factor = np.zeros((*values.shape[:-1], d, d))
        factor[..., *np.tril_indices(d)] = values
        values = factor
    if kind == "cholesky":
        return _positive(_lower(variable, values) @ np.swapaxes(values, -1, -2), variable)
    if layout in MATRICES:
        matrices = _positive(_symmetric(variable, values, kind), variable)
        return np.linalg.inv(matrices) if kind == "precisions" else matrices
    if (values <= 0).any():
        raise ModelError(f"{variable.name} has values that are not positive, {values.min():.3g} the least: {kind} are.")
    return {"scales": np.square, "precisions": np.reciprocal}.get(kind, np.array)(values)


def _symmetric(variable: Variable, values: np.ndarray, kind: str) -> np.ndarray:
    transposed = np.swapaxes(values, -1, -2)
    scales = np.sqrt(np.abs(np.einsum("...ii->...i", values)))
    if (np.abs(values - transposed) > ASYMMETRY * scales[..., :, None] * scales[..., None, :]).any():
        lower = not np.triu(values, 1).any()
        raise ModelError(
            f"{variable.name} holds matrices that are not symmetric, and so no {kind}."
            + (" They are lower triangular: give Cholesky factors as cholesky=." if lower else "")
        )
    return (values + transposed) / 2


def _lower(variable: Variable, values: np.ndarray) -> np.ndarray:
    if np.triu(values, 1).any():
        raise ModelError(
            f"{variable.name} holds matrices that are not lower triangular, and so no Cholesky factors: give "
            "covariances as covariances=, precisions as precisions=, and transpose upper factors."
        )
    return values


def _positive(values: np.ndarray, variable: Variable) -> np.ndarray:
    try:
        np.linalg.cholesky(values)
    except np.linalg.LinAlgError:
        raise ModelError(
            f"{variable.name} holds matrices that are not positive definite: check what they are; if digits were lost "
            "in writing them, write more."
        ) from None
    return values


def _shaped(
    values: np.ndarray, layout: str, known: Known, covariance_type: str | None
) -> tuple[np.ndarray, CovarianceType]:
    d = known.n_features
    assert d is not None
    name = TYPES[layout]
    if d == 1:
        name = covariance_type or ("full" if COMPONENT in layout else "tied")
        k = (known.n_components,) * (COMPONENT in layout)
        own: tuple[Any, ...] = {"diag": (1,), "spherical": ()}.get(name, (1, 1))
        return values.reshape(*values.shape[:2], *k, *own), COVARIANCE_TYPES[name]
    if layout in ("f", ""):  # common variances are a diagonal matrix
        values = values.reshape(*values.shape[:2], -1, 1) * np.eye(d)
    return np.array(values), COVARIANCE_TYPES[name]
