"""The default prior of covariances: its density, draws and gradients, the reference, and what it is equivariant to."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats
from scipy.optimize import approx_fprime, minimize, minimize_scalar
from scipy.special import logsumexp, softmax

import bayesgmm as bg
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InvalidPriorError
from bayesgmm.graph.relative import RelativeCovariance, relative_density
from bayesgmm.graph.within import WithinCovariance, within_density
from bayesgmm.mixture import log_cholesky
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.model.em import ExpectationMaximisation
from bayesgmm.model.frame import Frame
from bayesgmm.model.relative import SCALE_SPREAD, SCALE_WALL, RelativePrior, likenesses
from bayesgmm.model.root import common_root, log_scales
from bayesgmm.model.within import WithinPrior
from bayesgmm.search.climb import climb
from bayesgmm.search.problem import Problem

ROWS, SHARES, SPREAD, WALL = [4.0, 6.5, 30.0], [0.2, 0.5, 0.3], 1.2, 0.03
WITHIN = {"rows": 4.5, "spread": 1.2, "ceiling": 0.4, "wall": 0.05}


def matrices(y, n_features):
    """Relative covariances of coordinates, by NumPy alone."""
    factor = np.zeros((len(y), n_features, n_features))
    at = 0
    for i in range(n_features):
        scale = np.exp(y[:, at + i])
        factor[:, i, :i] = scale[:, None] * y[:, at : at + i]
        factor[:, i, i] = scale
        at += i + 1
    return factor @ factor.transpose(0, 2, 1)


def draws(n_features, correlated, around, n=4_000):
    prior = RelativeCovariance.dist(
        n_features, ROWS, SHARES, SPREAD, WALL, around, correlated=correlated, shape=(n, len(around))
    )  # fmt: skip
    return pm.draw(prior, random_seed=1)


@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_covariances_and_traces_are_numpys(n_features):
    rng = np.random.default_rng(n_features)
    y = 0.5 * rng.normal(size=(3, log_cholesky.length(n_features)))
    reference = np.linalg.cholesky(np.cov(rng.normal(size=(n_features, 20))).reshape(n_features, n_features))
    rounding = rng.uniform(size=n_features)
    relative = matrices(y, n_features)
    np.testing.assert_allclose(
        log_cholesky.covariances(y, reference, rounding), reference @ relative @ reference.T + np.diag(rounding)
    )
    around = 0.5 * rng.normal(size=y.shape[1])
    expected = np.trace(matrices(around[None], n_features) @ np.linalg.inv(relative), axis1=1, axis2=2)
    np.testing.assert_allclose(log_cholesky.precision_trace(y, around), expected)
    np.testing.assert_allclose(log_cholesky.coordinates(np.linalg.cholesky(relative)), y, atol=1e-12)


@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_pullbacks_are_the_gradients(n_features):
    rng = np.random.default_rng(n_features)
    y = 0.5 * rng.normal(size=(2, log_cholesky.length(n_features)))
    reference = np.linalg.cholesky(np.cov(rng.normal(size=(n_features, 20))).reshape(n_features, n_features))
    d_covariances, d_trace = rng.normal(size=(2, n_features, n_features)), rng.normal(size=2)

    around = 0.5 * rng.normal(size=y.shape[1])

    def value(flat):
        return (log_cholesky.covariances(flat.reshape(y.shape), reference, np.zeros(n_features)) * d_covariances).sum()

    def trace(flat):
        return log_cholesky.precision_trace(flat[: y.size].reshape(y.shape), flat[y.size :]) @ d_trace

    close = {"rtol": 1e-4, "atol": 1e-5}
    ours = log_cholesky.covariances_pullback(y, reference, d_covariances)
    np.testing.assert_allclose(ours.ravel(), approx_fprime(y.ravel(), value, 1e-7), **close)
    traces, by_y, by_around = log_cholesky.precision_trace_gradients(y, around)
    np.testing.assert_allclose(traces, log_cholesky.precision_trace(y, around))
    ours = np.append(d_trace[:, None] * by_y, d_trace @ by_around)
    np.testing.assert_allclose(ours, approx_fprime(np.append(y, around), trace, 1e-7), **close)


@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("n_features", [1, 2, 4])
def test_densities_come_with_their_gradients(n_features, correlated):
    rng = np.random.default_rng(n_features)
    n = log_cholesky.length(n_features) if correlated else n_features
    y, around = 0.5 * rng.normal(size=(2, n)), 0.5 * rng.normal(size=n)
    numbers = np.array(ROWS) + n_features, np.array(SHARES), SPREAD, WALL, correlated
    within = (WITHIN["rows"] + n_features, WITHIN["spread"], WITHIN["ceiling"], WITHIN["wall"], 0.1, correlated)

    def values(flat):
        return relative_density(flat[:-n].reshape(y.shape), flat[-n:], *numbers)[0]

    _, by_y, by_around = relative_density(y, around, *numbers)
    slopes = approx_fprime(np.append(y, around), values, 1e-6)
    for b in range(2):
        np.testing.assert_allclose(slopes[b, b * n : (b + 1) * n], by_y[b], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(slopes[b, -n:], by_around[b], rtol=1e-4, atol=1e-4)
    _, by_y = within_density(y, *within)
    numeric = approx_fprime(y[0], lambda one: within_density(one[None], *within)[0][0], 1e-6)
    np.testing.assert_allclose(numeric, by_y[0], rtol=1e-4, atol=1e-4)


def log_density(y, n_features, correlated, around=None):
    around = np.zeros(y.shape[1]) if around is None else around
    prior = RelativeCovariance.dist(
        n_features, ROWS, SHARES, SPREAD, WALL, around, correlated=correlated, shape=y.shape
    )
    return evaluated(prior, y)


def evaluated(prior, y):
    value = pt.matrix()
    return pytensor.function([value], pm.logp(prior, value), mode="FAST_COMPILE")(y)


def scale_density(u, wall=WALL, ceiling=0.0):
    """p(u) by SciPy."""

    def kernel(v):
        return np.exp(-(v**2) / (2 * SPREAD**2) - wall * np.exp(-v) - ceiling * np.exp(v))

    return kernel(u) / integrate.quad(kernel, -20, 20)[0]


def within(n_features, correlated, n):
    """The prior of a covariance within clusters, n of them."""
    length = log_cholesky.length(n_features) if correlated else n_features
    numbers = (*WITHIN.values(), log_share(n_features, correlated))
    return WithinCovariance.dist(n_features, *numbers, correlated=correlated, shape=(n, length))


def log_share(n_features, correlated):
    outer = np.eye(n_features) if correlated else np.ones(n_features)
    return WithinPrior(COVARIANCE_TYPES["full" if correlated else "diag"], outer, **WITHIN).log_share


def before_the_wall(rng, n_features, correlated, n, rows=WITHIN["rows"]):
    """Covariances within clusters before the wall, by SciPy and NumPy alone."""
    if correlated:
        shape = np.reshape(
            stats.wishart(rows, np.eye(n_features)).rvs(n, random_state=rng), (n, n_features, n_features)
        )
    else:
        shape = rng.chisquare(rows, size=(n, 1, n_features)) * np.eye(n_features)
    u = rng.normal(0, WITHIN["spread"], size=20 * n)
    u = u[rng.random(20 * n) < np.exp(-WITHIN["ceiling"] * np.exp(u))][:n]
    return shape * (np.exp(u) * n_features / np.trace(shape, axis1=1, axis2=2))[:, None, None]


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("correlated", [True, False])
def test_share_that_the_wall_leaves(n_features, correlated):
    before = before_the_wall(np.random.default_rng(3), n_features, correlated, 20_000)
    left = np.exp(-WITHIN["wall"] * np.trace(np.linalg.inv(before), axis1=1, axis2=2))
    error = left.std() / np.sqrt(len(left)) + 2e-3  # its own mean is over fewer shapes
    assert np.exp(log_share(n_features, correlated)) == pytest.approx(left.mean(), abs=4 * error)
    assert left.mean() < 1 - 8 * error


@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_density_within_clusters_is_the_wisharts_with_another_scale(n_features):
    """As below, of SciPy's Wishart."""
    y = 0.6 * np.random.default_rng(1).normal(size=(5, log_cholesky.length(n_features)))
    relative = matrices(y, n_features)
    trace = np.trace(relative, axis1=1, axis2=2)
    rows = WITHIN["rows"]
    shape = np.array([stats.wishart(rows, np.eye(n_features)).logpdf(m) for m in relative])
    shape -= stats.chi2(rows * n_features).logpdf(trace) + np.log(trace)
    scale = np.log([scale_density(u, 0.0, WITHIN["ceiling"]) for u in np.log(trace / n_features)])
    jacobian = n_features * np.log(2) + (n_features + 1) / 2 * np.linalg.slogdet(relative)[1]
    wall = -WITHIN["wall"] * np.trace(np.linalg.inv(relative), axis1=1, axis2=2) - log_share(n_features, True)
    np.testing.assert_allclose(evaluated(within(n_features, True, 5), y), shape + scale + jacobian + wall, rtol=1e-8)


