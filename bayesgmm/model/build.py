"""The only place where a ``pm.Model`` is built, and the way back from a model to what it assumes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidPriorError, ModelError
from bayesgmm.model.covariance import COVARIANCE_TYPES, CovarianceType
from bayesgmm.model.priors import VARIANCE_SHAPE, Priors, check_positive, user_prior
from bayesgmm.validation import (
    Table,
    check_choice,
    check_count,
    check_resolution,
    check_training_table,
    moments,
)

if TYPE_CHECKING:
    import pymc as pm


def build_model(
    X: Any,
    n_components: int,
    covariance_type: str = "full",
    priors: Priors | None = None,
    resolution: Any = "auto",
    sample_weight: Any = None,
) -> "pm.Model":
    r"""A Gaussian mixture of ``X`` as an ordinary ``pm.Model``, its component labels summed out.

    .. math:: p(x_n \mid \pi, \mu, \Sigma) = \sum_{k=1}^K \pi_k\, N(x_n \mid \mu_k, \Sigma_k), \qquad
              \Sigma_k = S_k R_k S_k + \mathrm{diag}(\delta_j^2 / 12).

    Every PyMC verb works on the model (``pm.find_MAP``, ``pm.sample``, ``pm.sample_prior_predictive``,
    ``pm.sample_posterior_predictive``, ``pm.compute_log_likelihood``, ``pm.model_to_graphviz``), and terms can be added
    to it in a ``with model:`` block.

    Parameters
    ----------
    X : (N, D) array or data frame
        Finite real numbers in any units; column names become the ``feature`` coordinate.
    n_components : int
        K, at least 1.
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
        What components and features share, as in scikit-learn.
    priors : Priors, optional
        Default: ``Priors()``, scaled to the data.
    resolution : "auto", None, float or (D,) array, default "auto"
        The step :math:`\delta_j` each feature was recorded to, in its own units; its rounding variance is added to
        every covariance (Sheppard's correction). "auto" finds the decimal step of features with ties. None: no
        correction.
    sample_weight : (N,) array, optional
        Weights of the rows' log-densities; 2 counts a row twice.

    Returns
    -------
    pm.Model
        Variables ``weights`` (component), ``means`` (component, feature), ``variances`` and ``scales``,
        ``correlation_cholesky`` where features correlate, ``covariances`` in the natural shape of the covariance type
        (full (component, feature, feature2), tied (feature, feature2), diag (component, feature), spherical
        (component)), and the observed ``x`` (obs_id, feature).

    Raises
    ------
    InvalidDataError, InvalidDataTypeError
        Data that cannot be fitted: NaN, text, constant features, too few rows.
    InvalidArgumentError, InvalidPriorError
        Arguments outside their range.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> [rv.name for rv in model.free_RVs]
    ['weights', 'means', 'variances', 'correlation_cholesky']
    """
    n_components = check_count(n_components, "n_components")
    structure = COVARIANCE_TYPES[check_choice(covariance_type, "covariance_type", tuple(COVARIANCE_TYPES))]
    table, weight = check_training_table(X, n_components, sample_weight)
    priors = Priors() if priors is None else priors
    if not isinstance(priors, Priors):
        raise InvalidPriorError(f"priors = {priors!r} must be a bayesgmm.Priors.")
    return _build(table, n_components, structure, priors, check_resolution(resolution, table), weight)


def _build(
    table: Table,
    n_components: int,
    structure: CovarianceType,
    priors: Priors,
    resolution: np.ndarray,
    weight: np.ndarray | None,
) -> "pm.Model":
    import pymc as pm
    import pytensor.tensor as pt

    from bayesgmm.model.lkj import LKJCholesky
    from bayesgmm.model.mixture import MarginalGaussianMixture
    from bayesgmm.model.transforms import CorrelationCholeskyTransform, SimplexTransform

    n_features = table.shape[1]
    # The priors' scales come from the rows that count.
    counted = table.values if weight is None else table.values[weight > 0]
    low, high = counted.min(axis=0), counted.max(axis=0)
    _, variance = moments(table.values, weight)
    coords = {
        "component": np.arange(n_components),
        "feature": list(table.features),
        "feature2": list(table.features),
    }
    mean_shape, mean_dims = (n_components, n_features), ("component", "feature")
    scale_shape = structure.shape(structure.scale_dims, n_components, n_features)

    # Lengths come from the dims, and the priors' numbers are data: neither is a constant of the graph, so that what is
    # compiled for it serves every K, D and table. The parameters of the default priors are in their range.
    default = priors.means is None and priors.variances is None and priors.scales is None
    with pm.Model(coords=coords, check_bounds=not default) as model:
        x_data = pm.Data("x_data", table.values, dims=("obs_id", "feature"))
        # A variable of the graph, so that data with and without ties share one compiled function.
        rounding = pm.Data("resolution", resolution, dims="feature") ** 2 / 12
        row_weights: Any = 1.0 if weight is None else pm.Data("sample_weight", weight, dims="obs_id")

        weights = pm.Dirichlet(
            "weights",
            pm.Data("concentration", priors.dirichlet(n_components), dims="component"),
            dims="component",
            default_transform=SimplexTransform(),
        )
        if priors.means is None:
            midrange = pm.Data("midrange", low / 2 + high / 2, dims="feature")
            means = pm.Normal("means", midrange, pm.Data("range", high - low, dims="feature"), dims=mean_dims)
        else:
            means = model.register_rv(user_prior(priors.means, "means", mean_shape), "means", dims=mean_dims)
        if priors.scales is not None:
            check_positive(priors.scales, "scales")
            scales = model.register_rv(
                user_prior(priors.scales, "scales", scale_shape), "scales", dims=structure.scale_dims
            )
            variances = pm.Deterministic("variances", scales**2, dims=structure.scale_dims)
        else:
            if priors.variances is not None:
                check_positive(priors.variances, "variances")
                variances = model.register_rv(
                    user_prior(priors.variances, "variances", scale_shape), "variances", dims=structure.scale_dims
                )
            else:
                beta = variance / (2 * n_components ** (2 / n_features))
                beta = (
                    pm.Data("variance_scale", beta, dims="feature")
                    if structure.per_feature
                    else pm.Data("variance_scale", beta.mean())
                )
                variances = pm.InverseGamma("variances", VARIANCE_SHAPE, beta, dims=structure.scale_dims)
            pm.Deterministic("scales", pt.sqrt(variances), dims=structure.scale_dims)
        correlation_cholesky = None
        if structure.correlated and n_features > 1:
            correlation_cholesky = LKJCholesky(
                "correlation_cholesky",
                model.dim_lengths["feature"],
                pm.Data("lkj_eta", priors.eta(n_features)),
                dims=structure.correlation_dims,
                default_transform=CorrelationCholeskyTransform(),
            )
        covariances = pm.Deterministic(
            "covariances",
            structure.from_scales(variances, correlation_cholesky, rounding, xp=pt),
            dims=structure.dims,
        )
        MarginalGaussianMixture(
            "x",
            weights,
            means,
            structure.expand(covariances, model.dim_lengths["component"], model.dim_lengths["feature"], xp=pt),
            row_weights,
            diagonal=structure.diagonal,
            observed=x_data,
            dims=("obs_id", "feature"),
        )
    # Not part of the graph, but what `find_MAP` warns from; a model without it (a copy, say) is not warned about.
    model.bayesgmm_unbounded_because = priors.unbounded_because(structure, resolution)
    return model


@dataclass(frozen=True)
class MixtureFacts:
    """What a model made by :func:`build_model` assumes, read back from the model itself."""

    structure: CovarianceType
    features: tuple[str, ...]
    x: np.ndarray  # (N, D)
    row_weights: np.ndarray  # (N,)
    rounding: np.ndarray  # (D,) rounding variances
    n_components: int
    unbounded_because: tuple[str, ...]


def mixture_facts(model: "pm.Model") -> MixtureFacts:
    """Read the mixture's facts from a model.

    Raises
    ------
    ModelError
        The model was not made by :func:`build_model`.
    """
    names = getattr(model, "named_vars", {})
    missing = [n for n in ("weights", "means", "covariances", "x", "x_data", "resolution") if n not in names]
    if missing:
        raise ModelError(f"not a model made by bayesgmm.build_model: it has no variable {', '.join(missing)}.")
    dims = tuple(model.named_vars_to_dims["covariances"])
    scale_dims = tuple(model.named_vars_to_dims["scales"])
    structure = next(t for t in COVARIANCE_TYPES.values() if (t.dims, t.scale_dims) == (dims, scale_dims))
    x = np.ascontiguousarray(model["x_data"].get_value(borrow=True))
    return MixtureFacts(
        structure=structure,
        features=tuple(model.coords["feature"]),
        x=x,
        row_weights=model["sample_weight"].get_value() if "sample_weight" in names else np.ones(len(x)),
        rounding=model["resolution"].get_value() ** 2 / 12,
        n_components=len(model.coords["component"]),
        unbounded_because=getattr(model, "bayesgmm_unbounded_because", ()),
    )


def users_priors(model: "pm.Model") -> dict[str, str]:
    """The priors that stand in place of the default ones, and what else was added to the model, by name, in words."""
    from pymc.printing import str_for_dist

    default = {"weights", "correlation_cholesky", "x"}
    default |= {"means"} if "midrange" in model.named_vars else set()
    default |= {"variances"} if "variance_scale" in model.named_vars else set()
    return {str(rv.name): str_for_dist(rv) for rv in model.basic_RVs if rv.name not in default}
