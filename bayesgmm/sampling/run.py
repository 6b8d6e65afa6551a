"""A run of the sampler: what it sets out to do, and the draws that came of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm.graph.in_axes import ModeAxes
from bayesgmm.record.fit import Fit
from bayesgmm.record.provenance import Provenance
from bayesgmm.record.trees import LOG_POSTERIOR, START_MODE
from bayesgmm.search.problem import Problem

# The acceptance that steps are tuned to, of few parameters and of so many or more. In many dimensions the best is 0.651
# (Beskos et al. 2013, https://doi.org/10.3150/12-BEJ414): a draw then takes 0.62 of the gradients that it takes at 0.8,
# and a gradient is worth 1.2 times the effective draws, 1.5 times of tails (docs/coordinates.md). Of few parameters it
# gains little, and where a component may lose its rows more draws diverge.
FEW_ACCEPT, MANY_ACCEPT, MANY = 0.8, 0.65, 100
# Where more draws diverge than a diagnosis lets pass, chains are drawn again with smaller steps, and once more. From
# the outset these would take twice the gradients for no more effective draws where none diverge (docs/coordinates.md).
SMALLER_STEPS = 0.95, 0.99
# Nor where a draw takes more steps than this already. Ten components of three clusters, 1,000 draws: under a
# concentration of 0.1, 244 steps and 10 divergences, then 8 and 43 with smaller ones, in 7, 14 and 20 seconds; under
# 0.01, 420 steps, and 272 became 17 and 8, in 11, 14 and 19.
MANY_STEPS = 200


def acceptance(n_parameters: int) -> float:
    """The share of proposals that a sampler is to accept, by which it chooses its steps."""
    return FEW_ACCEPT if n_parameters < MANY else MANY_ACCEPT


@dataclass(frozen=True)
class Settings:
    """How long to sample, on how many processors, and the acceptance that steps are tuned to; None: the default."""

    draws: int
    tune: int
    cores: int
    progressbar: bool
    accept: float | None = None

    def acceptance(self, n_parameters: int) -> float:
        return acceptance(n_parameters) if self.accept is None else self.accept


@dataclass(frozen=True)
class Plan:
    """Draws and tuning steps of every chain, and how many chains start at each mode."""

    draws: int
    tune: int
    chains: tuple[int, ...]

    @property
    def total(self) -> int:
        """Draws of all chains."""
        return self.draws * sum(self.chains)


@dataclass(frozen=True, eq=False)
class Chain:
    """One chain's draws: u (S, P), and the sampler's statistics by ArviZ's names, each (S,)."""

    mode: int
    u: np.ndarray
    statistics: dict[str, np.ndarray]

    @classmethod
    def of(cls, mode: int, u: np.ndarray, statistics: dict[str, np.ndarray]) -> "Chain":
        """The draws before the first that is missing, which is NaN in what the sampler gives or leaves behind."""
        missing = ~(np.isfinite(u).all(axis=1) & np.isfinite(statistics[LOG_POSTERIOR]))
        n = int(missing.argmax()) if missing.any() else len(u)
        return cls(mode, u[:n], {name: values[:n] for name, values in statistics.items()})


@dataclass(frozen=True, eq=False)
class Run:
    """The draws of a problem's posterior, from chains that started at its modes."""

    problem: Problem
    modes: list[ModeAxes]
    plan: Plan
    chains: list[Chain]
    provenance: Provenance

    @property
    def diverged(self) -> int:
        """How many draws did."""
        return sum(int(chain.statistics["diverging"].sum()) for chain in self.chains)

    @property
    def steps(self) -> float:
        """How many a draw took, on average."""
        return float(np.mean(np.concatenate([chain.statistics["n_steps"] for chain in self.chains])))

    @property
    def complete(self) -> bool:
        """Whether all draws are there that were planned."""
        return len(self.chains) == sum(self.plan.chains) and all(len(c.u) == self.plan.draws for c in self.chains)

    def fit(self) -> Fit:
        """The chains as named parameters.

        Of a run that was cut short the fit holds as many draws as a rectangle of whole chains can: chains with fewer
        draws are left out, longer ones are cut.
        """
        lengths = [len(chain.u) for chain in self.chains]
        length = max(sorted(lengths, reverse=True), key=lambda n: n * sum(m >= n for m in lengths), default=0)
        kept = [chain for chain in self.chains if len(chain.u) >= length > 0]
        q = np.array([self._unconstrained(chain, length) for chain in kept])
        # One row more than there are, for a run without draws: graphs want a batch.
        rows = np.concatenate([q.reshape(-1, self.problem.n_parameters), self.modes[0].q[None]])
        shape = (len(kept), length)
        values = {name: value[:-1] for name, value in self.problem.constrain(rows).items()}
        values = self.problem.in_drawn_order(values, self._uniforms(*shape))
        posterior = {name: value.reshape(*shape, *value.shape[1:]) for name, value in values.items()}
        names = set.intersection(*(set(chain.statistics) for chain in kept)) if kept else {LOG_POSTERIOR}
        statistics: dict[str, Any] = {
            name: np.array([chain.statistics[name][:length] for chain in kept]).reshape(shape) for name in sorted(names)
        }
        if len(self.modes) > 1:
            statistics[START_MODE] = np.array([chain.mode for chain in kept], dtype=np.int64)
        volume = [self.modes[chain.mode].log_volume(chain.u[:length]) for chain in kept]
        statistics[LOG_POSTERIOR] = statistics[LOG_POSTERIOR] - np.reshape(volume, shape)
        provenance = self.provenance.changed(complete=self.complete)
        return Fit.write(self.problem.model, posterior, statistics, provenance)

    def _uniforms(self, n_chains: int, length: int) -> np.ndarray:
        """Random numbers for the order of each draw's components: the same whenever, and however far, a run is read."""
        n = self.problem.specification.n_components + 1
        each = [np.random.default_rng(chain).random((length, n)) for chain in range(n_chains)]
        return np.concatenate([np.empty((0, n)), *each])

    def _unconstrained(self, chain: Chain, length: int) -> np.ndarray:
        return self.modes[chain.mode].unconstrained(chain.u[:length])
