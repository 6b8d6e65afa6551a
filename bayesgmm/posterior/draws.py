"""A tree of draws as the arrays that the likelihood kernel takes."""

from dataclasses import dataclass
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
    def of(cls, dt: "xr.DataTree") -> "Draws":
        """Read the draws of a tree, chains one after the other.

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
        posterior = dt["posterior"].dataset
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

    def mixture(self, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and (K, D, D) covariances of one draw."""
        covariances = self.structure.expand(self.natural_covariances[draw], self.n_components, self.n_features)
        return self.weights[draw], self.means[draw], np.ascontiguousarray(covariances)

    def responsibilities(self, x: np.ndarray, draw: int) -> np.ndarray:
        """Probability of every component for every row of ``x``, (N, K), under one draw."""
        return kernel.responsibilities(x, *self.mixture(draw), self.structure.diagonal)[1]

    def log_density(self, x: np.ndarray, draw: int) -> np.ndarray:
        """Log-density of every row of ``x``, (N,), under one draw."""
        return kernel.log_density(x, *self.mixture(draw), self.structure.diagonal)

    def table(self, X: Any) -> Table:
        """Check new data against the features that were fitted."""
        table = check_table(X)
        if table.shape[1] != self.n_features:
            raise InvalidDataError(
                f"X has {table.shape[1]} features, but the mixture was fitted to {self.n_features} features "
                f"({', '.join(self.features)})."
            )
        return table


def observed(dt: "xr.DataTree") -> np.ndarray:
    """The data that a tree was fitted to, (N, D)."""
    if "observed_data" not in dt or "x" not in dt["observed_data"]:
        raise ModelError("the tree holds no observed data: pass the data as X.")
    return np.ascontiguousarray(dt["observed_data"]["x"].values, dtype=np.float64)
