"""What a fitted mixture says of new rows, as scikit-learn's estimators do."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from bayesgmm.arguments import check_count
from bayesgmm.data.blocks import Blocks, are_elsewhere
from bayesgmm.data.checks import finite, positions
from bayesgmm.data.observations import Rows
from bayesgmm.data.reading import column_names
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidDataError, InvalidDataTypeError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.posterior.assignments import named
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    from bayesgmm.search.estimate import MapEstimate

LARGEST_SEED = 2**31 - 1


class Predictions:
    """The methods of a fitted estimator that are about rows.

    Of rows that are not in memory, a dask collection, a Zarr array or a path, ``predict``, ``predict_proba`` and
    ``score_samples`` give dask arrays that are computed when they are asked for.
    """

    inference: str
    random_state: Any
    map_: "MapEstimate"
    components_: np.ndarray

    def _remember_features(self, X: Any, table: Table) -> None:
        """The number and the names of the features that are fitted, as scikit-learn has them."""
        if not are_elsewhere(X):
            self._check_names(X, reset=True)
            return
        self.n_features_in_ = table.n_features
        if table.features != positions(table.n_features):
            self.feature_names_in_ = np.array(table.features, dtype=object)

    def _check_names(self, X: Any, *, reset: bool) -> None:
        """scikit-learn's check of the features' number and names, its errors as ours."""
        try:
            validate_data(self, X, reset=reset, skip_check_array=True)
        except TypeError as error:
            raise InvalidDataTypeError(str(error)) from error
        except ValueError as error:
            raise InvalidDataError(str(error)) from error

    @property
    def _correlated(self) -> bool:
        return self.map_.problem.specification.covariance.correlated

    def _new_rows(self, X: Any, measurement_covariance: Any = None) -> Rows:
        """New rows: a frame that has the fitted columns by their names, whatever it has else; others as fitted."""
        check_is_fitted(self)
        features, gaps = self.map_.problem.specification.features, self.map_.problem.table.gaps
        if set(features) <= set(column_names(X) or ()):
            table = Table.like(X, features, gaps=gaps)
        else:
            table = Table.of(X, gaps=gaps)
            self._check_names(X, reset=False)
        return table.with_errors(measurement_covariance).observations

    @property
    def _mixture(self) -> Mixture:
        """What predictions are of: the posterior's draws, or the mode alone."""
        check_is_fitted(self)
        return self.map_.mixture if self.inference == "map" else Fit.of(self).mixture

    def _by_blocks(self, X: Any, function: Any, width: int | None = None, dtype: Any = np.float64) -> Any:
        """What a function of a mixture and rows gives of rows that are not in memory, as a dask array."""
        check_is_fitted(self)
        features = self.map_.problem.specification.features
        return (
            Blocks.of(X)
            .of_features(features)
            .lazily(partial(_checked, function, self._mixture, features), width, dtype)
        )

    def predict_proba(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """Probability of every component for every row, (N, K): averaged over the posterior under "nuts".

        With ``noise`` a row's probabilities are less than 1 by that of being of no component.
        ``measurement_covariance`` is that of the new rows' errors; None: without.
        """
        if are_elsewhere(X):
            return self._by_blocks(X, _probability, self._mixture.n_components)
        return self._mixture.predictive(self._new_rows(X, measurement_covariance))[1]

    def predict(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """The most probable component of every row, (N,): its number, or its name where ``labels`` were names.

        With ``noise`` -1, or "noise", where it is most probable that a row is of none.
        """
        if are_elsewhere(X):
            return self._by_blocks(
                X, partial(_label, self.components_), dtype=named(self.components_, np.ones((1, 1))).dtype
            )
        r = self.predict_proba(X, measurement_covariance=measurement_covariance)
        if self._mixture.noise is not None:
            r = np.column_stack([r, 1 - r.sum(axis=1)])
        return named(self.components_, r)

    def score_samples(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """Log-density of every row, (N,), in nats: of the posterior predictive distribution under "nuts"."""
        if are_elsewhere(X):
            return self._by_blocks(X, _log_density)
        return self._mixture.predictive(self._new_rows(X, measurement_covariance))[0]

    def score(self, X: Any, y: Any = None) -> float:
        """Mean log-density of the rows."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """New rows (n_samples, D) and their components (n_samples,), every row from a draw of its own under "nuts"."""
        check_is_fitted(self)
        n_samples = check_count(n_samples, "n_samples")
        seed = check_random_state(self.random_state).randint(LARGEST_SEED)
        return self._mixture.simulate(n_samples, np.random.default_rng(seed))

    # Information criteria -------------------------------------------------------------------------------------------

    def bic(self, X: Any) -> float:
        """Bayesian information criterion at the mode, scikit-learn's sign: smaller is better."""
        log_likelihood, n_rows = self._log_likelihood(X)
        return -2 * log_likelihood + self._n_parameters * float(np.log(n_rows))

    def aic(self, X: Any) -> float:
        """Akaike's information criterion at the mode: smaller is better."""
        return -2 * self._log_likelihood(X)[0] + 2 * self._n_parameters

    @property
    def _n_parameters(self) -> int:
        return self.map_.problem.specification.n_parameters

    def _log_likelihood(self, X: Any) -> tuple[float, int]:
        """The log-likelihood of rows at the mode, and how many there are."""
        check_is_fitted(self)
        if not are_elsewhere(X):
            x = self._new_rows(X)
            return float(self.map_.mixture.log_density(x).sum()), len(x)
        features = self.map_.problem.specification.features
        blocks = Blocks.of(X).of_features(features)
        total = blocks.total(partial(_checked, _sum_of_log_density, self.map_.mixture, features))
        return float(total), blocks.n_rows


# Of a block of rows, where it lies.


def _checked(function: Any, mixture: Mixture, features: tuple[str, ...], block: np.ndarray) -> Any:
    return function(mixture, finite(np.asarray(block), features, gaps=False))


def _probability(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    return mixture.predictive(x)[1]


def _log_density(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    return mixture.predictive(x)[0]


def _sum_of_log_density(mixture: Mixture, x: np.ndarray) -> float:
    return float(mixture.log_density(x).sum())


def _label(components: np.ndarray, mixture: Mixture, x: np.ndarray) -> np.ndarray:
    return named(components, mixture.predictive(x)[1])
