"""Tables as people have them, which no density has generated: a fit of each, finite, with what is odd named."""

import warnings

import numpy as np
import pymc as pm
import pytest
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import bayesgmm as bg
from bayesgmm.exceptions import CollapsedComponentWarning, InvalidPriorError

IRIS = datasets.load_iris()
WINE = datasets.load_wine()


def _tables(seed=0):
    """Name -> (rows, components)."""
    rng = np.random.default_rng(seed)
    iris, wine = IRIS.data, WINE.data
    blobs = np.concatenate([rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 6])
    species = OneHotEncoder(sparse_output=False).fit_transform(IRIS.target[:, None])
    line = np.outer(np.linspace(0, 1, 40), [1.0, 2.0, -1.0])
    tenth = np.eye(3, dtype=bool)[0] & (np.arange(120) % 10 == 0)[:, None]
    scaled = StandardScaler().fit_transform(iris)
    return {
        "iris after PCA": (PCA().fit_transform(scaled), 3),
        "iris after PCA, whitened": (PCA(whiten=True).fit_transform(iris), 3),
        "wine after PCA": (PCA().fit_transform(StandardScaler().fit_transform(wine)), 3),
        "iris turned by 45 degrees": (scaled @ np.linalg.qr(rng.normal(size=(4, 4)))[0], 3),
        "a sum of two columns": (np.column_stack([iris, iris[:, 0] + iris[:, 1]]), 3),
        "a mean of all columns": (np.column_stack([iris, iris.mean(axis=1)]), 3),
        "a column twice": (np.column_stack([iris, iris[:, 0]]), 3),
        "a column in two units": (np.column_stack([iris, 25.4 * iris[:, 2] + 3]), 3),
        "shares that sum to 1": (iris / iris.sum(axis=1, keepdims=True), 3),
        "one-hot columns beside numbers": (np.column_stack([iris, species]), 3),
        "one-hot columns alone, noised": (species + 1e-3 * rng.normal(size=species.shape), 3),
        "a binary column": (np.column_stack([iris, iris[:, 0] > 5.8]).astype(float), 3),
        "two binary columns": (rng.integers(2, size=(200, 2)).astype(float), 2),
        "integers": (rng.poisson(4, size=(150, 3)).astype(float), 2),
        "small counts": (rng.poisson(0.3, size=(200, 2)).astype(float), 2),
        "Likert scales": (rng.integers(1, 6, size=(120, 6)).astype(float), 3),
        "Likert scales, 20 people": (rng.integers(1, 6, size=(20, 6)).astype(float), 2),
        "forty rows on a line": (np.concatenate([blobs, line]), 3),
        "all rows on a line": (line, 2),
        "all rows on a plane": (rng.normal(size=(80, 2)) @ rng.normal(size=(2, 4)), 2),
        "two lines": (np.concatenate([line, line[:, ::-1] + 1]), 2),
        "one row more than components": (rng.normal(size=(4, 2)), 3),
        "as many rows as components": (rng.normal(size=(3, 2)), 3),
        "fewer rows than features": (rng.normal(size=(8, 12)), 2),
        "rows three times": (np.repeat(blobs, 3, axis=0), 2),
        "half of the rows equal": (np.concatenate([blobs, np.ones((120, 3))]), 3),
        "three points only": (np.repeat([[0.0, 0], [1, 0], [0, 1]], 30, axis=0), 3),
        "two points only, three components": (np.repeat([[0.0, 0], [1, 1]], 30, axis=0), 3),
        "a spike at zero": (np.where(rng.random((200, 2)) < 0.5, 0.0, rng.lognormal(size=(200, 2))), 2),
        "log-normal columns": (rng.lognormal(sigma=2, size=(200, 3)), 3),
        "Cauchy columns": (rng.standard_cauchy(size=(200, 2)), 3),
        "uniform columns": (rng.random((200, 3)), 3),
        "a ring": (np.c_[np.cos(t := rng.uniform(0, 2 * np.pi, 150)), np.sin(t)], 4),
        "an exact ring of integers": (np.rint(100 * np.c_[np.cos(t), np.sin(t)]), 4),
        "a sentinel row": (np.concatenate([blobs, [[999.0] * 3]]), 3),
        "sentinels in one column": (np.where(tenth, -99, blobs), 2),
        "units a million apart": (blobs * [1e-6, 1, 1e6], 2),
        "tiny numbers": (blobs * 1e-60, 2),
        "huge numbers": (blobs * 1e60, 2),
        "far from zero": (blobs + 1e9, 2),
        "nearly collinear": (np.column_stack([blobs, blobs[:, 0] + 1e-9 * rng.normal(size=120)]), 2),
        "rounded to integers": (np.rint(blobs), 2),
        "rounded after scaling": (StandardScaler().fit_transform(np.rint(blobs)), 2),
        "rounded, scaled and turned": (PCA().fit_transform(StandardScaler().fit_transform(np.rint(blobs))), 2),
        "dates": (np.column_stack([1.6e9 + 86_400 * np.arange(120.0), blobs[:, 0]]), 2),
        "money": (np.round(rng.lognormal(5, 1, size=(150, 2)), 2), 3),
        "money in cents, one feature": (np.rint(100 * rng.lognormal(3, 1, size=(150, 1))), 3),
        "percentages with many hundreds": (np.minimum(100, np.rint(rng.normal(90, 15, size=(150, 2)))), 2),
        "a trend": (np.column_stack([np.arange(150.0), np.arange(150) + rng.normal(size=150)]), 3),
        "booleans of a threshold": (np.column_stack([blobs[:, 0], blobs[:, 0] > 3]).astype(float), 2),
    }  # fmt: skip


