"""What a log posterior can be computed with, and how PyTensor's JAX mode comes to know this package's Ops."""

from importlib.util import find_spec

from pytensor.compile.mode import optdb
from pytensor.graph.rewriting.basic import GraphRewriter

from bayesgmm.arguments import check_choice
from bayesgmm.exceptions import MissingPackageError

BACKENDS = ("numba", "jax")
# A climb takes differences of gradients, which in single precision are noise: these are for samplers alone.
SAMPLERS_BACKENDS = (*BACKENDS, "jax-float32")


def check_backend(backend: str, choices: tuple[str, ...] = BACKENDS) -> str:
    """A backend by its name, whose packages are installed."""
    check_choice(backend, "backend", choices)
    missing = [name for name in ("jax", "numpyro") if find_spec(name) is None]
    if backend != "numba" and missing:
        raise MissingPackageError(
            f'backend = {backend!r} needs {" and ".join(missing)}: pip install "bayesgmm[jax]", '
            'and for a GPU "jax[cuda13]" besides.'
        )
    return backend


class ForJax(GraphRewriter):
    """A rewrite of graphs for JAX, and the moment at which it is told our Ops.

    Whatever makes a graph for JAX (PyMC for NumPyro and BlackJAX, nutpie, PyTensor's own ``mode="JAX"``) rewrites it,
    and asks for its Ops in JAX afterwards. So nothing is imported for JAX until then, nor by a user ever.
    """

    def apply(self, fgraph):
        from bayesgmm.graph.jax import total_in_one_pass

        return total_in_one_pass.rewrite(fgraph)


# After the rewrite that takes the value from the gradient (`bayesgmm.graph.ops`).
optdb.register("bayesgmm_for_jax", ForJax(), "jax", position=49.45)
