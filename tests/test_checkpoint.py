"""A search that was stopped goes on where it was: climbs on disk."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.exceptions import StorageError
from bayesgmm.search import ascents, checkpoint
from bayesgmm.search.order import climb_in_order
from bayesgmm.search.problem import Problem


class StoppedError(Exception):
    """What stops a search."""


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(1)
    return bg.build_model(rng.standard_t(4, size=(90, 2)), 4)  # many optima


@pytest.fixture
def climbs(monkeypatch):
    """Begins of the climbs that are made; a limit after which one is stopped at its third iteration."""
    begins, limit = [], [np.inf]

    def counted(problem, start, *, each=None, **others):
        begins.append(start)
        steps = []

        def step(q, value):
            each(q, value)
            steps.append(value)
            if len(begins) > limit[0] and len(steps) == 3:
                raise StoppedError

        return climb_in_order(problem, start, each=None if each is None else step, **others)

    monkeypatch.setattr(ascents, "climb_in_order", counted)
    monkeypatch.setattr(checkpoint, "PAUSE", 0.0)
    counted.begins, counted.limit = begins, limit
    return counted


def stopped(model, climbs, store, after):
    climbs.limit[0] = after
    with pytest.raises(StoppedError):
        bg.find_MAP(model, n_init=10, random_seed=3, store=store)
    climbs.limit[0] = np.inf
    made = list(climbs.begins)
    climbs.begins.clear()
    return made


def test_a_stopped_search_goes_on(model, climbs, tmp_path):
    plain = bg.find_MAP(model, n_init=10, random_seed=3)
    needed = list(climbs.begins)
    climbs.begins.clear()
    made = stopped(model, climbs, tmp_path / "search", after=2)
    again = bg.find_MAP(model, n_init=10, random_seed=3, store=tmp_path / "search")
    # What had ended is not climbed again, and what was under way goes on from its third iteration.
    assert len(made) == 3
    assert len(climbs.begins) == len(needed) - 2
    density = again.problem.parameter_density
    assert density(climbs.begins[0])[0] > density(made[2])[0]
    assert again.log_posterior == pytest.approx(plain.log_posterior, abs=1e-6)
    np.testing.assert_array_equal(again.starts.optimum, plain.starts.optimum)


def test_a_search_that_ended_is_not_made_again(model, climbs, tmp_path):
    first = bg.find_MAP(model, n_init=4, store=tmp_path)
    climbs.begins.clear()
    second = bg.find_MAP(model, n_init=4, store=tmp_path)  # without a seed: that of the first
    assert not climbs.begins
    np.testing.assert_array_equal(first.q, second.q)
    np.testing.assert_array_equal(first.starts.log_posterior, second.starts.log_posterior)


def test_climbs_of_other_rows_are_not_taken(model, climbs, tmp_path):
    """Negative control: where the folder is of other rows, though all climbs begin alike."""
    q = bg.find_MAP(model, n_init=1, random_seed=0).q
    other = bg.build_model(model.table.values + 0.1, 4)
    kept = checkpoint.Checkpoint(tmp_path)
    first = kept.climbed(Problem.of(model), q, climbs)
    climbs.begins.clear()
    second = kept.climbed(Problem.of(other), q, climbs)
    assert len(climbs.begins) == 1
    assert np.abs(second.q - first.q).max() > 1e-3


def test_what_cannot_be_read_is_said(model, tmp_path):
    bg.find_MAP(model, n_init=1, random_seed=0, store=tmp_path / "one")
    climb = next((tmp_path / "one").glob("*.npz"))
    climb.write_bytes(b"nothing")
    with pytest.raises(StorageError, match=f"{climb.name}.*delete it"):
        bg.find_MAP(model, n_init=1, random_seed=0, store=tmp_path / "one")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        bg.find_MAP(model, n_init=1, random_seed=0, store=tmp_path / "file")
    (tmp_path / "one" / "seed.txt").write_text("none")
    with pytest.raises(StorageError, match="holds no seed"):
        bg.find_MAP(model, n_init=1, store=tmp_path / "one")