TABLES = _tables()
# Those that a change of the prior or of the search is most likely to break; all of them are slow.
SOME = [
    "iris after PCA", "a sum of two columns", "three points only", "one row more than components", "two lines",
    "a binary column",
]  # fmt: skip


def _check(name):
    x, n_components = TABLES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapsedComponentWarning)
        estimate = bg.find_MAP(bg.build_model(x, n_components), random_seed=0)
        labels = estimate.mixture.responsibilities(x)
    assert np.isfinite(estimate.log_posterior)
    assert estimate.converged
    assert all(np.isfinite(value).all() for value in estimate.point.values())
    np.testing.assert_allclose(labels.sum(axis=1), 1)
    return estimate


@pytest.mark.parametrize("name", SOME)
def test_an_odd_table_has_a_mode(name):
    _check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TABLES) - set(SOME)))
def test_every_odd_table_has_a_mode(name):
    _check(name)


def test_a_component_on_equal_rows_is_named_with_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapsedComponentWarning)
        x, n_components = TABLES["half of the rows equal"]
        diagnosis = bg.diagnose(bg.find_MAP(bg.build_model(x, n_components), random_seed=0).laplace(100, random_seed=0))
    [reason] = [reason for reason in diagnosis.reasons if "collapsed" in reason]
    assert "120" in reason


def test_a_pipeline_with_pca_gives_the_clusters_of_the_table_itself():
    settings = {"n_components": 3, "inference": "map", "random_state": 0}
    plain = bg.GaussianMixture(**settings).fit_predict(IRIS.data)
    turned = make_pipeline(StandardScaler(), PCA(), bg.GaussianMixture(**settings)).fit_predict(IRIS.data)
    assert adjusted_rand_score(plain, turned) == 1.0
    assert adjusted_rand_score(IRIS.target, turned) > 0.85


def test_components_of_one_row_each_that_counts_twice_have_a_prior():
    """Scatters that cancel to a little less than 0 made a negative covariance, and NumPy's own error of it."""
    x = np.array([[-0.87, -2.04, 1.68, 0.14], [-1.24, -0.4, 0.51, -1.55], [-1.37, 0.55, -0.68, 1.13]])
    model = bg.build_model(x, 3, sample_weight=2.0)
    assert np.isfinite(model.compile_logp()(model.initial_point()))


@pytest.mark.parametrize("away", [1e5, -1e4])
def test_means_in_other_units_than_the_rows_are_named(faithful, away):
    """Their prior puts components where linear algebra ends; the error was the library's own."""
    model = bg.build_model(faithful, 2, priors=bg.Priors(means=pm.Normal.dist(away, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InvalidPriorError, match=r"means ~ Normal.*in the units of the rows"):
            bg.sample(model, draws=20, tune=20, chains=1, random_seed=1, progressbar=False)


def test_rows_that_are_no_more_than_features_are_drawn_and_told():
    """With 991 parameters axes in closed form are asked for, which a singular covariance has none of."""
    model = bg.build_model(np.random.default_rng(0).normal(size=(20, 30)), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dt = bg.sample(model, estimate=bg.find_MAP(model, n_init=1, random_seed=0), draws=10, tune=10, chains=1)
    assert "20 rows of 30 features lie on a plane" in " ".join(bg.diagnose(dt).reasons)