def test_density_of_diagonal_covariances_within_clusters_integrates_to_one():
    grid = np.linspace(-14, 14, 701)
    y = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    total = np.exp(evaluated(within(2, False, len(y)), y)).sum() * (grid[1] - grid[0]) ** 2
    # To the error of the share that the wall leaves, 0.8.
    assert total == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("correlated", [True, False])
def test_draws_within_clusters_are_those_of_a_wishart_with_another_scale_and_a_wall(correlated):
    n_features, n, rng = 3, 4_000, np.random.default_rng(2)
    y = pm.draw(within(n_features, correlated, n), random_seed=1)
    ours = matrices(y, n_features) if correlated else np.exp(2 * y)[:, None] * np.eye(n_features)

    def alike(rows, wall=WITHIN["wall"]):
        """Whether traces, first entries and least eigenvalues are distributed as those of SciPy's and NumPy's."""
        theirs = before_the_wall(rng, n_features, correlated, 2 * n, rows)
        inverse_trace = np.trace(np.linalg.inv(theirs), axis1=1, axis2=2)
        theirs = theirs[rng.random(2 * n) < np.exp(-wall * inverse_trace)]
        seen = [[np.trace(m, axis1=1, axis2=2), m[:, 0, 0], np.linalg.eigvalsh(m)[:, 0]] for m in (ours, theirs)]
        return min(stats.ks_2samp(*pair).pvalue for pair in zip(*seen, strict=True)) > 1e-3

    assert alike(WITHIN["rows"])
    # Negative controls: three rows more, and no wall.
    assert not alike(WITHIN["rows"] + 3)
    assert not alike(WITHIN["rows"], wall=0.0)


