"""What commands write: tables and pictures, never over the files that they were made from."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.cli.cells import typed
from bayesgmm.cli.reading import PARQUET
from bayesgmm.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    import pandas as pd


def check_outputs(outputs: dict[str, Path | None], *inputs: Path) -> None:
    """Find out before a long computation whether its results, by their options, can be written and lose nothing.

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
        check_writable(path)
        taken.add(path.resolve())


def write_frame(frame: "pd.DataFrame", path: Path) -> None:
    """Save a table as Parquet or CSV, whichever the path's ending says."""
    from bayesgmm.record.storage import write_whole

    content = io.BytesIO()
    if path.suffix.lower() in PARQUET:
        typed(frame).to_parquet(content, index=False)
    else:
        frame.to_csv(content, index=False)
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
