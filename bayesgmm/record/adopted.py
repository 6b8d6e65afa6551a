"""Fits of draws from elsewhere: their variables under this package's names, their rows, and all else that they have.

Of the priors nothing is known: such a fit has no specification.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesgmm.data.checks import finite, other_features, positions
from bayesgmm.data.reading import listed
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidDataError, ModelError
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.record import trees
from bayesgmm.record.axes import COMPONENT, FEATURE, Known, Variable
from bayesgmm.record.fit import Fit
from bayesgmm.record.provenance import Provenance
from bayesgmm.record.spread import covariances_of, scales_of

if TYPE_CHECKING:
    import xarray as xr

# Weights that were written with a few digits add up to 1 within this.
ROUNDING = 1e-3
# Attributes of a posterior that stay: others might mean something else here.
KEPT = ("created_at", "sampling_time", "tuning_steps")


class Names(NamedTuple):
    """What the draws call a mixture's parameters; ``kind`` is what they have in place of covariances."""

    weights: Any
    means: Any
    kind: str
    spread: Any

    @property
    def used(self) -> list[str]:
        """The names among them; the rest are numbers."""
        each = [own if isinstance(own, list | tuple) else [own] for own in (self.weights, self.means, self.spread)]
        return [name for own in each for name in own if isinstance(name, str)]


