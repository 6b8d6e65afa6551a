"""Plots, judged by what is drawn: each test here fails when other data are drawn."""

from itertools import combinations

import arviz as az
import numpy as np
import pymc as pm
import pytest
from arviz_base.labels import MapLabeller
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from scipy.stats import chi2

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, MissingPackageError, ModelError
from bayesgmm.record.fit import Fit
from bayesgmm.record.starts import Starts
from bayesgmm.record.trees import pair_plot
from bayesgmm.reports.axes import Histogram, figure_of, plain
from bayesgmm.reports.clusters import ellipse
from bayesgmm.reports.modes import Search
from bayesgmm.reports.palette import certainty_colours, colours, marker, unsure
from bayesgmm.reports.replicates import Replicates
from bayesgmm.reports.weights import Weights


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def soft(faithful_draws):
    return bg.assignments(faithful_draws)


def laplace(n_components, n_features, covariance_type="diag", n_rows=240):
    rng = np.random.default_rng(n_components + 20 * n_features)
    centres = rng.normal(0, 6, size=(n_components, n_features))
    x = centres[rng.integers(n_components, size=n_rows)] + rng.normal(size=(n_rows, n_features))
    model = bg.build_model(x, n_components, covariance_type=covariance_type)
    return bg.find_MAP(model, n_init=2, random_seed=0).laplace(40, random_seed=0)


def test_ellipse_holds_its_probability():
    mean, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.9], [0.9, 1.0]])
    points = ellipse(mean, covariance, 0.95)
    distance = np.einsum("ni,ij,nj->n", points - mean, np.linalg.inv(covariance), points - mean)
    np.testing.assert_allclose(distance, chi2(2).ppf(0.95))


def test_points_ellipses_and_centres_are_the_posteriors(faithful_draws, faithful):
    ax = bg.plot_clusters(faithful_draws, n_draws=10)
    points, *ellipses, centres = ax.collections
    drawn = points.get_offsets()
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(faithful["eruptions"]))
    np.testing.assert_allclose(centres.get_offsets(), faithful_draws["posterior"]["means"].mean(("chain", "draw")))
    own = colours(2)
    posterior = faithful_draws["posterior"].dataset.stack(sample=("chain", "draw")).transpose("sample", ...)
    for k, lines in enumerate(ellipses):
        assert len(lines.get_segments()) == 10 * 2  # draws, levels
        np.testing.assert_allclose(lines.get_edgecolors()[0][:3], own[k][:3])
        first = posterior["covariances"].values[0, k]
        outer = ellipse(posterior["means"].values[0, k], first, 0.95)
        np.testing.assert_allclose(lines.get_segments()[1], outer)
    short = drawn[:, 0] < 2.5
    np.testing.assert_allclose(points.get_facecolors()[short][:, :3], np.tile(own[0], (short.sum(), 1)), atol=0.02)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eruptions", "waiting")
    assert [t.get_text() for t in ax.texts] == ["0", "1"]


def test_a_component_that_is_now_and_then_the_priors_does_not_shrink_the_picture(faithful_draws):
    limits = bg.plot_clusters(faithful_draws).axis()
    far = faithful_draws.copy(deep=True)
    far["posterior"]["covariances"].values[:, ::7, 1] *= 1e4
    assert bg.plot_clusters(far).axis() == pytest.approx(limits, rel=0.05)


def test_unsure_rows_are_small_and_grey(faithful_draws, soft):
    points = bg.plot_clusters(faithful_draws, soft=soft).collections[0]
    order = np.argsort(-np.abs(np.diff(soft["probability"], axis=1)[:, 0]), kind="stable")
    sizes = points.get_sizes()
    assert (np.diff(sizes) <= 1e-12).all()
    assert sizes[-1] < 0.85 * sizes[0]
    least = soft["probability"].values[order[-1]]
    np.testing.assert_allclose(points.get_facecolors()[-1][:3], certainty_colours(least[None])[0])


def test_features_can_be_chosen(faithful_draws):
    _, ax = plt.subplots()
    assert bg.plot_clusters(faithful_draws, features=("waiting", "eruptions"), n_draws=2, ax=ax) is ax
    assert ax.get_xlabel() == "waiting"
    for wrong in (("waiting", "depth"), ("waiting", "waiting"), ()):
        with pytest.raises(InvalidArgumentError, match="must name one or two of: eruptions, waiting"):
            bg.plot_clusters(faithful_draws, features=wrong)


