"""What came in: a table of finite numbers, its names, its rows' weights, and the step each feature was recorded to.

What is summed over rows is summed over *chunks* of them, so that what follows need not know whether they are in memory,
on disk or on other machines (:mod:`bayesgmm.data.large`). A table in memory is one chunk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.arguments import check_choice
from bayesgmm.data.blocks import are_elsewhere
from bayesgmm.data.checks import check_sample_weight, check_spread, finite, other_features, places, positions
from bayesgmm.data.errors import read_errors
from bayesgmm.data.gaps import filled
from bayesgmm.data.known import read_labels
from bayesgmm.data.observations import Observations, Rows
from bayesgmm.data.reading import column_names, read, row_names
from bayesgmm.data.resolution import check_resolution
from bayesgmm.exceptions import InvalidDataError

# What becomes of values that were not seen.
MISSING = ("error", MARGINALISE := "marginalise")
# Sums over rows are made of blocks of so many: no second array as large as the data.
BLOCK_ROWS = 65_536


class Chunk(NamedTuple):
    """Some rows: their ``values``, and their ``weights`` (n,), or (1,) where every row counts once."""

    values: Rows
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Table:
    """A table of N rows and D features.

    Parameters
    ----------
    values : (N, D) float64 array
        Finite and C-contiguous; with ``gaps`` NaN where a value was not seen.
    features : tuple of D str
    names : pandas.Index, optional
        Of the rows.
    weights : (N,) array, optional
        How often each row counts. None: once.
    resolution : (D,) array, optional
        The step that each feature was recorded to; 0 where it was not rounded.
    gaps : bool
        Whether values may not have been seen.
    labels : (N,) int64 array, optional
        The component that a row is known to belong to, -1 where it is not.
    classes : tuple of str, optional
        What the components that labels name are called.
    errors : (N, D, D) array, optional
        The covariances of the errors with which rows were measured.
    box : tuple of two (D,) arrays, optional
        Where rows of no component lie. None: there are none.
    """

    values: np.ndarray = field(repr=False)
    features: tuple[str, ...]
    names: Any = field(default=None, repr=False)
    weights: np.ndarray | None = field(default=None, repr=False)
    resolution: np.ndarray | None = None
    gaps: bool = False
    labels: np.ndarray | None = field(default=None, repr=False)
    classes: tuple[str, ...] | None = None
    errors: np.ndarray | None = field(default=None, repr=False)
    box: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def of(cls, X: Any, *, gaps: bool = False) -> "Table":
        """Read ``X`` (N, D): an array, a list or a data frame of finite real numbers, and NaN if there may be ``gaps``.

        Raises
        ------
        InvalidDataTypeError
            Non-numeric columns, sparse or unreadable input.
        InvalidDataError
            Not two-dimensional, no rows or columns, repeated column names, NaN or infinity.
        """
        values, features = read(X)
        names = features or positions(values.shape[1])
        return cls(finite(values, names, gaps), names, row_names(X), gaps=gaps)

    @classmethod
    def to_fit(
        cls,
        X: Any,
        *,
        sample_weight: Any = None,
        resolution: Any = "auto",
        missing: str = "error",
        labels: Any = None,
        noise: bool = False,
        measurement_covariance: Any = None,
    ) -> "Table":
        """Read data to be fitted: on top of :meth:`of`, two rows that differ and no constant feature.

        Raises
        ------
        InvalidDataTypeError, InvalidDataError, InvalidArgumentError
        """
        check_choice(missing, "missing", MISSING)
        if are_elsewhere(X):
            from bayesgmm.data.large import LargeTable

            return LargeTable.to_fit(
                X, resolution=resolution, sample_weight=sample_weight, missing=missing, labels=labels, noise=noise,
                measurement_covariance=measurement_covariance,
            )  # fmt: skip
        table = cls.of(X, gaps=missing == MARGINALISE)
        weights = check_sample_weight(sample_weight, table.n_rows)
        known, classes = (None, None) if labels is None else read_labels(labels, table.n_rows)
        errors = None if measurement_covariance is None else read_errors(measurement_covariance, table.values)
        table = replace(table, weights=weights, labels=known, classes=classes, errors=errors)
        check_spread(table)
        box = table.limits if noise else None
        return replace(table, resolution=check_resolution(resolution, table.values), box=box)

    @classmethod
    def like(cls, X: Any, features: Sequence[str], *, gaps: bool = False) -> "Table":
        """Read new rows of ``features``, as every function here that takes new data does.

        A data frame's columns are taken by name, whatever their order and whatever others there are, which are not
        read; a frame that lacks one of them is an error. What has no names, an array or a mixture that was fitted to
        one, goes by position and needs one column for each feature.

        Raises
        ------
        InvalidDataTypeError, InvalidDataError
        """
        given = tuple(features)
        values, _ = read(X, places(column_names(X), given))
        if values.shape[1] != len(given):
            raise InvalidDataError(other_features(values.shape[1], given) + "give one column for each.")
        return cls(finite(values, given, gaps), given, row_names(X), gaps=gaps)

    # Its shape ------------------------------------------------------------------------------------------------------

    @property
    def n_rows(self) -> int:
        return len(self.values)

    @property
    def n_features(self) -> int:
        return self.values.shape[1]

    @property
    def row_weights(self) -> np.ndarray:
        """How often each row counts, (N,)."""
        return np.ones(self.n_rows) if self.weights is None else self.weights

    @cached_property
    def total(self) -> float:
        """The rows' weights added up."""
        return float(self.n_rows if self.weights is None else self.weights.sum())

    @property
    def rounding(self) -> np.ndarray:
        """Variance that rounding added to each feature (Sheppard), (D,)."""
        return np.zeros(self.n_features) if self.resolution is None else self.resolution**2 / 12

    @cached_property
    def observations(self) -> Rows:
        """The rows as a mixture takes them: their values, or what was seen of them."""
        plain = not self.gaps and self.labels is None and self.errors is None and self.box is None
        return self.values if plain else Observations(self.values, self.labels, self.errors)

    def with_errors(self, measurement_covariance: Any) -> "Table":
        """The table, its rows measured with errors; None: without."""
        if measurement_covariance is None:
            return self
        return replace(self, errors=read_errors(measurement_covariance, self.values))

    @property
    def pattern(self) -> dict[str, np.ndarray]:
        """What the likelihood takes besides the values, by name: of complete rows nothing."""
        rows = self.observations
        if not isinstance(rows, Observations):
            return {}
        pattern = {"row_order": rows.order, "labels": rows.every_label}
        if self.errors is not None:
            pattern["measurement_covariance"] = self.errors
        if self.box is not None:
            pattern |= dict(zip(("noise_low", "noise_high"), self.box, strict=True))
        return pattern

    def standardised(self, centre: np.ndarray, units: np.ndarray) -> "Table":
        """The table with features moved and in other units, as if not recorded in steps."""
        return replace(
            self,
            values=np.ascontiguousarray((self.values - centre) / units),
            resolution=None,
            errors=None if self.errors is None else self.errors / np.outer(units, units),
            box=None if self.box is None else tuple((side - centre) / units for side in self.box),
        )

    @cached_property
    def filled(self) -> np.ndarray:
        """The values, with what the others let expect in the place of those that were not seen, (N, D)."""
        return self._normal[0]

    @cached_property
    def covariance(self) -> np.ndarray:
        """The covariance of the features in the weighted rows, (D, D)."""
        return self._normal[1]

    @cached_property
    def _normal(self) -> tuple[np.ndarray, np.ndarray]:
        if not np.isnan(self.values).any():
            centred = self.values - self.moments[0]
            return self.values, (self.row_weights * centred.T) @ centred / self.total
        return filled(self.values, self.row_weights, *self.moments)

    @property
    def complete(self) -> "Table":
        """The rows of which all was seen."""
        return self.rows(~np.isnan(self.values).any(axis=1)) if self.gaps else self

    @property
    def elsewhere(self) -> bool:
        """Whether most rows are not in memory."""
        return False

    def sum_over(self, function: Callable[[Chunk], Any]) -> Any:
        """The sum of what ``function`` gives of every chunk, which are all rows once."""
        return function(Chunk(self.observations, np.ones(1) if self.weights is None else self.weights))

    # Parts of it ----------------------------------------------------------------------------------------------------

    def rows(self, chosen: np.ndarray) -> "Table":
        """The table of some rows, given by position or by a mask."""
        return replace(
            self,
            values=np.ascontiguousarray(self.values[chosen]),
            names=None if self.names is None else self.names[chosen],
            weights=None if self.weights is None else self.weights[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            errors=None if self.errors is None else self.errors[chosen],
        )

    @property
    def at_hand(self) -> "Table":
        """Rows that are in memory: all that count, or, with weights of their own, some of very many."""
        return self.counted

    @property
    def counted(self) -> "Table":
        """The rows whose weight is not 0."""
        return self if self.weights is None else self.rows(self.weights > 0)

    def subsample(self, most: int, rng: np.random.Generator) -> "Table":
        """At most so many of the rows, drawn without replacement; the table itself if that is all."""
        return self if self.n_rows <= most else self.rows(rng.choice(self.n_rows, most, replace=False))

    # Its moments ----------------------------------------------------------------------------------------------------

    @cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and variances (D,) of the weighted rows, of what was seen of each feature."""
        blocks = list(self._blocks())
        total = self.total if not self.gaps else sum(_weighted_sum(~np.isnan(x) * 1.0, w) for x, w in blocks)
        centre = np.asarray(sum(_weighted_sum(_or_zero(x, self.gaps), w) for x, w in blocks) / total)
        squares = sum(_weighted_sum(_or_zero((x - centre) ** 2, self.gaps), w) for x, w in blocks)
        return centre, np.asarray(squares / total)

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest value of each feature, (D,), in the rows that count."""
        values = self.counted.values
        return np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        weights = np.ones(1) if self.weights is None else self.weights
        for start in range(0, self.n_rows, BLOCK_ROWS):
            own = slice(start, start + BLOCK_ROWS)
            yield self.values[own], weights if weights.size == 1 else weights[own]


def _or_zero(values: np.ndarray, gaps: bool) -> np.ndarray:
    return np.where(np.isnan(values), 0.0, values) if gaps else values


def _weighted_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights[0] * (np.ones(len(values)) @ values) if weights.size == 1 else weights @ values


def rows_of_block(block: Any, features: tuple[str, ...], gaps: bool) -> Rows:
    """Rows of a block as a mixture takes them; raises InvalidDataError."""
    return Table(finite(np.asarray(block), features, gaps), features, gaps=gaps).observations
