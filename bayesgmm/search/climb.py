"""Climbing from a start to the optimum above it.

Few parameters are climbed in the data's units first, then in the axes of the curvature. Of many the curvature takes
seconds, and L-BFGS milliseconds: they are climbed in axes that make round what rows tell of the component that they
come from, which is most of the curvature and needs no second derivatives. Covariances are seen from the roots that they
have where a round begins (:mod:`bayesgmm.graph.roots`). On breast cancer (569 x 30, K = 2, 1,456
parameters) a climb took 80 to 320 iterations and half a second so, 2 to 4 s by the curvature; in the data's units 1,200
iterations did not do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from bayesgmm.graph.axes import MANY, axes as axes_of
from bayesgmm.graph.compiled import LogDensity
from bayesgmm.graph.roots import Roots
from bayesgmm.search.curvature import negative_hessian, term_of_many

# Iterations in the data's units, which is enough where the posterior is round; then rounds of so many in the axes of
# its curvature, taken anew in each. Measured in gradients over 14 data sets, against 20 and 0 before the rounds, and
# rounds of 50 and 200. In the data's units alone, 10,000 did not do where features correlate to 0.9998. Where rounding
# explains most of a feature the valley is long: one-hot columns beside numbers take 36 rounds.
PLAIN_ITERATIONS = 50
ROUND_ITERATIONS = 100
ROUNDS = 40
# Of many parameters, before their curvature is taken after all.
MANY_ITERATIONS = 400
# Nats that the quadratic model at the end still promises; below this a maximum counts as reached.
DECREMENT_TOLERANCE = 1e-4
# Below this there is nothing left to gain by going on.
NEGLIGIBLE_DECREMENT = 1e-8
# The same of many parameters, whose log posteriors round to 1e-11 of some 1e5 nats.
NEGLIGIBLE_OF_MANY = 1e-7
# From so many on second derivatives take minutes and gigabytes: all rounds are in the axes of what rows tell.
VERY_MANY = 4_000
NEGLIGIBLE_OF_VERY_MANY = 1e-5
# And what a log posterior rounds to, as a part of itself: with 1e8 rows 7e-6 nats, below which climbs went on for an
# hour.
ROUNDED = 1e-14

# Of a point q: axes of z in which the density is nearly round there, or None.
RoundAxes = Callable[[np.ndarray], Any]


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

    @classmethod
    def given_up(cls, q: np.ndarray, log_posterior: float) -> "Optimum":
        """A start that was not worth a climb."""
        return cls(q, log_posterior, np.inf, np.inf, 0, False, "given up far below the best")

    @property
    def converged(self) -> bool:
        """The gain that the optimiser's own quadratic model still promises is negligible."""
        return bool(np.isfinite(self.log_posterior) and self.decrement < DECREMENT_TOLERANCE)