def test_colours_fade_where_two_components_tie():
    mixed = certainty_colours(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.75, 0.25]]))
    own = colours(3)
    np.testing.assert_allclose(mixed[0], own[0])
    np.testing.assert_allclose(mixed[1], unsure())
    np.testing.assert_allclose(mixed[2], 0.5 * own[1] + 0.5 * unsure())


# Machado, Oliveira and Fernandes (2009), https://doi.org/10.1109/TVCG.2009.113, severity 1, in linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(rgb):
    """CIE 1976 L*a*b* of linear RGB (sRGB primaries, D65)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(rgb, 0, 1) @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def least_difference(rgb, deficiency):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = lab(linear @ np.array(DEFICIENCIES[deficiency]).T)
    return min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_colour_blind_readers_tell_the_components_apart(deficiency, style):
    """A difference of 2.3 is just noticeable; six components are far above it, twelve still above."""
    with plt.style.context(style):
        assert least_difference(colours(6), deficiency) > 10
        assert least_difference(colours(12), deficiency) > 4
    # the same measure rejects red and green
    red_and_green = np.array([[0.8, 0.3, 0.3], [0.53, 0.5, 0.3]])
    assert least_difference(red_and_green, "deuteranopia") < 10 < least_difference(red_and_green, "none")


@pytest.mark.parametrize("n_components", [1, 3])
def test_a_single_feature_is_a_density(n_components):
    x = np.random.default_rng(0).normal([0.0], 1.0, size=(200, 1))
    dt = bg.find_MAP(bg.build_model(x, n_components), n_init=3, random_seed=0).laplace(20, random_seed=0)
    ax = bg.plot_clusters(dt, n_draws=5)
    mixture = ax.lines[0]
    assert np.trapezoid(mixture.get_ydata(), mixture.get_xdata()) == pytest.approx(1, abs=0.03)
    assert len(ax.lines) == 5 * (1 + n_components)
    parts = sum(line.get_ydata() for line in ax.lines[1 : 1 + n_components])
    np.testing.assert_allclose(parts, mixture.get_ydata())


@pytest.mark.parametrize("quantity", ["entropy", "expected_entropy", "mutual_information"])
def test_uncertainty_is_the_assignments(faithful_draws, faithful, soft, quantity):
    points = bg.plot_uncertainty(faithful_draws, quantity=quantity, soft=soft).collections[0]
    order = np.argsort(soft[quantity].values, kind="stable")
    np.testing.assert_allclose(points.get_array(), soft[quantity].values[order])
    np.testing.assert_allclose(points.get_offsets(), faithful.to_numpy()[order])
    assert points.get_clim() == (0, pytest.approx(max(soft[quantity].max(), 0.1 * np.log(2))))
    assert (np.diff(points.get_sizes()) >= 0).all()


def test_one_feature_has_its_uncertainty_on_the_other_axis(faithful_draws, faithful, soft):
    points = bg.plot_uncertainty(faithful_draws, features=["waiting"], soft=soft).collections[0]
    order = np.argsort(soft["entropy"].values, kind="stable")
    np.testing.assert_allclose(points.get_offsets()[:, 1], soft["entropy"].values[order])
    np.testing.assert_allclose(points.get_offsets()[:, 0], faithful["waiting"].to_numpy()[order])


@pytest.mark.parametrize("arguments", [{"features": ["waiting"]}, {"given": {"waiting": 68}}])
def test_density_of_one_feature_has_line_and_band(faithful_draws, arguments):
    pc = bg.plot_density(faithful_draws, **arguments, ci_prob=0.5)
    expected = bg.density(faithful_draws, **arguments, ci_prob=0.5)
    np.testing.assert_allclose(pc.viz["density"]["density"].item().get_ydata(), expected["density"])
    band = pc.viz["band"]["density"].item().get_paths()[0].vertices
    for end in ("lower", "upper"):
        assert np.isin(expected[end].values.round(12), band[:, 1].round(12)).all()
    assert ("data" in pc.viz.children) == ("given" not in arguments)  # the histogram
    axes = pc.viz["plot"].item()
    assert axes.get_ylabel() == ("density given waiting = 68" if "given" in arguments else "density")


def test_density_of_two_features_has_lines_that_hold_their_share(faithful_draws):
    pc = bg.plot_density(faithful_draws)
    grid = bg.density(faithful_draws)
    heights = grid["density"].values
    levels = pc.viz["density"]["density"].item().levels
    shares = [heights[heights >= level].sum() / heights.sum() for level in levels]
    np.testing.assert_allclose(sorted(shares), [0.2, 0.5, 0.8, 0.95], atol=0.01)
    points = pc.viz["data"]["density"].item().get_offsets()
    np.testing.assert_allclose(np.sort(points[:, 1]), np.sort(bg.datasets.load_faithful()["waiting"]))
    axes = pc.viz["plot"].item()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("eruptions", "waiting")


def test_densities_of_many_features_are_a_plot_each():
    dt = laplace(2, 5)
    pc = bg.plot_density(dt)
    assert pc.viz["plot"].sizes == {"feature": 5}
    for name in ("x0", "x4"):
        own = bg.density(dt, features=[name])
        line = pc.viz["density"]["density"].sel(feature=name).item()
        np.testing.assert_allclose(line.get_xdata(), own[name])
        np.testing.assert_allclose(line.get_ydata(), own["density"])
        assert line.axes.get_xlabel() == name
        # the histogram holds all rows
        bars = pc.viz["data"]["density"].sel(feature=name).item().get_paths()[0].vertices
        assert np.abs(np.trapezoid(bars[:, 1], bars[:, 0])) == pytest.approx(1, abs=1e-9)
    with pytest.raises(InvalidArgumentError, match="this picture has 5 plots, and ax is one"):
        bg.plot_density(dt, ax=plt.subplots()[1])
    with (
        az.rc_context({"plot.max_subplots": 4}),
        pytest.raises(InvalidArgumentError, match="name up to 4 with features"),
    ):
        bg.plot_density(dt)


def test_assignments_are_the_least_certain_rows_with_their_intervals(faithful_draws, soft):
    ax = bg.plot_assignments(faithful_draws, n_rows=6, soft=soft)
    order = np.argsort(-soft["entropy"].values, kind="stable")[:6]
    assert [t.get_text() for t in ax.get_yticklabels()] == [str(i) for i in order]
    lines, points = ax.collections[0], ax.collections[1]  # of component 0
    seen = soft["upper"].values[order, 0] >= 0.01
    drawn = np.array([segment[:, 0] for segment in lines.get_segments()])
    np.testing.assert_allclose(drawn[:, 0], soft["lower"].values[order, 0][seen])
    np.testing.assert_allclose(drawn[:, 1], soft["upper"].values[order, 0][seen])
    np.testing.assert_allclose(points.get_offsets()[:, 0], soft["probability"].values[order, 0][seen])
    heights = np.concatenate([c.get_offsets()[:, 1] for c in ax.collections[1::2]])
    assert len(np.unique(heights)) == len(heights)  # no interval hides another
    assert set(np.round(heights)) == set(range(6))


def test_coclustering_is_the_matrix_in_an_order_of_blocks(faithful_draws):
    rows = np.arange(0, 272, 9)
    ax = bg.plot_coclustering(faithful_draws, rows=rows)
    drawn = np.asarray(ax.images[0].get_array())
    matrix = np.asarray(bg.coclustering(faithful_draws, rows=rows))
    np.testing.assert_allclose(np.sort(drawn, axis=None), np.sort(matrix, axis=None), atol=1e-12)
    # neighbours in the picture are alike, those of the data are not
    assert np.abs(np.diff(drawn, axis=0)).mean() < 0.3 * np.abs(np.diff(matrix, axis=0)).mean()
    assert ax.get_xlabel() == "31 of 272 rows"


def test_weights_are_arvizs_forest_of_the_weights(faithful_draws):
    pc = bg.plot_weights(faithful_draws)
    weights = faithful_draws["posterior"]["weights"]
    for k in range(2):
        drawn = pc.viz["point_estimate"]["weights"].sel(component=k).item()
        assert drawn.get_offsets()[0, 0] == pytest.approx(weights.sel(component=k).mean().item())
        trunk = pc.viz["twig"]["weights"].sel(component=k).item()
        np.testing.assert_allclose(
            trunk.get_xdata(), weights.sel(component=k).quantile([0.055, 0.945]).values, atol=2e-3
        )


@pytest.mark.parametrize("ci_prob", [0.3, 0.5, 0.945])
def test_the_pages_weights_have_the_intervals_asked_for(faithful_draws, ci_prob):
    pc = Weights.of(Fit.of(faithful_draws), ci_prob).draw()
    weights = faithful_draws["posterior"]["weights"].stack(sample=("chain", "draw")).transpose("sample", ...).values
    for part, share in (("twig", ci_prob), ("trunk", min(0.5, ci_prob))):
        drawn = np.array([line.get_xdata() for line in pc.viz[part]["weights"].values]).T
        np.testing.assert_allclose(drawn, np.quantile(weights, [(1 - share) / 2, (1 + share) / 2], axis=0), atol=1e-9)
    ax = pc.viz["plot"].item()
    assert f"{100 * ci_prob:g} % interval" in ax.get_xlabel()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "1"]
    assert len(ax.figure.axes) == 1  # no column of names beside it


def test_simulated_data_sets_come_from_the_posterior(faithful_draws, faithful):
    fit = Fit.of(faithful_draws)
    for check, name in zip(Replicates.of(fit, [0, 1]), faithful, strict=True):
        assert check.feature == name
        mass = [np.trapezoid(density, at) for at, density in (check.observed, *check.simulated)]
        np.testing.assert_allclose(mass, 1, atol=0.02)
        centres = [np.trapezoid(at * density, at) for at, density in check.simulated]
        spread = faithful[name].std() * np.sqrt(2 / len(faithful))
        assert np.mean(centres) == pytest.approx(faithful[name].mean(), abs=4 * spread / np.sqrt(len(centres)))
        assert 0.5 * spread < np.std(centres) < 2 * spread
        ax = check.draw()
        assert len(ax.collections[0].get_segments()) == len(check.simulated) == 30
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), check.observed[1])


def test_rows_that_count_double_stand_double_in_the_histogram():
    column = np.random.default_rng(0).normal(size=200)
    weights = np.where(column > 0, 2.0, 1.0)
    weighed = Histogram.of(column, weights)
    expected, _ = np.histogram(np.repeat(column, weights.astype(int)), weighed.edges, density=True)
    np.testing.assert_allclose(weighed.heights, expected)


def test_intervals_follow_arvizs_rcparams(faithful_draws):
    with az.rc_context({"stats.ci_prob": 0.5}):
        rows, density = bg.plot_assignments(faithful_draws, n_rows=2), bg.plot_density(faithful_draws)
        density = density.viz["plot"].item()
        twig = bg.plot_weights(faithful_draws).viz["twig"]["weights"].sel(component=0).item()
    assert rows.get_xlabel() == "probability, 50 % interval"
    assert density.get_legend().get_texts()[1].get_text() == "50 % band"
    expected = faithful_draws["posterior"]["weights"].sel(component=0).quantile([0.25, 0.75])
    np.testing.assert_allclose(twig.get_xdata(), expected, atol=2e-3)


def test_modes_are_the_starts(faithful):
    estimate = bg.find_MAP(bg.build_model(faithful, 4), random_seed=1)
    starts = estimate.starts
    climbed = starts.optimum >= 0
    assert not climbed.all()
    for fit in (estimate, estimate.laplace(20, random_seed=1)):
        ax = bg.plot_modes(fit)
        assert len(ax.collections) == starts.n_optima > 1
        heights = np.concatenate([c.get_offsets()[:, 1] for c in ax.collections])
        assert f"{(~climbed).sum()} given up far below" in ax.get_xlabel()
        expected = (starts.log_posterior - starts.log_posterior.max())[climbed]
        np.testing.assert_allclose(np.sort(heights), np.sort(expected), atol=1e-12)
        counts = [len(c.get_offsets()) for c in ax.collections]
        assert counts == np.bincount(starts.optimum[climbed]).tolist()


def test_a_start_without_a_log_posterior_is_not_the_best():
    reached = np.array([np.nan, -12.0, -10.0])
    starts = Starts(reached, np.array([1, 1, 0]), np.ones(3, bool), np.ones(3, bool), np.ones(3, int))
    ax = Search(starts, {0: np.nan}).draw()
    heights = {c.get_label(): c.get_offsets()[:, 1].tolist() for c in ax.collections}
    assert heights == {"optimum 0: 1 start, an unknown share of the posterior": [0.0], "optimum 1: 1 start": [-2.0]}
    assert "1 without a finite log posterior" in ax.get_xlabel()
    ax.figure.canvas.draw()


def test_modes_need_a_record_of_the_starts(faithful_draws):
    dt = faithful_draws.copy()
    dt["posterior"].attrs = {n: v for n, v in dt["posterior"].attrs.items() if not n.startswith("starts")}
    with pytest.raises(ModelError, match="keeps no record of its starts"):
        bg.plot_modes(dt)


@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (1, 3), (12, 1), (12, 10), (3, 4)])
def test_every_plot_can_be_drawn_of_small_and_large_fits(n_components, n_features):
    dt = laplace(n_components, n_features)
    drawn = [
        bg.plot_clusters(dt), bg.plot_uncertainty(dt), bg.plot_assignments(dt), bg.plot_coclustering(dt),
        bg.plot_modes(dt),
    ]  # fmt: skip
    for ax in drawn:
        assert isinstance(ax, Axes)
        ax.figure.canvas.draw()  # warnings are errors
    legend = [t.get_text() for t in drawn[0].get_legend().get_texts()]
    assert sum(t.startswith("component") for t in legend) == n_components
    for draw in (bg.plot_weights, bg.plot_density, bg.plot_occupied):
        draw(dt).viz["figure"].item().canvas.draw()


def test_a_density_is_of_the_features_that_are_not_given_unless_others_are_named():
    dt = laplace(3, 4)
    pc = bg.plot_density(dt, given={"x0": 0.0})
    assert pc.viz["plot"]["feature"].values.tolist() == ["x1", "x2", "x3"]
    ax = bg.plot_density(dt, given={"x0": 0.0}, features=["x1", "x3"]).viz["plot"].item()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x1", "x3")
    assert "given x0 = 0" in ax.get_legend().get_texts()[0].get_text()
    with pytest.raises(InvalidArgumentError, match="there is no feature 'x9'"):
        bg.plot_density(dt, features=["x0", "x1", "x9"])


@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (1, 10), (2, 1), (2, 10)])
def test_the_call_of_a_plot_of_pairs_has_room(n_components, n_features):
    names = tuple(f"f{j}" for j in range(n_features))
    call = pair_plot(np.arange(n_components), names)
    dims = {"weights": ["component"], "means": ["component", "feature"], "scales": ["component", "feature"]}
    draws = np.random.default_rng(0).normal(size=(2, 30, n_components, n_features))
    posterior = {"means": draws, "scales": draws, "weights": draws[..., 0]}
    dt = az.from_dict({"posterior": posterior}, dims=dims, coords={"feature": list(names)})
    figure = eval(call, {"az": az, "dt": dt}).viz
    assert 2 <= figure.sizes["row_index"] <= 6


def axes_text(figure):
    """What is written outside the axes of a figure, and where, in dots."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    for ax in figure.axes:
        legend = ax.get_legend()
        words = [ax.xaxis.label, ax.yaxis.label, *(legend.get_texts() if legend else [])]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            words += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        for text in words:
            if text.get_visible() and text.get_text() and ax.axison:
                yield text, text.get_window_extent(renderer)


