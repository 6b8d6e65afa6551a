"""Trees made from trees: draws in proportion, in another order, or some of them, group by group; and their table."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.exceptions import ModelError
from bayesgmm.model.covariance import COVARIANCE_TYPES

if TYPE_CHECKING:
    import xarray as xr

# The statistics of the sampler under ArviZ's names.
LOG_POSTERIOR, PERMUTATION = "lp", "permutation"
CHAIN_WEIGHT, START_MODE = "chain_weight", "start_mode"
# Where a tree keeps its specification: a variable, as netCDF's attributes hold no more than 64 kB, in a group of its
# own, as PyMC puts another in the place of constant_data when it adds predictions. (There it was kept before.)
SPECIFICATION = "specification"
KEPT_IN = (SPECIFICATION, "constant_data")
# The group of the models that were compared.
SELECTION = "selection"
EACH = ("chain", "draw")
BY_DRAW = ("posterior", "sample_stats")
# What a user's own draws need to be read as a mixture's.
NEEDED = ("weights", "means", "covariances")
# What else stands in a tree under a name that says what a variable is.
POSTERIOR = ("weights", "means", "scales", "covariances", "noise")
CONSTANTS = (
    SPECIFICATION, "resolution", "sample_weight", "labels", "noise_low", "noise_high", "measurement_covariance",
)  # fmt: skip
# Names that nutpie has for statistics of ArviZ's.
NUTPIE = {"logp": LOG_POSTERIOR, "depth": "tree_depth", "maxdepth_reached": "reached_max_treedepth"}
# Variables that ArviZ's plot of pairs has room for: it draws 40 plots at most.
PAIRED = 6


def tree_of(dt: Any) -> "xr.DataTree":
    """A tree, or that of a fitted ``GaussianMixture``; raises ModelError where there is none."""
    dt = dt if hasattr(dt, "groups") else getattr(dt, "inference_data_", dt)
    if not hasattr(dt, "groups"):
        raise ModelError(
            f"a {type(dt).__name__} has no draws of a mixture: give the tree that bayesgmm.sample or "
            "MapEstimate.laplace returned, or a GaussianMixture that was fitted."
        )
    return dt


def check_draws(tree: "xr.DataTree") -> None:
    """Whether a tree holds draws of a mixture; raises ModelError."""
    missing = [name for name in NEEDED if "posterior" not in tree or name not in tree["posterior"]]
    if missing or tree["posterior"].attrs.get("covariance_type") not in COVARIANCE_TYPES:
        raise ModelError(
            "not a tree of a mixture's draws: it needs a posterior group with weights, means and covariances and "
            "the attribute covariance_type, as bayesgmm.sample, MapEstimate.laplace and bayesgmm.adopt make it."
        )
    gone = [name for name in (*EACH, "component") if name not in tree["posterior"].dims]
    if gone:
        keep = f"keep it where you choose some of them, dt.isel({gone[0]}=[0]), and rename or stack none."
        raise ModelError(f"the draws have no dimension {gone[0]!r}: {keep}")
    if any(tree["posterior"].sizes[name] == 0 for name in EACH):
        raise ModelError(
            "the tree holds no draws: the run was stopped before any were kept, or none were chosen. Sample again, or "
            "choose some."
        )


def check_finite(name: str, values: np.ndarray) -> None:
    """Whether a parameter's values (chain, draw, ...) are numbers; raises ModelError."""
    wrong = ~np.isfinite(values)
    if wrong.any():
        chain, draw = np.argwhere(wrong)[0, :2]
        raise ModelError(
            f"{name} holds {int(wrong.sum())} values that are not finite, the first in chain {chain}, draw {draw}, by "
            "position: leave these draws out (dt.isel), or sample again."
        )


