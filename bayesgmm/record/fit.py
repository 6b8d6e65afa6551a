"""A fit: draws with all that is known of them, as a typed view of an ``xarray.DataTree`` in ArviZ's groups.

The one place that knows a tree's keys: here they are written and read, in :mod:`bayesgmm.record.trees` rearranged.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.observations import Rows
from bayesgmm.data.reading import plain_names
from bayesgmm.data.table import MARGINALISE, Table
from bayesgmm.exceptions import ModelError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.mixture.noise import Noise
from bayesgmm.model.covariance import COVARIANCE_TYPES, CovarianceType
from bayesgmm.model.paper import from_json, to_json
from bayesgmm.model.specification import Specification
from bayesgmm.record import trees
from bayesgmm.record.arviz import chain_and_draw_are_right
from bayesgmm.record.provenance import Provenance
from bayesgmm.record.trees import CHAIN_WEIGHT, EACH, LOG_POSTERIOR, PERMUTATION, START_MODE

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesgmm.model.mixture_model import MixtureModel


@dataclass(frozen=True, eq=False)
class Fit:
    """A tree of draws, asked for what it holds."""

    tree: "xr.DataTree"

    @classmethod
    def of(cls, dt: Any) -> "Fit":
        """Look at a tree, or at that of a fitted ``GaussianMixture``, as a fit.

        Raises
        ------
        ModelError
            It has no draws of a mixture, or none at all.
        """
        if isinstance(dt, Fit):
            return dt
        dt = trees.tree_of(dt)
        trees.check_draws(dt)
        # Of a tree that was opened lazily.
        return cls(dt.compute() if dt["posterior"].dataset.chunksizes else dt)

    @classmethod
    def write(
        cls,
        model: "MixtureModel",
        posterior: dict[str, np.ndarray],
        statistics: dict[str, np.ndarray],
        provenance: Provenance,
    ) -> "Fit":
        """Write draws as a tree.

        Parameters
        ----------
        model : MixtureModel
            Gives dims, coordinates, the data and what is assumed.
        posterior, statistics : dict
            Name -> array (chain, draw, ...); of ``START_MODE`` (chain,).
        provenance : Provenance
        """
        import pandas as pd
        from arviz_base import from_dict

        specification, table = model.specification, model.table
        dims = {name: list(d) for name, d in model.named_vars_to_dims.items() if None not in d}
        dims[PERMUTATION] = ["component"]
        constants: dict[str, Any] = {
            name: value for name, value in model.numbers.items() if name != "x_data" and value.size
        }
        used = {d for name in [*posterior, *constants, "x", PERMUTATION] for d in dims.get(name, [])}
        coords: dict[str, Any] = {
            name: np.asarray(values) for name, values in model.coords.items() if name in used and values is not None
        }
        # No array of row numbers, and no copies of one.
        named = table.names is not None and not table.elsewhere
        coords.setdefault("obs_id", plain_names(table.names) if named else pd.RangeIndex(len(table.values)))
        # The model's own data: not to be changed from here.
        x = table.values.view()
        x.flags.writeable = False
        groups = {
            "posterior": posterior,
            "sample_stats": {name: value for name, value in statistics.items() if name != START_MODE},
            "observed_data": {"x": x},
            "constant_data": constants,
        }
        words = {f"prior_{name}": words for name, words in specification.not_defaults.items()}
        pairs = {"pair_plot": trees.pair_plot(specification.components, specification.features)}
        attrs = {"covariance_type": specification.covariance.name, **pairs, **words, **provenance.attrs}
        if table.gaps:
            attrs["missing"] = MARGINALISE
        if table.elsewhere:  # of which only those at hand are kept
            attrs["n_rows"] = table.n_rows
        with chain_and_draw_are_right():
            tree = from_dict(groups, coords=coords, dims=dims, attrs={"/": attrs, "posterior": attrs})
        if START_MODE in statistics:
            started = {START_MODE: ("chain", statistics[START_MODE])}
            tree["sample_stats"] = tree["sample_stats"].dataset.assign(started)
        return cls(trees.specified(tree, to_json(specification)))

    # What it is of --------------------------------------------------------------------------------------------------

    @cached_property
    def specification(self) -> Specification | None:
        """What was assumed; None of draws from elsewhere."""
        kept = trees.specification_of(self.tree)
        return None if kept is None else from_json(kept)

    @cached_property
    def provenance(self) -> Provenance:
        """How the draws came about."""
        return Provenance.of(self.tree["posterior"].attrs)

    @property
    def covariance(self) -> CovarianceType:
        return COVARIANCE_TYPES[self.tree["posterior"].attrs["covariance_type"]]

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.tree["posterior"].dataset["feature"].values)

    @property
    def components(self) -> np.ndarray:
        """The components' names, (K,)."""
        return self.tree["posterior"].dataset["component"].values

    @property
    def free(self) -> np.ndarray:
        """The components, by place, that no row is known to belong to: nothing but the fit gives them a label."""
        labels = self.table.labels
        return np.setdiff1d(np.arange(self.n_components), [] if labels is None else labels)

    @property
    def n_components(self) -> int:
        return int(self.tree["posterior"].sizes["component"])

    @property
    def n_features(self) -> int:
        return len(self.features)

    @property
    def has_rows(self) -> bool:
        """Whether the tree holds rows."""
        return "x" in self._group("observed_data")

    @cached_property
    def table(self) -> Table:
        """The rows that were fitted.

        Raises
        ------
        ModelError
            The tree does not hold them.
        """
        observed, kept = self._group("observed_data"), self._group("constant_data")
        if not self.has_rows:
            raise ModelError(
                "the tree holds no observed data: pass rows as X, or add them: bayesgmm.adopt(dt, "
                "X=X, weights='weights', means='means', covariances='covariances')."
            )
        return trees.table_of(observed, kept, self.features, gaps=self.gaps)

    @property
    def is_of_more_rows(self) -> bool:
        """Whether rows that were not in memory were fitted, of which the tree holds some."""
        return "n_rows" in self.tree["posterior"].attrs

    @property
    def gaps(self) -> bool:
        """Whether rows may have values that were not seen."""
        return self.tree["posterior"].attrs.get("missing") == MARGINALISE

    @property
    def x(self) -> np.ndarray:
        """The values of the rows that were fitted, (N, D); NaN where one was not seen."""
        return self.table.values

    @property
    def observations(self) -> Rows:
        """The rows that were fitted, as a mixture takes them."""
        return self.table.observations

    @property
    def row_names(self) -> np.ndarray:
        """The names of the rows that were fitted, (N,)."""
        return np.asarray(self.table.names)

    def rows(self, X: Any = None, measurement_covariance: Any = None) -> Table:
        """New rows, checked against the features that were fitted; None: the rows that were fitted."""
        if X is None:
            return self.table
        return Table.like(X, self.features, gaps=self.gaps).with_errors(measurement_covariance)

    # The draws ------------------------------------------------------------------------------------------------------

    @property
    def n_chains(self) -> int:
        return int(self.tree["posterior"].sizes["chain"])

    @property
    def n_draws(self) -> int:
        """Draws of every chain."""
        return int(self.tree["posterior"].sizes["draw"])

    @cached_property
    def mixture(self) -> Mixture:
        """The draws, chains one after the other; where chains weigh differently, draws in proportion."""
        return self.in_proportion.every_draw

    @cached_property
    def every_draw(self) -> Mixture:
        """All draws, chains one after the other, whatever the chains weigh."""
        posterior, family = self.tree["posterior"].dataset, self.covariance

        def flat(name: str, *dims: str) -> np.ndarray:
            values = posterior[name].transpose(*EACH, *dims).values
            trees.check_finite(name, values)
            return np.ascontiguousarray(values.reshape(-1, *values.shape[2:]), dtype=np.float64)

        covariances = family.expand(flat("covariances", *family.dims), self.n_components, self.n_features)
        noise = None
        if "noise" in posterior and self.table.box is not None:
            noise = Noise(flat("noise"), *self.table.box)
        return Mixture(flat("weights", "component"), flat("means", "component", "feature"), covariances, noise)

    @property
    def parameters(self) -> "xr.Dataset":
        """Weights, means and scales, and the share of noise (chain, draw, ...), by which chains are judged."""
        posterior = self.tree["posterior"].dataset
        return posterior[[name for name in ("noise", "weights", "means", "scales") if name in posterior]]

    @property
    def statistics(self) -> "xr.Dataset":
        """The sampler's statistics under ArviZ's names; empty where there are none."""
        return self._group("sample_stats")

    def statistic(self, name: str) -> np.ndarray | None:
        """One of the sampler's statistics, (chain, draw, ...), or None."""
        found = self.statistics
        return found[name].transpose(*(d for d in EACH if d in found[name].dims), ...).values if name in found else None

    @property
    def log_posterior(self) -> np.ndarray | None:
        """Log posterior of every draw, (chain, draw)."""
        return self.statistic(LOG_POSTERIOR)

    @property
    def permutation(self) -> np.ndarray | None:
        """The sampler's own label of every component of every draw, (chain, draw, component), if it was relabelled."""
        return self.statistic(PERMUTATION)

    @property
    def chain_names(self) -> np.ndarray:
        return self.tree["posterior"].dataset["chain"].values

    @property
    def start_modes(self) -> np.ndarray | None:
        """The mode that each chain started at, (chain,), where there were several."""
        return self.statistic(START_MODE)

    @property
    def chain_weights(self) -> np.ndarray | None:
        """The share of the posterior of each chain, (chain,), where chains stay apart in different modes."""
        return self.statistic(CHAIN_WEIGHT)

    # Another fit ----------------------------------------------------------------------------------------------------

    @cached_property
    def in_proportion(self) -> "Fit":
        """A fit whose draws all count alike: itself, or where chains weigh differently, one chain in proportion.

        Of the chain that weighs most all draws are kept, of the others evenly spaced ones.
        """
        weight = self.chain_weights
        return self if weight is None else Fit(trees.in_proportion(self.tree, weight))

    def weighed(self, weights: np.ndarray) -> "Fit":
        """The fit with weights of its chains, (chain,)."""
        return Fit(trees.weighed(self.tree, weights))

    def relabelled(self, order: np.ndarray, method: str) -> "Fit":
        """The fit with the components of every draw in another order (chain, draw, component).

        The permutations are recorded in terms of the labels that the sampler gave.
        """
        before = self.permutation
        if before is None:
            before = np.broadcast_to(np.arange(order.shape[-1]), order.shape)
        labels = np.take_along_axis(before, order, axis=2)
        return Fit(trees.relabelled(self.tree, order, labels, method))

    def of_draws(self, draws: np.ndarray, components: np.ndarray | None = None, **attrs: Any) -> "Fit":
        """Some draws as one chain, by their places (S,) with chains one after the other.

        With ``components`` (S, K') they keep only these, whose weights are shared out anew; of the assumptions, which
        are about all of them, nothing is kept then.
        """
        return Fit(trees.of_draws(self.tree, draws, components, attrs))

    @property
    def selection(self) -> "pd.DataFrame | None":
        """The table of the selection that the model came from, if it did."""
        return self._group(trees.SELECTION).to_dataframe() if trees.SELECTION in self.tree else None

    def selected_from(self, table: "pd.DataFrame") -> "Fit":
        """The fit with the table of the selection that its model came from."""
        return Fit(trees.selected_from(self.tree, table))

    def _group(self, name: str) -> "xr.Dataset":
        import xarray as xr

        return self.tree[name].dataset if name in self.tree else xr.Dataset()
