"""What a fitted mixture says of new rows, as scikit-learn's estimators do."""

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from bayesgmm.arguments import check_count
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
    """The methods of a fitted estimator that are about rows."""

    inference: str
    random_state: Any
    map_: "MapEstimate"
    components_: np.ndarray

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
        return Fit.of(self).mixture if self.inference == "nuts" else self.map_.mixture

    def predict_proba(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """Probability of every component for every row, (N, K): averaged over the posterior under "nuts".

        With ``noise`` a row's probabilities are less than 1 by that of being of no component.
        ``measurement_covariance`` is that of the new rows' errors; None: without.
        """
        return self._mixture.predictive(self._new_rows(X, measurement_covariance))[1]

    def predict(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """The most probable component of every row, (N,): its number, or its name where ``labels`` were names.

        With ``noise`` -1, or "noise", where it is most probable that a row is of none.
        """
        r = self.predict_proba(X, measurement_covariance=measurement_covariance)
        if self._mixture.noise is not None:
            r = np.column_stack([r, 1 - r.sum(axis=1)])
        return named(self.components_, r)

    def score_samples(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """Log-density of every row, (N,), in nats: of the posterior predictive distribution under "nuts"."""
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
        x = self._new_rows(X)
        return self._criterion(x, float(np.log(len(x))))

    def aic(self, X: Any) -> float:
        """Akaike's information criterion at the mode: smaller is better."""
        return self._criterion(self._new_rows(X), 2.0)

    def _criterion(self, x: Rows, price: float) -> float:
        """-2 log-likelihood at the mode, and the price of every parameter."""
        n_parameters = self.map_.problem.specification.n_parameters
        return -2 * float(self.map_.mixture.log_density(x).sum()) + price * n_parameters
