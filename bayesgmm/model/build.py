"""The only place where a ``pm.Model`` is built."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesgmm.data.seeds import spread_rows
from bayesgmm.data.table import Table
from bayesgmm.graph.coordinates import covariances as covariances_around
from bayesgmm.graph.lkj import LKJCholesky
from bayesgmm.graph.marginal import MarginalGaussianMixture
from bayesgmm.graph.means import StartedNormal
from bayesgmm.graph.relative import RelativeCovariance
from bayesgmm.graph.sticks import StickBreaking
from bayesgmm.graph.transforms import CorrelationCholeskyTransform, SimplexTransform, SoftmaxBasis
from bayesgmm.graph.user_priors import has_density_at, is_univariate, resized
from bayesgmm.graph.within import WithinCovariance
from bayesgmm.mixture.log_cholesky import length
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.mixture_model import MixtureModel
from bayesgmm.model.prior import VARIANCE_SHAPE, WITHIN, Prior
from bayesgmm.model.priors import Priors
from bayesgmm.model.specification import Specification

# Of a covariance within clusters, in the order in which its distribution takes them.
WITHIN_NUMBERS = ("within_rows", "within_spread", "within_ceiling", "within_wall", "within_log_share")
# Rows among which the means' initial values are looked for.
INITIAL_ROWS = 2_000


def build_model(
    X: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    priors: Priors | None = None,
    resolution: Any = "auto",
    sample_weight: Any = None,
    missing: str = "error",
    labels: Any = None,
    noise: bool = False,
    measurement_covariance: Any = None,
) -> "MixtureModel":
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
    missing : {"error", "marginalise"}, default "error"
        What becomes of NaN. "marginalise": a row has the density of what was seen of it,
        :math:`\sum_k \pi_k\, N(x_{n,O} \mid \mu_{k,O}, \Sigma_{k,OO})` with O its seen features, which is exact where
        values are missing at random (what hides a value may depend on what is seen of its row, not on the value).
    labels : (N,) array, optional
        Components that are known of rows: numbers, -1 where none is known, or names of classes, None or NaN where none
        is, which the components then carry as their coordinate, in the order of the alphabet. A row of component k has
        the density :math:`\pi_k\, N(x_n \mid \mu_k, \Sigma_k)`.
    noise : bool, default False
        Whether rows may be of no component: a share s of them, Beta(1.5, 8.5), is uniform over the data's bounding box
        B, :math:`p(x) = (1 - s) \sum_k \pi_k N(x \mid \mu_k, \Sigma_k) + s\, 1\{x \in B\} / |B|`.
    measurement_covariance : (N, D) or (N, D, D) array, optional
        Variances, or covariances, of the errors :math:`E_n` with which rows were measured, in the features' units
        squared. The mixture is of what was measured, without its errors: row n has
        :math:`N(\mu_k, \Sigma_k + E_n)`.

    Returns
    -------
    MixtureModel
        A ``pm.Model``, with variables ``weights`` (component), ``means`` (component, feature), ``variances`` and
        ``scales``, ``covariances`` in the natural shape of the covariance type (full (component, feature, feature2),
        tied (feature, feature2), diag (component, feature), spherical (component)), and the observed ``x``
        (obs_id, feature). What the covariances are made of is ``log_cholesky`` around the reference
        ``reference_log_cholesky``, or, without a reference, ``variances`` and ``correlation_cholesky``.

    Raises
    ------
    InvalidDataError, InvalidDataTypeError
        Data that cannot be fitted: NaN without ``missing="marginalise"``, text, constant features, too few rows.
    InvalidArgumentError, InvalidPriorError
        Arguments outside their range.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> model = bg.build_model(bg.datasets.load_faithful(), n_components=2)
    >>> [rv.name for rv in model.free_RVs]
    ['weights', 'means', 'reference_log_cholesky', 'log_cholesky']
    """
    # The arguments are checked before the data are read, which may take long.
    table = Table.to_fit(X, sample_weight=sample_weight, resolution=resolution, missing=missing, labels=labels,
        noise=noise, measurement_covariance=measurement_covariance,
    )  # fmt: skip
    return Specification.of(table, n_components, covariance_type=covariance_type, priors=priors).build(table)


