"""A run of the sampler: what it set out to do, the draws that came of it, and the folder that keeps them as they come.

A store is a Zarr group. What is needed to read the draws is written first, in one piece; then every chain's draws go in
chunks of a few, each a file of its own that appears whole or not at all. So whatever stops the process, all that was
written can be read. Draws are kept in the sampler's coordinates u (``q = mode + axes u``) and mapped to the parameters
when they are read, by a model built anew from the stored data.
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidArgumentError, ModelError, StorageError
from bayesgmm.inference.log_posterior import LogPosterior
from bayesgmm.inference.modes import Mode
from bayesgmm.inference.tree import posterior_tree
from bayesgmm.model.build import build_model, mixture_facts

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

# Raised when the layout of a store changes.
FORMAT = 1
# nutpie's names for what it records, and ArviZ's.
STATISTICS = {
    "logp": "lp",
    "diverging": "diverging",
    "energy": "energy",
    "energy_error": "energy_error",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "mean_tree_accept": "acceptance_rate",
}


@dataclass(frozen=True)
class Plan:
    """What a run sets out to do: draws and tuning steps of every chain, and how many chains start at each mode."""

    draws: int
    tune: int
    chains: tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """One chain's draws: u (S, P), and the sampler's statistics by ArviZ's names, each (S,)."""

    mode: int
    u: np.ndarray
    statistics: dict[str, np.ndarray]

    @classmethod
    def of(cls, mode: int, u: np.ndarray, recorded: dict[str, np.ndarray]) -> "Chain":
        """The draws before the first that is missing, which is NaN in what nutpie gives or leaves behind."""
        missing = ~(np.isfinite(u).all(axis=1) & np.isfinite(recorded["logp"]))
        n = int(missing.argmax()) if missing.any() else len(u)
        return cls(mode, u[:n], {STATISTICS[name]: values[:n] for name, values in recorded.items()})


def chains_of_trace(mode: int, trace: "xr.DataTree") -> list[Chain]:
    """The chains of what nutpie returned."""
    u = trace["posterior"]["u"].transpose("chain", "draw", ...).values
    stats = trace["sample_stats"]
    recorded = {name: stats[name].transpose("chain", "draw").values for name in STATISTICS if name in stats}
    return [Chain.of(mode, u[c], {name: values[c] for name, values in recorded.items()}) for c in range(len(u))]


def draws_tree(
    target: LogPosterior, modes: list[Mode], plan: Plan, chains: list[Chain], attrs: dict[str, Any]
) -> "xr.DataTree":
    """The chains as a tree of named parameters.

    Of a run that was cut short the tree holds as many draws as a rectangle of whole chains can: chains with fewer draws
    are left out, longer ones are cut. ``attrs["complete"]`` is 0 then.
    """
    lengths = sorted((len(chain.u) for chain in chains), reverse=True)
    length = max(lengths, key=lambda n: n * sum(m >= n for m in lengths), default=0)
    kept = [chain for chain in chains if len(chain.u) >= length and length > 0]
    n_parameters = target.n_parameters
    q = np.array([modes[chain.mode].q + chain.u[:length] @ modes[chain.mode].axes.T for chain in kept])
    # One row more than there are, for a run without draws: graphs want a batch.
    rows = np.concatenate([q.reshape(-1, n_parameters), modes[0].q[None]])
    posterior = {
        name: value[:-1].reshape(len(kept), length, *value.shape[1:]) for name, value in target.constrain(rows).items()
    }
    names = set.intersection(*(set(chain.statistics) for chain in kept)) if kept else {"lp"}
    statistics = {
        name: np.array([chain.statistics[name][:length] for chain in kept]).reshape(len(kept), length)
        for name in sorted(names)
    }
    complete = len(chains) == sum(plan.chains) and all(n == plan.draws for n in lengths)
    tree = posterior_tree(target.model, posterior, statistics, {**attrs, "complete": int(complete)})
    if len(modes) > 1:
        tree["sample_stats"] = tree["sample_stats"].dataset.assign(
            start_mode=("chain", np.array([chain.mode for chain in kept], dtype=np.int64))
        )
    return tree


