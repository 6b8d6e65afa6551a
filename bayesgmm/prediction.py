"""What a fitted mixture says of new rows, as scikit-learn's estimators do."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from bayesgmm.arguments import check_count, check_random_state
from bayesgmm.data.blocks import Blocks, are_elsewhere, check_in_memory
from bayesgmm.data.checks import positions
from bayesgmm.data.observations import Rows
from bayesgmm.data.reading import column_names
from bayesgmm.data.table import MARGINALISE, Table, rows_of_block
from bayesgmm.exceptions import InvalidDataError, InvalidDataTypeError
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import CovarianceType
from bayesgmm.notebook import FittedCard, components_card
from bayesgmm.posterior.assignments import named
from bayesgmm.record.fit import Fit

if TYPE_CHECKING:
    from bayesgmm.search.estimate import MapEstimate

LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Point:
    """One mixture, and what rows it takes: all that predictions at it need.

    Attributes
    ----------
    mixture : Mixture
    features : tuple of D str
    covariance : CovarianceType
    gaps : bool
        Whether rows may lack values.
    n_parameters : int
    log_likelihood : float
        Mean of the rows that were fitted, nats.
    """

    mixture: Mixture
    features: tuple[str, ...]
    covariance: CovarianceType
    gaps: bool
    n_parameters: int
    log_likelihood: float

    @classmethod
    def of(cls, estimate: "MapEstimate") -> "Point":
        """That of an estimate."""
        specification, table = estimate.problem.specification, estimate.problem.table
        return cls(
            mixture=estimate.mixture,
            features=specification.features,
            covariance=specification.covariance,
            gaps=table.gaps,
            n_parameters=specification.n_parameters,
            log_likelihood=estimate.log_likelihood / table.total,
        )


class Predictions(FittedCard):
    """The methods of a fitted estimator that are about rows, and what a notebook shows of it.

    Of rows that are not in memory, a dask collection, a Zarr array or a path, ``predict``, ``predict_proba`` and
    ``score_samples`` give dask arrays that are computed when they are asked for.
    """

    inference: str
    missing: str
    fit: Any
    random_state: Any
    components_: np.ndarray
    _point: Point
    map_: "MapEstimate"
    weights_: np.ndarray
    means_: np.ndarray
    inference_: str

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = self.missing == MARGINALISE
        return tags

    def _card(self) -> str:
        if not hasattr(self, "_point"):
            return ""
        k, features = len(self.components_), self._point.features
        rows = f" in {self.map_.problem.table.n_rows:,} rows" if hasattr(self, "map_") else ""
        how = "those of the posterior's mode" if self.inference_ == "map" else f"posterior means ({self.inference_})"
        state = "" if getattr(self, "converged_", True) else ", whose search for the mode did NOT converge"
        return components_card(
            f"{k} component{'s' * (k > 1)}{rows} of {len(features)} features{state}",
            [f"Weights and means: {how}."], self.components_, features, self.weights_, self.means_,
        )  # fmt: skip

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

    def _new_rows(self, X: Any, measurement_covariance: Any = None) -> Rows:
        """New rows: as scikit-learn has it a frame with the fitted columns in their order, or as many without names."""
        check_is_fitted(self)
        named_columns = column_names(X) is not None
        if named_columns:  # before those are read that may be too many
            self._check_names(X, reset=False)
        table = Table.of(X, gaps=self._point.gaps)
        if not named_columns:
            self._check_names(X, reset=False)
        return table.with_errors(measurement_covariance).observations

    @property
    def _mixture(self) -> Mixture:
        """What predictions are of: the posterior's draws, or the mode alone."""
        check_is_fitted(self)
        return self._point.mixture if self.inference_ == "map" else Fit.of(self).mixture

    def _by_blocks(self, X: Any, function: Any, width: int | None = None, dtype: Any = np.float64) -> Any:
        """What a function of a mixture and rows gives of rows that are not in memory, as a dask array."""
        check_is_fitted(self)
        features = self._point.features
        checked = partial(_checked, function, self._mixture, features, self._point.gaps)
        return Blocks.of(X, features).lazily(checked, width, dtype)

    def fit_predict(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        labels: Any = None,
        measurement_covariance: Any = None,
    ) -> np.ndarray:
        """Fit, and return the most probable component of every row of ``X``, (N,), as if no label were known."""
        self.fit(X, y, sample_weight, labels=labels, measurement_covariance=measurement_covariance)
        return self.predict(X, measurement_covariance=measurement_covariance)

    def predict_proba(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """Probability of every component for every row, (N, K): averaged over the posterior under "nuts".

        With ``noise`` a row's probabilities are less than 1 by that of being of no component.
        ``measurement_covariance`` is that of the new rows' errors; None: without.
        """
        if are_elsewhere(X):
            check_in_memory(measurement_covariance)
            return self._by_blocks(X, _probability, self._mixture.n_components)
        return self._mixture.predictive(self._new_rows(X, measurement_covariance))[1]

    def predict(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """The most probable component of every row, (N,): its number, or its name where ``labels`` were names.

        With ``noise`` -1, or "noise", where it is most probable that a row is of none.
        """
        if are_elsewhere(X):
            check_in_memory(measurement_covariance)
            return self._by_blocks(
                X, partial(_label, self.components_), dtype=named(self.components_, np.ones((1, 1))).dtype
            )
        r = self.predict_proba(X, measurement_covariance=measurement_covariance)
        return named(self.components_, _with_noise(self._mixture, r))

    def score_samples(self, X: Any, *, measurement_covariance: Any = None) -> np.ndarray:
        """Log-density of every row, (N,), in nats: of the posterior predictive distribution under "nuts"."""
        if are_elsewhere(X):
            check_in_memory(measurement_covariance)
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
        return -2 * log_likelihood + self._point.n_parameters * float(np.log(n_rows))

    def aic(self, X: Any) -> float:
        """Akaike's information criterion at the mode: smaller is better."""
        log_likelihood, _ = self._log_likelihood(X)
        return -2 * log_likelihood + 2 * self._point.n_parameters

    def _log_likelihood(self, X: Any) -> tuple[float, int]:
        """The log-likelihood of rows at the mode, and how many there are."""
        check_is_fitted(self)
        if not are_elsewhere(X):
            x = self._new_rows(X)
            return float(self._point.mixture.log_density(x).sum()), len(x)
        features = self._point.features
        blocks = Blocks.of(X, features)
        total = blocks.total(partial(_checked, _sum_of_log_density, self._point.mixture, features, self._point.gaps))
        return float(total), blocks.n_rows


# Of a block of rows, where it lies.


def _checked(function: Any, mixture: Mixture, features: tuple[str, ...], gaps: bool, block: np.ndarray) -> Any:
    return function(mixture, rows_of_block(block, features, gaps))


def _with_noise(mixture: Mixture, probability: np.ndarray) -> np.ndarray:
    """Probabilities of components (N, K), and in a last column that of being of none, where there is such."""
    if mixture.noise is None:
        return probability
    return np.column_stack([probability, 1 - probability.sum(axis=1)])


def _probability(mixture: Mixture, x: Rows) -> np.ndarray:
    return mixture.predictive(x)[1]


def _log_density(mixture: Mixture, x: Rows) -> np.ndarray:
    return mixture.predictive(x)[0]


def _sum_of_log_density(mixture: Mixture, x: Rows) -> float:
    return float(mixture.log_density(x).sum())


def _label(components: np.ndarray, mixture: Mixture, x: Rows) -> np.ndarray:
    return named(components, _with_noise(mixture, mixture.predictive(x)[1]))
