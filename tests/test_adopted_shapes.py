"""What draws from elsewhere may look like: every form of covariances, axes in any order; and what cannot be read."""

import foreign_draws
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from arviz_base import from_dict

import bayesgmm as bg
from bayesgmm.exceptions import InvalidArgumentError, InvalidDataError, ModelError
from bayesgmm.record.fit import Fit

FOLDER = foreign_draws.FOLDER


def numbers(n_components, n_features, rng):
    """Weights, means and covariances (chain, draw, ...) of 2 x 3 draws."""
    factor = rng.normal(size=(2, 3, n_components, n_features, n_features))
    return (
        rng.dirichlet(np.ones(n_components), size=(2, 3)),
        rng.normal(size=(2, 3, n_components, n_features)),
        factor @ factor.swapaxes(-1, -2) + np.eye(n_features),
    )


def adopted(posterior, dims=None, **arguments):
    dt = bg.adopt(from_dict({"posterior": posterior}, dims=dims), relabel=None, **arguments)
    return dt, Fit.of(dt).every_draw


@pytest.mark.parametrize(("k", "d"), [(3, 2), (2, 2), (2, 1), (1, 2)])
def test_every_form_of_full_covariances(k, d):
    w, mu, cov = numbers(k, d, np.random.default_rng(k + d))
    factor = np.linalg.cholesky(cov)
    packed = factor[..., *np.tril_indices(d)]
    forms = [
        ({"cov": cov}, {}), ({"cov": np.moveaxis(cov, 2, -1)}, {}), ({"c": np.linalg.inv(cov)}, {"precisions": "c"}),
        ({"c": factor}, {"cholesky": "c"}), ({"c": packed}, {"cholesky": "c"}),
        ({f"c{j}": packed[:, :, j] for j in range(k)}, {"cholesky": [f"c{j}" for j in range(k)]}),
        ({f"c{j}": cov[:, :, j] for j in range(k)}, {"covariances": [f"c{j}" for j in range(k)]}),
    ]  # fmt: skip
    for variables, names in forms:
        dt, draws = adopted({"w": w, "mu": mu, **variables}, **names)
        assert dt["posterior"].attrs["covariance_type"] == "full"
        np.testing.assert_allclose(draws.full_covariances, cov.reshape(6, k, d, d), rtol=1e-9)
        np.testing.assert_allclose(draws.means, mu.reshape(6, k, d))
        np.testing.assert_allclose(draws.weights, w.reshape(6, k))
        scales = np.sqrt(np.einsum("...ii->...i", cov))
        np.testing.assert_allclose(dt["posterior"]["scales"], scales, rtol=1e-9)


VARIANCES = {
    "diag": ((2, 3, 3, 2), lambda v: v[..., None] * np.eye(2)),
    "spherical": ((2, 3, 3), lambda v: v[..., None, None] * np.eye(2)),
    "tied": ((2, 3, 2), lambda v: np.broadcast_to(v[:, :, None, :, None] * np.eye(2), (2, 3, 3, 2, 2))),
    "one": ((2, 3), lambda v: np.broadcast_to(v[:, :, None, None, None] * np.eye(2), (2, 3, 3, 2, 2))),
}


@pytest.mark.parametrize("kind", list(VARIANCES))
def test_every_form_of_variances(kind):
    shape, matrices = VARIANCES[kind]
    rng = np.random.default_rng(4)
    w, mu, _ = numbers(3, 2, rng)
    variances = rng.uniform(0.5, 2, size=shape)
    forms = {"covariances": variances, "variances": variances, "scales": variances**0.5, "precisions": 1 / variances}
    if kind == "diag":
        forms["variances"] = np.swapaxes(variances, 2, 3)
    for name, values in forms.items():
        dt, draws = adopted({"w": w, "mu": np.swapaxes(mu, 2, 3), "s": values}, **{name: "s"})
        assert dt["posterior"].attrs["covariance_type"] == ("tied" if kind == "one" else kind)
        np.testing.assert_allclose(draws.full_covariances, matrices(variances).reshape(6, 3, 2, 2), rtol=1e-12)
        np.testing.assert_allclose(draws.means, mu.reshape(6, 3, 2))