@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_density_is_the_inverse_wisharts_with_another_scale(n_features):
    """SciPy's inverse-Wisharts, their traces' chi-squares taken out, our scale's density put in, by dM = J dy."""
    y = 0.6 * np.random.default_rng(0).normal(size=(6, log_cholesky.length(n_features)))
    y, around = y[:5], y[5]
    root = np.linalg.inv(np.linalg.cholesky(matrices(around[None], n_features)[0]))
    relative = root @ matrices(y, n_features) @ root.T
    trace = np.trace(np.linalg.inv(relative), axis1=1, axis2=2)
    shape = 0.0
    for rows, share in zip(ROWS, SHARES, strict=True):
        wishart = np.array([stats.invwishart(rows, np.eye(n_features)).pdf(m) for m in relative])
        shape += share * wishart / (stats.chi2(rows * n_features).pdf(trace) * trace)
    scale = np.log([scale_density(u) for u in np.log(n_features / trace)])
    jacobian = n_features * np.log(2) + (n_features + 1) / 2 * np.linalg.slogdet(relative)[1]
    expected = np.log(shape) + scale + jacobian
    np.testing.assert_allclose(log_density(y, n_features, True, around), expected, rtol=1e-8)


def test_density_of_diagonal_covariances_integrates_to_one():
    """Over two log scales, by the trapezoidal rule, which converges fast where the ends are flat."""
    grid = np.linspace(-14, 14, 701)
    y = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    total = np.exp(log_density(y, 2, False)).sum() * (grid[1] - grid[0]) ** 2
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("correlated", [True, False])
def test_draws_have_the_shape_of_an_inverse_wishart_and_the_scale_that_is_said(correlated):
    n_features = 3
    around = np.linspace(-0.7, 0.6, log_cholesky.length(n_features) if correlated else n_features)
    y = draws(n_features, correlated, around)
    if correlated:
        root = np.linalg.inv(np.linalg.cholesky(matrices(around[None], n_features)[0]))
        relative = root @ matrices(y, n_features) @ root.T
    else:
        relative = np.exp(2 * (y - around))[:, None] * np.eye(n_features)
    inverse = np.linalg.inv(relative)
    trace = np.trace(inverse, axis1=1, axis2=2)
    grid = np.linspace(-8, 8, 4001)
    u = np.log(n_features / trace)
    cumulative = np.cumsum(scale_density(grid)) * (grid[1] - grid[0])
    assert stats.kstest(u, lambda v: np.interp(v, grid, cumulative)).pvalue > 1e-3
    # Negative control: without its own spread the scale would be another.
    assert stats.kstest(1.2 * u, lambda v: np.interp(v, grid, cumulative)).pvalue < 1e-3
    rng = np.random.default_rng(2)

    def alike(shares):
        """Whether our shapes' first entries and least eigenvalues are distributed as those of Wishart matrices."""
        rows = rng.choice(ROWS, size=len(y), p=shares)
        if correlated:
            theirs = np.array([stats.wishart(nu, np.eye(n_features)).rvs(random_state=rng) for nu in rows])
        else:
            theirs = rng.chisquare(rows[:, None], size=(len(y), n_features))[:, None] * np.eye(n_features)
        theirs /= np.trace(theirs, axis1=1, axis2=2)[:, None, None]
        ours = inverse / trace[:, None, None]
        first, least = ([m[:, 0, 0], np.linalg.eigvalsh(m)[:, 0]] for m in (ours, theirs))
        return min(stats.ks_2samp(*pair).pvalue for pair in zip(first, least, strict=True)) > 1e-3

    assert alike(SHARES)
    # Negative control: the same rows in other shares.
    assert not alike(SHARES[::-1])