def pair_plot(components: np.ndarray, features: Sequence[str]) -> str:
    """A call of ArviZ's plot of pairs that has room: of all variables it would ask for hundreds of plots."""
    # The weight of a single component does not vary.
    names, most = (["weights", "means"], PAIRED - 1) if len(components) > 1 else (["means", "scales"], PAIRED // 2)
    coords = {"component": components[:1].tolist()}
    if len(features) > most:
        coords["feature"] = list(features[:most])
    return f"az.plot_pair(dt, var_names={names}, coords={coords})"


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


def specified(tree: "xr.DataTree", specification: str) -> "xr.DataTree":
    """The tree with a specification, as JSON."""
    import xarray as xr

    result = tree.copy()
    result[SPECIFICATION] = xr.DataTree(xr.Dataset({SPECIFICATION: ((), np.array(specification, dtype=object))}))
    return result


def specification_of(tree: "xr.DataTree") -> str | None:
    """The specification that is kept in a tree, as JSON."""
    kept = (tree[name].dataset for name in KEPT_IN if name in tree)
    return next((str(group[SPECIFICATION].values) for group in kept if SPECIFICATION in group), None)


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
        result = result.drop_nodes(SPECIFICATION, errors="ignore")
        kept = result["constant_data"].to_dataset().drop_vars(SPECIFICATION, errors="ignore")
        result["constant_data"] = xr.DataTree(kept.drop_dims("component", errors="ignore"))
    result.attrs.update(attrs)
    result["posterior"].attrs.update(attrs)
    return result


def adopted(
    tree: "xr.DataTree", ours: "xr.Dataset", rows: "xr.Dataset | None", used: Collection[str], dims: Mapping[str, Any]
) -> "xr.DataTree":
    """A tree from elsewhere with a mixture's posterior variables ``ours`` and its ``rows``, and all else that it has.

    What it calls these is ``used`` up; ``dims`` are its names of our dims. What it has beside under a name that means
    something else here has an underscore after it.
    """
    import xarray as xr

    def group(name: str) -> "xr.Dataset":
        found = tree[name].to_dataset() if name in tree else xr.Dataset()
        return found.drop_vars([variable for variable in used if variable in found.data_vars])

    result, sizes = tree.copy(), {str(name): size for name, size in ours.sizes.items()}
    beside = _without_idle(group("posterior"), {name for names in dims.values() for name in names})
    for own, theirs in dims.items():
        named = [name for name in sorted(theirs) if name in beside.dims and name not in (own, f"{own}2")]
        if named and own not in beside.dims:
            beside = beside.rename({named[0]: own})
    beside = _underscored(beside, POSTERIOR, sizes).drop_attrs(deep=False)
    result["posterior"] = xr.DataTree(beside.assign_coords(ours.coords).assign(ours.data_vars).assign_attrs(ours.attrs))
    result["sample_stats"] = xr.DataTree(_statistics(group("sample_stats"), ours, sizes))
    result["constant_data"] = xr.DataTree(_underscored(group("constant_data"), CONSTANTS, sizes))
    result = result.drop_nodes(SPECIFICATION, errors="ignore")
    if rows is not None:
        observed = _underscored(_without_idle(group("observed_data")), ("x",), sizes | {"obs_id": rows.sizes["obs_id"]})
        result["observed_data"] = xr.DataTree(observed.assign_coords(rows.coords).assign(rows.data_vars))
    result.attrs.update(ours.attrs)
    return result


def _statistics(group: "xr.Dataset", posterior: "xr.Dataset", sizes: Mapping[str, int]) -> "xr.Dataset":
    """The sampler's statistics of the draws, under ArviZ's names."""
    others = {name: size for name, size in sizes.items() if name not in EACH}
    group = _underscored(group, (PERMUTATION, CHAIN_WEIGHT, START_MODE), others)
    group = group.rename({theirs: own for theirs, own in NUTPIE.items() if theirs in group and own not in group})
    for name in EACH:
        if group.sizes.get(name, posterior.sizes[name]) != posterior.sizes[name]:
            raise ModelError(
                f"sample_stats has {group.sizes[name]} of {name} and posterior {posterior.sizes[name]}: thin both "
                "alike, dt.isel(draw=slice(None, None, 4)), or leave sample_stats out."
            )
    return group.assign_coords({name: posterior[name] for name in EACH})


def _without_idle(group: "xr.Dataset", renamed: Collection[str] = ()) -> "xr.Dataset":
    """A group without the coordinates of dims that no variable has, nor of such as get another name."""
    kept = {*EACH, *(d for v in group.data_vars.values() for d in v.dims if d not in renamed)}
    return group.drop_vars([name for name, coord in group.coords.items() if not kept.issuperset(coord.dims)])


def _underscored(group: "xr.Dataset", ours: Collection[str], sizes: Mapping[str, int]) -> "xr.Dataset":
    """A group without names of ours, nor dims of ours that have other sizes."""
    names = [str(name) for name in group.data_vars if name in ours]
    names += [str(dim) for dim, size in group.sizes.items() if sizes.get(str(dim), size) != size]
    return group.rename({name: f"{name}_" for name in names})


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