def test_one_feature_and_a_weight_of_two():
    rng = np.random.default_rng(5)
    p, mu, sd = rng.uniform(size=(2, 3)), rng.normal(size=(2, 3, 2)), rng.uniform(0.5, 1, size=(2, 3, 2))
    _, draws = adopted({"p": p, "mu": mu, "sd": sd}, weights="p", scales="sd")
    np.testing.assert_array_equal(draws.weights, np.stack([p, 1 - p], axis=-1).reshape(6, 2))
    np.testing.assert_allclose(draws.full_covariances[..., 0, 0], sd.reshape(6, 2) ** 2)
    _, draws = adopted({"mu": mu, "sd": sd[..., 0]}, weights=None, scales="sd")
    np.testing.assert_array_equal(draws.weights, np.full((6, 2), 0.5))
    np.testing.assert_allclose(draws.full_covariances[..., 0, 0], np.repeat(sd[..., :1].reshape(6, 1) ** 2, 2, axis=1))
    for kind in ("full", "diag", "spherical"):
        dt, one = adopted({"p": p, "mu": mu, "sd": sd}, weights="p", scales="sd", covariance_type=kind)
        assert dt["posterior"].attrs["covariance_type"] == kind
        np.testing.assert_allclose(one.full_covariances[..., 0, 0], sd.reshape(6, 2) ** 2)
    for weights in ([0.3, 0.7], np.array([0.3, 0.7])):
        _, fixed = adopted({"mu": mu}, weights=weights, scales=2.0)
        np.testing.assert_allclose(fixed.weights, np.tile([0.3, 0.7], (6, 1)))
        np.testing.assert_allclose(fixed.full_covariances, np.full((6, 2, 1, 1), 4.0))


def test_names_of_dims_go_before_sizes():
    """As many components as features, features first: by the dims that weights and means share with the rest."""
    w, mu, cov = numbers(2, 2, np.random.default_rng(6))
    variances = np.einsum("...ii->...i", cov)
    posterior = {"w": w, "mu": np.swapaxes(mu, 2, 3), "v": np.swapaxes(variances, 2, 3)}
    dims = {"w": ["group"], "mu": ["axis", "group"], "v": ["axis", "group"]}
    dt, draws = adopted(posterior, dims, variances="v")
    np.testing.assert_array_equal(draws.means, mu.reshape(6, 2, 2))
    np.testing.assert_array_equal(draws.covariances, variances.reshape(6, 2, 2))
    assert dt["posterior"].attrs["covariance_type"] == "diag"
    ours = {"w": ["component"], "mu": ["feature", "component"], "v": ["feature", "component"]}
    np.testing.assert_array_equal(adopted(posterior, ours, variances="v")[1].means, mu.reshape(6, 2, 2))
    # Without names components come first.
    assert not np.allclose(adopted(posterior, variances="v")[1].means, mu.reshape(6, 2, 2))


def test_without_weights_the_rows_say_how_many_features_there_are():
    mu = np.random.default_rng(7).normal(size=(2, 3, 2, 3))
    x = np.random.default_rng(8).normal(size=(9, 2))
    _, draws = adopted({"mu": mu}, weights=None, scales=1.0, X=x)
    np.testing.assert_array_equal(draws.means, np.swapaxes(mu, 2, 3).reshape(6, 3, 2))
    assert adopted({"mu": mu}, weights=None, scales=1.0)[1].n_features == 3


def test_datasets_dictionaries_and_names_of_features(faithful):
    dt = bg.load(FOLDER / "pymc.nc")
    before = dt.copy(deep=True)
    expected = bg.adopt(dt, X=faithful)["posterior"]
    assert dt.identical(before)
    posterior = dt["posterior"].to_dataset()
    arrays = {name: posterior[name].values for name in ("w", "mu", "cov")}
    for draws in (posterior, arrays):
        xr.testing.assert_equal(bg.adopt(draws, X=faithful)["posterior"]["means"], expected["means"])
    assert list(expected["feature"].values) == ["eruptions", "waiting"]
    named = posterior.assign_coords(mu_dim_1=["eruptions", "waiting"])
    turned = bg.adopt(named, X=faithful[["waiting", "eruptions"]])
    np.testing.assert_array_equal(turned["observed_data"]["x"], faithful)
    frame = faithful.set_axis([f"row {n}" for n in range(len(faithful))])
    assert bg.assignments(bg.adopt(posterior, X=frame), progressbar=False)["obs_id"][3] == "row 3"


class InferenceData:
    """ArviZ's former container."""

    def __init__(self, posterior):
        self.posterior = posterior

    def groups(self):
        return ["posterior"]

    def __getitem__(self, name):
        return getattr(self, name)


@pytest.mark.parametrize("method", ["stephens", "ecr"])
def test_a_single_component_and_arviz_former_container(method):
    w, mu, cov = numbers(1, 2, np.random.default_rng(10))
    posterior = from_dict({"posterior": {"w": w, "mu": mu, "cov": cov}})["posterior"].to_dataset()
    dt = bg.adopt(InferenceData(posterior), X=np.eye(2), relabel=method)
    np.testing.assert_array_equal(dt["posterior"]["means"], mu)
    assert dt["posterior"].attrs["relabelled"] == method