def climb(
    density: LogDensity,
    start: np.ndarray,
    scales: np.ndarray,
    *,
    roots: Callable[[np.ndarray], Roots] | None = None,
    curvature: LogDensity | None = None,
    round_axes: RoundAxes | None = None,
    known: Callable[[np.ndarray, float], bool] | None = None,
    each: Callable[[np.ndarray, float], None] | None = None,
    max_iter: int | None = None,
) -> Optimum:
    """Maximise a log-density from ``start`` by L-BFGS, first in units of ``scales``, then in its curvature's axes.

    A round from q takes the coordinates of ``roots`` of q, or q itself.

    The curvature is that of ``curvature``, the same density with fewer rows, if one is given. A climb goes no further
    than a round that ends at a point and a value that are ``known``, nor than ``max_iter`` iterations; ``each`` is
    called with the point and value of every iteration.
    """
    q = start
    first, slopes = density(q)
    iterations, message, decrement, last = 0, "", np.inf, first
    enough = NEGLIGIBLE_DECREMENT if term_of_many(density) is None else NEGLIGIBLE_OF_MANY
    enough = NEGLIGIBLE_OF_VERY_MANY if q.size > VERY_MANY else enough
    for i in range(1 + ROUNDS):
        if max_iter is not None and iterations >= max_iter:
            message = f"max_iter = {max_iter} iterations"
            break
        own = Roots.none() if roots is None else roots(q)
        try:
            axes, most = _axes(density, q, scales, own, first=i == 0, curvature=curvature, round_axes=round_axes)
        except np.linalg.LinAlgError:  # not finite there
            break
        most = most if max_iter is None else min(most, max_iter - iterations)
        how, least, step = {}, 0.0, 1.0
        if curvature is not None:
            # Of very many rows, whose passes take long, a gain that is no more than rounding ends a round, and then the
            # climb; so do slopes that promise no more. It took 20 to 71 passes otherwise on nine tables of 4e5 to 1e8
            # rows, and takes 9 to 11. L-BFGS begins with a step of length 1, which is 600 in these axes with 1e8 rows.
            least = ROUNDED * abs(last)
            step = max(1.0, float(np.linalg.norm(own.slopes(own.there(q), slopes) @ axes))) if i == 0 else 1.0
            # Slopes of length g promise g^2 / 2 nats where the curvature is 1. The steepest is some 2.5 times the rest.
            how = {"ftol": ROUNDED, "gtol": 2.5 * step * np.sqrt(2 * least / q.size)}
        result, q = _maximise(density, q, axes * step, own, most, each, **how)
        gradient = np.asarray(result.jac)
        # What L-BFGS has learnt of the curvature is rounding for the most part where all gains are no more than that.
        by_curvature = result.hess_inv @ gradient if curvature is None else gradient / step**2
        decrement = 0.5 * float(gradient @ by_curvature)
        iterations += int(result.nit)
        message = str(result.message)
        enough = max(enough, ROUNDED * abs(float(result.fun)))
        value = -float(result.fun)
        if decrement < enough or (i and result.nit == 0) or (known is not None and known(q, value)):
            break
        if least and value - last <= least:
            break
        last = value
    value, gradient = density(q)
    finite = np.isfinite(value) and np.isfinite(gradient).all()
    return Optimum(
        q=q,
        log_posterior=float(value),
        gradient_norm=float(np.linalg.norm(gradient * scales)) if finite else np.inf,
        decrement=decrement,
        iterations=iterations,
        moved=bool(value > first) or decrement < DECREMENT_TOLERANCE,
        message=message,
    )


def _axes(
    density: LogDensity,
    q: np.ndarray,
    scales: np.ndarray,
    roots: Roots,
    *,
    first: bool,
    curvature: LogDensity | None,
    round_axes: RoundAxes | None,
) -> tuple[Any, int]:
    """The axes of a round, of z, and its iterations at most."""
    plain = first and curvature is None
    if round_axes is not None and (plain or q.size > VERY_MANY):
        try:
            axes = round_axes(q)
        except (np.linalg.LinAlgError, ValueError):  # no mixture to speak of there
            axes = None
        if axes is not None:
            return axes, MANY_ITERATIONS if q.size > MANY else ROUND_ITERATIONS
    if plain:
        return np.diag(scales), PLAIN_ITERATIONS
    of = curvature or density
    hessian = roots.curvature(negative_hessian(of, q, scales), of(q)[1])
    return axes_of(hessian, scales), ROUND_ITERATIONS


def _maximise(
    density: LogDensity,
    origin: np.ndarray,
    axes: Any,
    roots: Roots,
    iterations: int,
    each: Callable[[np.ndarray, float], None] | None,
    *,
    ftol: float = 0.0,
    gtol: float = 1e-7,
) -> tuple[Any, np.ndarray]:
    """L-BFGS from ``origin`` in the coordinates u of z = z(origin) + axes u, and the q it ends at."""
    begin, seen = roots.there(origin), roots.seen(density)

    def objective(u: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(over="ignore", invalid="ignore"):  # far out, where the density is not finite either
            value, slopes = seen(begin + axes @ u)
        if not (np.isfinite(value) and np.isfinite(slopes).all()):
            return np.inf, np.zeros_like(u)
        return -value, -(slopes @ axes)

    def stepped(intermediate_result: OptimizeResult) -> None:
        assert each is not None
        each(roots.back(begin + axes @ intermediate_result.x), -float(intermediate_result.fun))

    result = minimize(
        objective,
        np.zeros_like(origin),
        jac=True,
        method="L-BFGS-B",
        callback=None if each is None else stepped,
        options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 20, "ftol": ftol, "gtol": gtol},
    )
    return result, roots.back(begin + axes @ result.x)