@pytest.mark.parametrize(("n_features", "covariance_type"), [(2, "diag"), (4, "full"), (30, "full")])
def test_likenesses_are_a_gamma_variable(n_features, covariance_type):
    """Moments, of which Gauss' quadrature has the first 2 J - 1 exactly, and what the highest density is worth."""
    family = COVARIANCE_TYPES[covariance_type]
    rows, shares = likenesses(9.0, family, n_features)
    extra = rows - (n_features + 1 if family.correlated else 2)
    d = n_features * (n_features + 1) // 2 - 1 if family.correlated else n_features - 1
    gamma = stats.gamma(d / 2, scale=8 / d)
    for power in range(1, 5):
        assert shares @ extra**power == pytest.approx(gamma.moment(power))
    assert shares.sum() == pytest.approx(1)
    assert extra.min() > 0
    prior = RelativePrior(family, np.eye(n_features) if family.correlated else np.ones(n_features), rows, shares)
    _, at_the_reference = prior._around(prior.outer, prior.outer[None])
    # C(nu) is nearly nu^(d/2): the highest density is worth about what was asked for.
    assert at_the_reference[0] - rows.min() + extra.min() == pytest.approx(8, rel=0.6)


def test_a_component_that_differs_is_not_drawn_to_those_that_are_alike():
    """Three of one shape, one of another: the more it differs, the fewer rows draw it."""
    natural = np.stack([np.eye(3), np.eye(3), 0.1 * np.eye(3), np.diag([9.0, 1.0, 0.1])])
    family = COVARIANCE_TYPES["full"]
    prior = RelativePrior(family, np.eye(3), *likenesses(50.0, family, 3))
    root, harmonic, rows, _ = prior._root(natural)
    assert rows[3] < 0.5 * rows[:3].min()
    # The slope of the log density of the shape by its distance from the reference, numerically.
    distance = np.linspace(0, 2, 2001)
    log_density = logsumexp(prior.log_constants - prior.rows * distance[:, None], axis=1)
    slopes = np.gradient(log_density, distance)
    own = np.linalg.slogdet(natural)[1] / 2 - np.linalg.slogdet(root)[1] - 1.5 * np.log(harmonic)
    np.testing.assert_allclose(rows[3], -np.interp(own[3], distance, slopes), rtol=1e-3)


