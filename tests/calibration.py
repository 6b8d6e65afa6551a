r"""Simulation-based calibration: draw parameters from the prior, data from them, and look where they rank.

If inference is right, the rank of a prior draw's f among the posterior draws' f is uniform, for every function f of the
parameters and the data (Talts, Betancourt, Simpson, Vehtari and Gelman 2018, https://arxiv.org/abs/1804.06788). The f
here do not know the components' labels: sorted weights, the log-likelihood (Modrak et al. 2023,
https://doi.org/10.1214/23-BA1404), the log-density at fixed points; and parameters of the component whose first mean is
the least, its responsibilities among them. Uniformity is judged by the largest distance of the ranks' ECDF from the
diagonal, in simultaneous bands (Sailynoja, Buerkner and Vehtari 2022, https://doi.org/10.1007/s11222-022-10090-6).
"""

import warnings

import numpy as np
from arviz_stats.ecdf_utils import ecdf_pit
from scipy.special import logsumexp
from scipy.stats import invwishart, multivariate_normal, wishart

import bayesgmm as bg
from bayesgmm.data.observations import Observations
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.record.fit import Fit

N_ROWS, N_FEATURES, N_COMPONENTS = 40, 2, 2
POINTS = np.array([[-3.0, -3.0], [0.0, 0.0], [2.0, 3.0]])
DRAWS = 150
# The priors, whose scales do not come from the data here.
PRIOR = {
    "concentration": np.full(N_COMPONENTS, 4.0),
    "midrange": np.zeros(N_FEATURES),
    "range": np.full(N_FEATURES, 4.0),
    "total_cholesky": np.eye(N_FEATURES),
    "reference_cholesky": np.eye(N_FEATURES),
    "within_rows": 4.0,
    "within_spread": 0.5,
    "within_ceiling": 0.6,
    # No wall: what it leaves of the prior has an approximate normaliser only, which is no part of the ranks.
    "within_wall": 0.0,
    "within_log_share": 0.0,
    "likeness": np.array([3.0, 6.0, 20.0]),
    "likeness_shares": np.array([0.3, 0.4, 0.3]),
    "scale_spread": 0.7,
    "scale_wall": 0.02,
}
# The chance that a right sampler is rejected, over all functions together.
LEVEL = 0.01


def model_of(covariance_type, rows=None, **options):
    """A model whose priors are ``PRIOR``."""
    rows = np.random.default_rng(0).normal(size=(N_ROWS, N_FEATURES)) if rows is None else rows
    model = bg.build_model(rows, N_COMPONENTS, covariance_type=covariance_type, resolution=None, **options)
    return with_prior(model, PRIOR)


def with_prior(model, prior):
    """The model with the numbers of a prior, as far as it has them."""
    for name, value in prior.items():
        if name in model.named_vars:
            variable, value = model[name], np.asarray(value, dtype=np.float64)
            # Of what is no matrix in a family, the diagonal, or its one value.
            value = np.diag(value) if value.ndim == 2 and variable.ndim < 2 else value
            variable.set_value(value if variable.ndim else np.array(value.mean()))
    return model


def relative_draw(rng, n_features, correlated):
    """A covariance around the identity by SciPy and NumPy alone: inverse-Wishart's shape, a scale of its own."""
    rows = rng.choice(PRIOR["likeness"], p=PRIOR["likeness_shares"])
    if correlated:
        shape = np.reshape(invwishart(rows, np.eye(n_features)).rvs(random_state=rng), (n_features, n_features))
    else:
        shape = np.diag(1 / rng.chisquare(rows, size=n_features))
    while True:
        u = rng.normal(0, PRIOR["scale_spread"])
        if rng.random() < np.exp(-PRIOR["scale_wall"] * np.exp(-u)):
            break
    return shape * np.exp(u) * np.trace(np.linalg.inv(shape)) / n_features


def within_draw(rng, n_features, correlated):
    """A covariance within the identity: a Wishart's shape, a scale of its own."""
    rows = PRIOR["within_rows"]
    if correlated:
        shape = np.reshape(wishart(rows, np.eye(n_features)).rvs(random_state=rng), (n_features, n_features))
    else:
        shape = np.diag(rng.chisquare(rows, size=n_features))
    while True:
        u = rng.normal(0, PRIOR["within_spread"])
        if rng.random() < np.exp(-PRIOR["within_ceiling"] * np.exp(u)):
            break
    return shape * np.exp(u) * n_features / np.trace(shape)


def prior_draw(rng, structure):
    """Parameters from ``PRIOR`` by NumPy and SciPy alone: weights, means, natural covariances."""
    k, d = N_COMPONENTS, N_FEATURES
    weights = rng.dirichlet(PRIOR["concentration"])
    means = rng.normal(PRIOR["midrange"], PRIOR["range"], size=(k, d))
    own, correlated = d if structure.per_feature else 1, structure.correlated
    reference = within_draw(rng, own, correlated)
    if not structure.per_component:
        # There is one covariance only.
        return weights, means, reference
    root = np.linalg.cholesky(reference)
    covariances = np.array([root @ relative_draw(rng, own, correlated) @ root.T for _ in range(k)])
    if correlated:
        return weights, means, covariances
    variances = np.einsum("kii->ki", covariances)
    return weights, means, variances if structure.per_feature else variances[:, 0]


# What rows may lack, and the numbers of it: every fifth cell, errors as large as a component, rows of none in a box.
UNSEEN, ERRORS, BOX, SHARE = 0.2, np.array([[0.5, 0.2], [0.2, 0.3]]), 12.0, (1.5, 8.5)


