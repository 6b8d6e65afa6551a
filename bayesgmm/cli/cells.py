"""The cells of a column: which hold a number, which are missing, and which hold something else."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.cli.reading import is_number

if TYPE_CHECKING:
    import pandas as pd

# So many numbers are not evenly spaced by chance; 0, 1, 2 and 1, 2, 3 count the rows however few they are.
EVENLY_SPACED = 5
# As R, and spreadsheets, write a missing value: so it is read among numbers, while among names it may be one.
AMONG_NUMBERS = ("NA", "N/A", "#N/A", "<NA>")


@dataclass(frozen=True)
class Missing:
    """What the user said about missing values.

    Attributes
    ----------
    na : tuple of str
        What stands for one, beside an empty cell, NaN, and NA among numbers.
    drop : bool
        Whether to leave out rows that have one.
    keep : bool
        Whether a row counts with what was seen of it.
    choice : bool
        Whether the user could have said so here.
    """

    na: tuple[str, ...] = ()
    drop: bool = False
    keep: bool = False
    choice: bool = False


@dataclass(frozen=True)
class Column:
    """A column's cells.

    Attributes
    ----------
    values : pandas.Series
        Numbers, NaN where there is none.
    wrong : pandas.Series of bool
        The cells that are neither a number nor missing.
    cells : pandas.Series
        As they were read.
    """

    values: "pd.Series"
    wrong: "pd.Series"
    cells: "pd.Series"

    @classmethod
    def of(cls, cells: "pd.Series", na: Iterable[str]) -> "Column":
        import pandas as pd

        words = [word.strip() for word in na]
        if pd.api.types.is_numeric_dtype(cells):
            values = cells
            wrong = pd.Series(False, index=cells.index)
        else:
            text = cells.astype(str).str.strip()
            missing = cells.isna() | (text == "") | text.isin(words)
            values = pd.to_numeric(text.mask(missing), errors="coerce")
            wrong = values.isna() & ~missing & (text.str.lower() != "nan")
            others = wrong & ~text.isin(AMONG_NUMBERS)
            if 0 < values.notna().sum() >= others.sum():
                wrong = others
        codes = [float(word) for word in words if is_number(word)]
        if codes and values.isin(codes).any():
            values = values.mask(values.isin(codes))
        return cls(values, wrong, cells)

    @property
    def words(self) -> list[str]:
        """What its wrong cells hold."""
        return [str(word).strip() for word in self.cells[self.wrong].unique()]

    @property
    def is_text(self) -> bool:
        """Whether most of what it holds are not numbers, or it holds nothing."""
        numbers = int(self.values.notna().sum())
        return numbers == 0 or int(self.wrong.sum()) > numbers

    def counts_rows(self, name: str) -> bool:
        """Whether it only counts the rows: integers in even steps, or the index that pandas wrote."""
        if self.wrong.any() or self.values.isna().any() or len(self.values) < 3:
            return False
        values = self.values.to_numpy(dtype=np.float64)
        if not np.isfinite(values).all() or (values != np.round(values)).any():
            return False
        steps = np.diff(values)
        if name == "Unnamed: 0" and np.unique(values).size == values.size:
            return True
        even = steps[0] != 0 and bool((steps == steps[0]).all())
        from_the_first = steps[0] == 1 and values[0] in (0, 1)
        return even and (from_the_first or len(values) >= EVENLY_SPACED)


def typed(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Columns of numbers that were kept as they are written, as numbers; not codes such as 007 or +41, nor text."""
    import pandas as pd

    def column(cells: Any) -> Any:
        if pd.api.types.is_numeric_dtype(cells) or not pd.api.types.is_string_dtype(cells):
            return cells
        if cells.str.contains(r"^\s*(?:[+-]?0\d|\+|\S{17,})", na=False).any():
            return cells
        as_read = Column.of(cells, ())
        return cells if as_read.wrong.any() or as_read.values.isna().all() else as_read.values

    return frame.apply(column)