@pytest.mark.parametrize("total_rows", [0.0, 8.0])
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (2, 1), (4, 3), (3, 12)])
def test_the_compiled_root_is_that_of_its_equations(n_components, n_features, total_rows):
    """The reference is the harmonic mean of the covariances, and of all rows', at their scales, each the best."""
    rng, family = np.random.default_rng(n_features), COVARIANCE_TYPES["full"]
    parts = rng.normal(size=(n_components, n_features, n_features + 2))
    natural = parts @ np.swapaxes(parts, 1, 2) * np.exp(2 * rng.normal(size=(n_components, 1, 1)))
    rows, shares = likenesses(n_features + 3.0, family, n_features)
    prior = RelativePrior(family, np.eye(n_features), rows, shares)
    start = np.linalg.cholesky(natural.mean(axis=0))
    whiteners = np.linalg.inv(np.linalg.cholesky(natural))
    more = rng.normal(size=(n_features, n_features + 2))
    total = np.linalg.inv(np.linalg.cholesky(more @ more.T))
    root, harmonic, own = common_root(start, whiteners, rows, prior.log_constants, total, total_rows, 400, 1e-13)
    inverse, reference = np.linalg.inv(natural), root @ root.T
    np.testing.assert_allclose(harmonic, n_features / np.trace(reference @ inverse, axis1=1, axis2=2))
    distance = (np.linalg.slogdet(natural)[1] - np.linalg.slogdet(reference)[1] - n_features * np.log(harmonic)) / 2
    np.testing.assert_allclose(own, softmax(prior.log_constants - rows * distance[:, None], axis=1) @ rows)
    whole = total.T @ total
    of_all = total_rows * n_features / np.trace(reference @ whole)
    expected = (np.einsum("k,kij->ij", own * harmonic, inverse) + of_all * whole) / (own.sum() + total_rows)
    np.testing.assert_allclose(np.linalg.inv(reference), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert np.log(harmonic).mean() == pytest.approx(0, abs=1e-12)


def test_scales_are_at_the_top_of_their_density():
    rows, least = np.array([0.5, 20.0, 3e4, 5.0]), np.array([2.0, 1e-9, 7.0, 1e6])
    found = log_scales(rows, least, 1.5, 60)
    for m, t, u in zip(rows, least, found, strict=True):
        best = minimize_scalar(lambda v, m=m, t=t: m * v + t * np.exp(-v) + v**2 / 4.5, bounds=(-60, 60)).x
        assert u == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("covariance_type", list(COVARIANCE_TYPES))
@pytest.mark.parametrize("n_components", [1, 3])
def test_a_mixture_and_its_coordinates(covariance_type, n_components, faithful):
    """There and back, and the gradient of the whole posterior."""
    problem = Problem.of(bg.build_model(faithful, n_components, covariance_type=covariance_type, resolution=None))
    rng = np.random.default_rng(0)
    q = problem.graph.initial + 0.1 * rng.normal(size=problem.n_parameters)
    there, back = problem.mixture(q), problem.mixture(problem.unconstrained(problem.mixture(q)))
    np.testing.assert_allclose(back.full_covariances, there.full_covariances, rtol=1e-7)
    value, gradient = problem.sampling_density(q)
    numeric = approx_fprime(q, lambda v: problem.sampling_density(v)[0], 1e-6 * problem.scales)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-2)
    assert np.isfinite(value)


