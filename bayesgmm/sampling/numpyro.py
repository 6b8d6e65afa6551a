"""The adaptor to NumPyro, and the only place that imports it: NUTS in JAX, all chains side by side on one device."""

from operator import attrgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc import hmc

from bayesgmm.graph.compiled import LogDensity
from bayesgmm.graph.in_axes import ModeAxes
from bayesgmm.record.trees import LOG_POSTERIOR
from bayesgmm.sampling.nutpie import BESIDE_THE_MODE
from bayesgmm.sampling.run import Chain, Settings

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
    density: LogDensity, mode: ModeAxes, n_chains: int, settings: Settings, *, number: int, seed: int
) -> list[Chain]:
    """Draw chains of a density in JAX by NUTS, from beside its mode, the ``number``-th, in the mode's axes."""
    log_density, axes = _differentiable(density.function), jnp.asarray(mode.axes.dense)
    centre, entries, roots = map(jnp.asarray, (mode.centre, mode.roots.entries, mode.roots.factors))
    means, outer = mode.non_centred, jnp.asarray(mode.non_centred.outer)

    def potential(u, *held):
        z = centre + axes @ u
        z = z.at[entries].set(_from_roots(z[entries], roots))
        away = _factors(z[means.covariances], len(outer)) @ z[means.means][..., None]
        q = z.at[means.means].set(means.centres + (outer @ away)[..., 0])
        return -log_density(q, *held) - means.log_volume(z)

    # The data are arguments: what a function closes over is written into the code that is compiled, in hexadecimal
    # digits 128 MB for a million rows of 8 features. So NumPyro's kernel and not its MCMC, which takes arguments for
    # models in its own language alone.
    begin, step = hmc(potential_fn_gen=lambda *held: lambda u: potential(u, *held), algo="NUTS")

    @jax.jit
    def chains(keys, *held):
        def one(key):
            start = jnp.full(mode.q.size, BESIDE_THE_MODE)
            accept = settings.acceptance(mode.q.size)
            state = begin(
                start, settings.tune, target_accept_prob=accept, max_tree_depth=MAX_TREE_DEPTH, model_args=held,
                rng_key=key,
            )  # fmt: skip

            def draw(state, _):
                state = step(state, model_args=held)
                return state, (state.z, {name: attrgetter(name)(state) for name in STATISTICS})

            _, found = jax.lax.scan(draw, state, length=settings.tune + settings.draws)
            return jax.tree.map(lambda v: v[settings.tune :], found)

        return jax.vmap(one)(keys)

    u, found = jax.tree.map(np.asarray, chains(jax.random.split(jax.random.PRNGKey(seed), n_chains), *density.held))
    recorded = {STATISTICS[name]: v for name, v in found.items()}
    recorded[LOG_POSTERIOR] = -recorded[LOG_POSTERIOR]
    recorded["tree_depth"] = np.ceil(np.log2(recorded["n_steps"] + 1)).astype(np.int64)
    recorded["reached_max_treedepth"] = recorded["tree_depth"] >= MAX_TREE_DEPTH
    return [Chain.of(number, u[c], {name: values[c] for name, values in recorded.items()}) for c in range(n_chains)]


def _from_roots(z: Any, roots: Any) -> Any:
    """:func:`bayesgmm.mixture.log_cholesky.from_roots` of one z (M, P), in JAX."""
    rows, columns = np.tril_indices(roots.shape[-1])
    products = roots @ _factors(z, roots.shape[-1])
    diagonal = jnp.diagonal(products, axis1=1, axis2=2)
    y = products[:, rows, columns] / diagonal[:, rows]
    return y.at[:, rows == columns].set(jnp.log(diagonal))


def _factors(y: Any, d: int) -> Any:
    """Lower triangles (M, D, D) of their coordinates, or of D log scales."""
    rows, columns = np.tril_indices(d)
    on, below = rows == columns, rows != columns
    scales = jnp.exp(y[:, on] if y.shape[1] > d else y)
    factors = jnp.zeros((len(y), d, d)).at[:, np.arange(d), np.arange(d)].set(scales)
    if y.shape[1] > d:
        factors = factors.at[:, rows[below], columns[below]].set(scales[:, rows[below]] * y[:, below])
    return factors


def _differentiable(function: Any) -> Any:
    """A log-density of q and of what is held as JAX differentiates it by q: value and gradient come from one pass."""

    @jax.custom_vjp
    def log_density(q, *held):
        return function(q, *held)[0]

    def forward(q, *held):
        value, gradient = function(q, *held)
        return value, (gradient, (None,) * len(held))

    def backward(kept, slope):
        gradient, others = kept
        return slope * gradient, *others

    log_density.defvjp(forward, backward)
    return log_density
