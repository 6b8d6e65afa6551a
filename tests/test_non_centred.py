"""Means of few rows as seen from their component: against matrices, differences, and chains that go without."""

import arviz_stats as az
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.graph.axes import Axes
from bayesgmm.graph.in_axes import InAxes, ModeAxes
from bayesgmm.graph.non_centred import NonCentred
from bayesgmm.graph.roots import Roots
from bayesgmm.mixture import log_cholesky
from bayesgmm.record.fit import Fit
from bayesgmm.search import mode as mode_module
from bayesgmm.search.problem import Problem

# A component on one row of twelve features is named, rightly.
pytestmark = pytest.mark.filterwarnings("ignore::bayesgmm.exceptions.CollapsedComponentWarning")


def with_a_row_far_away(n_features=2, n_far=1):
    rng = np.random.default_rng(0)
    centres = np.zeros((3, n_features))
    centres[1, 0], centres[2] = 8.0, -12.0
    labels = np.repeat([0, 1, 2], [80, 80, n_far])
    return centres[labels] + rng.normal(size=(len(labels), n_features))


def some(n_features, correlated=True, seed=0):
    """Two of three means, and flat vectors."""
    rng = np.random.default_rng(seed)
    length = log_cholesky.length(n_features) if correlated else n_features
    size = 3 * (n_features + length)
    order = rng.permutation(size)
    means, covariances = order[: 2 * n_features], order[2 * n_features : 2 * (n_features + length)]
    outer = np.tril(rng.normal(size=(n_features, n_features)), -1) * correlated
    outer += np.diag(rng.uniform(0.5, 2.0, size=n_features))
    return (
        NonCentred(
            means.reshape(2, -1), covariances.reshape(2, -1), rng.normal(size=(2, n_features)), np.asarray(outer)
        ),
        rng.normal(size=(4, size)),
    )


