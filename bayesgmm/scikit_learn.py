"""A mixture in scikit-learn's terms: precisions, where a fit begins, and the way from its estimator and back."""

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from bayesgmm.arguments import check_choice
from bayesgmm.data.checks import positions
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, ModelError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES, CovarianceType
from bayesgmm.model.priors import Priors
from bayesgmm.prediction import Point

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as PlugIn

INIT_PARAMS = ("kmeans", "k-means++", "random", "random_from_data")
# What scikit-learn adds to the variances of a start, as a part of the features' own: its default of standardised rows.
REG_COVAR = 1e-6


class ScikitLearn:
    """The part of an estimator that speaks of one mixture as scikit-learn does."""

    n_components_: int
    components_: np.ndarray
    weights_: np.ndarray
    means_: np.ndarray
    covariances_: np.ndarray
    covariance_type: str
    n_init: Any
    init_params: str | None
    weights_init: Any
    means_init: Any
    precisions_init: Any
    warm_start: bool
    random_state: Any
    converged_: bool
    n_iter_: int
    n_features_in_: int
    inference_: str
    inference_reason_: str
    _inference_data: Any
    _point: Point

    # The parameters -------------------------------------------------------------------------------------------------

    @property
    def precisions_(self) -> np.ndarray:
        """Inverses of ``covariances_``, in their shape."""
        check_is_fitted(self)
        return _inverses(self.covariances_, self._point.covariance)

    @property
    def precisions_cholesky_(self) -> np.ndarray:
        """Upper-triangular factors U of the precisions, U @ U.T, as scikit-learn has them."""
        check_is_fitted(self)
        if not self._point.covariance.correlated:
            return 1 / np.sqrt(self.covariances_)
        return np.swapaxes(np.linalg.inv(np.linalg.cholesky(self.covariances_)), -1, -2)

    @property
    def lower_bound_(self) -> float:
        """Mean log-likelihood of the rows that were fitted, in nats, at the mode: what scikit-learn calls so."""
        check_is_fitted(self)
        return self._point.log_likelihood

    # Where a fit begins ---------------------------------------------------------------------------------------------

    def _starts(self, table: Table, random: np.random.RandomState) -> tuple[list[dict[str, np.ndarray]] | None, Any]:
        """What :func:`bayesgmm.find_MAP` begins with, None for the search's own starts alone; and its ``n_init``."""
        family = COVARIANCE_TYPES[self.covariance_type]
        last = getattr(self, "_point", None) if self.warm_start else None
        if last is not None and last.covariance is family and last.mixture.means.shape == self._shape(table):
            return [_values(last.mixture, family)], 1
        given = (self.init_params, self.weights_init, self.means_init, self.precisions_init)
        if all(value is None for value in given):
            return None, self.n_init
        number = 1 if isinstance(self.n_init, str) else self.n_init
        return [self._start(table, family, random) for _ in range(number)], self.n_init

    def _shape(self, table: Table) -> tuple[int, int]:
        return self.n_components_, table.n_features

    def _start(self, table: Table, family: CovarianceType, random: np.random.RandomState) -> dict[str, np.ndarray]:
        """One start by scikit-learn itself: what it has before its first EM step."""
        from sklearn.mixture import GaussianMixture as PlugIn

        rows = table.at_hand
        begun = PlugIn(
            self.n_components_,
            covariance_type=self.covariance_type,
            init_params="kmeans" if self.init_params is None else self.init_params,
            weights_init=self.weights_init,
            means_init=self.means_init,
            reg_covar=REG_COVAR * float(rows.moments[1].mean()),
            max_iter=0,
            random_state=random,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # k-means of rows that are few
                begun.fit(rows.filled)
        except ValueError as error:
            raise InvalidArgumentError(str(error)) from error
        covariances = begun.covariances_
        if self.precisions_init is not None:
            covariances = _inverses(_checked(self.precisions_init, family, *self._shape(table)), family)
        # Of single rows they do not add up to 1.
        return {"weights": begun.weights_ / begun.weights_.sum(), "means": begun.means_, "covariances": covariances}

    def _check_starts(self) -> None:
        if self.init_params is not None:
            check_choice(self.init_params, "init_params", INIT_PARAMS)
        if not isinstance(self.warm_start, bool | np.bool_):
            raise InvalidArgumentError(f"warm_start = {self.warm_start!r} must be True or False.")

    # There and back -------------------------------------------------------------------------------------------------

    @classmethod
    def from_sklearn(cls, gm: "PlugIn") -> Self:
        """A fitted estimator at the solution of a fitted ``sklearn.mixture.GaussianMixture``.

        Its predictions are scikit-learn's. There was no posterior, so it has no draws and no ``map_``; ``fit`` makes
        them: it has ``inference="map"`` and flat priors (:meth:`Priors.flat`), which ``set_params`` changes, and with
        ``warm_start=True`` it begins at this solution.

        Parameters
        ----------
        gm : sklearn.mixture.GaussianMixture
            Fitted.

        Returns
        -------
        GaussianMixture

        Raises
        ------
        InvalidArgumentError
            It is not a fitted ``GaussianMixture``. A ``BayesianGaussianMixture`` does not predict by one mixture.
        """
        from sklearn.mixture import GaussianMixture as PlugIn

        if not isinstance(gm, PlugIn) or not hasattr(gm, "precisions_cholesky_"):
            raise InvalidArgumentError(
                f"gm = {gm!r} must be a fitted sklearn.mixture.GaussianMixture: fit it first; of another estimator "
                "pass weights, means and precisions as weights_init, means_init and precisions_init."
            )
        make: Any = cls  # of the estimator, whose arguments these are
        own = make(
            gm.n_components, covariance_type=gm.covariance_type, inference="map", priors=Priors.flat(), resolution=None,
            n_init=gm.n_init, init_params=gm.init_params, weights_init=gm.weights_init, means_init=gm.means_init,
            precisions_init=gm.precisions_init, warm_start=gm.warm_start, random_state=gm.random_state,
        )  # fmt: skip
        family = COVARIANCE_TYPES[gm.covariance_type]
        k, d = gm.means_.shape
        own.weights_, own.means_, own.covariances_ = (
            np.array(value, dtype=np.float64) for value in (gm.weights_, gm.means_, gm.covariances_)
        )
        own.n_components_, own.components_, own.n_features_in_ = k, np.arange(k), d
        names = getattr(gm, "feature_names_in_", None)
        if names is not None:
            own.feature_names_in_ = names
        own.selection_, own._inference_data = None, None
        own.inference_, own.inference_reason_ = "map", "scikit-learn's solution"
        own.converged_, own.n_iter_ = gm.converged_, gm.n_iter_
        own._point = Point(
            mixture=Mixture(own.weights_, own.means_, family.expand(own.covariances_, k, d)),
            features=positions(d) if names is None else tuple(map(str, names)),
            covariance=family,
            gaps=False,
            n_parameters=family.n_mixture_parameters(k, d),
            log_likelihood=gm.lower_bound_,
        )
        return own

    def to_sklearn(self) -> "PlugIn":
        """A fitted ``sklearn.mixture.GaussianMixture`` with these weights, means and covariances.

        After "map" its predictions are the same. After "nuts" and "laplace" the parameters are posterior means, at
        which it predicts as if they were known.

        Returns
        -------
        sklearn.mixture.GaussianMixture

        Raises
        ------
        ModelError
            There is noise, which scikit-learn's mixture has not.
        """
        from sklearn.mixture import GaussianMixture as PlugIn

        check_is_fitted(self)
        if self._point.mixture.noise is not None:
            raise ModelError(
                "scikit-learn's mixture has no rows of no component: fit with noise=False to take the mixture there."
            )
        gm = PlugIn(
            self.n_components_, covariance_type=self.covariance_type, random_state=self.random_state,
            warm_start=self.warm_start,
        )  # fmt: skip
        gm.weights_, gm.means_, gm.covariances_ = self.weights_, self.means_, self.covariances_
        gm.precisions_, gm.precisions_cholesky_ = self.precisions_, self.precisions_cholesky_
        gm.converged_, gm.n_iter_ = self.converged_, self.n_iter_
        gm.lower_bound_, gm.lower_bounds_ = self._point.log_likelihood, [self._point.log_likelihood]
        gm.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            gm.feature_names_in_ = self.feature_names_in_
        return gm


def _values(mixture: Mixture, family: CovarianceType) -> dict[str, np.ndarray]:
    """A mixture as ``MapEstimate.point`` has it."""
    covariances = family.pool(mixture.full_covariances, mixture.weights)
    return {"weights": mixture.weights, "means": mixture.means, "covariances": covariances}


def _inverses(matrices: np.ndarray, family: CovarianceType) -> np.ndarray:
    """Of covariances in their natural shape the precisions, and of precisions the covariances."""
    return np.linalg.inv(matrices) if family.correlated else 1 / matrices


def _checked(precisions: Any, family: CovarianceType, n_components: int, n_features: int) -> np.ndarray:
    """scikit-learn's check of precisions, in its words, which nothing public of it makes."""
    name, array = f"{family.name} precision", np.asarray(precisions, dtype=np.float64)
    shape = family.shape(family.dims, n_components, n_features)
    if array.shape != shape:
        raise InvalidArgumentError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}.")
    if family.correlated:
        symmetric = np.allclose(array, array.swapaxes(-1, -2))
        fine, kind = symmetric and bool((np.linalg.eigvalsh(array) > 0).all()), "symmetric, positive-definite"
    else:
        fine, kind = bool((array > 0).all()), "positive"
    if not fine:
        raise InvalidArgumentError(f"'{name}' should be {kind}, but got {array.tolist()}.")
    return array