def build(specification: Specification, table: Table) -> MixtureModel:
    """The model of a specification and a table.

    Lengths come from the dims, and the table and the priors' numbers are data: neither is a constant of the graph, so
    that what is compiled for it serves every K, D, table and prior.
    """
    covariance = specification.covariance
    with MixtureModel(specification, table) as model:
        # pm.Data itself takes no NaN, which PyMC would impute: they come as a new value.
        given = np.nan_to_num(table.values) if table.gaps else table.values
        x_data = pm.Data("x_data", given, dims=("obs_id", "feature"))
        if table.gaps:
            x_data.set_value(table.values)
        # A variable of the graph, so that data with and without ties share one compiled function.
        rounding = pm.Data("resolution", specification.resolution, dims="feature") ** 2 / 12
        row_weights: Any = 1.0 if table.weights is None else pm.Data("sample_weight", table.weights, dims="obs_id")
        priors = {prior.variable: prior for prior in specification.priors}
        weights = _weights(priors, specification)
        means = _means(priors["means"], specification, table)
        if "covariances" in priors:
            natural = _around_reference(priors, specification, rounding)
        else:
            variances = _variances(priors, specification)
            cholesky = _correlations(priors["correlations"], covariance) if specification.correlated else None
            natural = covariance.from_scales(variances, cholesky, rounding, xp=pt)
        covariances = pm.Deterministic("covariances", natural, dims=covariance.dims)
        pattern = []
        if table.pattern:
            share = pt.zeros(()) if table.box is None else _noise(priors["noise"])
            weights = weights if table.box is None else (1 - share) * weights
            pattern = _pattern(table, share)
        MarginalGaussianMixture(
            "x",
            weights,
            means,
            covariance.matrices(covariances, model.dim_lengths["component"], model.dim_lengths["feature"], xp=pt),
            row_weights,
            *pattern,
            diagonal=covariance.diagonal,
            observed=x_data,
            dims=("obs_id", "feature"),
        )
    model.is_built()
    return model


def _pattern(table: Table, share: Any) -> list[Any]:
    """What rows show besides their values, in the order in which the distribution takes it."""
    dims: dict[str, Any] = {"row_order": "obs_id", "labels": "obs_id"}
    dims["measurement_covariance"] = ("obs_id", "feature", "feature2")
    dims |= dict.fromkeys(("noise_low", "noise_high"), "feature")
    given = {name: pm.Data(name, value, dims=dims[name]) for name, value in table.pattern.items()}
    nowhere = pt.as_tensor(np.empty(0))
    return [
        given["row_order"],
        given["labels"],
        given.get("measurement_covariance", pt.as_tensor(np.empty((1, 0, 0)))),
        share,
        given.get("noise_low", nowhere),
        given.get("noise_high", nowhere),
    ]


def _noise(prior: Prior) -> Any:
    a, b = (pm.Data(name, value) for name, value in prior.numbers.items())
    return pm.Beta("noise", a, b)


def _weights(priors: Mapping[str, Prior], specification: Specification) -> Any:
    own = specification.weights_prior
    transform = SoftmaxBasis() if own.in_softmax_basis else SimplexTransform()
    if "concentration" in priors:
        concentration = _users_variable(priors["concentration"], (), ())
    else:
        numbers = priors["weights"].numbers["concentration"]
        concentration = pm.Data("concentration", numbers, dims=() if own.sticks else "component")
    n_components = pm.modelcontext(None).dim_lengths["component"]
    if own.sticks:
        return StickBreaking("weights", n_components, concentration, dims="component", default_transform=transform)
    each = pt.broadcast_to(concentration, (n_components,)) if own.concentration is None else concentration
    return pm.Dirichlet("weights", each, dims="component", default_transform=transform)


def _means(prior: Prior, specification: Specification, table: Table) -> Any:
    dims = ("component", "feature")
    # Different ones: where all components are alike, the density has a stationary point that no optimiser leaves.
    some = table.at_hand.subsample(INITIAL_ROWS, np.random.default_rng(0))
    initial = spread_rows(some, specification.n_components, np.random.default_rng(0))
    if prior.users:
        return _users_variable(prior, initial.shape, dims, initial)
    midrange = pm.Data("midrange", prior.numbers["midrange"], dims="feature")
    width = pm.Data("range", prior.numbers["range"], dims="feature")
    return StartedNormal("means", midrange, width, pm.Data("initial_means", initial, dims=dims), dims=dims)