class Parameters(NamedTuple):
    """A mixture's parameters (chain, draw, ...), covariances in the natural shape of their type."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    family: CovarianceType
    known: Known


def adopted(
    tree: "xr.DataTree", names: Names, X: Any = None, *, covariance_type: str | None = None, method: str = "adopted"
) -> Fit:
    """The fit of a tree that calls its variables otherwise.

    Raises
    ------
    ModelError, InvalidDataError, InvalidDataTypeError
    """
    import xarray as xr

    posterior = tree["posterior"].dataset
    found = _parameters(posterior, names, None if X is None else Table.of(X).n_features, covariance_type)
    named = _strings(posterior, found.known.features)
    table, source = _table(tree, X, named, found.means.shape[-1])
    features = named or positions(found.means.shape[-1]) if table is None else table.features
    variables = {
        "weights": (("component",), found.weights),
        "means": (("component", "feature"), found.means),
        "scales": (found.family.scale_dims, scales_of(found.covariances, found.family)),
        "covariances": (found.family.dims, found.covariances),
    }
    coords: dict[str, Any] = {name: posterior[name] for name in trees.EACH}
    coords |= {"component": np.arange(found.means.shape[2]), "feature": list(features)}
    if "feature2" in found.family.dims:
        coords["feature2"] = list(features)
    ours = xr.Dataset(
        {name: ((*trees.EACH, *dims), value) for name, (dims, value) in variables.items()}, coords,
        {"covariance_type": found.family.name, **_provenance(posterior, method)},
    )  # fmt: skip
    rows = None if table is None else _as_dataset(table)
    used = {*names.used, *([] if source is None else [source])}
    dims = {"component": found.known.components, "feature": found.known.features}
    return Fit(trees.adopted(tree, ours, rows, used, dims))


def _provenance(posterior: "xr.Dataset", method: str) -> dict[str, Any]:
    """What is known of how the draws came about, as attributes."""
    own = posterior.attrs
    library, version = (str(own.get(f"inference_library{end}", "")) for end in ("", "_version"))
    provenance = Provenance(method=method, library=library, versions={library: version} if version else {})
    return {name: own[name] for name in KEPT if name in own} | provenance.attrs


def _as_dataset(table: Table) -> "xr.Dataset":
    import xarray as xr

    names = np.arange(table.n_rows) if table.names is None else table.names
    return xr.Dataset({"x": (("obs_id", "feature"), table.values)}, {"obs_id": names, "feature": list(table.features)})


def _parameters(
    posterior: "xr.Dataset", names: Names, n_features: int | None, covariance_type: str | None
) -> Parameters:
    # What weights say of the components is enough; the width of X may be checked against the means then.
    known, weights = Known(n_features=n_features if names.weights is None else None), None
    if names.weights is not None:
        variable = Variable.of(posterior, "weights", names.weights)
        if not variable.dims:  # the weight of the first of two
            both = np.stack([variable.values, 1 - variable.values], axis=-1)
            variable = Variable(variable.name, both, ("component",))
        order = known.sought(variable, [COMPONENT])[COMPONENT][0]
        known, weights = known.also(variable, COMPONENT, order), _weights(variable)
    means, known = _means(Variable.of(posterior, "means", names.means), known)
    if weights is None:
        weights = np.full(means.shape[:3], 1 / means.shape[2])
    spread = Variable.of(posterior, names.kind, names.spread)
    covariances, family = covariances_of(spread, names.kind, known, covariance_type)
    return Parameters(weights, means, covariances, family, known)


def _weights(variable: Variable) -> np.ndarray:
    values = variable.values
    total = values.sum(axis=-1, keepdims=True)
    if (values < 0).any() or (np.abs(total - 1) > ROUNDING).any():
        raise ModelError(
            f"{variable.name} has draws that are not weights: not negative, with sum 1 (theirs is from "
            f"{total.min():.4g} to {total.max():.4g}). Where a model has logits or unnormalised weights, add the "
            "normalised ones to the tree; weights=None stands for equal ones."
        )
    return values / total


def _means(variable: Variable, known: Known) -> tuple[np.ndarray, Known]:
    """Means (chain, draw, component, feature), and what they tell of the axes."""
    one_feature, one_component = known.n_features in (None, 1), known.n_components in (None, 1)
    layouts = ["cf", *["c"] * one_feature, *["f"] * one_component, *[""] * (one_feature and one_component)]
    layout, orders = next(iter(known.sought(variable, layouts).items()))
    known = known.also(variable, layout, orders[0])
    missing = tuple(2 + i for i, role in enumerate((COMPONENT, FEATURE)) if role not in layout)
    values = np.expand_dims(variable.ordered(orders[0]), missing)
    return values, replace(known, n_components=values.shape[2], n_features=values.shape[3])


def _table(
    tree: "xr.DataTree", X: Any, named: tuple[str, ...] | None, n_features: int
) -> tuple[Table | None, str | None]:
    """The rows, given or those that the tree has, and what it calls them."""
    if X is not None:
        table = Table.of(X) if named is None else Table.like(X, named)
        if table.n_features != n_features:
            raise InvalidDataError(
                other_features(table.n_features, positions(n_features)) + "give one column for each."
            )
        return table, None
    for group in ("observed_data", "constant_data"):
        found = _rows_in(tree[group].dataset, n_features) if group in tree else []
        if len(found) > 1:
            raise InvalidDataError(
                f"the tree has several variables that may be the rows: {listed([repr(name) for name in found])}. Give "
                f"one, such as X=dt[{group!r}][{found[0]!r}]."
            )
        if found:
            return _rows(tree[group].dataset[found[0]], named, n_features), found[0]
    return None, None


def _rows_in(group: "xr.Dataset", n_features: int) -> list[str]:
    """The variables that may be rows: numbers (N, D), or (N,) of a single feature."""
    return [
        str(name)
        for name, variable in group.data_vars.items()
        if variable.dtype.kind in "fiu" and (variable.shape[1:] == (n_features,) or (variable.ndim == n_features == 1))
    ]


def _rows(variable: "xr.DataArray", named: tuple[str, ...] | None, n_features: int) -> Table:
    obs, *own = map(str, variable.dims)
    names = variable[obs].to_index().rename("obs_id") if obs in variable.coords else None
    features = named or _strings(variable, frozenset(own)) or positions(n_features)
    values = finite(variable.values.reshape(-1, n_features).astype(np.float64), features, gaps=False)
    return Table(values, features, names)


def _strings(holder: "xr.Dataset | xr.DataArray", dims: frozenset[str]) -> tuple[str, ...] | None:
    """The names that a dim's coordinates give features; None where they are numbers."""
    for dim in sorted(dims):
        if dim in holder.coords and holder[dim].dtype.kind in "UOT":
            return tuple(map(str, holder[dim].values))
    return None
