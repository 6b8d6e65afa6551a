"""From scikit-learn and back: its estimate under flat priors, its starts, its estimator."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pymc as pm
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture as PlugIn
from sklearn.preprocessing import scale

import bayesgmm as bg
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidArgumentError, InvalidPriorError, ModelError, UnboundedPosteriorWarning
from bayesgmm.mixture.noise import Noise

TYPES = ["full", "tied", "diag", "spherical"]
TABLES = {
    "iris": lambda: (load_iris().data, 3),
    "wine": lambda: (scale(load_wine().data), 3),
    "faithful": lambda: (bg.datasets.load_faithful().to_numpy(dtype=float), 2),
}
unbounded = pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.UnboundedPosteriorWarning")


def flat(n_components, **arguments):
    """The estimator whose estimate is the maximum of the likelihood, from one start."""
    given = {"inference": "map", "priors": bg.Priors.flat(), "resolution": None, "n_init": 1, "progressbar": False}
    return bg.GaussianMixture(n_components, **given | arguments)


def in_order(gmm):
    """Weights, means and covariances in the order of the first means."""
    order = np.argsort(gmm.means_[:, 0])
    shared = gmm.covariance_type == "tied"
    return gmm.weights_[order], gmm.means_[order], gmm.covariances_ if shared else gmm.covariances_[order]


@unbounded
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("name", TABLES)
def test_flat_priors_give_scikit_learns_estimate(name, covariance_type):
    """From the same start, which is scikit-learn's own of that seed."""
    X, k = TABLES[name]()
    X = X / X.std(axis=0)
    given = {"covariance_type": covariance_type, "random_state": 0}
    theirs = PlugIn(k, reg_covar=0, tol=1e-13, max_iter=100_000, **given).fit(X)
    ours = flat(k, init_params="kmeans", **given).fit(X)
    assert ours.converged_
    assert len(X) * ours.score(X) == pytest.approx(len(X) * theirs.score(X), abs=1e-6)
    assert ours.lower_bound_ == pytest.approx(theirs.lower_bound_, abs=1e-8)
    for own, other in zip(in_order(ours), in_order(theirs), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-6)
    # A constant is all that the priors add.
    assert ours.map_.log_likelihood == pytest.approx(len(X) * ours.score(X), abs=1e-6)


@unbounded
def test_priors_read_as_they_were_written():
    assert repr(bg.Priors()) == "Priors()"
    assert repr(bg.Priors.flat()) == "Priors(means=pm.Flat.dist(), scales=pm.HalfFlat.dist(), lkj_eta='flat')"
    given = bg.Priors(concentration="sparse", variances=pm.InverseGamma.dist(3, 1))
    written = "Priors(concentration='sparse', variances=pm.InverseGamma.dist(alpha=3.0, beta=1.0))"
    assert repr(given) == written
    assert repr(eval(repr(given), {"Priors": bg.Priors, "pm": pm})) == written


def test_flat_priors_are_a_constant_and_say_so(faithful):
    """The log posterior less the log-likelihood is the same wherever one looks, and the default priors' is not."""
    from bayesgmm.search.problem import Problem

    rng = np.random.default_rng(0)
    x = faithful.to_numpy(dtype=float)

    def spread(priors):
        problem = Problem.of(bg.build_model(faithful, 2, priors=priors, resolution=None))
        at = rng.normal(size=(5, problem.n_parameters)) / 3
        return np.ptp([problem.parameter_density(q)[0] - problem.mixture(q).log_density(x).sum() for q in at])

    assert spread(bg.Priors.flat()) < 1e-6
    assert spread(None) > 1
    model = bg.build_model(faithful, 2, priors=bg.Priors.flat(), resolution=None)
    assert dict(model.specification.in_words())["correlations"] == "flat"
    assert 'lkj_eta="flat"' in " ".join(model.specification.arguments())
    with pytest.warns(UnboundedPosteriorWarning, match='lkj_eta = "flat"'):
        bg.find_MAP(model, n_init=1, random_seed=0)
    with pytest.raises(InvalidPriorError, match=r"prior of the means has no integral, so there is no posterior"):
        bg.sample(model, draws=10, chains=1)
    with pytest.raises(InvalidPriorError, match=r"lkj_eta = 'low' must be positive, or \"flat\""):
        bg.Priors(lkj_eta="low")


