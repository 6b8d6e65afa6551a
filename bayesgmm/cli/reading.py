"""Tables from files, as strangers keep them: any usual separator, decimal commas, text beside the numbers."""

import csv
import difflib
import io
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bayesgmm.data.reading import listed
from bayesgmm.exceptions import InvalidDataError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

PARQUET = (".parquet", ".pq")
# What Excel takes for the separator, before the header.
SEPARATOR_LINE = re.compile(r"\s*sep=([^\w\s]|\t)[^\S\n]*\r?\n", re.IGNORECASE)
# Whole numbers, of which 1.002 may be a thousand and two where commas are decimal.
WITH_DOTS, WHOLE = r"[+-]?\d{1,3}(?:\.\d{3})+", r"[+-]?\d+"
# Of decimal numbers with a comma, in files that are separated by something else.
DECIMAL_COMMA = r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?"


def read_frame(path: Path, numbers: Collection[str] | None = None) -> "pd.DataFrame":
    """Read a CSV, TSV or Parquet file with a header.

    Parameters
    ----------
    path : Path
    numbers : collection of str, optional
        Columns to read as numbers where they are; others stay as they are written, letter by letter. Default: all.

    Returns
    -------
    pandas.DataFrame
        A column with a cell that is no number, an empty one too, holds text. ``attrs["decimal_commas"]`` names the
        columns whose commas were read as decimal points.

    Raises
    ------
    InvalidDataError
        There is no such file, or no table in it.
    """
    import pandas as pd

    _check_file(path)
    if path.suffix.lower() in PARQUET:
        try:
            frame = pd.read_parquet(path).rename(columns=str)
        except (ValueError, OSError) as error:
            said = " ".join(str(error).split())  # Arrow lists a file's columns line by line
            raise InvalidDataError(f"{str(path)!r} cannot be read as Parquet: {said}") from None
        decimal_commas: list[str] = []
    else:
        frame, decimal_commas = _from_text(path, numbers)
    if frame.empty:
        raise InvalidDataError(f"{str(path)!r} has a header but no rows: add some.")
    frame.attrs["decimal_commas"] = decimal_commas
    return frame


def read_fit(path: Path) -> "xr.DataTree":
    """A saved fit, or that of a stored run."""
    from bayesgmm import load, open_run

    return open_run(path) if path.is_dir() else load(path)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def alike(name: str, names: Sequence[str]) -> str:
    """The question whether something that is there was meant, or nothing."""
    close = difflib.get_close_matches(name, names, n=1)
    close = close or [other for other in names if other.lower() == name.lower()]
    return f" Did you mean {close[0]!r}?" if close else ""


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidDataError(f"{str(path)!r} is a folder: name a file in it.")
    if not path.exists():  # a pipe, such as /dev/stdin or <(zcat data.csv.gz), is no regular file
        try:
            beside = [file.name for file in path.parent.iterdir() if file.is_file()]
        except OSError:
            raise InvalidDataError(
                f"there is no file {str(path)!r}, nor a folder {str(path.parent)!r}: check the path."
            ) from None
        hint = alike(path.name, beside) or " Check its name and folder."
        raise InvalidDataError(f"there is no file {str(path)!r}.{hint}")


def _from_text(path: Path, numbers: Collection[str] | None) -> tuple["pd.DataFrame", list[str]]:
    import pandas as pd

    mark, text = _separator_said(_text(path))
    separator, names = _header(text, path, mark)
    try:
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            frame = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                header=0,
                names=names,
                index_col=False,
                dtype=None if numbers is None else {name: str for name in names if name not in numbers},
                # What stands for a missing value is the user's to say (--na): NA may be a name, and None an answer.
                keep_default_na=False,
                low_memory=False,
            )
    except (ValueError, OverflowError) as error:
        said = " ".join(str(error).split())
        raise InvalidDataError(f"{str(path)!r} cannot be read as CSV or Parquet: {said}") from None
    except pd.errors.ParserWarning:
        raise InvalidDataError(
            f"{str(path)!r} has lines with more fields than the {len(names)} that its first line names: give every "
            "column a name, and end no line with a separator."
        ) from None
    _check_header(frame, path)
    decimal = [] if separator == "," else _with_points(frame, numbers)
    if decimal:
        _check_thousands(text, separator, frame, path)
    return frame, decimal


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        # Excel's "Unicode text" is UTF-16; its "CSV UTF-8" starts with a mark.
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDataError(
            f"{str(path)!r} cannot be read as CSV or Parquet: byte {error.start} is no text in UTF-8. Save it anew as "
            "CSV in UTF-8."
        ) from None
    except OSError as error:
        raise InvalidDataError(f"{str(path)!r} cannot be read: {error.strerror or error}.") from None
    if not text.strip():
        raise InvalidDataError(
            f"{str(path)!r} cannot be read as CSV or Parquet: it is empty. It needs a line with the columns' names, "
            "and a line for each row."
        )
    if "\0" in text:
        raise InvalidDataError(
            f"{str(path)!r} cannot be read as CSV or Parquet: it holds bytes that are no text. Save it anew as CSV."
        )
    return text


