"""Climbing from a start to the optimum above it, and telling optima apart whatever their labels."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize

from bayesgmm.inference.em import Mixture
from bayesgmm.inference.log_posterior import LogPosterior

MAX_ITERATIONS = 2_000
RESTARTS = 5
# Nats that the quadratic model at the end still promises; below this a maximum counts as reached.
DECREMENT_TOLERANCE = 1e-4
# Two optima are one if they agree to this in log posterior (nats), and in weights, standardised means and scales.
SAME_LOG_POSTERIOR = 1e-2
SAME_PARAMETERS = 2e-2


@dataclass(frozen=True)
class Optimum:
    """Where one start ended."""

    q: np.ndarray
    log_posterior: float
    gradient_norm: float
    decrement: float
    iterations: int
    moved: bool
    message: str

    @property
    def converged(self) -> bool:
        """The gain that the optimiser's own quadratic model still promises is negligible."""
        return bool(np.isfinite(self.log_posterior) and self.decrement < DECREMENT_TOLERANCE)


def climb(log_posterior: LogPosterior, start: np.ndarray, scales: np.ndarray, jacobian: float = 0.0) -> Optimum:
    """Maximise the log posterior from ``start`` by L-BFGS, in units of ``scales``."""

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = log_posterior(u * scales, jacobian)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return np.inf, np.zeros_like(u)
        return -value, -gradient * scales

    u = start / scales
    first, _ = objective(u)
    iterations, message, decrement = 0, "", np.inf
    # A line search that fails leaves a stale curvature model; a fresh one goes on where it stopped.
    for _ in range(RESTARTS):
        result = minimize(
            objective,
            u,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "maxcor": 20, "ftol": 0.0, "gtol": 1e-7},
        )
        iterations += int(result.nit)
        message = str(result.message)
        if np.all(result.x == u) and iterations > 0:
            break
        u = result.x
        gradient = np.asarray(result.jac)
        decrement = 0.5 * float(gradient @ (result.hess_inv @ gradient))
        if decrement < DECREMENT_TOLERANCE * 1e-4:
            break
    value, gradient = objective(u)
    norm = float(np.linalg.norm(gradient))
    if norm == 0.0 and np.isfinite(value):
        decrement = 0.0
    return Optimum(
        q=u * scales,
        log_posterior=-value,
        gradient_norm=norm if np.isfinite(value) else np.inf,
        decrement=decrement,
        iterations=iterations,
        moved=bool(value < first) or decrement < DECREMENT_TOLERANCE,
        message=message,
    )


def same_mixture(a: Mixture, b: Mixture, feature_scales: np.ndarray) -> bool:
    """Whether two mixtures agree in weights, means and scales up to the order of their components."""

    def features(mixture: Mixture) -> np.ndarray:
        scales = np.sqrt(np.einsum("kii->ki", mixture.covariances))
        return np.column_stack([mixture.weights, mixture.means / feature_scales, scales / feature_scales])

    cost = np.abs(features(a)[:, None] - features(b)[None]).max(axis=2)
    rows, columns = linear_sum_assignment(cost)
    return bool(cost[rows, columns].max() < SAME_PARAMETERS)