def test_flat_correlations_are_drawn_evenly():
    """Row i of a factor points evenly into a ball of i dimensions: its square is Beta(i / 2, 1)."""
    from scipy import stats

    from bayesgmm.graph.lkj import LKJCholeskyRV

    rng = np.random.default_rng(0)
    for eta, even in ((0.0, True), (2.5, False)):
        factors = LKJCholeskyRV.rng_fn(rng, 4, eta, (2000,))
        for i in range(1, 4):
            square = 1 - factors[:, i, i] ** 2
            p = stats.kstest(square, stats.beta(i / 2, 1.0).cdf).pvalue
            assert (p > 1e-3) if even else (p < 1e-6)


# Where a fit begins -----------------------------------------------------------------------------------------------


@unbounded
def test_a_given_start_decides_which_optimum_is_found():
    """On wine scikit-learn's k-means of two seeds leads to optima 5 nats apart, and so do the parameters it ends at."""
    X = scale(load_wine().data)
    values = []
    for seed in (0, 1):
        theirs = PlugIn(3, reg_covar=0, random_state=seed, tol=1e-10, max_iter=10_000).fit(X)
        there = {"weights_init": theirs.weights_, "means_init": theirs.means_, "precisions_init": theirs.precisions_}
        ours = flat(3, random_state=9, **there).fit(X)
        assert ours.map_.starts.kind == ("given",)
        assert ours.score(X) == pytest.approx(theirs.score(X), abs=1e-8)
        begun = bg.find_MAP(ours.map_.problem.model, start=theirs, n_init=1)  # the fitted estimator itself
        assert begun.log_likelihood == pytest.approx(ours.map_.log_likelihood, abs=1e-5)
        values.append(len(X) * ours.score(X))
    assert values[1] - values[0] > 4
    # Among starts of its own it is one more.
    both = flat(3, random_state=9, n_init=8, **there | {"precisions_init": None, "weights_init": None}).fit(X)
    assert set(both.map_.starts.kind) == {"given"}
    more = bg.find_MAP(bg.build_model(X, 3), start=[both.map_, both.map_.point], n_init=4, random_seed=0)
    assert more.starts.kind[:2] == ("given", "given")
    assert len(set(more.starts.kind)) > 1


@unbounded
@pytest.mark.parametrize("covariance_type", TYPES)
def test_without_an_iteration_the_start_is_what_was_given(covariance_type):
    X, k = TABLES["faithful"]()
    given = {"weights_init": [0.3, 0.7], "means_init": [[2.0, 50.0], [4.5, 85.0]]}
    theirs = PlugIn(k, covariance_type=covariance_type).fit(X)
    ours = flat(k, covariance_type=covariance_type, precisions_init=theirs.precisions_, max_iter=0, **given).fit(X)
    np.testing.assert_allclose(ours.weights_, given["weights_init"])
    np.testing.assert_allclose(ours.means_, given["means_init"])
    np.testing.assert_allclose(ours.precisions_, theirs.precisions_, rtol=1e-6)
    assert (ours.n_iter_, ours.converged_) == (0, False)


@unbounded
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_starts_are_scikit_learns(init_params, faithful):
    """Of the same seed, one after another as its own fits draw them."""
    X = faithful.to_numpy(dtype=float)
    random = np.random.RandomState(3)
    theirs = [PlugIn(2, init_params=init_params, max_iter=0, random_state=random).fit(X).means_ for _ in range(2)]
    ours = flat(2, init_params=init_params, n_init=2, random_state=3)
    ours.n_components_ = 2
    starts, _ = ours._starts(Table.of(X), np.random.RandomState(3))
    for start, means in zip(starts, theirs, strict=True):
        np.testing.assert_allclose(start["means"], means)
        assert start["weights"].sum() == pytest.approx(1)


