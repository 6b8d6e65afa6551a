r"""The one pass over the data in JAX, for a GPU and for samplers that differentiate with JAX.

The same sums as those of :mod:`bayesgmm.mixture.kernel` and, of rows of which not all is seen, of
:mod:`bayesgmm.mixture.patterns`, block by block, so that memory does not grow with the rows. What is known of a row is
one array each, with rows along the first axis; the last block begins early enough to be whole, and passes over what the
one before has counted. So nothing is padded, and nothing copied.

The pass is in the precision of the rows: rows in single precision are whitened and weighed in it, but sums over rows
are of double precision, which does more than compensated ones would and costs next to nothing beside the products.
Second moments alone are summed in single precision within a block, as they are a product of matrices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from bayesgmm.mixture.components import LOG_2PI

# Numbers of a block in the widest array: what a processor's cache holds. From a quarter to four times as many took as
# long, within 20 %, at (D, K) = (2, 3), (8, 8) and (30, 4). A GPU wants blocks that keep all of it busy: not measured.
CPU_NUMBERS, GPU_NUMBERS = 2**16, 2**24
# Products in single precision are not to be rounded further, as they are on a GPU where nothing is said.
EXACT = jax.lax.Precision.HIGHEST


class Rows(NamedTuple):
    """Rows x (N, D), and, of rows of which not all is seen, what :mod:`bayesgmm.mixture.patterns` is given of them."""

    x: Any
    labels: Any = None
    errors: Any = None
    share: Any = None
    low: Any = None
    high: Any = None

    @classmethod
    def of(cls, x: Any, order: Any = None, *pattern: Any) -> "Rows":
        """Of the inputs of an Op; every row has its own factors here, so their order does not matter."""
        return cls(x, *pattern)


class Mixture(NamedTuple):
    """Weights (K,), means (K, D), covariances (K, D, D), and whether only the diagonals of these count."""

    weights: Any
    means: Any
    covariances: Any
    diagonal: bool


def log_density(rows: Rows, mixture: Mixture) -> jax.Array:
    """Log-density of every row, (N,)."""
    n_rows = rows.x.shape[0]
    if n_rows == 0:
        return jnp.zeros(0)
    joint, _ = _density(rows, mixture)
    block, n_blocks = _blocks(rows, mixture)

    def one(i: Any) -> jax.Array:
        here, _ = _part(rows, i, block)
        return _responsibilities(joint(here)[0], _log_noise(here))[0].astype(jnp.float64)

    found = jax.lax.map(one, jnp.arange(n_blocks))
    return jnp.concatenate([found[:-1].ravel(), found[-1, n_blocks * block - n_rows :]])


def gradient(rows: Rows, mixture: Mixture, row_weights: Any) -> tuple[jax.Array, ...]:
    """The rows' weighted log-density, and its gradient by weights, means, covariances and, last, the share of noise.

    ``row_weights`` are N, or one for all rows. The gradient by the share is there where there is a share.
    """
    weights, n_rows = mixture.weights, rows.x.shape[0]
    joint, moments = _density(rows, mixture)
    size, n_features = mixture.means.shape
    sums: tuple = (jnp.zeros(()), jnp.zeros(()), jnp.zeros(size), jnp.zeros((size, n_features)))
    sums += (jnp.zeros((size, n_features, 1 if mixture.diagonal and rows.labels is None else n_features)),)
    if n_rows:
        block, n_blocks = _blocks(rows, mixture)

        def add(i: Any, sums: tuple) -> tuple:
            here, new = _part(rows, i, block)
            own = row_weights if row_weights.shape[0] == 1 else _slice(row_weights, i, block)
            log_joint, parts = joint(here)
            found, share = _responsibilities(log_joint, _log_noise(here))
            own = jnp.where(new, own.astype(rows.x.dtype), 0)
            total = jnp.where(new, own * found.astype(jnp.float64), 0.0).sum()
            weighed = own * share
            one = (total, own.sum(dtype=jnp.float64), weighed.sum(axis=1, dtype=jnp.float64), *moments(weighed, parts))
            return tuple(a + b for a, b in zip(sums, one, strict=True))

        sums = jax.lax.fori_loop(0, n_blocks, add, sums)
    total, n, counts, first, second = sums
    d_weights = jnp.where(weights > 0, counts / jnp.where(weights > 0, weights, 1.0), 0.0)
    if rows.labels is not None:
        second = second * jnp.eye(n_features) if mixture.diagonal else second
        share = jnp.where(rows.share > 0, rows.share, 1.0)
        return total, d_weights, first, 0.5 * second, jnp.where(rows.share > 0, (n - counts.sum()) / share, 0.0)
    w = _whiteners(mixture)
    if mixture.diagonal:
        second = (second[..., 0] - counts[:, None]) * w**2
        return total, d_weights, w * first, 0.5 * second[..., None] * jnp.eye(n_features)
    first = jnp.einsum("kij,ki->kj", w, first, precision=EXACT)
    second = second - counts[:, None, None] * jnp.eye(n_features)
    return total, d_weights, first, 0.5 * jnp.einsum("kai,kab,kbj->kij", w, second, w, precision=EXACT)


# Blocks of rows -----------------------------------------------------------------------------------------------------


def _blocks(rows: Rows, mixture: Mixture) -> tuple[int, int]:
    """Rows of a block, and how many blocks there are."""
    n_rows, n_features = rows.x.shape
    numbers = CPU_NUMBERS if jax.default_backend() == "cpu" else GPU_NUMBERS
    of_a_row = len(mixture.weights) * n_features * (1 if rows.labels is None else n_features)
    block = min(n_rows, max(1, numbers // of_a_row))
    return block, -(-n_rows // block)


def _slice(values: Any, i: Any, block: int) -> jax.Array:
    # A start so late that rows would be wanting is moved back.
    return jax.lax.dynamic_slice_in_dim(values, i * block, block)


def _part(rows: Rows, i: Any, block: int) -> tuple[Rows, jax.Array]:
    """Block i of the rows, and which of them no block before it had."""
    n_rows = rows.x.shape[0]
    each = {"x": rows.x, "labels": rows.labels, "errors": rows.errors}
    cut = {name: _slice(v, i, block) for name, v in each.items() if v is not None and v.shape[0] == n_rows}
    return rows._replace(**cut), jnp.minimum(i * block, n_rows - block) + jnp.arange(block) >= i * block


def _responsibilities(log_joint: Any, log_noise: Any) -> tuple[jax.Array, jax.Array]:
    """Log-densities (B,) and responsibilities (K, B): 0 and not NaN of a row infinitely far from all."""
    highest = log_joint.max(axis=0)
    if log_noise is not None:
        highest = jnp.maximum(highest, log_noise)
    highest = jnp.where(highest == -jnp.inf, 0.0, highest).astype(log_joint.dtype)
    each = jnp.exp(log_joint - highest)
    total = each.sum(axis=0) + (0.0 if log_noise is None else jnp.exp(log_noise - highest))
    return highest + jnp.log(total), each / jnp.where(total == 0, 1.0, total).astype(each.dtype)


def _density(rows: Rows, mixture: Mixture) -> tuple[Callable, Callable]:
    """The joint log-density of a block's rows and components, (K, B), with what its sums need; and these sums."""
    return _of_complete(rows.x.dtype, mixture) if rows.labels is None else _of_partial(rows.x.dtype, mixture)