def _around_reference(priors: Mapping[str, Prior], specification: Specification, rounding: Any) -> Any:
    """Covariances in their natural shape; also declares ``scales`` and ``variances``, which rounding is no part of."""
    family, prior = specification.covariance, priors["covariances"]
    if prior.users:
        # An earlier version's default, of which a file has words only: an error says so.
        prior.variable_of(())
    n_features = specification.n_features if family.per_feature else 1
    model = pm.modelcontext(None)
    model.add_coord("entry", np.arange(length(n_features) if family.correlated else n_features))
    outer_dims = family.dims[family.per_component :]
    rounding = rounding + pm.Data("floor", specification.floor, dims="feature")

    d = model.dim_lengths["feature"] if family.per_feature else 1

    def within(name: str, given: Prior, dims: tuple[str, ...]) -> tuple[Any, Any]:
        """Coordinates of a covariance within clusters, and what they are relative to."""
        outer = pm.Data("total_cholesky", given.numbers["total_cholesky"], dims=outer_dims)
        numbers = [pm.Data(n, given.numbers[n]) for n in WITHIN_NUMBERS]
        return outer, WithinCovariance(name, d, *numbers, correlated=family.correlated, dims=dims)

    dims = (*(("component",) * family.per_component), "entry")
    if prior.distribution == WITHIN:
        outer, y = within("log_cholesky", prior, dims)
    else:
        if "reference" in priors:
            outer, around = within("reference_log_cholesky", priors["reference"], ("entry",))
        else:
            outer = pm.Data("reference_cholesky", prior.numbers["reference_cholesky"], dims=outer_dims)
            around = pt.zeros(model.dim_lengths["entry"])
        names = ("likeness", "likeness_shares", "scale_spread", "scale_wall")
        numbers = (pm.Data(name, prior.numbers[name]) for name in names)
        y = RelativeCovariance("log_cholesky", d, *numbers, around, correlated=family.correlated, dims=dims)
    if family.correlated:
        natural = covariances_around(y, outer, rounding)
        variances = pt.diagonal(natural, axis1=-2, axis2=-1) - rounding
    elif family.per_feature:
        variances = (outer * pt.exp(y)) ** 2
        natural = variances + rounding
    else:
        variances = (outer * pt.exp(y[:, 0])) ** 2
        natural = variances + rounding.mean()
    pm.Deterministic("variances", variances, dims=family.scale_dims)
    pm.Deterministic("scales", pt.sqrt(variances), dims=family.scale_dims)
    return natural


def _variances(priors: Mapping[str, Prior], specification: Specification) -> Any:
    prior, covariance = priors.get("scales") or priors["variances"], specification.covariance
    dims = covariance.scale_dims
    shape = covariance.shape(dims, specification.n_components, specification.n_features)
    if prior.variable == "scales":
        scales = _users_variable(prior, shape, dims)
        return pm.Deterministic("variances", scales**2, dims=dims)
    if prior.users:
        variances = _users_variable(prior, shape, dims)
    else:
        own = ("feature",) * covariance.per_feature
        if "variance_scale" in priors:
            scale = _users_variable(priors["variance_scale"], (specification.n_features,) * len(own), own)
        else:
            scale = pm.Data("variance_scale", prior.numbers["variance_scale"], dims=own)
        variances = pm.InverseGamma("variances", VARIANCE_SHAPE, scale, dims=dims)
    pm.Deterministic("scales", pt.sqrt(variances), dims=dims)
    return variances


def _correlations(prior: Prior, covariance: CovarianceType) -> Any:
    return LKJCholesky(
        "correlation_cholesky",
        pm.modelcontext(None).dim_lengths["feature"],
        pm.Data("lkj_eta", prior.numbers["lkj_eta"]),
        dims=covariance.correlation_dims,
        default_transform=CorrelationCholeskyTransform(),
    )


def _users_variable(
    prior: Prior, shape: tuple[int, ...], dims: tuple[str, ...], initial: np.ndarray | None = None
) -> Any:
    """A user's prior as a variable of the model, its numbers as data."""
    made = prior.variable_of(shape)
    # In one shape whatever the user gave, so that numbers and vectors share one compiled function.
    whole = is_univariate(made)
    given: Mapping[str, Any] = {
        name: pm.Data(name, np.broadcast_to(value, shape), dims=dims) if whole else pm.Data(name, value)
        for name, value in prior.numbers.items()
    }
    if initial is not None and not has_density_at(made, initial):
        initial = None
    variable = prior.variable_of(shape, given) if given else made
    if whole and prior.distribution is not None:
        # Not numbers in the graph, which of one feature or one component would be compiled anew for every other K or D.
        lengths = pm.modelcontext(None).dim_lengths
        variable = resized(variable, tuple(lengths[dim] for dim in dims))
    return pm.modelcontext(None).register_rv(variable, prior.variable, dims=dims, initval=initial)