def central(function, at, step=1e-5):
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in step * np.eye(at.size)])


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_they_are_in_units_of_the_covariances_root(n_features, correlated):
    own, z = some(n_features, correlated)
    q = own.back(z)
    for means, covariances, centre in zip(own.means, own.covariances, own.centres, strict=True):
        y = z[:, covariances]
        roots = log_cholesky.triangles(y) if correlated else np.exp(y)[:, :, None] * np.eye(n_features)
        expected = centre + np.einsum("ij,sjk,sk->si", own.outer, roots, z[:, means])
        np.testing.assert_allclose(q[:, means], expected, rtol=1e-12)
    np.testing.assert_allclose(own.there(q), z, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(own.back(z[0]), q[0])


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_slopes_are_derivatives_and_the_volume_is_the_determinants(n_features, correlated):
    own, (z, *_) = some(n_features, correlated)
    jacobian = central(own.back, z)
    assert own.log_volume(z) + own.log_unit == pytest.approx(np.linalg.slogdet(jacobian)[1], abs=1e-7)
    pull = np.random.default_rng(1).normal(size=z.size)

    def density(q):
        return np.sin(q) @ pull, np.cos(q) * pull

    seen = own.seen(density)
    np.testing.assert_allclose(seen(z)[1], central(lambda at: seen(at)[0], z), rtol=1e-6, atol=1e-7)
    z[own.means] = 0.0
    q = own.back(z)
    np.testing.assert_allclose(own.to_q(q).toarray(), central(own.back, z).T, atol=1e-7)
    np.testing.assert_allclose((own.from_q(q) @ own.to_q(q)).toarray(), np.eye(z.size), atol=1e-12)


def test_few_rows_are_some_and_not_many():
    problem = Problem.of(bg.build_model(with_a_row_far_away(n_far=2), 3))
    estimate = bg.find_MAP(problem.model, n_init=3, random_seed=1, progressbar=False)
    far = int(np.argmin(estimate.mixture.weights))
    found = problem.non_centred(estimate.q)
    np.testing.assert_array_equal(found.means, problem.graph.entries["means"][[far]])
    for covariance_type in ("tied", "full"):
        other = Problem.of(bg.build_model(with_a_row_far_away(n_far=30), 3, covariance_type=covariance_type))
        assert other.non_centred(bg.find_MAP(other.model, n_init=2, random_seed=1, progressbar=False).q).means.size == 0


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_chains_are_given_the_density_from_there(covariance_type):
    model = bg.build_model(with_a_row_far_away(), 3, covariance_type=covariance_type)
    mode = bg.find_MAP(model, n_init=3, random_seed=1, progressbar=False).mode
    found, density = mode.with_axes, mode.problem.sampling_density
    assert len(found.non_centred.means) == 1
    u = 0.5 * np.random.default_rng(0).normal(size=mode.q.size)
    value, slopes = InAxes(density, found)(u)
    assert value == pytest.approx(density(found.unconstrained(u))[0] + float(found.log_volume(u)), rel=1e-12)
    by_u = central(lambda at: density(found.unconstrained(at))[0] + float(found.log_volume(at)), u)
    np.testing.assert_allclose(slopes, by_u, atol=1e-6 * np.abs(by_u).max())


@pytest.mark.parametrize("n_features", [2, 12], ids=["curvature", "closed form"])
def test_a_component_on_one_row_is_sampled_as_any_other(monkeypatch, n_features):
    """The negative control: with its mean as the model has it chains hardly move, and mostly diverge.

    Of six seeds: 1,354 to 1,790 effective draws and 690 to 983; as the model has it 29 to 230 and 4 to 41.
    """
    model = bg.build_model(with_a_row_far_away(n_features), 3)

    def drawn():
        estimate = bg.find_MAP(model, n_init=3, random_seed=1, progressbar=False)
        assert (estimate.q.size > mode_module.MANY) == (n_features == 12)
        tree = bg.sample(model, start=estimate, draws=500, chains=2, random_seed=1, progressbar=False)
        return int(tree["sample_stats"]["diverging"].sum()), float(az.ess(tree["posterior"].dataset["scales"]).min())

    diverging, effective = drawn()
    assert diverging == 0
    assert effective > 300
    monkeypatch.setattr(Problem, "non_centred", lambda self, q: NonCentred.none())
    assert drawn()[1] < effective / 4


@pytest.mark.parametrize("backend", ["numba", "jax"])
def test_what_is_recorded_is_the_posterior_of_the_parameters(backend, tmp_path):
    """Whatever the chains moved in; from a store too."""
    if backend == "jax":
        pytest.importorskip("numpyro")
    model = bg.build_model(with_a_row_far_away(), 3)
    store = {} if backend == "jax" else {"store": tmp_path / "run.zarr"}
    settings = {"draws": 20, "tune": 50, "chains": 2, "random_seed": 1, "progressbar": False, "relabel": None}
    trees = [bg.sample(model, backend=backend, **settings, **store)]
    if store:
        trees.append(bg.open_run(store["store"], relabel=None))
    problem = Problem.of(model)
    for tree in trees:
        fit = Fit.of(tree)
        values = {str(rv.name): fit.tree["posterior"][rv.name].values for rv in model.free_RVs}
        q = problem.graph.unconstrained({name: v.reshape(-1, *v.shape[2:]) for name, v in values.items()})
        expected = [problem.sampling_density(one)[0] for one in q]
        np.testing.assert_allclose(tree["sample_stats"]["lp"].values.ravel(), expected, rtol=1e-9)
    if store:
        np.testing.assert_array_equal(trees[0]["posterior"]["means"], trees[1]["posterior"]["means"])


def test_a_share_by_importance_counts_the_volume():
    """The mode's Gaussian, in the coordinates of its chains, has the integral 1 over the parameters."""
    of_one = NonCentred(np.array([[0]]), np.array([[1]]), np.zeros((1, 1)), np.array([[1.5]]))
    mode = ModeAxes(np.zeros(2), Roots.none(), Axes.of(np.diag([0.7, 0.3])), of_one)
    grid = np.meshgrid(np.linspace(-12, 12, 801), np.linspace(-2.5, 2.5, 401), indexing="ij")
    points = np.stack([axis.ravel() for axis in grid], axis=-1)
    cell = 24 / 800 * 5 / 400
    assert np.exp(mode.log_gaussian(points)).sum() * cell == pytest.approx(1.0, abs=1e-4)
