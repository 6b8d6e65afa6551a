"""Shared data and fits. Compiled models are what costs, so tests share (n_components, n_features) where they can."""

import matplotlib as mpl
import numpy as np
import pymc as pm
import pytensor
import pytest

import bayesgmm as bg

mpl.use("agg")
# Examples in docstrings leave their pictures open, and more than 20 of them may share a worker.
mpl.rcParams["figure.max_open_warning"] = 0
# The package asks for no C compiler, and its users need none. PyTensor's interpreter, which evaluates what the tests
# compare with, calls one for batched nodes unless it is told that there is none: for more than a minute in all.
pytensor.config.cxx = ""

# Files go to the workers whole, in this order: the longest first, so that no worker waits for another at the end. But
# those from the second to the sixth compile no posterior: the first compiles those that all others use, and what two
# workers begin at once is compiled twice (54 s of the processor for the first one).
FIRST = (
    "test_bad_input", "test_kernel", "test_contract", "test_mixture", "test_validation", "test_upstream",
    "test_map", "test_weights", "test_report", "test_calibration", "test_model", "test_curvature",
    "test_diagnosis", "test_storage", "test_bridge", "test_estimator", "test_cli", "test_relative", "test_modes",
    "test_nuts", "test_gaps", "test_impute", "test_specification", "test_occupied", "test_selection", "test_cli_select",
    "test_cli_impute", "test_noise", "test_errors", "test_anomaly", "test_labels",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(FIRST)))


@pytest.fixture(scope="session")
def faithful():
    return bg.datasets.load_faithful()


@pytest.fixture(scope="session")
def faithful_model(faithful):
    return bg.build_model(faithful, n_components=2)


@pytest.fixture(scope="session")
def faithful_map(faithful_model):
    return bg.find_MAP(faithful_model, random_seed=1)


@pytest.fixture(scope="session")
def faithful_draws(faithful_model, faithful_map):
    return bg.sample(faithful_model, start=faithful_map, random_seed=1, progressbar=False)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages with all their words, for tests of nothing else: drawing is what takes time."""
    from bayesgmm.reports import pictures

    monkeypatch.setattr(pictures, "_png", lambda numbers: ("", (1, 1)))


def add_terms(model):
    """Terms of a user's own, the same in all tests that need some: a model that has them is compiled once.

    Components told apart by a first mean, which halves the integral and divides it by exp(3); a variable that nothing
    depends on, which changes no integral; and a value of both.
    """
    with model:
        pm.Potential("apart", pm.math.switch(model["means"][0, 0] < model["means"][1, 0], -3.0, -1e3))
        shift = pm.Normal("shift", 0, 1)
        pm.Deterministic("gap", model["means"][1, 0] - model["means"][0, 0] + shift)
    return model


def random_mixture(rng, n_components, n_features, covariance_type="full", scale=1.0, separation=1.0):
    """Parameters in the kernel's shapes: weights (K,), means (K, D), covariances (K, D, D)."""
    weights = rng.dirichlet(np.full(n_components, 3.0))
    means = separation * scale * rng.normal(size=(n_components, n_features))
    factor = rng.normal(size=(n_components, n_features, n_features))
    covariances = factor @ factor.transpose(0, 2, 1) + 0.5 * np.eye(n_features)
    if covariance_type == "tied":
        covariances = np.repeat(covariances[:1], n_components, axis=0)
    elif covariance_type == "diag":
        covariances = covariances * np.eye(n_features)
    elif covariance_type == "spherical":
        covariances = covariances[:, :1, :1] * np.eye(n_features)
    return weights, means, scale**2 * covariances


def draw_rows(rng, n_rows, weights, means, covariances):
    """Rows and their components, by NumPy alone."""
    labels = rng.choice(len(weights), size=n_rows, p=weights)
    rows = np.array([rng.multivariate_normal(means[k], covariances[k]) for k in labels])
    return rows, labels