# The folder --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Store:
    """A folder that keeps a run."""

    path: Path

    @classmethod
    def create(cls, path: Any, model: "pm.Model", plan: Plan, modes: list[Mode], attrs: dict[str, Any]) -> "Store":
        """Make the folder, with all that is needed to read draws, in one piece; nothing may stand there yet."""
        import zarr

        path = check_new_store(path)
        facts = mixture_facts(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        try:
            group = zarr.open_group(part, mode="w")
            for name, value in {
                "modes": np.array([mode.q for mode in modes]),
                "axes": np.array([mode.axes for mode in modes]),
                **{f"data/{v.name}": v.get_value() for v in model.data_vars},
            }.items():
                group.create_array(name, data=np.asarray(value))
            group.attrs["bayesgmm"] = json.dumps(
                {
                    "format": FORMAT,
                    "covariance_type": facts.structure.name,
                    "n_components": facts.n_components,
                    "features": list(facts.features),
                    "draws": plan.draws,
                    "tune": plan.tune,
                    "chains": plan.chains,
                    "layout": _layout(model),
                    "attrs": {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in attrs.items()},
                }
            )
            os.rename(part, path)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return cls(path)

    def sink(self, mode: int) -> Any:
        """Where nutpie writes the draws of the chains that start at one mode."""
        from nutpie import zarr_store

        return zarr_store.LocalStore(prefix=str(self.path / "draws" / str(mode)), mkdir=True)

    def read(self, model: "pm.Model | None" = None) -> "xr.DataTree":
        """All that was written, as a tree of draws with the sampler's labels."""
        import zarr

        try:
            group: Any = zarr.open_group(self.path, mode="r")
            about = json.loads(group.attrs["bayesgmm"])
        except (OSError, KeyError, ValueError) as error:
            raise StorageError(f"{str(self.path)!r} is not a run that bayesgmm.sample(store=...) began.") from error
        if about["format"] > FORMAT:
            raise StorageError(f"{str(self.path)!r} was written by a newer bayesgmm (layout {about['format']}).")
        data = {name: array[...] for name, array in group["data"].arrays()}
        plan = Plan(about["draws"], about["tune"], tuple(about["chains"]))
        modes = [Mode(q, axes, np.nan) for q, axes in zip(group["modes"][...], group["axes"][...], strict=True)]
        chains = [chain for m, n in enumerate(plan.chains) for chain in self._chains(m, n)]
        attrs = {k: np.array(v) if isinstance(v, list) else v for k, v in about["attrs"].items()}
        target = LogPosterior(model if model is not None else _rebuilt(about, data))
        return draws_tree(target, modes, plan, chains, attrs)

    def _chains(self, mode: int, n_chains: int) -> list[Chain]:
        """The chains of one mode; what nutpie has not begun to write is empty."""
        import zarr

        root: Any = zarr.open_group(self.path, mode="r")
        arrays = {}
        for name in ("posterior/u", *(f"sample_stats/{name}" for name in STATISTICS)):
            try:
                arrays[name] = root[f"draws/{mode}/{name}"]
            except (KeyError, OSError, ValueError):  # the array's own description is not there yet
                continue
        if not {"posterior/u", "sample_stats/logp"} <= set(arrays):
            return []
        u = arrays.pop("posterior/u")
        folder = self.path / "draws" / str(mode) / "posterior" / "u"
        chains = []
        for c in range(n_chains):
            n = _written(u, folder, c)
            recorded = {name.split("/")[1]: np.asarray(array[c, :n]) for name, array in arrays.items()}
            chains.append(Chain.of(mode, np.asarray(u[c, :n]), recorded))
        return chains


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


def _layout(model: "pm.Model") -> list[list[str]]:
    """The unconstrained variables in their order, each with its transform: what draws of q mean."""
    return [[str(v.name), type(model.rvs_to_transforms.get(model.values_to_rvs[v])).__name__] for v in model.value_vars]


def _rebuilt(about: dict[str, Any], data: dict[str, np.ndarray]) -> "pm.Model":
    """The model of a stored run, built anew from its data."""
    import pandas as pd

    model = build_model(
        pd.DataFrame(data["x_data"], columns=about["features"]),
        about["n_components"],
        covariance_type=about["covariance_type"],
        resolution=data["resolution"],
        sample_weight=data.get("sample_weight"),
    )
    if _layout(model) != about["layout"]:
        raise ModelError(
            "this run was of a model with priors or terms of its own, which only that model can read: "
            "open_run(path, model=model)."
        )
    for variable in model.data_vars:
        if variable.name in data:
            variable.set_value(data[variable.name])
    return model
