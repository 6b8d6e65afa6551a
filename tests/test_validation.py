"""Bad data get a message that names the value and the remedy, before any computation."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from scipy.sparse import csr_array
from sklearn.datasets import load_iris

import bayesgmm as bg
from bayesgmm.data.resolution import check_resolution, recording_step
from bayesgmm.data.table import Table
from bayesgmm.exceptions import InMemoryWarning, InvalidArgumentError, InvalidDataError, InvalidDataTypeError


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(20, 3))


def with_value(x, value, row=4, column=1):
    x = x.copy()
    x[row, column] = value
    return x


FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "name": ["x", "y", "z"], "b": [1.0, 0.0, 2.0]})

CASES = [
    (lambda x: with_value(x, np.nan), InvalidDataError, r"NaN: row 4, column 'x1' \(1 such values"),
    (lambda x: with_value(x, -np.inf), InvalidDataError, "infinity: row 4, column 'x1'"),
    (lambda x: FRAME, InvalidDataTypeError, "non-numeric columns: 'name'. Drop them"),
    (lambda x: pl.from_pandas(FRAME), InvalidDataTypeError, "non-numeric columns: 'name'"),
    (lambda x: np.array([["a", "b"], ["c", "d"]]), InvalidDataTypeError, "non-numeric columns: 0, 1"),
    (lambda x: x[:0], InvalidDataError, "X has no rows"),
    (lambda x: x[:, :0], InvalidDataError, "X has no columns"),
    (lambda x: x[:1], InvalidDataError, "one row .* needs at least 2 rows"),
    (lambda x: x[:3], InvalidDataError, "3 rows are fewer than n_components = 4: choose n_components <= 3"),
    (lambda x: np.column_stack([x, np.full(20, 7.1)]), InvalidDataError, "constant feature: 'x3'.*drop it"),
    (lambda x: np.tile([1.0, 2.0], (9, 1)), InvalidDataError, "all 9 rows are duplicates of one row"),
    (lambda x: x[:, 0], InvalidDataError, r"Expected 2D array .* X.reshape\(-1, 1\)"),
    (lambda x: x[None], InvalidDataError, "got 3D array instead"),
    (lambda x: x + 1j, InvalidDataError, "Complex data not supported"),
    (csr_array, InvalidDataTypeError, r"sparse matrix.*X.toarray\(\)"),
    (lambda x: pl.DataFrame(x).lazy(), InvalidDataTypeError, r"LazyFrame, which holds no rows yet: pass X.collect\(\)"),
    (lambda x: [[1.0, 2.0], [3.0]], InvalidDataTypeError, "cannot be read as a table of numbers"),
    (lambda x: pd.DataFrame(x, columns=["a", "b", "a"]), InvalidDataError, "column names repeat: 'a'"),
    (
        lambda x: with_value(with_value(x, 1.7e308), -1.7e308, row=5),
        InvalidDataError,
        "of which float64 cannot hold the powers",
    ),
]


@pytest.mark.parametrize(("make", "error", "message"), CASES)
def test_message_names_the_value_and_the_remedy(x, make, error, message):
    with np.errstate(over="ignore"), pytest.raises(error, match=message):
        bg.build_model(make(x), 4)


def test_errors_are_what_scikit_learns_users_expect():
    assert issubclass(InvalidDataError, ValueError)
    assert issubclass(InvalidDataTypeError, TypeError)
    assert issubclass(InvalidArgumentError, ValueError)


@pytest.mark.parametrize(
    ("weight", "message"),
    [([1, 2], r"shape \(2,\); X has 20 rows"), ([-1.0] * 20, "not negative"), ([0.0] * 20, "not all zero")],
)
def test_bad_sample_weights(x, weight, message):
    with pytest.raises(InvalidArgumentError, match=message):
        bg.build_model(x, 2, sample_weight=weight)


def test_frames_of_every_kind_read_alike(x):
    pandas = pd.DataFrame(x, columns=["a", "b", "c"]).astype({"a": "float32"})
    tables = [Table.of(pandas), Table.of(pl.from_pandas(pandas)), Table.of(pandas.astype({"b": object}))]
    for table in tables:
        assert table.features == ("a", "b", "c")
        assert table.values.flags.c_contiguous
        np.testing.assert_array_equal(table.values, tables[0].values)
    booleans = Table.of(pd.DataFrame({"yes": [True, False]}))
    np.testing.assert_array_equal(booleans.values, [[1.0], [0.0]])


def test_rows_of_weight_zero_do_not_count(x):
    weight = np.zeros(20)
    weight[:1] = 1
    with pytest.raises(InvalidDataError, match="one row"):
        Table.to_fit(x, sample_weight=weight)


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([3.6, 1.8, 3.333, 1.8], 1e-3),
        ([79, 54, 74, 54], 1.0),
        ([70, 50, 70, 90], 10.0),
        ([1e6, 3e6, 1e6], 1e6),
        ([0.1, 0.2, 0.3, 0.3], 0.1),
        ([-0.25, 0.5, 0.5, 1.75], 0.01),
        ([1.1, 2.2, 3.3], 0.0),  # no ties: taken as continuous
        ([np.pi, np.e, np.pi], 0.0),  # ties on no decimal grid
        ([1 / 3, 2 / 3, 1 / 3], 0.0),
        ([2.0, 4, 6, 8, 10, 12, 2], 2.0),  # even numbers only
        ([20.0, 40, 60, 20], 10.0),  # too few to tell
    ],
)
def test_recording_step(values, step):
    assert recording_step(np.array(values, dtype=float)) == step


@given(
    st.lists(st.integers(-500, 500), min_size=3, max_size=40).filter(lambda v: len(set(v)) > 1),
    st.integers(-6, 6),
)
@settings(max_examples=200, deadline=None)
def test_recording_step_divides_every_value(integers, exponent):
    """Whatever the grid, values that are its multiples, once with a tie, get a step of which they are multiples."""
    values = np.array([*integers, integers[0]], dtype=float)
    column = values / 10.0**-exponent if exponent < 0 else values * 10.0**exponent
    step = recording_step(column)
    assert step >= 10.0**exponent * (1 - 1e-12)
    distances = (column - column.min()) / step
    np.testing.assert_allclose(distances, np.rint(distances), atol=1e-5)


@pytest.mark.parametrize("change", [lambda v: v - v.mean(), lambda v: v / 2.54, lambda v: (v - v.mean()) / v.std()])
def test_recording_step_survives_centring_and_other_units(change):
    """Iris, in tenths of a centimetre, and answers from 1 to 5."""
    for column in (*load_iris().data.T, np.random.default_rng(0).integers(1, 6, size=50).astype(float)):
        scale = change(column).std() / column.std()
        np.testing.assert_allclose(recording_step(change(column)), recording_step(column) * scale, rtol=1e-9)


def test_ties_beside_continuous_values_have_no_step():
    rng = np.random.default_rng(0)
    assert recording_step(np.concatenate([np.zeros(10), rng.exponential(size=50)])) == 0.0
    assert recording_step(np.repeat(rng.normal(size=9), 4)) == 0.0


def test_resolution_may_be_given_or_switched_off(x):
    table = np.round(x, 1)
    np.testing.assert_array_equal(check_resolution(None, table), [0, 0, 0])
    np.testing.assert_array_equal(check_resolution(0.5, table), [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(check_resolution([0, 1, 2], table), [0, 1, 2])
    np.testing.assert_array_equal(check_resolution("auto", table), [0.1, 0.1, 0.1])
    with pytest.raises(InvalidArgumentError, match="one number for each of the 3 features"):
        check_resolution([1, 2], table)
    with pytest.raises(InvalidArgumentError, match=r"resolution = 1e\+300 is more than 1e\+70"):
        check_resolution(1e300, table)


class Collection:
    """What a dask array is to those who read it."""

    def __init__(self, values):
        self.values = values

    def compute(self):
        return self.values


Collection.__module__ = "dask.array.core"


def test_a_dask_array_is_loaded_and_that_is_said(x):
    with pytest.warns(InMemoryWarning, match="all of it is loaded into this process's memory"):
        table = Table.of(Collection(x))
    np.testing.assert_array_equal(table.values, x)
