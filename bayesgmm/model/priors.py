r"""The priors: defaults scaled to the data, a user's own distributions, and whether a posterior mode must exist.

Defaults, with :math:`R_j` the range and :math:`m_j` the midrange of feature j:

.. math:: \pi \sim \mathrm{Dirichlet}(1), \quad \mu_{kj} \sim N(m_j, R_j^2), \quad
          \Sigma_k \text{ around a common reference} ,

the last of which :mod:`bayesgmm.model.relative` and :mod:`bayesgmm.model.within` have, and ``docs/priors.md`` the
measurements that chose it. The means' prior is Richardson and Green's (1997). Without a reference, and with
:math:`s_j` the standard deviation of feature j,

.. math:: \sigma_{kj}^2 \sim \mathrm{InverseGamma}\left(\tfrac32, \frac{s_j^2}{2 K^{2/D}}\right), \quad
          R_k \sim \mathrm{LKJ}\left(\frac{D + 3}{2}\right) :

the marginal of mclust's inverse-Wishart prior (Fraley and Raftery 2007). A component that collapses on tied rows, or on
a hyperplane, would otherwise make the density unbounded, and eta > 1 + D/2 is what stops the second.
"""

import numbers
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidPriorError
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.model.prior import STICKS, WITHIN, Prior, written
from bayesgmm.model.reference import relative_prior
from bayesgmm.model.within import WithinPrior, within_rows

if TYPE_CHECKING:
    from pytensor.tensor import TensorVariable

WEIGHTS = ("dirichlet", "stick-breaking")
# A concentration under which components that the rows do not ask for stay empty.
SPARSE = "sparse"
# Of correlations whose density is the same everywhere.
FLAT = "flat"


