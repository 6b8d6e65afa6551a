"""Tables from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.exceptions import InvalidDataError, InvalidDataTypeError

if TYPE_CHECKING:
    import pandas as pd


def read_frame(path: Path) -> "pd.DataFrame":
    """Read a CSV or Parquet file with a header."""
    import pandas as pd

    if not path.is_file():
        raise InvalidDataError(f"there is no file {str(path)!r}.")
    try:
        frame = pd.read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else pd.read_csv(path)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(f"{str(path)!r} cannot be read as CSV or Parquet: {error}") from None
    # pandas tells repeated names apart by a suffix: 1.0 again is 1.0.1.
    names = [str(name) for name in frame.columns]
    if names and all(_is_number(name) or _is_number(name.rsplit(".", 1)[0]) for name in names):
        raise InvalidDataError(
            f"{str(path)!r} has no header: its first line holds the numbers {', '.join(map(str, frame.columns[:4]))}. "
            "Add a first line with the columns' names."
        )
    if frame.empty:
        raise InvalidDataError(f"{str(path)!r} has a header but no rows.")
    return frame


def numeric_columns(frame: "pd.DataFrame", path: Path, names: Sequence[str] | None = None) -> "pd.DataFrame":
    """All columns of a frame or those named, which must be numeric."""
    import pandas as pd

    if names is not None:
        frame = frame.rename(columns=str)
        missing = [name for name in names if name not in frame.columns]
        if missing:
            raise InvalidDataError(
                f"{str(path)!r} has no column {', '.join(map(repr, missing))}; "
                f"it has {', '.join(map(str, frame.columns))}."
            )
        frame = frame[list(names)]
    text = {name: _first_text(frame[name]) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])}
    if text:
        named = "; ".join(f"{name!r} (row {row}: {value!r})" for name, (row, value) in list(text.items())[:5])
        numeric = [str(name) for name in frame.columns if name not in text]
        remedy = f"--columns {','.join(numeric)}" if numeric else "a table with numbers"
        raise InvalidDataTypeError(f"columns that hold text: {named}. Choose the numeric ones: {remedy}.")
    return frame


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_text(column: "pd.Series") -> tuple[int, Any]:
    for row, value in enumerate(column):
        if not _is_number(str(value)):
            return row, value
    return 0, column.iloc[0]