# Complete rows ------------------------------------------------------------------------------------------------------


def _whiteners(mixture: Mixture) -> jax.Array:
    """Inverse Cholesky factors (K, D, D), or their diagonals (K, D)."""
    if mixture.diagonal:
        variances = jnp.diagonal(mixture.covariances, axis1=1, axis2=2)
        return jnp.where(variances > 0, variances, jnp.nan) ** -0.5
    return _inverse_factors(mixture.covariances)


def _inverse_factors(matrices: Any) -> jax.Array:
    """Of matrices (..., D, D); NaN of one that is not positive definite."""
    factors = jax.lax.linalg.cholesky(matrices, symmetrize_input=False)
    identity = jnp.broadcast_to(jnp.eye(matrices.shape[-1], dtype=matrices.dtype), matrices.shape)
    return solve_triangular(factors, identity, lower=True)


def _of_complete(dtype: Any, mixture: Mixture) -> tuple[Callable, Callable]:
    whiteners = _whiteners(mixture)
    diagonals = whiteners if mixture.diagonal else jnp.diagonal(whiteners, axis1=1, axis2=2)
    constants = jnp.log(mixture.weights) + jnp.log(diagonals).sum(axis=1) - 0.5 * diagonals.shape[1] * LOG_2PI
    constants, means, w = (v.astype(dtype) for v in (constants, mixture.means, whiteners))

    def joint(here: Rows) -> tuple[jax.Array, jax.Array]:
        # Rows along the last axis and a product with the inverse factor: half the time of rows along the middle one
        # where features are few, and of solving by the factor always.
        apart = here.x.T - means[:, :, None]
        white = w[:, :, None] * apart if mixture.diagonal else jnp.matmul(w, apart, precision=EXACT)
        return constants[:, None] - 0.5 * (white**2).sum(axis=1), white

    def moments(weighed: Any, white: Any) -> tuple[jax.Array, jax.Array]:
        each = weighed[:, None] * white
        first = each.sum(axis=2, dtype=jnp.float64)
        if mixture.diagonal:
            return first, (each * white).sum(axis=2, dtype=jnp.float64)[..., None]
        return first, jnp.matmul(each, white.swapaxes(1, 2), precision=EXACT).astype(jnp.float64)

    return joint, moments


