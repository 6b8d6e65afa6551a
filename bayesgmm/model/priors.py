r"""The priors: defaults scaled to the data, a user's own distributions, and whether a posterior mode must exist.

Defaults, with :math:`s_j` the standard deviation, :math:`R_j` the range and :math:`m_j` the midrange of feature j:

.. math:: \pi \sim \mathrm{Dirichlet}(1), \quad \mu_{kj} \sim N(m_j, R_j^2), \quad
          \sigma_{kj}^2 \sim \mathrm{InverseGamma}\left(\tfrac32, \frac{s_j^2}{2 K^{2/D}}\right), \quad
          R_k \sim \mathrm{LKJ}\left(\frac{D + 3}{2}\right).

The means' prior is Richardson and Green's (1997); the variances' is the marginal of mclust's inverse-Wishart prior
(Fraley and Raftery 2007). Why these: a component that collapses on tied rows, or on a hyperplane, would otherwise make
the density unbounded, and eta > 1 + D/2 is what stops the second.
"""

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.exceptions import InvalidPriorError
from bayesgmm.model.covariance import CovarianceType

if TYPE_CHECKING:
    from pytensor.tensor.variable import TensorVariable

# The inverse-gamma's shape: 3/2 is the marginal of an inverse-Wishart with D + 2 degrees of freedom.
VARIANCE_SHAPE = 1.5


@dataclass(frozen=True)
class Priors:
    r"""Priors of a Gaussian mixture. ``None`` means: scaled to the data.

    Parameters
    ----------
    concentration : float or (K,) array, default 1.0
        Dirichlet concentration of the weights, positive. Below 1 the weights' density is unbounded where a component
        is empty, so that no MAP need exist.
    means : PyMC distribution, optional
        Of every mean :math:`\mu_{kj}`, in the data's units: ``pm.Normal.dist(0, 5)``, or with one parameter a feature.
        Default: Normal(midrange, range).
    variances : PyMC distribution, optional
        Of every variance, in squared units. Default: InverseGamma(3/2, :math:`s_j^2 / (2 K^{2/D})`).
    scales : PyMC distribution, optional
        Of every standard deviation instead: ``pm.HalfNormal.dist(2)``. Not together with ``variances``.
    lkj_eta : float, optional
        Of the LKJ prior of every correlation matrix. Default (D + 3) / 2. At 1 + D/2 or less the posterior may have
        no mode.

    Raises
    ------
    InvalidPriorError
        A concentration or eta that is not positive, both ``variances`` and ``scales``, or something that is not an
        unnamed PyMC distribution.

    References
    ----------
    Richardson and Green (1997), On Bayesian analysis of mixtures with an unknown number of components, JRSS B 59,
    731-792, https://doi.org/10.1111/1467-9868.00095. Fraley and Raftery (2007), Bayesian regularization for normal
    mixture estimation and model-based clustering, J. Classification 24, 155-181,
    https://doi.org/10.1007/s00357-007-0004-5. Lewandowski, Kurowicka and Joe (2009), Generating random correlation
    matrices based on vines and extended onion method, J. Multivariate Analysis 100, 1989-2001,
    https://doi.org/10.1016/j.jmva.2009.04.008.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> bg.Priors(concentration=2.0).concentration
    2.0
    """

    concentration: Any = 1.0
    means: "TensorVariable | None" = None
    variances: "TensorVariable | None" = None
    scales: "TensorVariable | None" = None
    lkj_eta: float | None = None

    def __post_init__(self):
        concentration = np.asarray(self.concentration)
        if concentration.dtype.kind not in "fiu" or concentration.ndim > 1 or not (concentration > 0).all():
            raise InvalidPriorError(
                f"concentration = {self.concentration!r} must be positive: a number, or one a component."
            )
        if not np.isfinite(concentration).all():
            raise InvalidPriorError(f"concentration = {self.concentration!r} must be finite.")
        eta = self.lkj_eta
        if eta is not None and not (isinstance(eta, numbers.Real) and np.isfinite(eta) and eta > 0):
            raise InvalidPriorError(f"lkj_eta = {eta!r} must be positive; the default is (D + 3) / 2.")
        if self.variances is not None and self.scales is not None:
            raise InvalidPriorError(
                "give a prior for variances or for scales, not both: one is the square of the other."
            )
        for name in ("means", "variances", "scales"):
            prior = getattr(self, name)
            if prior is not None and (getattr(prior, "owner", None) is None or prior.name is not None):
                raise InvalidPriorError(
                    f"{name} = {prior!r} must be an unnamed PyMC distribution, such as pm.Normal.dist(0, 5)."
                )

    def eta(self, n_features: int) -> float:
        """LKJ's eta."""
        return (n_features + 3) / 2 if self.lkj_eta is None else float(self.lkj_eta)

    def dirichlet(self, n_components: int) -> np.ndarray:
        """The weights' concentrations, (K,)."""
        concentration = np.asarray(self.concentration, dtype=np.float64)
        if concentration.ndim == 1 and concentration.size != n_components:
            raise InvalidPriorError(
                f"concentration has {concentration.size} values for {n_components} components: give one number, "
                "or one a component."
            )
        return np.array(np.broadcast_to(concentration, (n_components,)))

    def unbounded_because(self, structure: CovarianceType, resolution: np.ndarray) -> tuple[str, ...]:
        """Reasons why the posterior density may have no maximum under these priors; empty where one must exist."""
        reasons = []
        n_features = resolution.size
        if np.min(self.concentration) < 1:
            reasons.append(
                f"concentration = {self.concentration!r} is below 1: the density is unbounded where a weight is 0"
            )
        if (
            structure.correlated
            and structure.per_component
            and n_features > 1
            and self.eta(n_features) <= 1 + n_features / 2
        ):
            reasons.append(
                f"lkj_eta = {self.eta(n_features):g} is not above 1 + D/2 = {1 + n_features / 2:g}: a component on "
                "rows that lie on a hyperplane may collapse"
            )
        for name, prior in (("variances", self.variances), ("scales", self.scales)):
            family = None if prior is None else prior.owner.op.name
            if prior is not None and family != "invgamma" and structure.per_component and (resolution == 0).any():
                reasons.append(
                    f"the prior of the {name} ({family}) does not keep them away from 0, and not every feature has a "
                    "recording resolution: a component may collapse on tied rows"
                )
        return tuple(reasons)


def user_prior(prior: "TensorVariable", name: str, shape: tuple[int, ...]) -> "TensorVariable":
    """A user's unnamed distribution, resized to the parameter's shape."""
    from pymc.distributions.shape_utils import change_dist_size
    from pytensor.compile.mode import Mode

    own = tuple(int(n) for n in prior.shape.eval(mode=Mode("py", "fast_compile")))
    try:
        fits = np.broadcast_shapes(own, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise InvalidPriorError(
            f"the prior of the {name} has shape {own}, which does not broadcast to theirs, {shape}."
        )
    return change_dist_size(prior, shape[: len(shape) - prior.owner.op.ndim_supp])


def check_positive(prior: "TensorVariable", name: str) -> None:
    """Reject a prior that gives negative values a density."""
    import pymc as pm
    from pytensor.compile.mode import Mode

    negative = -np.logspace(-9, 9, 19)
    batch = (negative.size, *(1,) * prior.ndim)
    log_density = pm.logp(prior, negative.reshape(batch)).eval(mode=Mode("py", "fast_compile"))
    if (log_density > -np.inf).any():
        raise InvalidPriorError(
            f"the prior of the {name} allows negative values: use a positive one, such as pm.HalfNormal.dist(2) or "
            "pm.InverseGamma.dist(3, 1)."
        )
