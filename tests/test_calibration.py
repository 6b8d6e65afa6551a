"""Simulation-based calibration of NUTS, with samplers that are wrong and must be rejected by the same test."""

import numpy as np
import pymc as pm
import pytest
from calibration import N_ROWS, PRIOR, model_of, outside, ranks, with_prior

from bayesgmm.graph import compiled
from bayesgmm.graph.ops import MixtureLogDensity
from bayesgmm.model import build

TYPES = ["full", "tied", "diag", "spherical"]
# Of what is run every time.
REPLICATIONS = 8


def doubled_prior_scale():
    """Data from the prior, inference with the prior scales of the means and the reference doubled."""
    wrong = {"range": 2 * PRIOR["range"], "total_cholesky": 2 * PRIOR["total_cholesky"]}
    return with_prior(model_of("full"), PRIOR | wrong)


def missing_log_determinant(monkeypatch):
    """Every component's density lacks its |covariance|^(-1/2)."""
    right = build.MarginalGaussianMixture

    def wrong(name, weights, means, covariances, *args, **kwargs):
        determinant = covariances[:, 0, 0] * covariances[:, 1, 1] - covariances[:, 0, 1] ** 2
        return right(name, weights * determinant**0.5, means, covariances, *args, **kwargs)

    monkeypatch.setattr(build, "MarginalGaussianMixture", wrong)
    return model_of("full")


def missing_prior_term():
    """The reference's prior lacks its determinant. (Without that in the components' priors nothing holds it from 0.)"""
    model = model_of("full")
    with model:
        log_scales = model["reference_log_cholesky"][[0, 2]]  # of two features
        pm.Potential("missing", -model["within_rows"] * log_scales.sum())
    return model


def prior_term_twice(monkeypatch):
    """The components' priors have the determinant of the reference, which normalises them, twice: with one nu."""
    monkeypatch.setitem(PRIOR, "likeness", np.full(3, 6.0))
    model = model_of("full")
    with model:
        log_scales = model["reference_log_cholesky"][[0, 2]]  # of two features
        pm.Potential("twice", model.dim_lengths["component"] * 6.0 * log_scales.sum())
    return model


def wrong_gradient(monkeypatch):
    """The means are pushed away from the data, so hard that chains stand still: NUTS is exact under any other force."""
    right = MixtureLogDensity.pullback

    def wrong(self, *args):
        x, weights, means, covariances = right(self, *args)
        return [x, weights, -1e4 * means, covariances]

    monkeypatch.setattr(MixtureLogDensity, "pullback", wrong)
    # Compiled functions are shared by the graph of their value, which is the right one's.
    monkeypatch.setattr(compiled, "_functions", {})
    return model_of("full")


def test_ranks_are_uniform():
    """As many replications as reject what is wrong; the other types, and 200 replications, are slow evidence."""
    assert outside(ranks("full", REPLICATIONS)) == []


def test_rows_that_count_too_often_are_rejected():
    """A likelihood of numbers that are wrong; of code that is wrong, which is compiled anew, in the slow evidence."""
    assert outside(ranks("full", REPLICATIONS, model=model_of("full", sample_weight=np.full(N_ROWS, 6.0))))


@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", TYPES)
def test_ranks_are_uniform_in_many_replications(covariance_type):
    ranked = ranks(covariance_type, 200, seed=1)
    failed = outside(ranked)
    print(f"\n{covariance_type}: {len(failed)} of {len(ranked)} functions leave the bands in 200 replications {failed}")
    assert failed == []


@pytest.mark.slow
@pytest.mark.parametrize("lack", ["values", "precision", "component"])
def test_ranks_are_uniform_where_rows_lack_something(lack):
    ranked = ranks("full", 200, seed=2, lack=lack)
    failed = outside(ranked)
    print(f"\nrows that lack {lack}: {len(failed)} of {len(ranked)} functions leave the bands {failed}")
    assert failed == []


@pytest.mark.slow
def test_errors_that_are_left_out_are_rejected():
    """Negative control: rows measured with errors, fitted as if exact."""
    model = model_of("full", measurement_covariance=np.zeros((N_ROWS, 2)))
    failed = outside(ranks("full", 100, model=model, seed=2, lack="precision"))
    print(f"\nerrors left out (negative control): {len(failed)} functions leave the bands")
    assert failed


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    ["doubled prior scales", "missing log-determinant", "missing prior term", "prior term twice", "wrong gradient"],
)
def test_wrong_inference_is_rejected(wrong, monkeypatch):
    model, replications, seed = {
        "doubled prior scales": lambda m: (doubled_prior_scale(), 500, 1),
        "missing log-determinant": lambda m: (missing_log_determinant(m), 200, 1),
        "missing prior term": lambda m: (missing_prior_term(), 200, 1),
        "prior term twice": lambda m: (prior_term_twice(m), 200, 1),
        # Chains that hardly move take the longest trajectories there are: 8 seconds a fit.
        "wrong gradient": lambda m: (wrong_gradient(m), 40, 1),
    }[wrong](monkeypatch)
    ranked = ranks("full", replications, model=model, seed=seed)
    failed = outside(ranked)
    print(f"\n{wrong} (negative control): {len(failed)} of {len(ranked)} functions leave the bands")
    assert failed
