"""What a selection has computed, on disk: a selection that was stopped goes on where it was."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.exceptions import StorageError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.record.storage import check_writable, load, save, write_whole
from bayesgmm.search.likelihood import Maximum
from bayesgmm.search.maximum_likelihood import Found
from bayesgmm.selection.ladder import Model

if TYPE_CHECKING:
    import xarray as xr

FORMAT = 1
NAME = "selection.json"
# Seconds between writes: what was computed since the last is computed again, to the same numbers.
PAUSE = 2.0


@dataclass(frozen=True, eq=False)
class Progress:
    """How far the climbs have come.

    Attributes
    ----------
    seed : int
    n_steps : int
        Steps of the ladder that were made.
    found : dict
        Model -> Found.
    seconds : dict
        Model -> what it took.
    """

    seed: int
    n_steps: int
    found: dict[Model, Found]
    seconds: dict[Model, float]

    def after(self, model: Model, found: Found, seconds: float) -> "Progress":
        """The progress after one more step."""
        taken = self.seconds | {model: self.seconds.get(model, 0.0) + seconds}
        return Progress(self.seed, self.n_steps + 1, self.found | {model: found}, taken)


class Journal:
    """A folder for the progress of the climbs and every posterior that was sampled; without a path nothing is kept.

    Parameters
    ----------
    path : Path or None
    asked : dict
        All that results depend on but the seed: a folder that was written for other things is an error.
    """

    def __init__(self, path: Path | None, asked: Mapping[str, Any]):
        self._path, self._asked, self._written = path, dict(asked), -np.inf
        if path is not None:
            check_writable(path / NAME)

    def read(self) -> Progress | None:
        """What is there, if anything.

        Raises
        ------
        StorageError
            It is of another selection, or cannot be read.
        """
        if self._path is None or not (self._path / NAME).is_file():
            return None
        try:
            kept = json.loads((self._path / NAME).read_text(encoding="utf-8"))
            form, asked = kept["format"], kept["asked"]
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{str(self._path / NAME)!r} is not a stored selection: {error!r}.") from error
        other = [name for name, value in self._asked.items() if asked.get(name) != value]
        if form != FORMAT or other:
            what = f"other {' and '.join(other)}" if other else f"format {form}, not {FORMAT}"
            raise StorageError(
                f"{str(self._path)!r} holds a selection of {what}: name a new folder, or ask for the same again."
            )
        found = {Model(*entry["model"]): _found(entry) for entry in kept["found"]}
        seconds = {Model(*entry["model"]): float(entry["seconds"]) for entry in kept["found"]}
        return Progress(int(kept["seed"]), int(kept["n_steps"]), found, seconds)

    def write(self, progress: Progress, *, now: bool = False) -> None:
        """Keep it, if some time has passed since the last."""
        if self._path is None or not (now or time.monotonic() - self._written > PAUSE):
            return
        entries = [
            {"model": list(model), "seconds": progress.seconds[model], **_entry(found)}
            for model, found in progress.found.items()
        ]
        kept = {
            "format": FORMAT, "asked": self._asked, "seed": progress.seed, "n_steps": progress.n_steps,
            "found": entries,
        }  # fmt: skip
        write_whole(json.dumps(kept).encode(), self._path / NAME)
        self._written = time.monotonic()

    def posterior(self, model: Model) -> "xr.DataTree | None":
        """The draws of a model, if they were kept."""
        path = self._place(model)
        return load(path) if path is not None and path.is_file() else None

    def keep(self, model: Model, dt: "xr.DataTree") -> None:
        """Keep the draws of a model."""
        path = self._place(model)
        if path is not None:
            save(dt, path)

    def _place(self, model: Model) -> Path | None:
        return None if self._path is None else self._path / f"{model.covariance_type}-{model.n_components}.nc"


def fingerprint(table: Table) -> str:
    """Of the rows, their weights and their recording steps."""
    parts = [table.values, *(part for part in (table.weights, table.resolution) if part is not None)]
    parts += [*table.moments, *table.limits] if table.elsewhere else []
    text = "\n".join(table.features)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts) + text.encode()).hexdigest()


def _entry(found: Found) -> dict[str, Any]:
    maximum = found.maximum
    mixture = {name: getattr(maximum.mixture, name).tolist() for name in ("weights", "means", "covariances")}
    return {
        "mixture": mixture, "log_likelihood": maximum.log_likelihood, "converged": maximum.converged,
        "collapsed": list(maximum.collapsed), "n_starts": found.n_starts, "n_reached": found.n_reached,
        "n_collapsed": found.n_collapsed,
    }  # fmt: skip


def _found(entry: dict[str, Any]) -> Found:
    weights, means, covariances = (np.array(entry["mixture"][name]) for name in ("weights", "means", "covariances"))
    mixture = Mixture(weights, means, covariances)
    maximum = Maximum(mixture, entry["log_likelihood"], entry["converged"], tuple(entry["collapsed"]))
    return Found(maximum, entry["n_starts"], entry["n_reached"], entry["n_collapsed"])
