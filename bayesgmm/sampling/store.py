"""The folder that keeps a run as its draws come.

A store is a Zarr group. What is needed to read the draws is written first, in one piece; then every chain's draws go in
chunks of a few, each a file of its own that appears whole or not at all. So whatever stops the process, all that was
written can be read. Draws are kept in the sampler's coordinates u (:mod:`bayesgmm.graph.axes`) and mapped to the
parameters when they are read, by the model of the specification and the table that stand in the store.
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesgmm.data.reading import plain_names
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, ModelError, StorageError
from bayesgmm.graph.axes import Axes
from bayesgmm.graph.in_axes import ModeAxes
from bayesgmm.model.paper import from_json, to_json
from bayesgmm.model.specification import Specification
from bayesgmm.record.provenance import Provenance
from bayesgmm.sampling.nutpie import STATISTICS, sink_in
from bayesgmm.sampling.run import SMALLER_STEPS, Chain, Plan, Run
from bayesgmm.search.problem import Problem

if TYPE_CHECKING:
    import pymc as pm

# Raised when the layout of a store changes.
FORMAT = 4
NAMES = "table/names"


@dataclass(frozen=True)
class Store:
    """A folder that keeps a run."""

    path: Path

    @classmethod
    def create(cls, path: Any, run: Run) -> "Store":
        """Make the folder, with all that is needed to read draws, in one piece; nothing may stand there yet."""
        import zarr

        path = check_new_store(path)
        problem = run.problem
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        try:
            group = zarr.open_group(part, mode="w")
            for name, value in {
                "modes": np.array([mode.q for mode in run.modes]),
                **{
                    f"axes/{m}/{name}": value
                    for m, mode in enumerate(run.modes)
                    for name, value in mode.axes.numbers.items()
                },
                "table/values": problem.table.values,
                **({} if problem.table.weights is None else {"table/weights": problem.table.weights}),
                **_kept_names(problem.table.names),
                **{
                    f"table/{name}": value
                    for name in ("labels", "errors")
                    if (value := getattr(problem.table, name)) is not None
                },
            }.items():
                group.create_array(name, data=np.asarray(value))
            group.attrs["bayesgmm"] = json.dumps(
                {
                    "format": FORMAT,
                    "gaps": problem.table.gaps,
                    "box": None if problem.table.box is None else [side.tolist() for side in problem.table.box],
                    "specification": to_json(problem.specification),
                    "draws": run.plan.draws,
                    "tune": run.plan.tune,
                    "chains": run.plan.chains,
                    "layout": problem.graph.layout,
                    "provenance": {k: np.asarray(v).tolist() for k, v in run.provenance.attrs.items()},
                }
            )
            os.rename(part, path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return cls(path)

    def sink(self, mode: int, attempt: int) -> Any:
        """Where the draws of the chains that start at one mode are written."""
        return sink_in(self.path / _folder(attempt) / str(mode))

    def read(self, model: "pm.Model | None" = None) -> Run:
        """All that was written; ``model`` is needed where the run's own has terms or priors that no file holds."""
        import zarr

        try:
            group: Any = zarr.open_group(self.path, mode="r")
            about = json.loads(group.attrs["bayesgmm"])
        except (OSError, KeyError, ValueError) as error:
            raise StorageError(f"{str(self.path)!r} is not a run that bayesgmm.sample(store=...) began.") from error
        if about["format"] != FORMAT:
            raise StorageError(
                f"{str(self.path)!r} was written by another version of bayesgmm (layout {about['format']}, this one "
                f"reads {FORMAT}): read it with that one."
            )
        specification = from_json(about["specification"])
        plan = Plan(about["draws"], about["tune"], tuple(about["chains"]))
        problem = Problem.of(model if model is not None else _rebuilt(specification, group))
        if problem.graph.layout != about["layout"]:
            raise ModelError(
                "this run was of a model with other variables, which only that model can read: "
                "open_run(path, model=model)."
            )
        modes = [
            ModeAxes(
                q,
                problem.roots(q),
                Axes.of_numbers({name: array[...] for name, array in group[f"axes/{m}"].arrays()}),
                problem.non_centred(q),
            )
            for m, q in enumerate(group["modes"][...])
        ]
        run = Run(problem, modes, plan, self._chains(plan, 0), Provenance.of(about["provenance"]))
        for attempt, accept in enumerate(SMALLER_STEPS, start=1):
            again = replace(
                run, chains=self._chains(plan, attempt), provenance=run.provenance.changed(acceptance=accept)
            )
            run = again if again.complete else run
        return run

    def _chains(self, plan: Plan, attempt: int) -> list[Chain]:
        return [chain for m, n in enumerate(plan.chains) for chain in self._of_mode(m, n, _folder(attempt))]

    def _of_mode(self, mode: int, n_chains: int, draws: str) -> list[Chain]:
        """The chains of one mode; what nutpie has not begun to write is empty."""
        import zarr

        root: Any = zarr.open_group(self.path, mode="r")
        arrays = {}
        for name in ("posterior/u", *(f"sample_stats/{name}" for name in STATISTICS)):
            try:
                arrays[name] = root[f"{draws}/{mode}/{name}"]
            except (KeyError, OSError, ValueError):  # the array's own description is not there yet
                continue
        if not {"posterior/u", "sample_stats/logp"} <= set(arrays):
            return []
        u = arrays.pop("posterior/u")
        folder = self.path / draws / str(mode) / "posterior" / "u"
        chains = []
        for c in range(n_chains):
            n = _written(u, folder, c)
            recorded = {STATISTICS[name.split("/")[1]]: np.asarray(array[c, :n]) for name, array in arrays.items()}
            chains.append(Chain.of(mode, np.asarray(u[c, :n]), recorded))
        return chains