def options_of(lack):
    """What ``model_of`` is told of rows that lack values, precision or a component."""
    errors = np.broadcast_to(ERRORS, (N_ROWS, N_FEATURES, N_FEATURES))
    return {
        "nothing": {}, "values": {"missing": "marginalise"}, "precision": {"measurement_covariance": errors},
        "component": {"noise": True},
    }[lack]  # fmt: skip


def lacking(model, lack, x, rng):
    """Rows as they are seen, set in the model, and the share of noise (None: there is none)."""
    share = None
    if lack == "values":
        x = np.where(rng.random(x.shape) < UNSEEN, np.nan, x)
        model["row_order"].set_value(Observations(x).order.astype(np.int32))
    elif lack == "precision":
        x = x + rng.multivariate_normal(np.zeros(N_FEATURES), ERRORS, size=len(x))
    elif lack == "component":
        share = rng.beta(*SHARE)
        x = np.where(rng.random((len(x), 1)) < share, rng.uniform(-BOX, BOX, size=x.shape), x)
        model["noise_low"].set_value(np.full(N_FEATURES, -BOX))
        model["noise_high"].set_value(np.full(N_FEATURES, BOX))
    model["x_data"].set_value(x)
    return share


def quantities(weights, means, natural, structure, x, lack="nothing", share=None):
    """The functions f of one set of parameters and the data."""
    full = np.ascontiguousarray(structure.matrices(natural, N_COMPONENTS, N_FEATURES))
    first = int(means[:, 0].argmin())
    each = np.log(weights) + np.transpose(
        [multivariate_normal(mean, own).logpdf(POINTS) for mean, own in zip(means, full, strict=True)]
    )
    # Not from responsibilities, which are 0 far from a narrow component: minus infinity has no rank among its like.
    odds = each[:, first] - each[:, 1 - first]
    return {
        "least weight": weights.min(),
        "log-likelihood": log_likelihood(x, weights, means, full, lack, share),
        **({} if share is None else {"share of noise": share}),
        **{f"log-density {i}": value for i, value in enumerate(logsumexp(each, axis=1))},
        **{f"log odds {i}": value for i, value in enumerate(odds[1:])},
        "first weight": weights[first],
        "first mean": means[first, 0],
        "first mean, other feature": means[first, 1],
        "first variance": full[first, 0, 0],
        "first covariance or variance": full[first, 0, 1] if structure.correlated else full[first, 1, 1],
        # What normalises the priors of the covariances moves them all together.
        "log volume of both": float(np.linalg.slogdet(full)[1].sum()),
    }


def log_likelihood(x, weights, means, full, lack, share):
    """By SciPy's density of what is seen of each row."""
    errors = ERRORS if lack == "precision" else np.zeros_like(ERRORS)
    total = 0.0
    for seen in np.unique(~np.isnan(x), axis=0):
        own = x[(~np.isnan(x) == seen).all(axis=1)][:, seen]
        each = np.zeros((len(own), len(weights)))
        if seen.any():
            for k, (mean, own_covariance) in enumerate(zip(means, full + errors, strict=True)):
                each[:, k] = multivariate_normal(mean[seen], own_covariance[np.ix_(seen, seen)]).logpdf(own)
        density = logsumexp(each + np.log(weights), axis=1)
        if share is not None:
            density = np.logaddexp(np.log1p(-share) + density, np.log(share) - N_FEATURES * np.log(2 * BOX))
        total += density.sum()
    return total


def ranks(covariance_type, replications, *, model=None, seed=0, lack="nothing"):
    """Ranks of prior draws among posterior draws as numbers in (0, 1): name -> (replications,)."""
    structure = COVARIANCE_TYPES[covariance_type]
    model = model_of(covariance_type, **options_of(lack)) if model is None else model
    result = {}
    for replication in range(replications):
        rng = np.random.default_rng([seed, replication])
        weights, means, natural = prior_draw(rng, structure)
        full = structure.matrices(natural, N_COMPONENTS, N_FEATURES)
        labels = rng.choice(N_COMPONENTS, size=N_ROWS, p=weights)
        noise = rng.standard_normal((N_ROWS, N_FEATURES))
        x = means[labels] + np.einsum("nij,nj->ni", np.linalg.cholesky(full)[labels], noise)
        share = lacking(model, lack, x, rng)
        x = model["x_data"].get_value()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bg.exceptions.MultipleModesWarning)
            warnings.simplefilter("ignore", bg.exceptions.ConvergenceWarning)
            dt = bg.sample(
                model, start="dispersed", draws=DRAWS, random_seed=int(rng.integers(2**31)), relabel=None,
                progressbar=False,
            )  # fmt: skip
        posterior = Fit.of(dt).in_proportion.tree["posterior"].dataset
        # Successive draws are related; every fourth is close to independent.
        drawn = [
            posterior[name].values.reshape(-1, *posterior[name].shape[2:])[::4]
            for name in ("weights", "means", "covariances", *(("noise",) * (share is not None)))
        ]
        truth = quantities(weights, means, natural, structure, x, lack, share)
        theirs = [
            quantities(*parameters[:3], structure, x, lack, *parameters[3:]) for parameters in zip(*drawn, strict=True)
        ]
        for name, value in truth.items():
            below = np.array([q[name] for q in theirs]) < value
            result.setdefault(name, []).append((below.sum() + rng.random()) / (len(theirs) + 1))
    return {name: np.array(values) for name, values in result.items()}


def outside(ranked):
    """The functions whose ranks leave the bands that hold all of them at once but with a chance of ``LEVEL``."""
    failed = []
    for name, values in ranked.items():
        _, ecdf, lower, upper = ecdf_pit(values, 1 - LEVEL / len(ranked), 20_000, rng=np.random.default_rng(1))
        if ((ecdf < lower) | (ecdf > upper)).any():
            failed.append(name)
    return failed
