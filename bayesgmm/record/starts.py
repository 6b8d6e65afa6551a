"""What became of the starts of a search for the mode."""

from dataclasses import dataclass

import numpy as np

# An optimum that as many starts ended at is taken for the best there is.
FOUND_OFTEN = 3
# Starts of this kind look around the best optimum so far, and mostly come back to it: that they do is no evidence.
AROUND_THE_BEST = "reweighted rows"
# In place of the optimum of a start that was given up on the way, far below the best.
GIVEN_UP = -1


@dataclass(frozen=True)
class Starts:
    """What became of every start.

    Attributes
    ----------
    log_posterior : (n_init,) array
        Log posterior (nats, without Jacobian) that each start reached, in the order the starts were made; of a start
        that was given up, where it stood.
    optimum : (n_init,) int array
        Which distinct optimum each start reached; 0 is the best, -1 a start that was given up far below it.
    converged, moved : (n_init,) bool arrays
        Whether each start's optimiser reached a maximum, and whether it climbed at all.
    iterations : (n_init,) int array
        Optimiser iterations.
    kind : (n_init,) tuple of str
        How each start was made.
    """

    log_posterior: np.ndarray
    optimum: np.ndarray
    converged: np.ndarray
    moved: np.ndarray
    iterations: np.ndarray
    kind: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.log_posterior)

    @property
    def order(self) -> np.ndarray:
        """The starts from the best on; those whose log posterior is not a number come last."""
        return np.argsort(-np.nan_to_num(self.log_posterior, nan=-np.inf), kind="stable")

    @property
    def best(self) -> int:
        """The best start."""
        return int(self.order[0])

    @property
    def at_best(self) -> int:
        """How many starts ended at the best optimum, without those that began there and only looked around."""
        return self.at(0)

    def at(self, optimum: int) -> int:
        """The same of any optimum."""
        ended = np.flatnonzero(self.optimum == optimum)
        kinds = [self.kind[i] for i in ended[1:]] if self.kind else []
        return len(ended) - kinds.count(AROUND_THE_BEST)

    @property
    def n_optima(self) -> int:
        """Number of distinct optima, up to the order of the components."""
        return int(self.optimum.max()) + 1

    @property
    def optima(self) -> np.ndarray:
        """Log posterior of each distinct optimum, best first."""
        reached = np.nan_to_num(self.log_posterior, nan=-np.inf)
        return np.array([reached[self.optimum == i].max() for i in range(self.n_optima)])
