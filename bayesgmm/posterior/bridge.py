r"""The integral of a density of which there are draws, by bridge sampling from a density that is known.

With p the density, r its integral, g a proposal that integrates to one, and draws of both,

.. math:: r = \frac{\mathrm{E}_g[p\, h]}{\mathrm{E}_p[g\, h]}, \qquad h = \frac{1}{s_1 p / r + s_2 g},

which is iterated to its fixed point; the shares :math:`s_1, s_2` are those of the draws' effective numbers (Meng and
Wong 1996). A mixture's density is the same in every order of its components, and a chain that stays in one order has
seen all of it: so the proposal is a mean over orders too,

.. math:: g(q) = \frac{1}{|S|} \sum_{\sigma \in S} t_\nu(\sigma q \mid m, V) ,

and both may be looked at in any order, also where they are put into a common one. Orders among components that never
come near each other's place add nothing there: of them only the number counts.

Meng and Wong (1996), Simulating ratios of normalizing constants via a simple identity, Statistica Sinica 6, 831-860.
Fruehwirth-Schnatter (2004), Estimating marginal likelihoods for mixture and Markov switching models using bridge
sampling techniques, Econometrics Journal 7, 143-167, https://doi.org/10.1111/j.1368-423X.2004.00125.x (the orders, and
the standard error). Metodiev, Irons, Perrot-Dockes, Latouche and Raftery (2025), Easily computed marginal likelihoods
for multivariate mixture models using the THAMES estimator,
https://doi.org/10.48550/arXiv.2504.21812 (the ellipsoid).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

# The proposal's tails: those of a t distribution with so many degrees of freedom.
FREEDOM = 8.0
# Of the fixed point, which is reached in about ten rounds.
ROUNDS, SETTLED = 1_000, 1e-10
# Of a covariance of draws, the least eigenvalue that is kept, in units of the variances.
LEAST_EIGENVALUE = 1e-10


@dataclass(frozen=True, eq=False)
class Proposal:
    """A t distribution of the place and shape of some draws, averaged over orders.

    Parameters
    ----------
    centre : (P,) array
    factor : (P, P) array
        A root of its scale matrix.
    orders : tuple of functions
        Each takes points (B, P) to the same with the components in another order; the first leaves them as they are.
    log_orders : float
        Log of the number of all orders, of which ``orders`` are those that may add something.
    """

    centre: np.ndarray
    factor: np.ndarray
    orders: tuple[Callable[[np.ndarray], np.ndarray], ...]
    log_orders: float

    @classmethod
    def of(cls, draws: np.ndarray, orders: tuple, log_orders: float) -> "Proposal":
        """With the mean and the covariance of draws (S, P)."""
        scales = draws.std(axis=0)
        scales[scales == 0] = 1.0
        correlation = np.atleast_2d(np.cov((draws / scales).T))
        variances, directions = np.linalg.eigh(correlation)
        # The covariance of a t distribution is its scale matrix times this.
        wider = FREEDOM / (FREEDOM - 2)
        root = directions * np.sqrt(np.maximum(variances, LEAST_EIGENVALUE) / wider)
        return cls(draws.mean(axis=0), scales[:, None] * root, orders, log_orders)

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (n, P), in the order that the draws of the density are in: where all orders are alike one will do."""
        noise = rng.standard_normal((n, len(self.centre)))
        return self.centre + (noise @ self.factor.T) / np.sqrt(rng.chisquare(FREEDOM, size=n) / FREEDOM)[:, None]

    def log_density(self, q: np.ndarray) -> np.ndarray:
        """log g at points (B, P)."""
        d, inverse = len(self.centre), np.linalg.inv(self.factor)
        constant = gammaln((FREEDOM + d) / 2) - gammaln(FREEDOM / 2) - d / 2 * np.log(FREEDOM * np.pi)
        constant += np.linalg.slogdet(inverse)[1] - self.log_orders
        squares = [(((order(q) - self.centre) @ inverse.T) ** 2).sum(axis=1) for order in self.orders]
        return constant + logsumexp(-(FREEDOM + d) / 2 * np.log1p(np.array(squares) / FREEDOM), axis=0)

    def log_uniform(self, q: np.ndarray) -> np.ndarray:
        """log of the uniform density on the ellipsoids of radius sqrt(P + 1) around all orders' places, at (B, P)."""
        d = len(self.centre)
        inverse = np.linalg.inv(self.factor * np.sqrt(FREEDOM / (FREEDOM - 2)))
        log_volume = d / 2 * np.log(np.pi * (d + 1)) - gammaln(d / 2 + 1) - np.linalg.slogdet(inverse)[1]
        inside = sum((((order(q) - self.centre) @ inverse.T) ** 2).sum(axis=1) < d + 1 for order in self.orders)
        with np.errstate(divide="ignore"):
            return np.log(np.asarray(inside, dtype=float)) - log_volume - self.log_orders


def bridge(
    posterior: np.ndarray, proposal: np.ndarray, effective: Callable[[np.ndarray], float]
) -> tuple[float, float]:
    """log r and its standard error, from log p - log g at draws of p, (S,), and at draws of g, (S',).

    ``effective`` is the effective number of draws of p for the mean of a function's values at them (S,).
    """
    n_posterior, n_proposal = effective(posterior), float(len(proposal))
    log_s1, log_s2 = np.log([n_posterior, n_proposal]) - np.log(n_posterior + n_proposal)
    log_r = float(np.median(posterior))

    def parts() -> tuple[np.ndarray, np.ndarray]:
        """Logs of p h at the draws of g, and of g h at those of p; p is over r here."""
        above = proposal - log_r - np.logaddexp(log_s1 + proposal - log_r, log_s2)
        below = -np.logaddexp(log_s1 + posterior - log_r, log_s2)
        return above, below

    for _ in range(ROUNDS):
        above, below = parts()
        change = (logsumexp(above) - np.log(len(above))) - (logsumexp(below) - np.log(len(below)))
        log_r += float(change)
        if abs(change) < SETTLED:
            break
    above, below = (np.exp(part - part.max()) for part in parts())
    variance = (above.std() / above.mean()) ** 2 / n_proposal + (below.std() / below.mean()) ** 2 / effective(below)
    return log_r, float(np.sqrt(variance))
