"""Simulation-based calibration of NUTS, with samplers that are wrong and must be rejected by the same test."""

import pytest
from calibration import PRIOR, model_of, outside, ranks, with_prior

from bayesgmm.model import mixture

TYPES = ["full", "tied", "diag", "spherical"]


def doubled_prior_scale():
    """Data from the prior, inference with means' and variances' prior scales doubled."""
    wrong = {"range": 2 * PRIOR["range"], "variance_scale": 2 * PRIOR["variance_scale"]}
    return with_prior(model_of("full"), PRIOR | wrong)


def missing_log_determinant(monkeypatch):
    """Every component's density lacks its |covariance|^(-1/2)."""
    right = mixture.MarginalGaussianMixture

    def wrong(name, weights, means, covariances, *args, **kwargs):
        determinant = covariances[:, 0, 0] * covariances[:, 1, 1] - covariances[:, 0, 1] ** 2
        return right(name, weights * determinant**0.5, means, covariances, *args, **kwargs)

    monkeypatch.setattr(mixture, "MarginalGaussianMixture", wrong)
    return model_of("full")


def wrong_gradient(monkeypatch):
    """The sampler follows a gradient in which the means feel nothing of the data."""
    from pytensor.gradient import zero_grad

    right = mixture.MarginalGaussianMixture

    def wrong(name, weights, means, covariances, *args, **kwargs):
        return right(name, weights, zero_grad(means), covariances, *args, **kwargs)

    monkeypatch.setattr(mixture, "MarginalGaussianMixture", wrong)
    return model_of("full")


@pytest.mark.parametrize("covariance_type", TYPES)
def test_ranks_are_uniform(covariance_type):
    assert outside(ranks(covariance_type, 40)) == []


def test_doubled_prior_scales_are_rejected():
    assert outside(ranks("full", 40, model=doubled_prior_scale()))


def test_a_missing_log_determinant_is_rejected(monkeypatch):
    assert outside(ranks("full", 40, model=missing_log_determinant(monkeypatch)))


def test_a_wrong_gradient_is_rejected(monkeypatch):
    assert outside(ranks("full", 40, model=wrong_gradient(monkeypatch)))
