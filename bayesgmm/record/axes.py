"""Variables of draws from elsewhere, and which of their axes are components and features: by name, then by size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.reading import listed
from bayesgmm.exceptions import ModelError
from bayesgmm.record.trees import EACH

if TYPE_CHECKING:
    import xarray as xr

# The roles of axes, one letter each: components, features, and the entries of a packed triangle.
COMPONENT, FEATURE, PACKED = "c", "f", "p"
IN_WORDS = {COMPONENT: "components", FEATURE: "features", PACKED: "entries of a triangle"}


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable.

    Parameters
    ----------
    name : str
        As the user gave it, for messages: ``means = 'mu'``.
    values : (chain, draw, ...) float64 array
    dims : tuple of str
        The names of the other axes.
    """

    name: str
    values: np.ndarray
    dims: tuple[str, ...]

    @classmethod
    def of(cls, posterior: "xr.Dataset", argument: str, given: Any) -> "Variable":
        """A variable by its name, several by theirs, one a component, or numbers that are the same in every draw.

        Raises
        ------
        ModelError
            There is no such variable, or its values are not finite numbers.
        """
        said = f"{argument} = {given!r}" if isinstance(given, str | list | tuple) else argument
        if isinstance(given, str):
            values, dims = _by_name(posterior, given, said)
        elif isinstance(given, list | tuple) and given and all(isinstance(name, str) for name in given):
            parts = [_by_name(posterior, name, said) for name in given]
            if len({values.shape for values, _ in parts}) > 1:
                raise ModelError(f"{said}: these variables have different shapes: give one of each component.")
            values, own = np.stack([values for values, _ in parts], axis=2), parts[0][1]
            dims = ("component", *own)
        else:
            numbers = np.asarray(given, dtype=np.float64)
            values = np.broadcast_to(numbers, (*(posterior.sizes[d] for d in EACH), *numbers.shape))
            dims = tuple(f"{argument}_dim_{i}" for i in range(numbers.ndim))
        bad = ~np.isfinite(values)
        if bad.any():
            raise ModelError(
                f"{said} has {int(bad.sum())} values that are not finite: leave out the draws that have them."
            )
        return cls(said, values, dims)

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.values.shape[2:]

    def ordered(self, order: Sequence[int]) -> np.ndarray:
        """The values with the axes after chain and draw in another order."""
        return self.values.transpose(0, 1, *(2 + axis for axis in order))


@dataclass(frozen=True)
class Known:
    """What is known of axes: how many components and features there are, and the names of their dims."""

    n_components: int | None = None
    n_features: int | None = None
    components: frozenset[str] = frozenset({"component"})
    features: frozenset[str] = frozenset({"feature", "feature2"})

    def also(self, variable: Variable, layout: str, order: Sequence[int]) -> "Known":
        """What a variable tells whose axes are known: ``order`` are the axes that play the roles of ``layout``."""
        changes: dict[str, Any] = {}
        for role, axis in zip(layout, order, strict=True):
            which = "components" if role == COMPONENT else "features"
            changes[f"n_{which}"] = variable.sizes[axis]
            changes[which] = getattr(self, which) | {variable.dims[axis]}
        return replace(self, **changes)

    def readings(self, variable: Variable, layouts: Sequence[str]) -> dict[str, list[tuple[int, ...]]]:
        """The layouts that a variable may have, and of each the axes that may play its roles, those in order first."""
        found = {}
        for layout in layouts:
            if len(layout) != len(variable.dims):
                continue
            orders = [
                order
                for order in permutations(range(len(layout)))
                if all(self._fits(variable, axis, role) for axis, role in zip(order, layout, strict=True))
                # Rows and columns of a matrix stay what they are.
                and np.all(np.diff([axis for axis, role in zip(order, layout, strict=True) if role == FEATURE]) > 0)
            ]
            if orders:
                found[layout] = orders
        return found

    def sought(self, variable: Variable, layouts: Sequence[str]) -> dict[str, list[tuple[int, ...]]]:
        """The same; raises ModelError where there are none."""
        found = self.readings(variable, layouts)
        if not found:
            k, d = ("?" if n is None else n for n in (self.n_components, self.n_features))
            shapes = [f"({', '.join(IN_WORDS[role] for role in layout)})" for layout in layouts]
            raise ModelError(
                f"{variable.name} has sizes {variable.sizes} beside chains and draws, dims {variable.dims}. With {k} "
                f"components and {d} features it may have {listed(shapes, len(shapes))}, in any order. Check the name; "
                "or rename its dims to component and feature."
            )
        return found

    def _fits(self, variable: Variable, axis: int, role: str) -> bool:
        name, size, d = variable.dims[axis], variable.sizes[axis], self.n_features
        packed = None if d is None else d * (d + 1) // 2
        expected = {COMPONENT: self.n_components, FEATURE: d, PACKED: packed}[role]
        named = {COMPONENT: self.components, FEATURE: self.features}
        other = any(name in names for meant, names in named.items() if meant != role)
        return not other and expected in (None, size)


def _by_name(posterior: "xr.Dataset", name: str, said: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if name not in posterior.data_vars:
        there = listed([repr(str(v)) for v in posterior.data_vars], 10)
        raise ModelError(
            f"{said}: the posterior has no variable {name!r}. It has {there}: name those that hold weights=, means= "
            "and, of their spread, covariances=, scales=, variances=, precisions= or cholesky=."
        )
    variable = posterior[name]
    own = tuple(str(d) for d in variable.dims if d not in EACH)
    if len(own) + 2 != variable.ndim:
        raise ModelError(
            f"{said}: its dims are {variable.dims}, without chain and draw: bring the draws into ArviZ's form first, "
            "xarray.Dataset.unstack('sample') or arviz.from_dict."
        )
    return variable.transpose(*EACH, *own).values.astype(np.float64), own