# Rows of which not all is seen --------------------------------------------------------------------------------------


def _log_noise(here: Rows) -> jax.Array | None:
    """Log-density of a block's rows as noise, (B,)."""
    if here.labels is None:
        return None
    if here.low.shape[0] == 0:
        return jnp.full(here.x.shape[0], -jnp.inf, here.x.dtype)
    seen = ~jnp.isnan(here.x)
    inside = (~seen | ((here.x >= here.low) & (here.x <= here.high))).all(axis=1)
    level = jnp.log(here.share) - jnp.where(seen, jnp.log(here.high - here.low), 0.0).sum(axis=1)
    return jnp.where(inside & (here.labels < 0) & (here.share > 0), level, -jnp.inf).astype(here.x.dtype)


def _of_partial(dtype: Any, mixture: Mixture) -> tuple[Callable, Callable]:
    """With a factor for every row and component: what differs from row to row is not known when a GPU's code is made.

    Features that were not seen are independent of the others, of variance 1, and at their mean.
    """
    n_components, n_features = mixture.means.shape
    log_weights, means, covariances = (
        v.astype(dtype) for v in (jnp.log(mixture.weights), mixture.means, mixture.covariances)
    )
    covariances = covariances * jnp.eye(n_features, dtype=dtype) if mixture.diagonal else covariances

    def joint(here: Rows) -> tuple[jax.Array, tuple]:
        seen = ~jnp.isnan(here.x)
        both = seen[:, :, None] & seen[:, None, :]
        whole = covariances[:, None] + (here.errors.astype(dtype) if here.errors.size else 0)
        w = _inverse_factors(jnp.where(both, whole, jnp.eye(n_features, dtype=dtype)))
        apart = jnp.where(seen, here.x - means[:, None], 0)
        white = jnp.einsum("kbij,kbj->kbi", w, apart, precision=EXACT)
        log_joint = log_weights[:, None] + jnp.log(jnp.diagonal(w, axis1=2, axis2=3)).sum(axis=2)
        log_joint = log_joint - 0.5 * ((white**2).sum(axis=2) + seen.sum(axis=1) * LOG_2PI)
        own = (here.labels < 0) | (here.labels == jnp.arange(n_components)[:, None])
        return jnp.where(own, log_joint, -jnp.inf).astype(dtype), (both, w, white)

    def moments(weighed: Any, parts: tuple) -> tuple[jax.Array, jax.Array]:
        both, w, white = parts
        slopes = jnp.einsum("kbij,kbi->kbj", w, white, precision=EXACT)
        first = (weighed[..., None] * slopes).sum(axis=1, dtype=jnp.float64)
        outer = jnp.einsum("kbi,kbj->kij", weighed[..., None] * slopes, slopes, precision=EXACT)
        precision = jnp.where(both, weighed[..., None, None] * jnp.einsum("kbai,kbaj->kbij", w, w, precision=EXACT), 0)
        return first, outer.astype(jnp.float64) - precision.sum(axis=1, dtype=jnp.float64)

    return joint, moments
