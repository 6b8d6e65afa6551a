"""Trees made from trees: draws in proportion, in another order, or some of them, group by group; and their table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table

if TYPE_CHECKING:
    import xarray as xr

# The statistics of the sampler under ArviZ's names.
LOG_POSTERIOR, PERMUTATION = "lp", "permutation"
CHAIN_WEIGHT, START_MODE = "chain_weight", "start_mode"
# Where a tree keeps its specification: a variable, as netCDF's attributes hold no more than 64 kB.
SPECIFICATION = "specification"
# The group of the models that were compared.
SELECTION = "selection"
EACH = ("chain", "draw")
BY_DRAW = ("posterior", "sample_stats")


def in_proportion(tree: "xr.DataTree", weight: np.ndarray) -> "xr.DataTree":
    """A tree of one chain, to which every chain gives evenly spaced draws by its weight (chain,)."""
    import xarray as xr

    n_draws = tree["posterior"].sizes["draw"]
    kept = [np.linspace(0, n_draws - 1, int(w / weight.max() * n_draws)).astype(int) for w in weight]
    result = tree.copy()
    for name in BY_DRAW:
        group = tree[name].to_dataset().drop_vars([CHAIN_WEIGHT, START_MODE], errors="ignore")
        parts = [group.isel(chain=[c], draw=index).drop_vars(["chain", "draw"]) for c, index in enumerate(kept)]
        joined = xr.concat(parts, dim="draw").assign_coords(chain=[0], draw=np.arange(sum(map(len, kept))))
        result[name] = xr.DataTree(joined.assign_attrs(group.attrs))
    return result


def weighed(tree: "xr.DataTree", weights: np.ndarray) -> "xr.DataTree":
    """A tree with weights of its chains, (chain,)."""
    result = tree.copy()
    result["sample_stats"] = result["sample_stats"].dataset.assign({CHAIN_WEIGHT: ("chain", weights)})
    return result


def selected_from(tree: "xr.DataTree", table: Any) -> "xr.DataTree":
    """A tree with the data frame of the selection that its model came from."""
    import xarray as xr

    result = tree.copy()
    result[SELECTION] = xr.DataTree(xr.Dataset({name: ("model", np.asarray(table[name])) for name in table}))
    return result


def relabelled(tree: "xr.DataTree", order: np.ndarray, labels: np.ndarray, method: str) -> "xr.DataTree":
    """A tree with the components of every draw in another order, and the sampler's ``labels`` of them."""
    import xarray as xr

    posterior = tree["posterior"].to_dataset()
    stats = tree["sample_stats"].to_dataset().assign_coords(component=posterior["component"])
    stats[PERMUTATION] = ((*EACH, "component"), labels)
    result = tree.copy()
    result["posterior"] = xr.DataTree(_by_order(posterior, order).assign_attrs(relabelled=method))
    result["sample_stats"] = xr.DataTree(stats)
    result.attrs["relabelled"] = method
    return result


def of_draws(
    tree: "xr.DataTree", draws: np.ndarray, components: np.ndarray | None, attrs: Mapping[str, Any]
) -> "xr.DataTree":
    """A tree of one chain of some draws (S,), and of some components (S, K') of each."""
    import xarray as xr

    result = tree.copy()
    chain, draw = np.divmod(draws, tree["posterior"].sizes["draw"])
    some = {name: xr.DataArray(index, dims="draw") for name, index in (("chain", chain), ("draw", draw))}
    for name in BY_DRAW:
        group = tree[name].to_dataset().drop_vars([CHAIN_WEIGHT, START_MODE], errors="ignore")
        one = group.isel(some).drop_vars([*EACH], errors="ignore").expand_dims("chain")
        result[name] = xr.DataTree(one.assign_coords(chain=[0], draw=np.arange(len(draws))).assign_attrs(group.attrs))
    if components is not None:
        posterior = _by_order(result["posterior"].to_dataset(), components[None])
        posterior["weights"] = posterior["weights"] / posterior["weights"].sum("component")
        result["posterior"] = xr.DataTree(posterior)
        result["sample_stats"] = xr.DataTree(
            result["sample_stats"].to_dataset().drop_dims("component", errors="ignore")
        )
        kept = result["constant_data"].to_dataset().drop_vars(SPECIFICATION, errors="ignore")
        result["constant_data"] = xr.DataTree(kept.drop_dims("component", errors="ignore"))
    result.attrs.update(attrs)
    result["posterior"].attrs.update(attrs)
    return result


def _by_order(posterior: "xr.Dataset", order: np.ndarray) -> "xr.Dataset":
    """Draws with the components that ``order`` (chain, draw, K') names, in its order."""
    import xarray as xr

    names = posterior["component"].values[: order.shape[-1]]
    by_draw = xr.DataArray(order, dims=(*EACH, "component"))
    permuted = {
        name: variable.isel(component=by_draw.drop_vars("component", errors="ignore")).transpose(*variable.dims)
        for name, variable in posterior.data_vars.items()
        if "component" in variable.dims
    }
    rest = posterior.drop_vars(list(permuted)).drop_vars("component", errors="ignore")
    return rest.assign(
        {name: value.drop_vars("component", errors="ignore") for name, value in permuted.items()}
    ).assign_coords(component=names)


def table_of(observed: "xr.Dataset", kept: "xr.Dataset", features: tuple[str, ...], *, gaps: bool) -> Table:
    """The rows that were fitted, from the groups ``observed_data`` and ``constant_data``."""

    def own(name: str) -> np.ndarray | None:
        return kept[name].values if name in kept else None

    labels, low = own("labels"), own("noise_low")
    return Table(
        np.ascontiguousarray(observed["x"].values, dtype=np.float64),
        features,
        observed["obs_id"].to_index(),
        weights=own("sample_weight"),
        resolution=own("resolution"),
        gaps=gaps,
        labels=labels if labels is not None and (labels >= 0).any() else None,
        errors=own("measurement_covariance"),
        box=None if low is None else (low, kept["noise_high"].values),
    )