def overlaps(a, b):
    """Whether two boxes share more than a hair."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1


def misplaced(figure):
    """The words of a figure that are cut off at its edge, and pairs of words that lie over each other."""
    written = list(axes_text(figure))
    width, height = figure.bbox.size
    cut = [t.get_text() for t, b in written if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]
    return cut, [(s.get_text(), t.get_text()) for (s, a), (t, b) in combinations(written, 2) if overlaps(a, b)]


@pytest.mark.parametrize("width", [85 / 25.4, 170 / 25.4])
@pytest.mark.parametrize(("n_components", "n_features"), [(4, 2), (12, 3)])
def test_words_in_columns_of_a_journal_are_whole_and_apart(n_components, n_features, width):
    dt = laplace(n_components, n_features)
    size = (width, 3.0)
    for draw in (bg.plot_clusters, bg.plot_uncertainty, bg.plot_assignments, bg.plot_coclustering, bg.plot_modes):
        ax = draw(dt, figsize=size)
        assert ax.figure.get_size_inches() == pytest.approx(size)
        assert misplaced(ax.figure) == ([], []), draw.__name__
    for draw in (bg.plot_weights, bg.plot_density, bg.plot_occupied):
        figure = draw(dt, figure_kwargs={"figsize": size}).viz["figure"].item()
        assert figure.get_size_inches() == pytest.approx(size)
        assert misplaced(figure) == ([], []), draw.__name__


def test_words_that_are_cut_off_or_lie_over_each_other_are_found():
    """Negative control."""
    figure, ax = plt.subplots(figsize=(2, 2), layout="constrained")
    ax.set_xticks([0, 0.01, 0.5], ["a long name", "another", ""])
    ax.set_xlabel("words that are far too long for so narrow a figure")
    cut, over = misplaced(figure)
    assert cut == [ax.get_xlabel()]
    assert ("a long name", "another") in over


def test_a_size_needs_two_numbers_and_no_axes(faithful_draws):
    for wrong in (3, (3, -1), ("3", 2), (1, 2, 3)):
        with pytest.raises(InvalidArgumentError, match="must be width and height in inches"):
            bg.plot_modes(faithful_draws, figsize=wrong)
    with pytest.raises(InvalidArgumentError, match="leave one out"):
        bg.plot_modes(faithful_draws, figsize=(3, 2), ax=plt.subplots()[1])


def test_ellipses_of_a_component_without_rows_do_not_stretch_the_picture(faithful_draws, faithful):
    far = faithful_draws.copy(deep=True)
    far["posterior"]["covariances"].values[:, :, 1] *= 1e4  # in every draw
    far["posterior"]["means"].values[:, :, 1] += 500
    limits = np.reshape(bg.plot_clusters(far).axis(), (2, 2)).T
    least, greatest = faithful.to_numpy().min(axis=0), faithful.to_numpy().max(axis=0)
    assert (limits[0] <= least).all()
    assert (limits[1] >= greatest).all()
    assert (np.diff(limits, axis=0)[0] < 1.6 * (greatest - least)).all()


def test_components_of_one_hue_have_points_of_different_shapes():
    dt = laplace(12, 3)
    ax = bg.plot_clusters(dt)
    points = ax.collections[0]
    label = bg.assignments(dt)["probability"].values.argmax(axis=1)
    squares = sum(len(path.vertices) < 10 for path in points.get_paths())
    assert squares == (label >= 6).sum() > 0
    assert [line.get_marker() for line in ax.get_legend().get_lines()[:12]] == ["o"] * 6 + ["s"] * 6
    assert len({(marker(k), tuple(colour)) for k, colour in enumerate(colours(36).round(3))}) == 36


def starts_of(gaps):
    reached = -np.asarray(gaps, dtype=float)
    n = len(reached)
    return Starts(reached, np.arange(n), np.ones(n, bool), np.ones(n, bool), np.ones(n, int))


def test_of_many_optima_the_legend_names_those_that_matter():
    ax = Search(starts_of([0, 1, 2, 3, 4, 5, 6]), {0: 0.1, 2: 0.2, 4: 0.6, 5: 0.1}).draw()
    said = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [words.partition(":")[0] for words in said] == ["optimum 0", "optimum 2", "optimum 4", "4 other optima"]
    assert said[-1].endswith("4 starts")
    assert ax.get_yscale() == "linear"


def test_an_axis_that_is_not_linear_says_so():
    ax = Search(starts_of([0, 2, 500]), {}).draw()
    assert ax.get_yscale() == "symlog"
    assert "log below \u22121" in ax.get_ylabel().replace("\n", " ")


def test_names_from_the_data_are_shown_as_text():
    assert plain("$x_1$ & \n tab\t") == r"\$x_1\$ & " + "  tab "
    assert len(plain("x" * 500)) == 60
    assert plain("\U0001f9ff") == "\ufffd"  # not in the font
    x = np.random.default_rng(0).normal(size=(30, 2))
    import pandas as pd

    frame = pd.DataFrame(x, columns=["$\\frac{", "\U0001f9ff" * 90])
    dt = bg.find_MAP(bg.build_model(frame, 1, covariance_type="diag"), n_init=1, random_seed=0).laplace(
        20, random_seed=0
    )
    for draw in (bg.plot_clusters, bg.plot_uncertainty, bg.plot_density):
        figure_of(draw(dt)).canvas.draw()


COLLECTIONS = (bg.plot_weights, bg.plot_density, bg.plot_occupied)


@pytest.mark.parametrize("draw", COLLECTIONS)
def test_a_backend_that_is_not_there_is_named_with_its_remedy(draw, faithful_draws, monkeypatch):
    monkeypatch.setattr("bayesgmm.reports.collection.find_spec", {"matplotlib": "here"}.get)
    with pytest.raises(MissingPackageError, match=r"'bokeh' is not installed: pip install \"arviz-plots\[bokeh\]\""):
        draw(faithful_draws, backend="bokeh")
    with pytest.raises(InvalidArgumentError, match="unknown backend 'ggplot': choose one of 'matplotlib', 'plotly'"):
        draw(faithful_draws, backend="ggplot")
    with pytest.raises(InvalidArgumentError, match="ax and backend = 'bokeh' are both given"):
        draw(faithful_draws, backend="bokeh", ax=plt.subplots()[1])
    with pytest.raises(InvalidArgumentError, match="visuals names 'whiskers'; the parts of this picture are"):
        draw(faithful_draws, visuals={"whiskers": False})


@pytest.mark.parametrize("backend", ["none", "plotly", "bokeh"])
@pytest.mark.parametrize("draw", COLLECTIONS)
def test_other_backends_draw_the_same_parts(draw, backend, faithful_draws):
    if backend != "none":
        pytest.importorskip(backend)
    pc, own = draw(faithful_draws, backend=backend), draw(faithful_draws)
    assert pc.backend == backend
    drawn_once = {"density", "band_lower", "band_upper", "shade"} if draw is bg.plot_density else set()
    assert set(pc.viz.children) | drawn_once == set(own.viz.children) | drawn_once
    if backend == "none" and draw is bg.plot_weights:
        point = pc.viz["point_estimate"]["weights"].sel(component=1).item()
        assert point["x"].item() == pytest.approx(faithful_draws["posterior"]["weights"].sel(component=1).mean().item())


def test_parts_can_be_left_out_changed_and_named(faithful_draws):
    labeller = MapLabeller(coord_map={"component": {0: "short", 1: "long"}})
    pc = bg.plot_weights(faithful_draws, visuals={"trunk": False, "twig": {"width": 3}}, labeller=labeller)
    assert "trunk" not in pc.viz.children
    assert pc.viz["twig"]["weights"].sel(component=0).item().get_linewidth() == 3
    named = [text.get_text() for text in pc.viz["plot"].item().get_yticklabels()]
    assert ["short" in named[0], "long" in named[1]] == [True, True]
    pc = bg.plot_density(
        faithful_draws, features=["waiting"], visuals={"data": False, "legend": False, "ylabel": False}
    )
    axes = pc.viz["plot"].item()
    assert ("data" in pc.viz.children, axes.get_legend(), axes.get_ylabel()) == (False, None, "")


def test_arvizs_own_plots_work_on_our_trees_as_they_are(faithful_model, faithful_draws):
    dt = faithful_draws.copy()
    names = ["weights", "means"]
    for draw in (az.plot_trace_dist, az.plot_rank, az.plot_forest):
        draw(dt, var_names=names)
        plt.close("all")
    # The call that the tree itself names.
    drawn = eval(dt["posterior"].attrs["pair_plot"])
    assert dict(drawn.viz["plot"].sizes) == {"row_index": 3, "col_index": 3}
    with faithful_model:
        pm.compute_log_likelihood(dt, progressbar=False)
        pm.sample_posterior_predictive(dt, extend_inferencedata=True, progressbar=False, random_seed=1)
    az.plot_ppc_dist(dt, cols=["feature"], num_samples=10)
    az.plot_khat(az.loo(dt, pointwise=True))
