"""CmdStan's CSV files, a chain each, as a tree."""

import io
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import StorageError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# ArviZ's names of Stan's statistics.
STATISTICS = {
    "lp__": "lp", "accept_stat__": "acceptance_rate", "stepsize__": "step_size", "treedepth__": "tree_depth",
    "n_leapfrog__": "n_steps", "divergent__": "diverging", "energy__": "energy",
}  # fmt: skip
# What ends the warmup, whose draws stand before it if they were saved.
WARMUP_ENDS = "# Adaptation terminated"


def read_stan(paths: Sequence[str | os.PathLike]) -> "xr.DataTree":
    """A tree of the draws after warmup: groups posterior and sample_stats.

    Raises
    ------
    StorageError
        A file cannot be read as CmdStan's, or chains differ in their variables or their number of draws.
    """
    from arviz_base import from_dict

    chains = [_chain(Path(path)) for path in paths]
    first = chains[0][0]
    for path, (frame, _) in zip(paths, chains, strict=True):
        if list(frame.columns) != list(first.columns) or len(frame) != len(first):
            raise StorageError(
                f"{str(path)!r} has other variables or another number of draws than {str(paths[0])!r}: give the files "
                "of one run, and leave out chains that were stopped."
            )
    draws = {str(name): np.stack([frame[name].to_numpy() for frame, _ in chains]) for name in first}
    statistics = {STATISTICS[name]: values for name, values in draws.items() if name in STATISTICS}
    deepest = [depth for _, depth in chains]
    if "diverging" in statistics:
        statistics["diverging"] = statistics["diverging"] > 0
    if "tree_depth" in statistics and None not in deepest:
        statistics["reached_max_treedepth"] = statistics["tree_depth"] >= np.array(deepest, dtype=float)[:, None]
    tree = from_dict({"posterior": _variables(draws), "sample_stats": statistics})
    tree["posterior"].attrs["inference_library"] = "Stan"
    return tree


def _chain(path: Path) -> tuple["pd.DataFrame", int | None]:
    """The draws of a file, and the greatest depth that its trees might have."""
    import pandas as pd

    try:
        head, mark, rest = path.read_text().partition(WARMUP_ENDS)
        names = next(line for line in head.splitlines() if line and not line.startswith("#"))
        frame = pd.read_csv(io.StringIO(f"{names}\n{rest}" if mark else head), comment="#", dtype=np.float64)
    except (OSError, ValueError, StopIteration) as error:
        raise StorageError(f"{str(path)!r} cannot be read as a CSV file of CmdStan's: {error}.") from error
    if "lp__" not in frame:
        raise StorageError(f"{str(path)!r} has no column lp__: it is no CSV file of CmdStan's.")
    deepest = re.search(r"^#\s*max_depth = (\d+)", head, flags=re.MULTILINE)
    return frame, int(deepest[1]) if deepest else None


def _variables(draws: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns such as mu.2.1 (chain, draw) put together: mu (chain, draw, ...), whose indices begin at 1."""
    parts: dict[str, dict[tuple[int, ...], np.ndarray]] = defaultdict(dict)
    for column, values in draws.items():
        name, *at = column.split(".")
        if not name.endswith("__") and all(i.isdigit() for i in at):
            parts[name][tuple(int(i) - 1 for i in at)] = values
    variables = {}
    for name, entries in parts.items():
        whole = np.empty((*next(iter(entries.values())).shape, *(np.array(list(entries)).max(axis=0) + 1)))
        for place, values in entries.items():
            at_place: tuple[Any, ...] = (..., *place)
            whole[at_place] = values
        variables[name] = whole
    return variables
