"""Between EM's mixture parameters and the model's: named values and the flat unconstrained vector."""

import numpy as np

from bayesgmm.inference.em import Mixture
from bayesgmm.inference.log_posterior import LogPosterior
from bayesgmm.model.build import MixtureFacts

# Of a correlation matrix that an optimiser is to start from.
LEAST_EIGENVALUE = 1e-6


def mixture_of(values: dict[str, np.ndarray], facts: MixtureFacts, row: int = 0) -> Mixture:
    """One row of a batch of named values as mixture parameters."""
    covariances = facts.structure.expand(values["covariances"][row], facts.n_components, facts.x.shape[1])
    return Mixture(values["weights"][row], values["means"][row], np.ascontiguousarray(covariances))


def unconstrained(target: LogPosterior, facts: MixtureFacts, mixture: Mixture) -> np.ndarray:
    """The flat vector of a mixture; variables that a user added to the model stand at their initial values."""
    structure = facts.structure
    n_features = facts.x.shape[1]
    covariances = structure.pool(mixture.covariances, mixture.weights)
    diagonal = np.einsum("...ii->...i", covariances) if structure.correlated else covariances
    rounding = facts.rounding if structure.per_feature else facts.rounding.mean()
    # What rounding alone explains leaves no variance for the component; it keeps a hundredth.
    variances = np.maximum(diagonal - rounding, 0.01 * diagonal)
    values = {"weights": mixture.weights, "means": mixture.means, "variances": variances, "scales": np.sqrt(variances)}
    if structure.correlated and n_features > 1:
        scales = np.sqrt(diagonal)
        correlation = covariances / (scales[..., :, None] * scales[..., None, :])
        # A factor of exactly singular rows has no unconstrained image; as much independence is added as gives it one.
        least = np.linalg.eigvalsh(correlation)[..., :1, None]
        share = np.maximum(LEAST_EIGENVALUE - least, 0)
        correlation = (1 - share) * correlation + share * np.eye(n_features)
        values["correlation_cholesky"] = np.linalg.cholesky(correlation)
    free = {str(rv.name) for rv in target.model.free_RVs}
    if not free <= set(values):
        initial = target.constrain(target.flat(target.model.initial_point(random_seed=0)))
        values = {name: value[0] for name, value in initial.items()} | values
    return target.unconstrain(values)
