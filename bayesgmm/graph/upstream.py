"""The private names of other packages that we build on: what for, and what to do when one is gone.

A name is private if its package documents no path to it; it may change in any release. All of them are used in this
room, but for nutpie's, which ``sampling/nutpie.py`` uses: the import contract holds them there. The table is data, and
imports nothing; ``tests/test_upstream.py`` holds it against what is installed, a row at a time, and against the imports
in the source. When it fails after an update: mend what the row says, raise ``TESTED_WITH`` and the bound in
``pyproject.toml``, and run ``make evidence``.
"""

from typing import NamedTuple

TESTED_WITH = {"pymc": "6.4.0", "pytensor": "3.3.8", "numba": "0.68.0", "llvmlite": "0.50.0", "nutpie": "0.16.11"}


class PrivateName(NamedTuple):
    """One name, and what we rely on.

    Parameters
    ----------
    module, name : str
    use : str
        What we use it for.
    remedy : str
        What to do when it is gone or changed.
    accepts : tuple of str
        Arguments that we pass by name, or as many as we pass by position.
    has : tuple of str
        Attributes that we use or override.
    """

    module: str
    name: str
    use: str
    remedy: str
    accepts: tuple[str, ...] = ()
    has: tuple[str, ...] = ()

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def _of(module: str, *rows: tuple) -> tuple[PrivateName, ...]:
    return tuple(PrivateName(module, *row) for row in rows)


NOTHING_ELSE = "find its new path; nothing else of it is relied on"
NUMBA_DISPATCH = "see how PyTensor's own Ops are registered in pytensor.link.numba.dispatch"
OWN_DISTRIBUTION = "see how a distribution of PyMC's own, such as pm.LKJCorr, does it now; or try pm.CustomDist"

