"""A single mixture as a tree: known parameters, and the mode of a search."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, ModelError
from bayesgmm.record.fit import Fit

KNOWN = ([0.3, 0.7], [[0.0, 1.0], [4.0, 5.0]], [[[1.0, 0.5], [0.5, 2.0]], [[2.0, -1.0], [-1.0, 3.0]]])


def test_known_parameters_answer_as_scipy_says():
    points = np.random.default_rng(0).normal(2, 3, size=(20, 2))
    own = [stats.multivariate_normal(m, c) for m, c in zip(*KNOWN[1:], strict=True)]
    each = np.array([w * normal.pdf(points) for w, normal in zip(KNOWN[0], own, strict=True)]).T
    dt = bg.from_arrays(*KNOWN, features=["a", "b"])
    np.testing.assert_allclose(bg.density(dt, points, progressbar=False)["density"], each.sum(axis=1), rtol=1e-10)
    soft = bg.assignments(dt, points, progressbar=False)
    np.testing.assert_allclose(soft["probability"], each / each.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(soft["lower"], soft["upper"])
    beyond = bg.regression(dt, "b", given={"a": 20.0}, progressbar=False)["mean"].item()
    assert beyond == pytest.approx(5.0 - (20 - 4) / 2)  # where only the second component is
    assert str(bg.diagnose(dt)).startswith("caution")
    assert "there are no draws of a posterior" in str(bg.diagnose(dt))
    with pytest.raises(ModelError, match="holds no observed data: pass rows as X"):
        bg.assignments(dt)


def test_shapes_of_known_parameters(faithful):
    for covariances, kind in (
        (np.eye(2), "tied"), (np.ones((2, 2)), "diag"), ([1.0, 2.0], "spherical"), (KNOWN[2], "full"),
    ):  # fmt: skip
        dt = bg.from_arrays(*KNOWN[:2], covariances, covariance_type=kind)
        assert dt["posterior"].attrs["covariance_type"] == kind
    line = bg.from_arrays(None, [0.0, 1.0, 2.0], [1.0, 1.0, 2.0], X=faithful[["eruptions"]])
    assert Fit.of(line).features == ("eruptions",)
    assert bg.assignments(line, progressbar=False)["probability"].shape == (272, 3)
    with pytest.raises(ModelError, match="covariance_type='tied' or 'diag'"):
        bg.from_arrays(*KNOWN[:2], np.eye(2))
    with pytest.raises(InvalidArgumentError, match="are 1 names for 2 columns of means"):
        bg.from_arrays(*KNOWN, features=["a"])
    with pytest.raises(InvalidArgumentError, match=r"one mixture.*weights \(200, 2\).*bayesgmm.adopt"):
        bg.from_arrays(*(np.broadcast_to(value, (200, *np.shape(value))) for value in KNOWN))
    with pytest.raises(ModelError, match=r"with sum 1 \(theirs is from 1.1 to 1.1\)"):
        bg.from_arrays([0.4, 0.7], *KNOWN[1:])


def test_the_mode_as_a_tree(faithful_map, faithful, tmp_path, undrawn):
    dt = faithful_map.to_datatree()
    point = faithful_map.point
    own = [stats.multivariate_normal(point["means"][k], point["covariances"][k]).pdf(faithful) for k in range(2)]
    each = (point["weights"][:, None] * own).T
    soft = bg.assignments(dt, progressbar=False)
    np.testing.assert_allclose(soft["probability"], each / each.sum(axis=1, keepdims=True), atol=1e-10)
    assert dt["posterior"].sizes["draw"] == dt["posterior"].sizes["chain"] == 1
    assert dt["sample_stats"]["lp"].item() == faithful_map.log_posterior
    said = bg.diagnose(dt)
    assert said.verdict == "caution"
    assert "there are no draws of a posterior" in said.reasons[0]
    assert "estimate.laplace()" in said.reasons[0]
    assert bg.plot_clusters(dt) is not None
    again = bg.load(bg.save(dt, tmp_path / "mode.nc"))
    xr.testing.assert_equal(again["posterior"].to_dataset(), dt["posterior"].to_dataset())
    line = bg.density(again, features=["waiting"], progressbar=False)
    assert float(line["density"].integrate("waiting")) == pytest.approx(1, abs=0.01)
    assert "the posterior mode alone" in bg.report(dt, tmp_path / "mode.html").read_text(encoding="utf-8")
