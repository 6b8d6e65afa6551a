"""scikit-learn's own tests of its mixtures, as they stand where it is installed, with this package's estimator in them.

Every test passes, or stands below with its reason. docs/sklearn.md has the counts.
"""

import inspect
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
import sklearn

import bayesgmm as bg

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::bayesgmm.exceptions.{name}Warning")
    for name in ("UnboundedPosterior", "CollapsedComponent", "MultipleModes", "Convergence")
]


class GaussianMixture(bg.GaussianMixture):
    """The estimator under scikit-learn's argument names, their defaults, and flat priors."""

    def __init__(
        self, n_components=1, *, covariance_type="full", tol=1e-3, reg_covar=1e-6, max_iter=100, n_init=1,
        init_params="kmeans", weights_init=None, means_init=None, precisions_init=None, random_state=None,
        warm_start=False, verbose=0, verbose_interval=10,
    ):  # fmt: skip
        super().__init__(
            n_components, covariance_type=covariance_type, inference="map", n_init=n_init, max_iter=max_iter,
            init_params=init_params, weights_init=weights_init, means_init=means_init, precisions_init=precisions_init,
            warm_start=warm_start, random_state=random_state, progressbar=bool(verbose),
        )  # fmt: skip
        self.reg_covar, self.tol = reg_covar, tol
        self.verbose, self.verbose_interval = verbose, verbose_interval

    def fit(self, X, y=None, *args, **kwargs):
        # A floor where scikit-learn adds as much.
        self.resolution, self.priors = np.sqrt(12 * self.reg_covar) or None, bg.Priors.flat()
        return super().fit(X, y, *args, **kwargs)


class BayesianGaussianMixture(GaussianMixture):
    """The same with the prior of the weights that was asked for, and the others of this package."""

    def __init__(
        self, *, n_components=1, covariance_type="full", tol=1e-3, reg_covar=1e-6, max_iter=100, n_init=1,
        init_params="kmeans", weight_concentration_prior_type="dirichlet_process", weight_concentration_prior=None,
        random_state=None, warm_start=False, verbose=0, verbose_interval=10,
    ):  # fmt: skip
        super().__init__(
            n_components, covariance_type=covariance_type, tol=tol, reg_covar=reg_covar, max_iter=max_iter,
            n_init=n_init, init_params=init_params, random_state=random_state, warm_start=warm_start, verbose=verbose,
            verbose_interval=verbose_interval,
        )  # fmt: skip
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior

    def fit(self, X, y=None, *args, **kwargs):
        given = self.weight_concentration_prior
        sticks = self.weight_concentration_prior_type == "dirichlet_process"
        self.resolution = np.sqrt(12 * self.reg_covar) or None
        self.priors = bg.Priors(
            weights="stick-breaking" if sticks else "dirichlet",
            concentration=1 / self.n_components if given is None else given,
        )
        return bg.GaussianMixture.fit(self, X, y, *args, **kwargs)


WHERE = {"gaussian": "test_gaussian_mixture", "bayesian": "test_bayesian_mixture", "both": "test_mixture"}
MODULES = {name: pytest.importorskip(f"sklearn.mixture.tests.{module}") for name, module in WHERE.items()}
OURS = {"GaussianMixture": GaussianMixture, "BayesianGaussianMixture": BayesianGaussianMixture}