PRIVATE_NAMES = (
    # Distributions of our own, and a user's.
    *_of(
        "pymc.distributions.distribution",
        ("Continuous", "base of the LKJ and the mixture distribution", OWN_DISTRIBUTION, (), ("dist", "register")),
        ("Distribution", "a user's prior made again from the parameters of its random variable",
         "see what Distribution.dist does between a class's own dist and its rv_op", (), ("dist.__func__",)),
        ("_support_point", "the initial point of our distributions", OWN_DISTRIBUTION, ("op", "rv"), ("register",)),
    ),
    *_of(
        "pymc.distributions.shape_utils",
        ("change_dist_size", "a user's prior in its parameter's shape",
         "make the prior again with `shape`, as put_together does", ("dist", "new_size")),
    ),
    *_of(
        "pymc.logprob.abstract",
        ("_logprob", "the log-density of our distributions", OWN_DISTRIBUTION, ("op", "values"), ("register",)),
    ),
    *_of(
        "pymc.logprob.transforms",
        ("Transform", "base of the maps to weights and to correlations", "follow the transforms in that module", (),
         ("forward", "backward", "log_jac_det", "ndim_supp")),
    ),
    *_of(
        "pymc.printing",
        ("str_for_dist", "a prior that is not a name and numbers, in words", "use str(); only words change", ("dist",)),
    ),
    *_of(
        "pymc.pytensorf",
        ("rewrite_pregrad", "a graph simplified before it is differentiated",
         "leave it out: the gradient compiles longer and repeats what the value computes", ("graph",)),
    ),
    # Compiling.
    *_of(
        "pytensor.compile.mode",
        ("Mode", "our linker with PyMC's rewrites; graphs that are evaluated once", "see pytensor.compile.mode",
         ("linker", "optimizer")),
        ("get_mode", "the rewrites of the modes called NUMBA and JAX", "see pytensor.compile.mode", ("orig_string",)),
        ("optdb", "a rewrite that runs late, at a position", "see how PyTensor registers its own at position 49", (),
         ("register",)),
    ),
    *_of(
        "pytensor.compile.sharedvalue",
        ("SharedVariable", "which inputs of a graph are data", NOTHING_ELSE, (), ("get_value",)),
    ),
    *_of(
        "pytensor.scalar.basic",
        ("Second", "the node that fills a shape, which is run entry by entry in Python; see _filling in compiled.py",
         "leave _filling out: curvature of many parameters takes a sixth longer"),
    ),
    *_of(
        "pytensor.link.jax.dispatch.basic",
        ("jax_funcify", "our Ops in JAX, and a graph as a function of JAX",
         "see how PyTensor's own Ops are registered in pytensor.link.jax.dispatch", ("op", "node"), ("register",)),
    ),
    *_of(
        "pytensor.link.numba.cache",
        ("compile_numba_function_src", "the C function's source made a module that Numba's disk cache knows",
         "write the source to a file that is named by its content, and import it",
         ("src", "function_name", "global_env", "cache_key")),
    ),
    *_of(
        "pytensor.link.numba.dispatch.basic",
        ("numba_funcify_and_cache_key", "a graph's Numba function before it is compiled, and its cache key",
         "see NumbaLinker.fgraph_convert; without a key every process compiles for seconds", ("op", "node")),
        ("numba_njit", "functions of our Ops, and the graph inlined in the C function", NUMBA_DISPATCH, ("fastmath",)),
        ("register_funcify_default_op_cache_key", "our Ops in Numba, with keys that see edits of the kernel",
         NUMBA_DISPATCH, ("op_type",)),
    ),
    *_of(
        "pytensor.link.numba.dispatch.random",
        ("numba_core_rv_funcify", "draws of our distributions in Numba", NUMBA_DISPATCH, ("op", "node"), ("register",)),
    ),
    *_of(
        "pytensor.link.numba.linker",
        ("NumbaLinker", "PyTensor's linker, stopped before it compiles",
         "see what pytensor.function does with a linker; compiled.py says what is needed of it", (),
         ("fgraph_convert", "jit_compile")),
    ),
    # Graphs.
    *_of(
        "pytensor.gradient",
        ("DisconnectedType", "gradients by what nothing depends on", NOTHING_ELSE),
        ("grad_undefined", "no gradient by the data", NOTHING_ELSE, ("op", "x_pos", "x", "comment")),
    ),
    *_of(
        "pytensor.graph.basic",
        ("Apply", "the nodes that our Ops make", NOTHING_ELSE, ("op", "inputs", "outputs")),
        ("Constant", "which inputs of a graph are numbers", NOTHING_ELSE, ("data",)),
        ("Variable", "what is not a constant, and the type of both", NOTHING_ELSE, ("owner", "name")),
    ),
    *_of(
        "pytensor.graph.fg",
        ("FrozenFunctionGraph", "whether two graphs are equal, so that one function serves both",
         "compare graphs by pytensor.graph.traversal's helpers, or compile for every model", (), ("from_io",)),
        ("FunctionGraph", "a graph that JAX's rewrites work on", NOTHING_ELSE, ("inputs", "outputs", "clone")),
    ),
    *_of(
        "pytensor.graph.op",
        ("Op", "base of our Ops; nodes run one by one", "follow PyTensor's guide on creating an Op", (),
         ("make_node", "perform", "pullback", "make_py_thunk")),
    ),
    *_of(
        "pytensor.graph.replace",
        ("_vectorize_node", "a transform of all draws at once", "leave it out: a call for every draw", ("op", "node"),
         ("register",)),
        ("graph_replace", "data and parameters put in place of variables", NOTHING_ELSE,
         ("outputs", "replace", "strict")),
        ("vectorize_graph", "a model's variables at all draws at once", NOTHING_ELSE, ("outputs", "replace")),
    ),
    *_of(
        "pytensor.graph.rewriting.basic",
        ("GraphRewriter", "the moment at which a graph is made for JAX, when our Ops are registered with it",
         "import bayesgmm.graph.jax where the model is built, if JAX is installed", (), ("apply", "rewrite")),
        ("dfs_rewriter", "our rewrites over a whole graph", "any rewriter that visits every node", ("node_rewriters",)),
        ("node_rewriter", "the rewrite that makes one pass of two", "follow PyTensor's guide on rewrites", ("tracks",)),
    ),
    *_of(
        "pytensor.graph.traversal",
        ("ancestors", "whether a variable depends on another", NOTHING_ELSE, ("graphs",)),
        ("graph_inputs", "the data and the numbers of a graph", NOTHING_ELSE, ("graphs",)),
        ("io_toposort", "a graph's nodes in the order in which they run", NOTHING_ELSE, ("inputs", "outputs")),
    ),
    # Ops and rewrites of PyTensor's own that ours look for.
    *_of("pytensor.scalar.basic", ("mul", "rows' weights in the log-likelihood, for the rewrite", NOTHING_ELSE)),
    *_of(
        "pytensor.tensor.basic",
        ("Alloc", "one weight for all rows, for the rewrite", NOTHING_ELSE),
        ("get_underlying_scalar_constant_value", "whether rows have weights",
         "leave it out: unweighted rows are multiplied by 1", ("v",)),
    ),
    *_of("pytensor.tensor.elemwise", ("Elemwise", "products, for the rewrite", NOTHING_ELSE, ("scalar_op",))),
    *_of("pytensor.tensor.exceptions", ("NotScalarConstantError", "whether rows have weights", NOTHING_ELSE)),
    *_of("pytensor.tensor.math", ("Sum", "the log-likelihood, for the rewrite", NOTHING_ELSE, ("axis",))),
    *_of(
        "pytensor.tensor.random.op",
        ("RNGConsumerOp", "whether a prior's parameter is random itself", NOTHING_ELSE),
        ("RandomVariable", "base of our random variables; a prior's parameters are inputs 2 and on",
         OWN_DISTRIBUTION, ("signature", "dtype"), ("_supp_shape_from_params", "rng_fn", "make_node")),
    ),
    *_of(
        "pytensor.tensor.rewriting.basic",
        ("register_specialize", "our rewrites in every mode", "register them in optdb", ("node_rewriter",)),
    ),
    # The sampler.
    *_of(
        "nutpie.compile_pymc",
        ("CompiledPyMCModel", "a model for nutpie made by hand, of a C function that is cached",
         "follow that class's definition; nutpie.compile_pymc_model works too, and compiles for 10 s",
         ("compiled_logp_func", "compiled_expand_func", "initial_point_func", "user_data", "shared_data",
          "shared_var_keys", "n_expanded", "shape_info", "logp_func", "expand_func", "dims", "reparameterized_names",
          "_n_dim", "_shapes", "_coords")),
    ),
)  # fmt: skip
