"""Rows measured with errors of their own: what they cost, and what is behind them (extreme deconvolution).

    python benchmarks/errors.py [number of tables]

Time: a log posterior with its gradient of 10,000 rows, 5 features and 4 components, every row with an error covariance
of its own, over that of the same rows without errors, in turn, one thread. Aim: at most 8 times. Every row then has a
matrix to factorise and to invert for every component.

Extreme deconvolution, as Bovy, Hogg and Roweis (2011, https://doi.org/10.1214/10-AOAS439) have it: 500 rows of 3
components in 2 features, errors as large as the components. The posterior's 89 % band of the density, by NUTS, at 200
points of the true mixture: aim, the true density lies within it at most points. The intervals of the rows' true
coordinates (``denoise``): aim, they hold 86 to 92 % of them. And the maximum of the likelihood from
one start: their EM, written out here, and the package's climb. Aim: within 0.1 nats. Where astroML is installed, its
XDGMM too.
"""

import sys
import time
import warnings

import numpy as np
import pandas as pd
from gradient import as_c, floor
from measure import in_turn, ratio, seconds, show
from problems import clusters
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.data import cores
from bayesgmm.data.table import Table
from bayesgmm.mixture.mixture import Mixture
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.search.likelihood import Likelihood
from bayesgmm.search.problem import Problem

ROWS, POINTS, INTERVAL = 500, 200, 0.89
# Tables that astroML's XDGMM, which takes long, is tried on.
ASTROML_TABLES = 4
DRAWS = {"draws": 300, "chains": 2, "cores": 1, "progressbar": False}


# Time -----------------------------------------------------------------------------------------------------------------


def own_floor(n_rows: int, d: int, k: int) -> float:
    """Seconds of the products at the machine's matrix product rate, and of exps, logs and roots at NumPy's."""
    a = np.random.default_rng(0).normal(size=(512, 512))
    rate = 2 * 512**3 / min(seconds(lambda: a @ a) for _ in range(5))
    t = np.random.default_rng(0).uniform(0.5, 2.0, size=4096)
    out = np.empty_like(t)
    exp, log, root = (
        min(seconds(lambda f=f: f(t, out=out)) for _ in range(5)) / t.size
        for f in (lambda v, out: np.exp(-v, out=out), np.log, lambda v, out: np.divide(1, np.sqrt(v, out=out), out=out))
    )
    # Factors and their inverses, each a third of d^3; whitening there and back; the inverse, a third of d^3; sums.
    flops = n_rows * k * (d**3 + 2 * d * (d + 1) + 2 * d * (d + 1))
    return flops / rate + n_rows * ((k + 1) * exp + k * d * (log + root))


def times(repeats: int = 25) -> None:
    n, d, k = 10_000, 5, 4
    x = clusters(n, d, k)
    factors = 0.5 * np.random.default_rng(0).normal(size=(n, d, d))
    errors = factors @ factors.swapaxes(1, 2)
    calls, problems, q = {}, [], None
    for name, measured in (("complete", None), ("errors", errors)):
        model = bg.build_model(x, k, resolution=None, measurement_covariance=measured)
        problem = Problem.of(model)
        problems.append(problem)  # the C function knows addresses alone, and they must outlive its calls
        if q is None:
            estimate = bg.find_MAP(model, n_init=1, random_seed=0, progressbar=False)
            q = estimate.q + 0.01 * np.random.default_rng(0).normal(size=estimate.q.size)
        calls[name] = as_c(problem, q)
    with cores.limited_to(1):
        took = in_turn(calls, repeats)
    own, plain = np.median(took["errors"]), np.median(took["complete"])
    print(
        f"({n}, {d}, {k}), an error covariance a row: {1e3 * own:.3g} ms over {1e3 * plain:.3g} ms without, ratio "
        f"{show(ratio(took['errors'], took['complete']))}; over their floors {own / own_floor(n, d, k):.2g} and "
        f"{plain / floor(n, d, k):.2g}",
        flush=True,
    )


# Extreme deconvolution ------------------------------------------------------------------------------------------------


def table(index: int) -> tuple[Mixture, np.ndarray, np.ndarray, np.ndarray]:
    """The true mixture, rows, the same as measured, and the covariances of their errors."""
    rng = np.random.default_rng([2030, index])
    k, d = 3, 2
    means = np.array([[0.0, 0.0], [4.0, 0.0], [1.0, 4.0]]) + 0.5 * rng.normal(size=(k, d))
    factors = rng.normal(size=(k, d, d)) / np.sqrt(d)
    covariances = factors @ factors.swapaxes(1, 2) + 0.2 * np.eye(d)
    truth = Mixture(rng.dirichlet(np.full(k, 20.0)), means, covariances)
    # Of the components' size on average, each its own.
    factors = rng.normal(size=(ROWS, d, d)) / np.sqrt(d)
    errors = (factors @ factors.swapaxes(1, 2) + 0.2 * np.eye(d)) * rng.uniform(0.5, 1.5, size=(ROWS, 1, 1))
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(errors), rng.normal(size=(ROWS, d)))
    exact = truth.simulate(ROWS, rng)[0]
    return truth, exact, exact + noise, errors


