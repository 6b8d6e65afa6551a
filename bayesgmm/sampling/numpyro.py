"""The adaptor to NumPyro, and the only place that imports it: NUTS in JAX, all chains side by side on one device."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import MCMC, NUTS

from bayesgmm.graph.compiled import LogDensity
from bayesgmm.record.trees import LOG_POSTERIOR
from bayesgmm.sampling.nutpie import BESIDE_THE_MODE, Settings
from bayesgmm.sampling.run import Chain
from bayesgmm.search.mode import Mode

# NumPyro's names for what it records, and ArviZ's.
STATISTICS = {
    "potential_energy": LOG_POSTERIOR,
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "adapt_state.step_size": "step_size",
    "accept_prob": "acceptance_rate",
}
LIBRARY = "numpyro"
MAX_TREE_DEPTH = 10


def run_chains(
    density: LogDensity, mode: Mode, n_chains: int, settings: Settings, *, number: int, seed: int
) -> list[Chain]:
    """Draw chains of a density in JAX by NUTS, from beside its mode, the ``number``-th, in the mode's axes."""
    log_density = _differentiable(density)
    origin, axes = jnp.asarray(mode.q), jnp.asarray(mode.axes)
    sampler = MCMC(
        NUTS(potential_fn=lambda u: -log_density(origin + axes @ u), max_tree_depth=MAX_TREE_DEPTH),
        num_warmup=settings.tune,
        num_samples=settings.draws,
        num_chains=n_chains,
        chain_method="vectorized",
        progress_bar=settings.progressbar,
    )
    start = np.full((n_chains, mode.q.size), BESIDE_THE_MODE)
    # Of a single chain NumPyro wants no axis of chains.
    sampler.run(
        jax.random.PRNGKey(seed), init_params=start if n_chains > 1 else start[0], extra_fields=tuple(STATISTICS)
    )
    u = np.asarray(sampler.get_samples(group_by_chain=True))
    recorded = {
        STATISTICS[name]: np.asarray(v) for name, v in sampler.get_extra_fields(group_by_chain=True).items()
    }  # fmt: skip
    recorded[LOG_POSTERIOR] = -recorded[LOG_POSTERIOR]
    recorded["tree_depth"] = np.ceil(np.log2(recorded["n_steps"] + 1)).astype(np.int64)
    recorded["reached_max_treedepth"] = recorded["tree_depth"] >= MAX_TREE_DEPTH
    return [Chain.of(number, u[c], {name: values[c] for name, values in recorded.items()}) for c in range(n_chains)]


def _differentiable(density: LogDensity) -> Any:
    """The log-density of q as JAX differentiates it: value and gradient come from one pass."""

    @jax.custom_vjp
    def log_density(q):
        return density.function(q, *density.held)[0]

    log_density.defvjp(lambda q: density.function(q, *density.held), lambda gradient, slope: (slope * gradient,))
    return log_density