def _folder(attempt: int) -> str:
    """Where draws are kept; those with smaller steps beside the others."""
    return f"draws_{attempt}" if attempt else "draws"


def _written(array: Any, folder: Path, chain: int) -> int:
    """Draws of a chain up to the first chunk that is not there; to read what is missing takes longest of all."""
    length, n_chunks = array.chunks[1], 0
    while (folder / array.metadata.encode_chunk_key((chain, n_chunks, *(array.ndim - 2) * (0,)))).exists():
        n_chunks += 1
    return min(n_chunks * length, array.shape[1])


def check_new_store(path: Any) -> Path:
    """A path for a new store: a run that is there already is not written over."""
    if not isinstance(path, str | os.PathLike):
        raise InvalidArgumentError(f"store = {path!r} must be a path, such as 'run.zarr'.")
    path = Path(path)
    if path.exists():
        raise InvalidArgumentError(
            f"store = {str(path)!r} exists, and may hold draws: choose another name, or read it (open_run), move it."
        )
    return path


def _kept_names(names: Any) -> dict[str, np.ndarray]:
    """The names of rows that have some, as JSON's bytes: Zarr has no strings of any length that are there to stay."""
    if names is None or names.equals(pd.RangeIndex(len(names))):
        return {}
    return {NAMES: np.frombuffer(json.dumps(plain_names(names).tolist()).encode(), dtype=np.uint8)}


def _rebuilt(specification: Specification, group: Any) -> "pm.Model":
    """The model of a stored run, built anew."""
    kept = json.loads(group.attrs["bayesgmm"])
    weights = group["table/weights"][...] if "weights" in group["table"] else None
    values = np.ascontiguousarray(group["table/values"][...])
    return specification.build(
        Table(
            values,
            specification.features,
            pd.Index(json.loads(group[NAMES][...].tobytes()), name="obs_id") if NAMES in group else None,
            weights=weights,
            resolution=specification.resolution,
            gaps=bool(kept.get("gaps", False)),
            labels=group["table/labels"][...] if "labels" in group["table"] else None,
            classes=specification.classes,
            errors=group["table/errors"][...] if "errors" in group["table"] else None,
            box=None if kept.get("box") is None else (np.array(kept["box"][0]), np.array(kept["box"][1])),
        )
    )
