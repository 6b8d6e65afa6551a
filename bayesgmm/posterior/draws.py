"""A tree of draws as the arrays that the likelihood kernel takes."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidDataError, ModelError
from bayesgmm.likelihood import kernel
from bayesgmm.model.covariance import COVARIANCE_TYPES, CovarianceType
from bayesgmm.validation import Table, check_table

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Draws:
    """Mixture parameters of S draws: weights (S, K), means (S, K, D), covariances in their natural shape (S, ...)."""

    structure: CovarianceType
    features: tuple[str, ...]
    weights: np.ndarray
    means: np.ndarray
    natural_covariances: np.ndarray

    @classmethod
    def of(cls, dt: "xr.DataTree", *, weighted: bool = True) -> "Draws":
        """Read the draws of a tree, chains one after the other.

        Where chains carry weights (:func:`in_proportion`), draws are kept in their proportion unless ``weighted`` is
        False.

        Raises
        ------
        ModelError
            The tree has no mixture posterior.
        """
        missing = [
            name for name in ("weights", "means", "covariances") if "posterior" not in dt or name not in dt["posterior"]
        ]
        if missing or dt["posterior"].attrs.get("covariance_type") not in COVARIANCE_TYPES:
            raise ModelError(
                "not a tree of a mixture's draws: it needs a posterior group with weights, means and covariances and "
                "the attribute covariance_type, as bayesgmm.sample and MapEstimate.laplace make it."
            )
        posterior = (in_proportion(dt) if weighted else dt)["posterior"].dataset
        structure = COVARIANCE_TYPES[posterior.attrs["covariance_type"]]

        def flat(name: str, *dims: str) -> np.ndarray:
            values = posterior[name].transpose("chain", "draw", *dims).values
            return np.ascontiguousarray(values.reshape(-1, *values.shape[2:]), dtype=np.float64)

        return cls(
            structure=structure,
            features=tuple(str(f) for f in posterior["feature"].values),
            weights=flat("weights", "component"),
            means=flat("means", "component", "feature"),
            natural_covariances=flat("covariances", *structure.dims),
        )

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def n_components(self) -> int:
        return self.weights.shape[1]

    @property
    def n_features(self) -> int:
        return self.means.shape[2]

    def thinned(self, most: int) -> "Draws":
        """At most so many draws, evenly spaced."""
        kept = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(int))
        return replace(
            self, weights=self.weights[kept], means=self.means[kept], natural_covariances=self.natural_covariances[kept]
        )

    def mixture(self, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and (K, D, D) covariances of one draw."""
        covariances = self.structure.expand(self.natural_covariances[draw], self.n_components, self.n_features)
        return self.weights[draw], self.means[draw], np.ascontiguousarray(covariances)

    def mixtures(self, chosen: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights (S, K), means (S, K, D) and covariances (S, K, D, D) of some draws."""
        covariances = [
            self.structure.expand(c, self.n_components, self.n_features) for c in self.natural_covariances[chosen]
        ]
        return self.weights[chosen], self.means[chosen], np.array(covariances)

    def responsibilities(self, x: np.ndarray, draw: int) -> np.ndarray:
        """Probability of every component for every row of ``x``, (N, K), under one draw."""
        return kernel.responsibilities(x, *self.mixture(draw), self.structure.diagonal)[1]

    def log_density(self, x: np.ndarray, draw: int) -> np.ndarray:
        """Log-density of every row of ``x``, (N,), under one draw."""
        return kernel.log_density(x, *self.mixture(draw), self.structure.diagonal)

    def simulate(self, n_rows: int, draw: int, rng: np.random.Generator) -> np.ndarray:
        """New rows, (n_rows, D), of the mixture of one draw."""
        weights, means, covariances = self.mixture(draw)
        label = rng.choice(len(weights), size=n_rows, p=weights / weights.sum())
        noise = rng.standard_normal((n_rows, self.n_features))
        return means[label] + np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[label], noise)

    def table(self, X: Any) -> Table:
        """Check new data against the features that were fitted; of a data frame, take their columns by name."""
        table = check_table(X)
        if set(self.features) <= set(table.features):
            columns = [table.features.index(name) for name in self.features]
            return Table(np.ascontiguousarray(table.values[:, columns]), self.features)
        if table.shape[1] != self.n_features:
            raise InvalidDataError(
                f"X has {table.shape[1]} features, but the mixture was fitted to {self.n_features} features "
                f"({', '.join(self.features)})."
            )
        return table


def in_proportion(dt: "xr.DataTree") -> "xr.DataTree":
    """A tree whose draws all count alike: itself, or if its chains carry weights, one chain of draws in proportion.

    ``sample_stats["chain_weight"]`` (chain,) is there where chains stay apart in different modes. Of the chain that
    weighs most all draws are kept, of the others evenly spaced ones.
    """
    if "sample_stats" not in dt or "chain_weight" not in dt["sample_stats"]:
        return dt
    import xarray as xr

    weight = dt["sample_stats"].dataset["chain_weight"].values
    n_draws = dt["posterior"].sizes["draw"]
    kept = [np.linspace(0, n_draws - 1, int(w / weight.max() * n_draws)).astype(int) for w in weight]
    tree = dt.copy()
    for name in ("posterior", "sample_stats"):
        group = dt[name].to_dataset().drop_vars(["chain_weight", "start_mode"], errors="ignore")
        parts = [group.isel(chain=[c], draw=index).drop_vars(["chain", "draw"]) for c, index in enumerate(kept)]
        joined = xr.concat(parts, dim="draw").assign_coords(chain=[0], draw=np.arange(sum(map(len, kept))))
        tree[name] = xr.DataTree(joined.assign_attrs(group.attrs))
    return tree


def observed(dt: "xr.DataTree") -> np.ndarray:
    """The data that a tree was fitted to, (N, D)."""
    if "observed_data" not in dt or "x" not in dt["observed_data"]:
        raise ModelError("the tree holds no observed data: pass the data as X.")
    return np.ascontiguousarray(dt["observed_data"]["x"].values, dtype=np.float64)


def observed_names(dt: "xr.DataTree") -> np.ndarray:
    """The obs_id of the data that a tree was fitted to, (N,)."""
    return np.asarray(dt["observed_data"].dataset["obs_id"].values)