def far_apart(distance, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(100, 2)) + np.array(c) * distance for c in ((0, 0), (1, 0), (0, 1))])


@pytest.mark.parametrize("distance", [6, 60, 1000])
def test_distance_between_clusters_is_no_spread_within_them(distance):
    """Three clusters of standard deviation 1: the mode has each one's own."""
    x = far_apart(distance)
    estimate = bg.find_MAP(bg.build_model(x, 3), random_seed=0)
    own = np.array([x[k * 100 : (k + 1) * 100].std(axis=0) for k in range(3)])
    order = np.argsort(estimate.point["means"] @ [1, 2])
    np.testing.assert_allclose(estimate.point["scales"][order], own, rtol=0.1)


def test_clusters_of_very_different_scales_are_all_told_right():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(50, 2)), 100 * rng.normal(size=(50, 2)) + np.array([300, 0])])
    estimate = bg.find_MAP(bg.build_model(x, 2), random_seed=0)
    tight = x[:50].std(axis=0), x[50:].std(axis=0)
    np.testing.assert_allclose(estimate.point["scales"], tight, rtol=0.15)


def test_a_row_far_away_does_not_swallow_the_clusters():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + np.array([6, 0]), [[999, 999]]])
    labels = bg.GaussianMixture(3, inference="map", random_state=0).fit_predict(x)
    assert len(set(labels[:100])) == len(set(labels[100:200])) == 1 or (
        (labels[:100] == np.bincount(labels[:100]).argmax()).mean() > 0.97
        and (labels[100:200] == np.bincount(labels[100:200]).argmax()).mean() > 0.97
        and np.bincount(labels[:100]).argmax() != np.bincount(labels[100:200]).argmax()
    )


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_the_same_fit_in_other_axes(covariance_type):
    """A rotation and other units: the density of rows changes by the map's determinant alone."""
    x = far_apart(5, seed=3)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    fits = [
        bg.find_MAP(bg.build_model(rows, 3, covariance_type=covariance_type, resolution=None), random_seed=0)
        for rows in (x, x @ turn.T)
    ]
    own, turned = fits[0].mixture.log_density(x), fits[1].mixture.log_density(x @ turn.T)
    # The means' prior alone is in the features' axes.
    np.testing.assert_allclose(own, turned, atol=1e-2)


def test_given_references():
    x = far_apart(6)
    model = bg.build_model(x, 3, priors=bg.Priors(reference=np.diag([4.0, 1.0])))
    np.testing.assert_allclose(model.specification.relative_prior.centre, np.diag([4.0, 1.0]))
    [said] = [a for a in model.specification.arguments() if "reference=" in a]
    again = eval(said.split("=", 1)[1], {"bg": bg})  # Priors(...), as a report prints it
    np.testing.assert_allclose(again.reference, np.diag([4.0, 1.0]))
    assert "variances" in [v.name for v in bg.build_model(x, 3, priors=bg.Priors(reference=None)).free_RVs]
    with pytest.raises(InvalidPriorError, match=r"reference has shape \(3, 3\); the table has 2 features"):
        bg.build_model(x, 3, priors=bg.Priors(reference=np.eye(3)))
    with pytest.raises(InvalidPriorError, match="symmetric and positive definite"):
        bg.Priors(reference=[[1, 2], [2, 1]])
    with pytest.raises(InvalidPriorError, match="a reference or lkj_eta, not both"):
        bg.Priors(reference=np.eye(2), lkj_eta=2.0)


