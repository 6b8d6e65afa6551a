"""Whatever is passed in: a finite result, or one of the package's own errors; never a crash, a NaN or a hang.

Hypothesis makes the tables and the arguments. Warnings are errors in this suite, so NumPy's are failures here; the
package's own warnings are part of a right answer.
"""

import warnings

import numpy as np
import pandas as pd
import pymc  # noqa: F401 (it changes the recursion limit, which Hypothesis watches)
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm import exceptions
from bayesgmm.cli import app

ERRORS = tuple(
    e
    for e in vars(exceptions).values()
    if isinstance(e, type) and issubclass(e, Exception) and not issubclass(e, Warning)
)
WARNINGS = [w for w in vars(exceptions).values() if isinstance(w, type) and issubclass(w, Warning)]
TYPES = ["full", "tied", "diag", "spherical"]

ordinary = st.floats(-10, 10)
wild = st.one_of(
    ordinary,
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1e-300, 1e300, -1e308, 5e-324, np.nan, np.inf, 1e16, 1 + 1e-15]),
)


@st.composite
def tables(draw, elements=None):
    """Tables of few rows: ordinary, on a grid, with ties, with a constant or repeated column, at odd scales, wild."""
    n, d = draw(st.integers(0, 25)), draw(st.integers(0, 4))
    kind = draw(st.sampled_from(["normal", "grid", "ties", "repeat", "plane", "scales", "clusters", "wild"]))
    if kind == "wild":
        return draw(arrays(np.float64, (n, d), elements=wild if elements is None else elements))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    x = rng.normal(size=(n, d))
    if kind == "grid":
        x = x.round(draw(st.integers(0, 2)))
    elif kind == "ties" and n:
        x = x[rng.integers(max(1, n // 3), size=n)]
    elif kind == "repeat" and d > 1:
        x[:, -1] = x[:, 0] * draw(st.sampled_from([1.0, -2.0, 1 / 3]))
    elif kind == "plane" and d > 1:
        x[: n // 2, -1] = x[: n // 2, 0]
    elif kind == "scales":
        x = x * 10.0 ** rng.integers(-150, 150, size=d) + draw(st.sampled_from([0.0, 1e6]))
    elif kind == "clusters" and n:
        x += 50 * rng.integers(3, size=(n, 1))
    return x


@st.composite
def inputs(draw):
    """A table as users have it: array, list, data frame with names of any kind, text or missing values in it."""
    x = draw(tables())
    form = draw(
        st.sampled_from(
            ["array", "array", "array", "list", "frame", "frame", "float32", "object", "text", "1d", "3d", "none"]
        )
    )
    if form == "list":
        return x.tolist()
    if form == "frame":
        name = st.one_of(st.text(max_size=8), st.integers(), st.sampled_from(["<script>", "weights", "x", "", "a b"]))
        return pd.DataFrame(x, columns=draw(st.lists(name, min_size=x.shape[1], max_size=x.shape[1])))
    if form == "float32":
        with np.errstate(over="ignore", under="ignore"):
            return x.astype(np.float32)
    if form == "object":
        return x.astype(object)
    if form == "text":
        return pd.DataFrame(x).astype(str)
    return {"1d": x.ravel(), "3d": x[None], "none": None}.get(form, x)


counts = st.one_of(st.integers(1, 4), st.integers(-1, 30), st.sampled_from([1.5, "2", None, True, np.int64(2)]))
types = st.one_of(st.sampled_from(TYPES), st.sampled_from(["Full", "", None, 3]))
resolutions = st.one_of(
    st.just("auto"), st.none(), st.floats(0, 1), st.sampled_from(["fine", -1.0, np.nan, [0.1, 0.2], 1e300])
)
weights = st.one_of(
    st.none(), st.none(), arrays(np.float64, st.integers(0, 25), elements=st.floats(-0.1, 3)), st.just(2.0)
)


def quietly(call, *args, **kwargs):
    """The result, or None for an error that the package documents. Its own warnings are allowed, others are errors."""
    with warnings.catch_warnings():
        for category in WARNINGS:
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", "X .* feature names")  # scikit-learn's word on frames and arrays mixed
        try:
            return call(*args, **kwargs)
        except ERRORS as error:
            if not str(error).strip():
                pytest.fail(f"{error!r} has no message")
            return None


def finite(*values):
    return all(np.isfinite(np.asarray(v, dtype=float)).all() for v in values)


@given(inputs(), counts, types, resolutions, weights)
def building(X, n_components, covariance_type, resolution, sample_weight):
    model = quietly(
        bg.build_model,
        X,
        n_components,
        covariance_type=covariance_type,
        resolution=resolution,
        sample_weight=sample_weight,
    )
    if model is not None:
        assert finite(*(v.get_value() for v in model.data_vars))


@given(tables(ordinary), st.integers(1, 3), st.sampled_from(TYPES), weights)
def finding_the_mode(X, n_components, covariance_type, sample_weight):
    model = quietly(bg.build_model, X, n_components, covariance_type=covariance_type, sample_weight=sample_weight)
    estimate = None if model is None else quietly(bg.find_MAP, model, n_init=2, random_seed=0)
    if estimate is not None:
        assert finite(estimate.log_posterior, estimate.log_likelihood, *estimate.point.values())
        assert estimate.point["weights"].sum() == pytest.approx(1)


@given(tables(ordinary), st.integers(1, 3), st.sampled_from(TYPES), st.integers(-1, 8), st.integers(0, 3))
def sampling(X, n_components, covariance_type, draws, chains):
    model = quietly(bg.build_model, X, n_components, covariance_type=covariance_type)
    dt = None
    if model is not None:
        dt = quietly(bg.sample, model, draws=draws, tune=10, chains=chains, random_seed=0, progressbar=False)
    if dt is not None:
        assert dt["posterior"].sizes["draw"] == draws
        assert finite(*(dt["posterior"][name] for name in ("weights", "means", "covariances")))
        assert finite(*bg.assignments(dt).data_vars.values())
        assert bg.diagnose(dt).verdict in ("ok", "caution", "fail")


@given(inputs(), inputs(), st.integers(1, 3), st.sampled_from(TYPES), resolutions, weights)
def fitting_and_predicting(X, X2, n_components, covariance_type, resolution, sample_weight):
    gmm = bg.GaussianMixture(
        n_components, covariance_type=covariance_type, inference="map", resolution=resolution, n_init=2, random_state=0
    )
    if quietly(gmm.fit, X, sample_weight=sample_weight) is None:
        return
    assert finite(gmm.weights_, gmm.means_, gmm.covariances_)
    for rows in (X, X2):
        probability = quietly(gmm.predict_proba, rows)
        if probability is not None:
            assert finite(probability)
            np.testing.assert_allclose(probability.sum(axis=1), 1)


@given(tables(ordinary), st.floats(0, 1), st.integers(0, 99), st.integers(1, 3), st.sampled_from(TYPES), weights)
def fitting_rows_with_gaps(X, share, seed, n_components, covariance_type, sample_weight):
    X = np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)
    gmm = bg.GaussianMixture(
        n_components, covariance_type=covariance_type, inference="map", missing="marginalise", n_init=2, random_state=0
    )
    if quietly(gmm.fit, X, sample_weight=sample_weight) is None:
        return
    assert finite(gmm.weights_, gmm.means_, gmm.covariances_, gmm.score_samples(X))
    np.testing.assert_allclose(gmm.predict_proba(X).sum(axis=1), 1)
    completed = quietly(bg.impute, gmm, draws=3)
    if completed is not None:
        assert finite(completed["x"])
        seen = ~np.isnan(X)
        assert (completed["x"].values[:, seen] == X[seen]).all()


FILES = st.one_of(
    st.builds(lambda x: pd.DataFrame(x).add_prefix("c").to_csv(index=False), tables()),
    st.text(max_size=60),
    st.sampled_from(["", "a,b", "a,b\n1,2", "a,a\n1,2\n3,4", "1,2\n3,4", "a,b\n1,x\n2,y", "a;b\n1;2\n3;4", "\x00\x01"]),
)


@given(FILES, st.integers(-1, 3), st.sampled_from([*TYPES, "round"]), st.sampled_from([None, "c0", "c0,c1", "zz", ""]))
def the_command_line(tmp_path_factory, text, components, covariance, columns):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "table.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    arguments = ["fit", str(folder / "table.csv"), "-k", str(components), "--covariance", covariance]
    arguments += ["--inference", "map", "--seed", "1", "--draws", "20", "--out", str(folder / "fit.nc")]
    result = CliRunner().invoke(app, arguments + ([] if columns is None else ["--columns", columns]))
    assert result.exit_code in (0, 1, 2), result.exception
    if result.exit_code == 0:
        assert bg.load(folder / "fit.nc")["posterior"].sizes["draw"] == 80
    else:
        assert isinstance(result.exception, SystemExit), repr(result.exception)
        assert not (folder / "fit.nc").exists()


CASES = {
    "building": (building, 60, 800),
    "finding the mode": (finding_the_mode, 6, 400),
    "sampling": (sampling, 5, 150),
    "fitting and predicting": (fitting_and_predicting, 15, 500),
    "fitting rows with gaps": (fitting_rows_with_gaps, 6, 300),
    "the command line": (the_command_line, 15, 200),
}


def run(case, examples, tmp_path_factory):
    common = {
        "deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck),
        "phases": [Phase.generate],  # a failure is shown as it was found: making it smaller may take minutes
    }  # fmt: skip
    test = settings(max_examples=examples, **common)(case)
    if case is the_command_line:
        with warnings.catch_warnings():
            for category in WARNINGS:
                warnings.simplefilter("ignore", category)
            test(tmp_path_factory)
    else:
        test()


@pytest.mark.parametrize("name", CASES)
def test_a_result_or_a_documented_error(name, tmp_path_factory):
    case, examples, _ = CASES[name]
    run(case, examples, tmp_path_factory)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_result_or_a_documented_error_many_times(name, tmp_path_factory):
    """2,350 cases in all."""
    case, _, examples = CASES[name]
    run(case, examples, tmp_path_factory)
