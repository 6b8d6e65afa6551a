"""What is seen of rows: of some not every feature, of some the component they belong to."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# The label of a row whose component is not known.
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Observations:
    """Rows of which not all is seen, in the place of an array of complete ones.

    Parameters
    ----------
    values : (N, D) float64 array
        NaN where a feature was not seen.
    labels : (N,) int64 array, optional
        The component that a row is known to belong to, -1 where it is not. None: of no row.
    errors : (N, D, D) array, optional
        The covariances of the errors with which rows were measured. None: without.
    """

    values: np.ndarray
    labels: np.ndarray | None = None
    errors: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: "slice | np.ndarray") -> "Observations":
        """Some of the rows."""
        parts = (None if part is None else part[rows] for part in (self.labels, self.errors))
        return Observations(self.values[rows], *parts)

    @cached_property
    def order(self) -> np.ndarray:
        """The rows, those of which the same is seen side by side, (N,)."""
        return np.lexsort((*np.isnan(self.values).T, self.every_label))

    @cached_property
    def every_label(self) -> np.ndarray:
        """The labels, (N,)."""
        return np.full(len(self), UNKNOWN) if self.labels is None else self.labels

    @property
    def every_error(self) -> np.ndarray:
        """The errors, (N, D, D), or (1, 0, 0) where there are none."""
        return np.empty((1, 0, 0)) if self.errors is None else np.ascontiguousarray(self.errors)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What the pass over them takes: values, order, labels and errors."""
        labels = np.ascontiguousarray(self.every_label)
        return np.ascontiguousarray(self.values), self.order, labels, self.every_error


# Rows as a mixture takes them: complete ones are an array (N, D).
Rows = np.ndarray | Observations


def observations(rows: Rows) -> Observations:
    """Rows as observations, complete ones too."""
    return rows if isinstance(rows, Observations) else Observations(rows)