def test_iris_after_principal_components():
    """Rows of a grid, rotated, lie on slanted planes: a mode exists all the same."""
    from sklearn.datasets import load_iris
    from sklearn.decomposition import PCA
    from sklearn.metrics import adjusted_rand_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = load_iris().data
    fitted = make_pipeline(StandardScaler(), PCA(), bg.GaussianMixture(3, inference="map", random_state=0)).fit(x)
    plain = bg.GaussianMixture(3, inference="map", random_state=0).fit(x)
    assert adjusted_rand_score(fitted.predict(x), plain.predict(x)) > 0.9


def test_ems_scale_is_the_best_given_the_shape():
    prior = RelativePrior(COVARIANCE_TYPES["full"], np.eye(3), np.array([200.0]), np.ones(1))
    counts, traces = np.array([0.0, 1e-3, 5, 40, 3000]), np.array([0.0, 1e-9, 200, 1, 1e6])
    found = prior._log_scales(counts, traces, 3)
    for n, t, u in zip(counts, traces, found, strict=True):

        def loss(u, n=n, t=t):
            return 1.5 * n * u + t / 2 * np.exp(-u) + u**2 / (2 * SCALE_SPREAD**2) + SCALE_WALL * np.exp(-u)

        best = minimize_scalar(loss, bounds=(-30, 30), method="bounded", options={"xatol": 1e-9}).x
        assert u == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_ems_step_finds_a_narrow_component_whatever_the_likeness(covariance_type):
    """20 rows a tenth as wide as the others: their scale is there after two steps, though 400 rows are for another."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(100, 3)), 0.1 * rng.normal(size=(20, 3)) + 5])
    outer = {"full": np.eye(3), "diag": np.ones(3), "spherical": np.array(1.0)}[covariance_type]
    prior = RelativePrior(COVARIANCE_TYPES[covariance_type], outer, np.array([400.0]), np.ones(1))
    em = ExpectationMaximisation(Table.of(x), prior.covariances)
    mixture, _ = em.run(em.from_responsibilities(np.eye(2)[np.arange(120) // 100]), max_steps=2, tolerance=0.0)
    narrow = np.sqrt(np.einsum("kii->k", mixture.full_covariances) / 3)[1]
    assert 0.08 < narrow < 0.15


@pytest.mark.parametrize("step", [0.0, 1.0])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_ems_covariance_within_clusters_is_at_the_highest_density(covariance_type, step):
    """EM's fixed point against an optimiser, for rows fewer and more than the prior's, in axes that are not T's.

    Also where rounding explains nearly all of one feature, and hides some of the others.
    """
    family, rng = COVARIANCE_TYPES[covariance_type], np.random.default_rng(0)
    d = 3
    rounding = np.full(d, step**2 / 12 + 1e-12)
    total = np.cov(rng.normal(size=(d, 12)))
    outer = {"full": np.linalg.cholesky(total), "diag": np.sqrt(np.diag(total)), "spherical": np.array(1.3)}
    prior = WithinPrior(family, outer["full" if family.correlated else covariance_type], rows=6.0, wall=0.02)
    k = 1 if family.per_component else 2
    for n in (4, 40):
        x = rng.normal(size=(k, n, d)) @ np.diag([1.0, 0.1, 2.0])
        scatter, counts = np.einsum("kni,knj->kij", x, x), np.full(k, float(n))
        mixture = None
        for _ in range(60 if step == 0 else 2_000):
            covariances = prior.covariances(counts, scatter, mixture, rounding)
            mixture = Mixture(np.full(k, 1 / k), np.zeros((k, d)), covariances)
        natural = family.pool(mixture.full_covariances, mixture.weights)
        own = np.ravel(prior.coordinates(natural, rounding)["log_cholesky"])
        rows, sums = prior.summed(counts, scatter)

        def loss(y, rows=rows[0], sums=sums[0], prior=prior):
            """Minus the log posterior of one covariance's coordinates, by matrices."""
            if family.correlated:
                relative, back = matrices(y[None], d)[0], np.linalg.inv(prior.outer)
                within, hidden = back @ sums @ back.T, back @ np.diag(rounding) @ back.T
            else:
                relative, within = np.diag(np.exp(2 * y)), np.diag(np.ravel(sums / prior.centre))
                hidden = np.diag(np.ravel((rounding if family.per_feature else rounding[0]) / prior.centre))
            size, log_determinant, trace = len(relative), np.linalg.slogdet(relative)[1], np.trace(relative)
            u = np.log(trace / size)
            shape = prior.rows / 2 * (log_determinant - size * np.log(trace))
            whole = relative + hidden
            fit = -rows / 2 * np.linalg.slogdet(whole)[1] - np.trace(within @ np.linalg.inv(whole)) / 2
            wall = -prior.wall * np.trace(np.linalg.inv(relative))
            return -(fit + shape + prior.log_scale_density(u) + wall)

        best = minimize(loss, own, tol=1e-10)
        assert loss(own) == pytest.approx(best.fun, abs=1e-5)
        assert loss(own + 0.01) > best.fun + 1e-4


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_em_ends_at_a_mode_where_rounding_hides_much(covariance_type, monkeypatch):
    """But for what EM does not know of, the priors of means and weights; what takes rounding for spread does not."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(150, 4)) * [0.2, 0.3, 2.0, 4.0] + 6 * rng.integers(0, 2, 150)[:, None])
    problem = Problem.of(bg.build_model(x, 2, covariance_type=covariance_type))
    density = problem.parameter_density

    def short_of_a_mode():
        em = ExpectationMaximisation(problem.table, problem.specification.covariance_step)
        mixture = em.from_responsibilities(np.eye(2)[(x[:, 0] > 3).astype(int)])
        for _ in range(1_000):
            mixture, _ = em.step(mixture)
        begin = problem.unconstrained(mixture)
        top = climb(density, begin, problem.scales, roots=problem.roots)
        return top.log_posterior - density(begin)[0]

    assert short_of_a_mode() < 0.5
    monkeypatch.setattr(Frame, "before_rounding", lambda self, n, own, natural, rounding: (natural, own))
    assert short_of_a_mode() > 2


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_covariances_less_their_rounding_keep_some_in_every_direction(covariance_type):
    family, d = COVARIANCE_TYPES[covariance_type], 3
    outer = np.eye(d) if family.correlated else np.ones(d) if family.per_feature else np.array(1.0)
    prior = RelativePrior(family, outer, np.array([5.0]), np.ones(1))
    rounding = np.array([0.3, 1e-10, 1e-10])
    flat = np.diag([1e-8, 1.0, 2.0]) if family.correlated else np.array([1e-8, 1.0, 2.0])
    natural = np.stack([flat, 2 * flat]) if family.per_feature else np.array([1e-8, 1.0])
    own = np.diag(rounding) if family.correlated else rounding if family.per_feature else rounding.mean()
    beside = prior._beside(natural, rounding)
    least = np.linalg.eigvalsh(beside - 0.0999 * own) if family.correlated else beside - 0.0999 * own
    assert (least > 0).all()
    np.testing.assert_allclose(prior.with_rounding(beside, rounding), beside + own, rtol=1e-12)
    wide = natural + 5 * own  # what holds its rounding is all there
    np.testing.assert_allclose(prior._beside(wide, rounding), wide - own, rtol=1e-12)
