"""What commands write: tables and pictures, never over the files that they were made from."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.arguments import check_page
from bayesgmm.cli.cells import typed
from bayesgmm.cli.reading import PARQUET
from bayesgmm.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import pandas as pd

# Separators of tables of text, by the ending.
TEXT = {".csv": ",", ".txt": ",", ".tsv": "\t"}


def check_outputs(
    outputs: dict[str, Path | None],
    *inputs: Path,
    tables: Sequence[Path | None] = (),
    pages: Sequence[Path | None] = (),
) -> None:
    """Find out before a long computation whether its results, by their options, can be written and lose nothing.

    Of ``tables`` and ``pages`` the ending must be one of a table's, or a page's, or none.

    Raises
    ------
    InvalidArgumentError, StorageError
    """
    from bayesgmm.record.storage import check_writable

    taken = {path.resolve() for path in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        if path.resolve() in taken:
            raise InvalidArgumentError(
                f"{option} {str(path)!r} would be written over another file of this command: give it another name."
            )
        if path in tables and path.suffix.lower() not in ("", *TEXT, *PARQUET):
            raise InvalidArgumentError(
                f"{option} {str(path)!r}: there is no table {path.suffix!r}. End the name with .csv, .tsv or .parquet."
            )
        if path in pages:
            check_page(path, option)
        check_writable(path)
        taken.add(path.resolve())


def write_frame(frame: "pd.DataFrame", path: Path) -> None:
    """Save a table as Parquet, or as text with tabs or commas, whichever the path's ending says."""
    from bayesgmm.record.storage import write_whole

    content = io.BytesIO()
    if path.suffix.lower() in PARQUET:
        typed(frame).to_parquet(content, index=False)
    else:
        frame.to_csv(content, index=False, sep=TEXT.get(path.suffix.lower(), ","))
    write_whole(content.getvalue(), path)


def write_picture(drawn: Any, path: Path) -> None:
    """Save matplotlib's Axes or ArviZ's PlotCollection, in the format that the path's ending names."""
    from matplotlib import pyplot as plt

    from bayesgmm.record.storage import write_whole

    figure = drawn.viz["figure"].item() if hasattr(drawn, "viz") else drawn.figure
    kind = path.suffix.lower().lstrip(".") or "png"
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise InvalidArgumentError(f"there is no format {path.suffix!r}: end the name with .png, .svg or .pdf.")
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=160)
    plt.close(figure)
    write_whole(content.getvalue(), path)
