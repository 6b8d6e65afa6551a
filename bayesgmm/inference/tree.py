"""Draws as an ``xarray.DataTree`` in ArviZ's groups, with the model's own dims and coordinates."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.model.build import MixtureFacts, mixture_facts, users_priors

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr


@contextmanager
def chain_and_draw_are_right() -> Iterator[None]:
    """ArviZ takes fewer draws than chains for a mistake in the order of the dimensions; here they are none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Found chain dimension to be longer than draw dimension")
        yield


def posterior_tree(
    model: "pm.Model",
    posterior: dict[str, np.ndarray],
    sample_stats: dict[str, np.ndarray],
    attrs: dict[str, Any],
) -> "xr.DataTree":
    """A tree of draws.

    Parameters
    ----------
    model : pm.Model
        Gives dims, coordinates, the observed data and the constants.
    posterior, sample_stats : dict
        Name -> array (chain, draw, ...).
    attrs : dict
        Attributes of the root and of the posterior group: numbers, strings and flat arrays, which netCDF can hold.
    """
    import pandas as pd
    from arviz_base import from_dict

    from bayesgmm import __version__

    facts: MixtureFacts = mixture_facts(model)
    dims = {name: list(d) for name, d in model.named_vars_to_dims.items() if None not in d}
    dims["permutation"] = ["component"]
    constants = {v.name: v.get_value() for v in model.data_vars if v.name != "x_data"}
    used = {d for name in [*posterior, *constants, "x", "permutation"] for d in dims.get(name, [])}
    coords: dict[str, Any] = {
        name: np.asarray(values) for name, values in model.coords.items() if name in used and values is not None
    }
    # No array of row numbers, and no copies of one.
    coords.setdefault("obs_id", pd.RangeIndex(len(facts.x)))
    # The model's own data: not to be changed from here.
    x = facts.x.view()
    x.flags.writeable = False
    attrs = {
        "covariance_type": facts.structure.name,
        "creation_library": "bayesgmm",
        "creation_library_version": __version__,
        **{f"prior_{name}": words for name, words in users_priors(model).items()},
        **attrs,
    }
    groups = {
        "posterior": posterior,
        "sample_stats": sample_stats,
        "observed_data": {"x": x},
        "constant_data": constants,
    }
    with chain_and_draw_are_right():
        return from_dict(groups, coords=coords, dims=dims, attrs={"/": attrs, "posterior": attrs})