def _separator_said(text: str) -> tuple[str | None, str]:
    """The separator by Excel's first line, ``sep=;``, if there is one, and the text after it."""
    found = SEPARATOR_LINE.match(text)
    return (None, text) if found is None else (found[1], text[found.end() :])


def _header(text: str, path: Path, said: str | None) -> tuple[str, list[str]]:
    """The separator, which a line before may have said, and the names in the first line that is not blank."""

    def fields(separator: str) -> list[str]:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        return next((line for line in lines if any(field.strip() for field in line)), [])

    try:
        separator = said or ","
        names = fields(separator)
        if len(names) == 1:
            separator = next((mark for mark in ("\t", ";") if mark in names[0]), ",")
            names = fields(separator)
    except csv.Error as error:
        raise InvalidDataError(f"{str(path)!r} cannot be read as CSV or Parquet: {error}.") from None
    # As pandas names a column without a name, such as the index that it wrote itself.
    names = [name.strip() or f"Unnamed: {j}" for j, name in enumerate(names)]
    repeated = sorted({name for name in names if names.count(name) > 1 and not is_number(name)})
    if repeated:
        raise InvalidDataError(
            f"{str(path)!r} has more than one column {listed([repr(n) for n in repeated])}: give each its own name."
        )
    # Numbers that repeat, in what may be no header at all, are told apart by blanks, which are no part of a number.
    return separator, [name + " " * names[:j].count(name) for j, name in enumerate(names)]


def _check_header(frame: "pd.DataFrame", path: Path) -> None:
    """Raise InvalidDataError if the first line is a row: each of its fields a number, or found below it too."""
    names = list(frame.columns)
    if any(is_number(name) for name in names) and all(
        is_number(name) or (frame[name].astype(str).str.strip() == name).any() for name in names
    ):
        first = "the numbers " if all(map(is_number, names)) else ""
        first += ", ".join(name.strip() for name in names[:4])
        raise InvalidDataError(
            f"{str(path)!r} has no header: its first line holds {first}. Add a first line with the columns' names."
        )


def _check_thousands(text: str, separator: str, frame: "pd.DataFrame", path: Path) -> None:
    """Raise InvalidDataError where dots may stand between thousands, beside columns with decimal commas."""
    import pandas as pd

    suspects = [j for j, kind in enumerate(frame.dtypes) if kind.kind == "f"]
    written = pd.read_csv(io.StringIO(text), sep=separator, header=0, index_col=False, dtype=str, usecols=suspects)
    for j, column in zip(suspects, written, strict=True):
        cells = written[column].dropna().str.strip()
        dotted = cells[cells.str.fullmatch(WITH_DOTS)]
        if len(dotted) and (dotted.size + cells.str.fullmatch(WHOLE).sum()) == len(cells):
            raise InvalidDataError(
                f"{str(path)!r} has decimal commas, and in its column {frame.columns[j]!r} dots that may stand between "
                f"thousands, as in {dotted.iloc[0]!r}: write its numbers without them, or with a decimal comma."
            )


def _with_points(frame: "pd.DataFrame", numbers: Collection[str] | None) -> list[str]:
    """Turn decimal commas into points, in place, and name the columns that had some."""
    import pandas as pd

    changed = []
    for name in frame.columns if numbers is None else [name for name in frame.columns if name in numbers]:
        if pd.api.types.is_numeric_dtype(frame[name]):
            continue
        cells = frame[name].astype(str).str.strip()
        decimal = cells.str.fullmatch(DECIMAL_COMMA)
        if decimal.any():
            frame[name] = cells.mask(decimal, cells.str.replace(",", "."))
            changed.append(name)
    return changed