# By what they test, those that are none of this estimator's.
PRIVATE = "functions and methods of scikit-learn that it does not document"
ARRAYS = "arrays that are not NumPy's (array_api_dispatch)"
# And by design those that it does not pass.
WORDS = "the error or warning is there, in this package's words, with its own remedy"
ONE_ITERATION = "climbs of one iteration learn no curvature, and tol = 1e-3 is not taken for the top"
VARIATIONAL = "parameters of a variational posterior, which a mode and draws do not have"
OTHERS = {
    "gaussian: suffstat_sk_full": PRIVATE,
    "gaussian: suffstat_sk_tied": PRIVATE,
    "gaussian: suffstat_sk_diag": PRIVATE,
    "gaussian: gaussian_suffstat_sk_spherical": PRIVATE,
    "gaussian: compute_log_det_cholesky": PRIVATE,
    "gaussian: gaussian_mixture_log_probabilities": PRIVATE,
    "gaussian: gaussian_mixture_n_parameters": PRIVATE,
    "gaussian: gaussian_mixture_aic_bic": PRIVATE,
    "gaussian: gaussian_mixture_precisions_init": PRIVATE,
    "gaussian: gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": PRIVATE,
    "bayesian: log_dirichlet_norm": PRIVATE,
    "bayesian: log_wishart_norm": PRIVATE,
    "bayesian: compare_covar_type": PRIVATE,
    "gaussian: gaussian_mixture_array_api_compliance": ARRAYS,
    "gaussian: gaussian_mixture_raises_where_array_api_not_implemented": ARRAYS,
}
BY_DESIGN = {
    "gaussian: gaussian_mixture_fit_convergence_warning": WORDS,
    "gaussian: sample": WORDS,
    "both: mixture_n_components_greater_than_n_samples_error": WORDS,
    "gaussian: regularisation": "a component without width is a warning that names its rows, where theirs is an error",
    "gaussian: gaussian_mixture_setting_best_params": "there is no lower_bounds_: a climb is no sequence of EM steps",
    "gaussian: warm_start": "two fits of one iteration are no fit of two: EM's steps come before the climb's",
    "gaussian: convergence_detected_with_warm_start": ONE_ITERATION,
    "gaussian: monotonic_likelihood": ONE_ITERATION,
    "bayesian: bayesian_mixture_mean_prior_initialisation": VARIATIONAL,
    "bayesian: bayesian_mixture_precisions_prior_initialisation": VARIATIONAL,
    "bayesian: bayesian_mixture_weights_prior_initialisation": VARIATIONAL,
    "bayesian: bayesian_mixture_weights": VARIATIONAL,
    "bayesian: monotonic_likelihood": "lower_bound_ is the log-likelihood, and what is climbed the log posterior",
    "bayesian: invariant_translation": "to 7 decimals, of climbs that max_iter ends on the way",
}
# Those of more than a few seconds, for the evidence; by design those do not run.
SLOW = {
    "gaussian: monotonic_likelihood", "gaussian: convergence_detected_with_warm_start", "gaussian: init",
    "gaussian: gaussian_mixture_fit_best_params",
    "gaussian: bic_1d_1component", "bayesian: monotonic_likelihood", "bayesian: bayesian_mixture_fit_predict",
    "bayesian: bayesian_mixture_predict_predict_proba", "bayesian: invariant_translation",
}  # fmt: skip


@pytest.fixture
def global_dtype():
    return np.float64


@pytest.fixture
def global_random_seed():
    return 42


def _marks(function):
    """A test's own marks; instances of scikit-learn's estimators among its parameters become ours."""
    for mark in getattr(function, "pytestmark", []):
        args = mark.args
        if mark.name == "parametrize":
            values = [OURS[type(v).__name__]() if type(v).__name__ in OURS else v for v in args[1]]
            args = (args[0], values, *args[2:])
        yield getattr(pytest.mark, mark.name)(*args, **mark.kwargs)


def _ours(module, key, function):
    """scikit-learn's test with our estimators in the place of its own."""

    @wraps(function)
    def test(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            for name, estimator in OURS.items():
                if hasattr(module, name):
                    patch.setattr(module, name, estimator)
            function(*args, **kwargs)

    test.pytestmark = []
    marks = list(_marks(function))
    if key in SLOW:
        marks.append(pytest.mark.slow)
    if key in BY_DESIGN:
        marks.append(pytest.mark.xfail(reason=BY_DESIGN[key], run=key not in SLOW))
    for mark in marks:
        test = mark(test)
    return test


THEIRS = {
    f"{short}: {name.removeprefix('test_')}": (module, function)
    for short, module in MODULES.items()
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("test_")
}
for key, (module, function) in THEIRS.items():
    if key not in OTHERS:
        globals()["test_" + key.replace(": ", "_")] = _ours(module, key, function)


def test_the_page_has_the_counts():
    page = (Path(__file__).parents[1] / "docs" / "sklearn.md").read_text()
    if f"scikit-learn {sklearn.__version__}" not in page:
        pytest.skip("another version of scikit-learn may have other tests")
    assert set(OTHERS) | set(BY_DESIGN) | SLOW <= set(THEIRS)
    counts = {"pass": len(THEIRS) - len(OTHERS) - len(BY_DESIGN)}
    counts |= {reason: list(OTHERS.values()).count(reason) for reason in (PRIVATE, ARRAYS)}
    counts |= {"by design": len(BY_DESIGN)}
    for what, count in counts.items():
        assert f"| {count} | {what}" in page, (what, count)
