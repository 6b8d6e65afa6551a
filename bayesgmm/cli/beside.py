"""Columns that are no features: what is known of rows besides their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from bayesgmm.cli.reading import alike
from bayesgmm.data.reading import listed
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError

if TYPE_CHECKING:
    import pandas as pd

LabelColumn = Annotated[
    str | None,
    typer.Option(help="Column of the classes that are known of rows; empty where none is.", show_default=False),
]
WeightColumn = Annotated[
    str | None, typer.Option(help="Column that says how often each row counts.", show_default=False)
]
ErrorColumns = Annotated[
    str | None,
    typer.Option(
        help="Columns of the standard errors with which features were measured, one for each, in their order.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class Beside:
    """The columns that were named.

    Attributes
    ----------
    label, weight : str or None
    errors : list of str or None
    """

    label: str | None
    weight: str | None
    errors: Sequence[str] | None

    @property
    def names(self) -> list[str]:
        """All of them."""
        return [*(name for name in (self.label, self.weight) if name is not None), *(self.errors or ())]

    def without(self, frame: "pd.DataFrame", path: Path) -> "pd.DataFrame":
        """The table without them, of which the features are taken.

        Raises
        ------
        InvalidDataError
            It lacks one.
        """
        unknown = [name for name in self.names if name not in frame.columns]
        if unknown:
            raise InvalidDataError(
                f"{str(path)!r} has no column {listed([repr(name) for name in unknown])}; it has "
                f"{listed([str(name) for name in frame.columns], 20)}.{alike(unknown[0], list(frame.columns))}"
            )
        return frame.drop(columns=self.names)

    def arguments(self, frame: "pd.DataFrame", features: Sequence[str]) -> dict[str, Any]:
        """What :func:`bayesgmm.build_model` takes of the rows of ``frame``."""
        found: dict[str, Any] = {}
        if self.label is not None:
            found["labels"] = _classes(frame[self.label])
        if self.weight is not None:
            found["sample_weight"] = _numbers(frame, self.weight)
        if self.errors is not None:
            if len(self.errors) != len(features):
                raise InvalidArgumentError(
                    f"--error-columns names {len(self.errors)} columns for {len(features)} features "
                    f"({listed(list(features), 20)}): give one for each, in this order, or choose the features by "
                    "--columns."
                )
            scales = np.column_stack([_numbers(frame, name) for name in self.errors])
            if (scales < 0).any():
                row, column = (int(i) for i in np.argwhere(scales < 0)[0])
                raise InvalidDataError(
                    f"column {self.errors[column]!r} holds a negative standard error in row {row}: it is a scale."
                )
            found["measurement_covariance"] = scales**2
        return found

    def check_selection(self, noise: bool) -> None:
        """Raise InvalidArgumentError where models that know nothing of these are to choose the number of components."""
        given = {"--label-column": self.label, "--error-columns": self.errors, "--noise": noise or None}
        apart = [name for name, value in given.items() if value is not None]
        if apart or self.weight is not None:
            raise InvalidArgumentError(
                f"--components auto and {(apart or ['--weight-column'])[0]} do not go together yet: give a number of "
                "components."
            )


def _classes(cells: "pd.Series") -> np.ndarray:
    """Classes as text, None where a cell is empty."""
    empty = cells.isna() | (cells.astype(str).str.strip() == "")
    return np.array(
        [None if gone else str(cell).strip() for cell, gone in zip(cells, empty, strict=True)], dtype=object
    )


def _numbers(frame: "pd.DataFrame", name: str) -> np.ndarray:
    import pandas as pd

    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(values) & ~frame[name].isna().to_numpy())
    if bad.size:
        raise InvalidDataError(
            f"column {name!r} has no number in row {bad[0]} (the first is 0), but {frame[name].iloc[bad[0]]!r}."
        )
    return values
