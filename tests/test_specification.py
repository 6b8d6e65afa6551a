"""All that is assumed, as one value: in a model, in words, in Python that runs, on paper and back."""

import json

import numpy as np
import pymc as pm
import pytest
from numba.core import event
from pytensor.graph.fg import FrozenFunctionGraph

import bayesgmm as bg
from bayesgmm.data.table import Table
from bayesgmm.exceptions import ModelError, StorageError
from bayesgmm.graph import compiled, user_priors
from bayesgmm.graph.log_posterior import LogPosterior
from bayesgmm.model.paper import FORMAT, from_json, to_json
from bayesgmm.search.problem import Problem

TYPES = ("full", "tied", "diag", "spherical")
# Distribution, the call that gives it, and whether its density vanishes at 0 faster than any power.
USERS = [
    (lambda: pm.Normal.dist(0, 5), "Normal.dist(mu=0.0, sigma=5.0)", False),
    (lambda: pm.Gamma.dist(2, 3.0), "Gamma.dist(alpha=2.0, beta=3.0)", False),
    (lambda: pm.Gamma.dist(mu=1.0, sigma=0.5), "Gamma.dist(alpha=4.0, beta=4.0)", False),
    (lambda: pm.Exponential.dist(2.0), "Exponential.dist(lam=2.0)", False),
    (lambda: pm.HalfNormal.dist(2), "HalfNormal.dist(sigma=2.0)", False),
    (lambda: pm.InverseGamma.dist(3, 1), "InverseGamma.dist(alpha=3.0, beta=1.0)", True),
    (lambda: pm.LogNormal.dist(0, 1), "LogNormal.dist(mu=0.0, sigma=1.0)", True),
    (lambda: pm.Uniform.dist(1, 2), "Uniform.dist(lower=1.0, upper=2.0)", True),
    (lambda: pm.Uniform.dist(0, 2), "Uniform.dist(lower=0.0, upper=2.0)", False),
    (lambda: pm.Normal.dist([1, 2], 1), "Normal.dist(mu=[1.0, 2.0], sigma=1.0)", False),
    (lambda: pm.TruncatedNormal.dist(0, 1, lower=0), "TruncatedNormal.dist(mu=0.0, sigma=1.0, lower=0.0)", False),
    (lambda: pm.HalfStudentT.dist(3, 1), "HalfStudentT.dist(nu=3.0, sigma=1.0)", False),
]
OPAQUE = [
    lambda: pm.Truncated.dist(pm.LogNormal.dist(0, 1), lower=1),
    lambda: pm.Normal.dist(pm.Normal.dist(0, 1), 1),
]


@pytest.mark.parametrize(("make", "call", "vanishes"), USERS, ids=[call for _, call, _ in USERS])
def test_a_users_distribution_is_taken_apart_and_put_together(make, call, vanishes):
    prior = make()
    name, parameters = user_priors.taken_apart(prior)
    assert user_priors.written(name, parameters) == call
    again = user_priors.put_together(name, parameters)
    written = eval(f"pm.{call}", {"pm": pm})
    for point in (0.3, 1.7):
        expected = pm.logp(prior, point).eval(mode=user_priors.INTERPRETED)
        for other in (again, written):
            np.testing.assert_allclose(pm.logp(other, point).eval(mode=user_priors.INTERPRETED), expected, rtol=1e-6)
    assert user_priors.vanishes_at_zero(prior) == vanishes


@pytest.mark.parametrize("make", OPAQUE)
def test_what_is_not_a_name_and_numbers_says_so(make):
    assert user_priors.taken_apart(make()) is None


def model_with(faithful, **priors):
    return bg.build_model(faithful, 2, priors=bg.Priors(**priors))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_from_paper_comes_the_same_model(faithful, covariance_type):
    model = bg.build_model(faithful, 2, covariance_type=covariance_type)
    specification = from_json(to_json(model.specification))
    assert specification.in_words() == model.specification.in_words()
    assert specification.n_parameters == {"full": 11, "tied": 8, "diag": 9, "spherical": 7}[covariance_type]
    again = specification.build(model.table)
    q = 0.1 * np.random.default_rng(0).normal(size=Problem.of(model).n_parameters)
    assert Problem.of(again).sampling_density(q)[0] == Problem.of(model).sampling_density(q)[0]


def test_users_priors_come_back_from_paper(faithful):
    model = model_with(
        faithful, means=pm.Normal.dist([3, 70], [1, 10]), variances=pm.InverseGamma.dist(3, 1), lkj_eta=4
    )
    words = dict(model.specification.in_words())
    assert words["means"] == "Normal.dist(mu=[3.0, 70.0], sigma=[1.0, 10.0])"
    again = from_json(to_json(model.specification)).build(model.table)
    q = 0.1 * np.random.default_rng(0).normal(size=Problem.of(model).n_parameters)
    assert Problem.of(again).sampling_density(q)[0] == Problem.of(model).sampling_density(q)[0]
    opaque = model_with(faithful, scales=OPAQUE[0]())
    kept = from_json(to_json(opaque.specification))
    with pytest.raises(ModelError, match="prior of the scales of its own"):
        kept.build(opaque.table)
    with pytest.raises(StorageError, match="not the specification"):
        from_json("{}")
    with pytest.raises(StorageError, match="newer bayesgmm"):
        from_json(to_json(model.specification).replace(f'"format": {FORMAT}', '"format": 99'))


def test_its_python_makes_the_same_specification(faithful):
    for model in (
        bg.build_model(faithful, 3, covariance_type="tied", resolution=None),
        model_with(faithful, concentration=[1.0, 2.0], means=pm.Normal.dist(3, 50), scales=pm.HalfNormal.dist(5)),
    ):
        call = f"bg.build_model(X, {', '.join(model.specification.arguments())})"
        again = eval(call, {"bg": bg, "pm": pm, "X": faithful})
        assert again.specification.in_words() == model.specification.in_words()