W, MU, COV = (v.tolist() for v in numbers(2, 2, np.random.default_rng(9)))
FACTOR = np.linalg.cholesky(COV)


@pytest.mark.parametrize(
    ("posterior", "arguments", "error", "message"),
    [
        ({}, {"covariances": "Sigma"}, ModelError, "no variable 'Sigma'. It has 'w', 'mu', 'cov'"),
        ({}, {"scales": "cov", "variances": "cov"}, InvalidArgumentError, "scales and variances are given: give one"),
        ({}, {"covariance_type": "round"}, InvalidArgumentError, "unknown covariance_type 'round'"),
        ({}, {"relabel": "yes"}, InvalidArgumentError, "unknown relabel 'yes'"),
        ({"cov": FACTOR}, {}, ModelError, "not symmetric.*give Cholesky factors as cholesky="),
        ({"cov": FACTOR}, {"precisions": "cov"}, ModelError, "not symmetric, and so no precisions"),
        ({}, {"cholesky": "cov"}, ModelError, "not lower triangular.*give covariances as covariances="),
        ({"cov": np.swapaxes(FACTOR, -1, -2)}, {"cholesky": "cov"}, ModelError, "not lower.*transpose upper factors"),
        ({"cov": -np.array(COV)}, {}, ModelError, "not positive definite"),
        ({"cov": np.array(COV)[:, :, 0]}, {}, ModelError, "may be covariance_type='tied' or 'diag'. Say which"),
        ({"s": np.ones((2, 3, 2))}, {"scales": "s"}, ModelError, "may be covariance_type='spherical' or 'tied'"),
        ({}, {"covariance_type": "diag"}, ModelError, "not those of covariance_type = 'diag': leave .* or give 'full'"),
        ({"s": -np.ones((2, 3, 2, 2))}, {"scales": "s"}, ModelError, "not positive, -1 the least: scales are"),
        ({"w": np.log(W)}, {}, ModelError, "not weights: not negative, with sum 1.*weights=None stands for equal"),
        ({"mu": np.full((2, 3, 2, 2), np.nan)}, {}, ModelError, "'mu' has 24 values that are not finite"),
        ({"mu": np.ones((2, 3, 3, 4))}, {}, ModelError, r"sizes \(3, 4\) .*With 2 components and \? features"),
        ({"cov": np.ones((2, 3, 2, 3, 3))}, {}, ModelError, "With 2 components and 2 features it may have"),
        ({}, {"X": np.eye(3)}, InvalidDataError, "X has 3 features, but the mixture was fitted to 2 features"),
        ({}, {"covariances": ["cov", "w"]}, ModelError, "different shapes: give one of each component"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(posterior, arguments, error, message):
    with pytest.raises(error, match=message):
        bg.adopt({"w": np.array(W), "mu": np.array(MU), "cov": np.array(COV), **posterior}, **arguments)


def test_the_argument_that_settles_a_shape_does():
    two = np.array(COV)[:, :, 0]
    for kind, expected in (("tied", two[0, 0]), ("diag", np.diag(two[0, 0, 0]))):
        _, draws = adopted({"w": np.array(W), "mu": np.array(MU), "cov": np.abs(two)}, covariance_type=kind)
        np.testing.assert_allclose(draws.full_covariances[0, 0], np.abs(expected))


def test_what_is_no_tree_is_said():
    with pytest.raises(ModelError, match=r"a Model cannot be read as draws.*arviz.from_numpyro"):
        bg.adopt(pm.Model())
    with pytest.raises(ModelError, match="no group posterior; it has prior"):
        bg.adopt(from_dict({"prior": {"w": np.ones((1, 2, 2))}}))
    with pytest.raises(ModelError, match="without chain and draw"):
        bg.adopt(xr.Dataset({"w": (("sample", "k"), np.ones((5, 2)) / 2)}, coords={"chain": [0], "draw": [0]}))
    observed = {"observed_data": {"y": np.eye(2), "z": np.eye(2)}}
    tree = from_dict({"posterior": {"w": np.array(W), "mu": np.array(MU), "cov": np.array(COV)}} | observed)
    with pytest.raises(InvalidDataError, match=r"may be the rows: 'y', 'z'. Give one, such as X=dt\['observed_data'\]"):
        bg.adopt(tree)
    given = bg.adopt(tree, X=tree["observed_data"]["y"], relabel=None)
    np.testing.assert_array_equal(given["observed_data"]["x"], np.eye(2))