def em(x: np.ndarray, errors: np.ndarray, start: Mixture, steps: int = 4_000) -> tuple[float, int]:
    """Extreme deconvolution by Bovy, Hogg and Roweis' equations: the maximum that it reaches, and its steps."""
    weights, means, covariances = start.weights, start.means, start.covariances
    last, step = -np.inf, 0
    while True:
        away = x[:, None] - means
        precision = np.linalg.inv(covariances + errors[:, None])
        log_joint = (
            np.log(weights) + np.linalg.slogdet(precision)[1] / 2 - x.shape[1] / 2 * np.log(2 * np.pi)
            - np.einsum("nki,nkij,nkj->nk", away, precision, away) / 2
        )  # fmt: skip
        log_density = logsumexp(log_joint, axis=1)
        if log_density.sum() - last < 1e-9 or step == steps:
            return float(log_density.sum()), step
        last, step = log_density.sum(), step + 1
        r = np.exp(log_joint - log_density[:, None])
        gain = covariances @ precision
        expected = means + np.einsum("nkij,nkj->nki", gain, away)
        left = covariances - gain @ covariances
        counts = r.sum(axis=0)
        weights, means = counts / len(x), np.einsum("nk,nki->ki", r, expected) / counts[:, None]
        off = expected - means
        second = off[..., :, None] * off[..., None, :] + left
        covariances = np.einsum("nk,nkij->kij", r, second) / counts[:, None, None]


def astroml(x: np.ndarray, errors: np.ndarray, likelihood: Likelihood) -> tuple[float, float]:
    """What XDGMM reaches in 500 steps and the climb from XDGMM's own start; NaN where astroML is not installed."""
    try:
        from astroML.density_estimation import XDGMM
    except ImportError:
        return np.nan, np.nan
    start, end = (XDGMM(3, max_iter=n, tol=1e-6, random_state=0).fit(x, errors) for n in (0, 500))
    climbed = likelihood.climb(Mixture(start.alpha, start.mu, start.V))
    reached = Mixture(end.alpha, end.mu, end.V).log_density(likelihood.table.observations).sum()
    assert np.isclose(reached, end.logL(x, errors), rtol=1e-9)
    return float(reached), climbed.log_likelihood


def deconvolved(index: int) -> dict[str, float | str]:
    truth, exact, x, errors = table(index)
    rows = Table.to_fit(x, resolution=None, measurement_covariance=errors)
    start = Mixture(np.full(3, 1 / 3), truth.means + 0.3, np.tile(np.cov(x.T) / 3, (3, 1, 1)))
    began = time.perf_counter()
    by_em, steps = em(x, errors, start)
    em_seconds, began = time.perf_counter() - began, time.perf_counter()
    likelihood = Likelihood(rows, COVARIANCE_TYPES["full"])
    climbed = likelihood.climb(start)
    climb_seconds = time.perf_counter() - began
    by_astroml, from_its_start = astroml(x, errors, likelihood) if index < ASTROML_TABLES else (np.nan, np.nan)
    began = time.perf_counter()

    model = bg.build_model(x, 3, resolution=None, measurement_covariance=errors)
    estimate = bg.find_MAP(model, random_seed=index, progressbar=False)
    dt = bg.sample(model, start=estimate, random_seed=index, **DRAWS)
    seconds_taken = time.perf_counter() - began
    low, middle, high = np.quantile(
        bg.denoise(dt, draws=300, progressbar=False)["x"].values, [(1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2], axis=0
    )
    coordinates = ((low <= exact) & (exact <= high)).mean()
    halved = (np.abs(exact - middle) <= (high - low) / 4).mean()
    points, _ = truth.simulate(POINTS, np.random.default_rng(index))
    # The control: without the errors the density is that of what was measured.
    blind = bg.build_model(x, 3, resolution=None)
    control = bg.sample(blind, start=bg.find_MAP(blind, random_seed=index), random_seed=index, **DRAWS)
    held = []
    for fitted in (dt, control):
        band = bg.density(fitted, points, ci_prob=INTERVAL, progressbar=False)
        density = np.exp(truth.log_density(points))
        held.append(((band["lower"] <= density) & (density <= band["upper"])).values.mean())
    return {
        "table": index, "points": held[0], "control_points": held[1],
        "coordinates": coordinates, "halved": halved, "em": by_em, "climb": climbed.log_likelihood,
        "astroml": by_astroml, "from_its_start": from_its_start, "steps": steps, "em_seconds": em_seconds,
        "climb_seconds": climb_seconds, "collapsed": len(climbed.collapsed), "verdict": bg.diagnose(dt).verdict,
        "seconds": seconds_taken,
    }  # fmt: skip


def main(n_tables: int) -> None:
    warnings.simplefilter("ignore")
    times()
    rows = []
    for i in range(n_tables):
        rows.append(deconvolved(i))
        print(rows[-1], flush=True)
    found = pd.DataFrame(rows)
    print(
        f"{n_tables} tables: true density within the {INTERVAL:.0%} band at {found['points'].mean():.0%} of the points "
        f"(standard error {found['points'].sem():.0%}; at most points of {(found['points'] > 0.5).sum()} tables); "
        f"errors ignored, at {found['control_points'].mean():.0%}. "
        f"True coordinates in the intervals of denoise: {found['coordinates'].mean():.1%} (standard error "
        f"{found['coordinates'].sem():.1%}), in ones half as wide {found['halved'].mean():.1%}. "
        f"Climb less EM: {(found['climb'] - found['em']).min():+.2g} to {(found['climb'] - found['em']).max():+.2g} "
        f"nats, in {found['climb_seconds'].median():.2g} s and {found['em_seconds'].median():.2g} s"
    )
    if found["astroml"].notna().any():
        less = (found["from_its_start"] - found["astroml"]).dropna()
        print(f"Climb less XDGMM from its start, {len(less)} tables: {less.min():+.3g} to {less.max():+.3g} nats")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or (20,)))
