"""The mixture as a step of a scikit-learn pipeline that completes rows."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from bayesgmm.arguments import check_choice, check_random_state
from bayesgmm.data.observations import Observations
from bayesgmm.estimator import GaussianMixture
from bayesgmm.prediction import LARGEST_SEED

STRATEGIES = ("mean", "draw")


class MixtureImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Complete rows by a Gaussian mixture of all rows, complete or not.

    .. math:: x_U \mid x_O \sim \sum_k r_k\, N\big(\mu_{k,U} + \Sigma_{k,UO} \Sigma_{k,OO}^{-1} (x_O - \mu_{k,O}),
              \Sigma_{k,U|O}\big)

    with the seen features O of a row, the others U and the row's probabilities r of the components.

    Parameters
    ----------
    n_components : int or "auto", default 2
    covariance_type : {"full", "tied", "diag", "spherical"}, default "full"
    strategy : {"mean", "draw"}, default "mean"
        What is put in: the expectation, or a draw, which keeps variances and correlations as they are. For the
        uncertainty of an analysis of the completed rows use :func:`bayesgmm.impute`, which gives many completed tables.
    inference : {"map", "nuts"}, default "map"
        The mixture's mode, or its posterior: then the expectation is averaged over it, and a draw is of one of its
        draws.
    priors, n_init, random_state, progressbar
        As for :class:`bayesgmm.GaussianMixture`.

    Attributes
    ----------
    mixture_ : GaussianMixture
        The mixture that was fitted.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> X = [[0.0, 0.1], [0.2, float("nan")], [5.0, 5.1], [5.2, 5.0], [0.1, 0.0], [4.9, 5.3]]
    >>> imputer = bg.MixtureImputer(n_components=1, random_state=0).fit(X)
    >>> imputer.transform(X).shape
    (6, 2)
    """

    def __init__(
        self,
        n_components=2,
        *,
        covariance_type="full",
        strategy="mean",
        inference="map",
        priors=None,
        n_init="auto",
        random_state=None,
        progressbar=True,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.strategy = strategy
        self.inference = inference
        self.priors = priors
        self.n_init = n_init
        self.random_state = random_state
        self.progressbar = progressbar

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "MixtureImputer":
        """Fit the mixture to what was seen.

        Parameters
        ----------
        X : (N, D) array or data frame
            NaN where a value was not seen.
        y : ignored
        sample_weight : (N,) array, optional

        Returns
        -------
        self

        Raises
        ------
        InvalidArgumentError, InvalidDataError, InvalidDataTypeError, InvalidPriorError
        """
        check_choice(self.strategy, "strategy", STRATEGIES)
        self.mixture_ = GaussianMixture(
            self.n_components,
            covariance_type=self.covariance_type,
            inference=self.inference,
            priors=self.priors,
            missing="marginalise",
            n_init=self.n_init,
            random_state=self.random_state,
            progressbar=self.progressbar,
        ).fit(X, sample_weight=sample_weight)
        self.n_features_in_ = self.mixture_.n_features_in_
        if hasattr(self.mixture_, "feature_names_in_"):
            self.feature_names_in_ = self.mixture_.feature_names_in_
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Rows (N, D) with every value that was not seen completed."""
        check_is_fitted(self)
        rows = self.mixture_._new_rows(X)
        assert isinstance(rows, Observations)
        mixture = self.mixture_._mixture
        if self.strategy == "mean":
            return mixture.expect_rows(rows)
        rng = np.random.default_rng(check_random_state(self.random_state).randint(LARGEST_SEED))
        return (mixture[int(rng.integers(len(mixture)))] if mixture.batched else mixture).draw_rows(rows, rng)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