@unbounded
def test_a_warm_start_goes_on_from_the_last_fit():
    X = scale(load_wine().data)
    with pytest.warns(bg.exceptions.ConvergenceWarning, match="max_iter = 3 iterations"):
        gmm = flat(3, init_params="kmeans", warm_start=True, max_iter=3, random_state=0).fit(X)
    assert gmm.n_iter_ == 3
    assert not gmm.converged_
    reached = [gmm.score(X)]
    for _ in range(40):
        if gmm.converged_:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bg.exceptions.ConvergenceWarning)
            gmm.fit(X)
        reached.append(gmm.score(X))
    assert gmm.converged_
    assert (np.diff(reached) > -1e-12).all()
    whole = flat(3, init_params="kmeans", random_state=0).fit(X)
    assert gmm.score(X) == pytest.approx(whole.score(X), abs=1e-8)
    # Another number of components begins anew.
    assert gmm.set_params(n_components=2, max_iter=None).fit(X).means_.shape == (2, 13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"init_params": "hierarchical"}, "unknown init_params 'hierarchical': choose one of 'kmeans'"),
        ({"warm_start": 1}, "warm_start = 1 must be True or False"),
        ({"max_iter": -1}, "max_iter = -1 must be at least 0"),
        ({"weights_init": [0.5]}, r"'weights' should have the shape of \(2,\)"),
        ({"weights_init": [0.5, 0.6]}, r"'weights' should be normalized"),
        ({"means_init": [[1.0, 2.0]]}, r"'means' should have the shape of \(2, 2\)"),
        ({"precisions_init": np.ones(2)}, r"'full precision' should have the shape of \(2, 2, 2\), but got \(2,\)"),
        ({"precisions_init": -np.ones((2, 2, 2))}, "'full precision' should be symmetric, positive-definite"),
    ],
)
def test_bad_starts_are_named(faithful, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        bg.GaussianMixture(2, inference="map", **arguments).fit(faithful)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"weights": [0.5, 0.5]}, "lacks means, covariances: give a dict"),
        ("best", "start = 'best' lacks weights, means, covariances"),
        ({"weights": [0.5, 0.7]}, r"weights = .* must be at least 0 and add up to 1"),
        ({"means": np.zeros((3, 2))}, r"means has shape \(3, 2\); give finite numbers of shape \(2, 2\)"),
        ({"covariances": -np.ones((2, 2, 2))}, "covariances must be symmetric and positive definite"),
    ],
)
def test_bad_starts_of_a_search_are_named(faithful_model, faithful_map, start, message):
    if isinstance(start, dict) and "lacks" not in message:
        start = faithful_map.point | start
    with pytest.raises(InvalidArgumentError, match=message):
        bg.find_MAP(faithful_model, start=start)


# The estimator ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("frame", [False, True])
def test_from_scikit_learn_and_back(covariance_type, frame, faithful):
    X = faithful if frame else faithful.to_numpy()
    theirs = PlugIn(3, covariance_type=covariance_type, random_state=0).fit(X)
    ours = bg.GaussianMixture.from_sklearn(theirs)
    again = ours.to_sklearn()
    for gmm in (ours, again, pickle.loads(pickle.dumps(ours))):
        np.testing.assert_allclose(gmm.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
        np.testing.assert_allclose(gmm.score_samples(X), theirs.score_samples(X), rtol=1e-10)
        np.testing.assert_array_equal(gmm.predict(X), theirs.predict(X))
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            np.testing.assert_allclose(getattr(gmm, name), getattr(theirs, name), rtol=1e-9, atol=1e-12)
        assert gmm.bic(X) == pytest.approx(theirs.bic(X), rel=1e-12)
        assert (gmm.n_iter_, gmm.converged_) == (theirs.n_iter_, theirs.converged_)
        assert gmm.lower_bound_ == theirs.lower_bound_
        assert hasattr(gmm, "feature_names_in_") == frame
    assert ours.sample(5)[0].shape == (5, 2)
    assert ours.inference_reason_ == "scikit-learn's solution"
    assert not hasattr(clone(ours), "weights_")


def test_there_are_no_draws_of_what_came_from_scikit_learn(faithful):
    ours = bg.GaussianMixture.from_sklearn(PlugIn(2, random_state=0).fit(faithful))
    for ask in (bg.diagnose, bg.assignments, lambda gmm: gmm.inference_data_):
        with pytest.raises(ModelError, match="its parameters alone, so it has no posterior and no draws"):
            ask(ours)
    # The remedy; it begins at scikit-learn's solution.
    ours.set_params(priors=None, warm_start=True).fit(faithful)
    assert ours.map_.starts.kind == ("given",)
    assert bg.assignments(ours)["probability"].shape == (272, 2)


@pytest.mark.parametrize("gmm", [PlugIn(2), BayesianGaussianMixture(), "a mixture"])
def test_what_is_no_fitted_mixture_is_refused(gmm):
    with pytest.raises(InvalidArgumentError, match=r"must be a fitted sklearn\.mixture\.GaussianMixture: fit it first"):
        bg.GaussianMixture.from_sklearn(gmm)


def test_a_fit_goes_to_scikit_learn(faithful):
    ours = bg.GaussianMixture(2, inference="map", random_state=0).fit(faithful)
    theirs = ours.to_sklearn()
    np.testing.assert_allclose(theirs.predict_proba(faithful), ours.predict_proba(faithful), atol=1e-10)
    assert theirs.bic(faithful) == pytest.approx(ours.bic(faithful), rel=1e-12)
    noise = Noise(np.array(0.1), *Table.of(faithful).limits)
    ours._point = replace(ours._point, mixture=replace(ours._point.mixture, noise=noise))
    with pytest.raises(ModelError, match="no rows of no component: fit with noise=False"):
        ours.to_sklearn()