@dataclass(frozen=True)
class Priors:
    r"""Priors of a Gaussian mixture. ``None`` means: scaled to the data.

    Parameters
    ----------
    concentration : float, (K,) array, "sparse" or PyMC distribution, default 1.0
        Of the weights' prior, positive: a Dirichlet's, or stick-breaking's :math:`\alpha`, one number. A distribution,
        such as ``pm.Gamma.dist(2, 1)``, makes it a variable of the model, ``concentration``, the same for all
        components. A Dirichlet's numbers below 1 make the weights' density unbounded where a component is empty, so
        that no MAP need exist. "sparse": 1 / K, under which components that the rows do not ask for stay empty, and
        all of them have the prior of a Dirichlet process of concentration 1 as K grows (Ishwaran and Zarepour 2002);
        :func:`bayesgmm.occupied` says how many have rows.
    means : PyMC distribution, optional
        Of every mean :math:`\mu_{kj}`, in the data's units: ``pm.Normal.dist(0, 5)``, or with one parameter a feature.
        Default: Normal(midrange, range).
    variances : PyMC distribution, optional
        Of every variance, in squared units: there is no reference then. Default without a reference:
        InverseGamma(3/2, :math:`s_j^2 / (2 K^{2/D})`).
    scales : PyMC distribution, optional
        Of every standard deviation instead: ``pm.HalfNormal.dist(2)``. Not together with ``variances``.
    lkj_eta : float or "flat", optional
        Of the LKJ prior of every correlation matrix: there is no reference then. Default without a reference
        (D + 3) / 2. At 1 + D/2 or less the posterior may have no mode. "flat": the density is the same for every
        Cholesky factor of a correlation matrix.
    reference : "auto", None or (D, D) array, default "auto"
        The covariance that the components' covariances are centred on, in squared units of the features. "auto": it is
        learned with them, unless ``variances``, ``scales``, ``variance_scale`` or ``lkj_eta`` are given. None: priors
        of variances and correlations in the features' own axes.
    weights : {"dirichlet", "stick-breaking"}, default "dirichlet"
        Stick-breaking is the Dirichlet process, truncated at K components: each but the last breaks a part
        :math:`v_k \sim \mathrm{Beta}(1, \alpha)` off what those before it left,
        :math:`\pi_k = v_k \prod_{j<k} (1 - v_j)`. Components are not exchangeable then.
    variance_scale : PyMC distribution, optional
        A hyperprior, in squared units: the scale b of the variances' InverseGamma(3/2, b) is a variable of the model
        then, one a feature, and there is no reference. (The default's reference is learned, scale and all.)

    Raises
    ------
    InvalidPriorError
        A concentration or eta that is not positive, several concentrations with stick-breaking, two of ``variances``,
        ``scales`` and ``variance_scale``, a reference beside one of these, or that is not a covariance matrix, or
        something that is not an unnamed PyMC distribution.

    References
    ----------
    Sethuraman (1994), A constructive definition of Dirichlet priors, Statistica Sinica 4, 639-650. Ishwaran and James
    (2001), Gibbs sampling methods for stick-breaking priors, JASA 96, 161-173,
    https://doi.org/10.1198/016214501750332758. Richardson and Green (1997), On Bayesian analysis of mixtures with an
    unknown number of components, JRSS B 59, 731-792, https://doi.org/10.1111/1467-9868.00095. Fraley and Raftery
    (2007), Bayesian regularization for normal mixture estimation and model-based clustering, J. Classification 24,
    155-181, https://doi.org/10.1007/s00357-007-0004-5. Lewandowski, Kurowicka and Joe (2009), Generating random
    correlation matrices based on vines and extended onion method, J. Multivariate Analysis 100, 1989-2001,
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
    lkj_eta: float | str | None = None
    reference: Any = "auto"
    weights: str = "dirichlet"
    variance_scale: "TensorVariable | None" = None

    @classmethod
    def flat(cls) -> "Priors":
        r"""Priors under which the MAP is the maximum of the likelihood.

        .. math:: p(\pi, \mu, \sigma, L) \propto 1, \qquad \Sigma_k = S_k L_k L_k^\top S_k .

        The likelihood of a mixture has no highest value, as a component may collapse on a row, and under flat means
        there is no posterior, as a component without rows may be anywhere: they are for
        ``GaussianMixture(inference="map")`` and :func:`bayesgmm.find_MAP`.

        Returns
        -------
        Priors
            ``Priors(means=pm.Flat.dist(), scales=pm.HalfFlat.dist(), lkj_eta="flat")``.
        """
        import pymc as pm

        return cls(means=pm.Flat.dist(), scales=pm.HalfFlat.dist(), lkj_eta=FLAT)

    def __post_init__(self):
        if self.weights not in WEIGHTS:
            raise InvalidPriorError(f"weights = {self.weights!r} must be one of {', '.join(map(repr, WEIGHTS))}.")
        if isinstance(self.concentration, str):
            self._check_sparse()
        elif not _is_distribution(self.concentration):
            self._check_concentration()
        eta = self.lkj_eta
        positive = isinstance(eta, numbers.Real) and np.isfinite(eta) and eta > 0
        if eta is not None and not positive and not (isinstance(eta, str) and eta == FLAT):
            raise InvalidPriorError(f'lkj_eta = {eta!r} must be positive, or "flat"; the default is (D + 3) / 2.')
        if self.variances is not None and self.scales is not None:
            raise InvalidPriorError(
                "give a prior for variances or for scales, not both: one is the square of the other."
            )
        if self.variance_scale is not None and (self.variances is not None or self.scales is not None):
            raise InvalidPriorError(
                "give variance_scale, or a prior for variances or scales, not both: variance_scale is a parameter of "
                "the variances' default prior."
            )
        for name in ("means", "variances", "scales", "variance_scale"):
            prior = getattr(self, name)
            if prior is not None and not _is_distribution(prior):
                raise InvalidPriorError(
                    f"{name} = {prior!r} must be an unnamed PyMC distribution, such as pm.Normal.dist(0, 5)."
                )
        self._check_reference()

    def __repr__(self) -> str:
        given = ((f, getattr(self, f.name)) for f in fields(self))
        return f"Priors({', '.join(f'{f.name}={_as_given(v)}' for f, v in given if v is not f.default)})"

    def _check_sparse(self) -> None:
        if self.concentration != SPARSE or self.weights == "stick-breaking":
            raise InvalidPriorError(
                f"concentration = {self.concentration!r} with weights = {self.weights!r}: the one word that it may be "
                f'is {SPARSE!r}, with weights="dirichlet"; else give a number, or an unnamed PyMC distribution.'
            )

    def _check_concentration(self) -> None:
        concentration = np.asarray(self.concentration)
        if concentration.dtype.kind not in "fiu" or concentration.ndim > 1 or not (concentration > 0).all():
            raise InvalidPriorError(
                f"concentration = {self.concentration!r} must be positive: a number, one a component, or an unnamed "
                "PyMC distribution, such as pm.Gamma.dist(2, 1)."
            )
        if not np.isfinite(concentration).all():
            raise InvalidPriorError(f"concentration = {self.concentration!r} must be finite.")
        if self.weights == "stick-breaking" and concentration.ndim > 0:
            raise InvalidPriorError(
                f"concentration = {self.concentration!r} must be one number under stick-breaking, whose sticks are all "
                'Beta(1, concentration): give one number, or weights="dirichlet".'
            )

    def _check_reference(self) -> None:
        if self.reference is None or (isinstance(self.reference, str) and self.reference == "auto"):
            return
        given = [
            name for name in ("variances", "scales", "variance_scale", "lkj_eta") if getattr(self, name) is not None
        ]
        if given:
            raise InvalidPriorError(
                f"give a reference or {given[0]}, not both: {given[0]} is a prior in the features' own axes, without a "
                "reference."
            )
        try:
            reference = np.asarray(self.reference, dtype=np.float64)
        except (TypeError, ValueError):
            reference = np.empty(0)
        square = reference.ndim == 2 and reference.shape[0] == reference.shape[1] > 0 and np.isfinite(reference).all()
        if not square or not np.allclose(reference, reference.T) or np.linalg.eigvalsh(reference)[0] <= 0:
            raise InvalidPriorError(
                f'reference = {self.reference!r} must be "auto", None, or a covariance matrix (D, D), symmetric and '
                "positive definite: np.cov(X.T), for example."
            )

    def resolved(self, table: Table, n_components: int, covariance: CovarianceType) -> tuple["Prior", ...]:
        """Every prior in numbers, for a table.

        Raises
        ------
        InvalidPriorError
            One does not fit its parameter.
        """
        n_features = table.n_features
        priors = self._weights(n_components)
        if self.means is None:
            low, high = table.limits
            priors.append(Prior("means", "Normal", {"midrange": low / 2 + high / 2, "range": high - low}))
        else:
            priors.append(_users(self.means, "means", (n_components, n_features)))
        scale_shape = covariance.shape(covariance.scale_dims, n_components, n_features)
        if self._around_reference:
            priors += self._relative(table, n_components, covariance)
            return tuple(priors)
        if self.scales is not None:
            priors.append(_users(self.scales, "scales", scale_shape))
        elif self.variances is not None:
            priors.append(_users(self.variances, "variances", scale_shape))
        elif self.variance_scale is not None:
            shape = (n_features,) if covariance.per_feature else ()
            priors += [Prior("variances", "InverseGamma", {}), _users(self.variance_scale, "variance_scale", shape)]
        else:
            scale = default_variance_scale(table, n_components)
            numbers = {"variance_scale": scale if covariance.per_feature else np.asarray(scale.mean())}
            priors.append(Prior("variances", "InverseGamma", numbers))
        if covariance.correlated and n_features > 1:
            eta = (n_features + 3) / 2 if self.lkj_eta is None else 0.0 if self.lkj_eta == FLAT else float(self.lkj_eta)
            priors.append(Prior("correlations", "LKJ", {"lkj_eta": np.array(eta)}))
        return tuple(priors)

    @property
    def _around_reference(self) -> bool:
        own = (self.variances, self.scales, self.variance_scale, self.lkj_eta)
        return self.reference is not None and all(prior is None for prior in own)

    def _relative(self, table: Table, n_components: int, covariance: CovarianceType) -> Iterator["Prior"]:
        given = None if isinstance(self.reference, str) else np.asarray(self.reference, dtype=np.float64)
        if given is not None and len(given) != table.n_features:
            raise InvalidPriorError(
                f"reference has shape {given.shape}; the table has {table.n_features} features: give a matrix "
                f"({table.n_features}, {table.n_features})."
            )
        prior = relative_prior(table, n_components, covariance, given)
        if isinstance(prior, WithinPrior):
            yield Prior("covariances", WITHIN, _within(prior))
            return
        numbers = {
            "likeness": prior.rows, "likeness_shares": prior.shares, "scale_spread": np.array(prior.spread),
            "scale_wall": np.array(prior.wall),
        }  # fmt: skip
        if prior.learned:
            rows = within_rows(covariance, table.n_features)
            yield Prior("reference", WITHIN, _within(WithinPrior(covariance, prior.outer, rows)))
        else:
            numbers = {"reference_cholesky": prior.outer} | numbers
        yield Prior("covariances", "RelativeCovariance", numbers, given=given is not None)

    def _weights(self, n_components: int) -> list["Prior"]:
        sticks = self.weights == "stick-breaking"
        distribution = STICKS if sticks else "Dirichlet"
        if _is_distribution(self.concentration):
            return [Prior("weights", distribution, {}), _users(self.concentration, "concentration", ())]
        given = 1 / n_components if isinstance(self.concentration, str) else self.concentration
        concentration = np.asarray(given, dtype=np.float64)
        if concentration.ndim == 1 and concentration.size != n_components:
            raise InvalidPriorError(
                f"concentration has {concentration.size} values for {n_components} components: give one number, "
                "or one a component."
            )
        each = () if sticks else (n_components,)
        return [Prior("weights", distribution, {"concentration": np.array(np.broadcast_to(concentration, each))})]


def _within(prior: WithinPrior) -> dict[str, np.ndarray]:
    return {
        "total_cholesky": prior.outer, "within_rows": np.array(prior.rows), "within_spread": np.array(prior.spread),
        "within_ceiling": np.array(prior.ceiling), "within_wall": np.array(prior.wall),
        "within_log_share": np.array(prior.log_share),
    }  # fmt: skip


def default_variance_scale(table: Table, n_components: int) -> np.ndarray:
    """The scale of the default inverse-gamma prior of the variances, (D,), in squared units of the features."""
    return np.asarray(table.moments[1] / (2 * n_components ** (2 / table.n_features)))


def _users(prior: Any, variable: str, shape: tuple[int, ...]) -> Prior:
    """A user's distribution as a prior; raises InvalidPriorError where it does not fit the parameter."""
    from bayesgmm.graph import user_priors

    user_priors.fitted(prior, variable, shape)
    if variable != "means":
        user_priors.check_positive(prior, variable)
    apart = user_priors.taken_apart(prior)
    if apart is None:
        words = user_priors.in_words(prior).split("~")[-1].strip()
        return Prior(variable, None, {}, users=True, source=prior, words=words)
    name, parameters = apart
    numbers = {f"{variable}_prior_{i}": value for i, value in enumerate(parameters)}
    return Prior(variable, name, numbers, users=True, source=prior, words=written(name, parameters))


def _as_given(value: Any) -> str:
    if not _is_distribution(value):
        return repr(value)
    from bayesgmm.graph.user_priors import in_python

    return in_python(value)


def _is_distribution(prior: Any) -> bool:
    """Whether it is an unnamed PyMC distribution; of what is no such variable PyMC need not be asked."""
    if not hasattr(prior, "owner"):
        return False
    from bayesgmm.graph.user_priors import is_unnamed_distribution

    return is_unnamed_distribution(prior)