def test_terms_and_numbers_are_those_of_the_model_now(faithful):
    model = bg.build_model(faithful, 2)
    table = model.table
    assert model.table is table
    with model:
        pm.Potential("order", model["means"][0, 0])
        pm.Normal("shift")
        pm.set_data({"midrange": np.array([1.0, 2.0])})
    assert model.specification.terms == ("shift ~ Normal(0, 1)", "order (a potential)")
    np.testing.assert_array_equal(model.specification.prior("means").numbers["midrange"], [1, 2])
    with model:
        pm.set_data({"x_data": faithful.to_numpy(dtype=float) + 1})
    np.testing.assert_array_equal(model.table.values, table.values + 1)


def test_changing_a_priors_numbers_compiles_nothing(faithful):
    """Numbers, their shape, K and D: one compiled function for a family of distributions."""
    first = model_with(faithful, means=pm.Normal.dist(3, 50), variances=pm.InverseGamma.dist(2, 3))
    Problem.of(first).parameter_density(np.zeros(11))
    rng = np.random.default_rng(0)
    with event.install_recorder("numba:compile") as compilations:
        for x, k, mu in ((faithful, 2, [1.0, 2.0]), (faithful, 4, 0.5), (rng.normal(size=(50, 3)), 2, [0.0, 1.0, 2.0])):
            priors = bg.Priors(means=pm.Normal.dist(mu, 40), variances=pm.InverseGamma.dist(3, 1))
            problem = Problem.of(bg.build_model(x, k, priors=priors))
            assert np.isfinite(problem.parameter_density(problem.graph.initial)[0])
    assert len(compilations.buffer) == 0


@pytest.mark.parametrize("covariance_type", ["full", "spherical"])
def test_no_length_is_a_number_of_a_users_graph(monkeypatch, covariance_type):
    """Of one feature, which is an axis that broadcasts, too: another K would be compiled anew."""
    # What compiled functions are looked up by.
    monkeypatch.setattr(compiled, "shared_by_graph", lambda kind, *graph: FrozenFunctionGraph.from_io(*graph[:2]))
    for d in (1, 3):
        graphs = []
        for n, k, mu in ((9, 2, 0.0), (12, 4, np.arange(4.0)[:, None]), (9, 2, np.arange(d))):
            priors = bg.Priors(means=pm.Normal.dist(mu, 40), scales=pm.LogNormal.dist(0, 1))
            x = np.random.default_rng(0).normal(size=(n, d))
            model = bg.build_model(x, k, covariance_type=covariance_type, priors=priors)
            graphs.append(LogPosterior(model).function.function)
        assert graphs[0] == graphs[1] == graphs[2]


def test_a_log_normal_prior_keeps_scales_away_from_nothing(faithful):
    model = bg.build_model(faithful, 2, priors=bg.Priors(scales=pm.LogNormal.dist(1, 1)), resolution=None)
    assert model.specification.unbounded_because == ()
    half_normal = bg.build_model(faithful, 2, priors=bg.Priors(scales=pm.HalfNormal.dist(5)), resolution=None)
    assert "does not keep them away from 0" in half_normal.specification.unbounded_because[0]


def test_the_initial_point_has_different_components(faithful):
    """So that PyMC's own verbs get somewhere: from equal means no optimiser moves."""
    model = bg.build_model(faithful, 2, covariance_type="diag")  # PyMC compiles a full one for a minute
    means = model.initial_point()["means"]
    assert np.abs(np.diff(means, axis=0)).min() > 0
    found = pm.find_MAP(model=model, jitter=False, progressbar=False, return_inferencedata=True)
    point = {"means": found["posterior"]["means"].values[0, 0]}
    ours = bg.find_MAP(model, random_seed=1)
    order = np.argsort(point["means"][:, 0])
    np.testing.assert_allclose(point["means"][order], ours.point["means"], rtol=1e-2)


@pytest.mark.slow
def test_pymcs_variational_fit_tells_components_apart(faithful):
    with bg.build_model(faithful, 2):
        approximation = pm.fit(5_000, progressbar=False, random_seed=1)
    fitted = approximation.sample(200, random_seed=1).posterior["means"].mean(("chain", "draw")).values
    assert np.abs(np.diff(fitted[:, 1])) > 10


def test_models_made_anew_of_ours_say_what_is_needed(faithful):
    model = bg.build_model(faithful, 2)
    from pymc.model.transform.optimization import freeze_dims_and_data

    others = [
        pm.do(model, {"weights": np.array([0.3, 0.7])}),
        pm.observe(model, {"weights": np.array([0.3, 0.7])}),
        freeze_dims_and_data(model),
    ]
    for other in others:
        with pytest.raises(ModelError, match="Pass the model that build_model returned"):
            bg.find_MAP(other)
        with pytest.raises(ModelError, match=r"not made by bayesgmm\.build_model"):
            bg.sample(other)


def test_a_default_of_an_earlier_version_comes_back_in_words(faithful):
    """Its draws can be read; its model, which nothing makes now, has to be given."""
    specification = bg.build_model(faithful, 2).specification
    paper = json.loads(to_json(specification)) | {"format": 3}
    back = from_json(json.dumps(paper))
    assert [prior.variable for prior in back.priors] == ["weights", "means", "covariances"]
    assert "an earlier version" in back.not_defaults["covariances"]
    assert any("and your prior of the covariances" in said for said in back.arguments())
    with pytest.raises(ModelError, match="earlier version"):
        back.build(Table.of(faithful))
