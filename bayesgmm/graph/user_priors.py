"""A user's PyMC distribution as a name and numbers, and the way back.

``pm.Gamma.dist(2, 3)`` is a node of PyTensor's graph. Here it is taken apart into ("Gamma", (2, 1/3)), the parameters
of its random variable, from which it can be made again: with other numbers, from a file, or with its numbers as inputs
of the graph, so that nothing is compiled anew when they change. What cannot be taken apart (a truncated distribution,
a parameter that is random itself) says so by ``None``, and can only be used as it is.
"""

from itertools import combinations, product
from typing import Any

import numpy as np
import pymc as pm
from pymc.distributions.distribution import Distribution
from pymc.distributions.shape_utils import change_dist_size
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.op import RNGConsumerOp

from bayesgmm.exceptions import InvalidPriorError

# Interpreted: what is evaluated once is not worth compiling.
INTERPRETED = Mode("py", "fast_compile")
# Where a density near 0 is looked at: positive numbers whose logarithms are evenly spaced.
NEAR_ZERO = np.logspace(-240, -60, 4)
# The steepness of the log-density by the log of its argument, between the last two of them and the first two, grows at
# least so many times where the density vanishes faster than any power; of a power it stays.
STEEPENING = 1.2


def taken_apart(prior: Any) -> tuple[str, tuple[np.ndarray, ...]] | None:
    """Name of the distribution and the parameters of its random variable; None where that is not all there is to it."""
    node = prior.owner
    cls = _class_of(type(node.op))
    given = [v for v in ancestors([prior]) if v is not prior and v.owner is not None]
    random = any(isinstance(v.owner.op, RNGConsumerOp) for v in given)
    # The generator is a shared variable of every distribution; any other is the user's data, which may change.
    shared = any(isinstance(v, SharedVariable) for p in node.inputs[2:] for v in ancestors([p]))
    if cls is None or random or shared:
        return None
    try:
        parameters = tuple(np.asarray(p.eval(mode=INTERPRETED), dtype=np.float64) for p in node.inputs[2:])
        again = put_together(cls.__name__, parameters)
    except Exception:  # whatever PyMC says of parameters that are not these
        return None
    same = type(again.owner.op) is type(node.op) and len(again.owner.inputs) == len(node.inputs)
    return (cls.__name__, parameters) if same else None


def put_together(name: str, parameters: Any, shape: Any = None) -> Any:
    """The unnamed distribution of a name and the parameters of its random variable: numbers or PyTensor variables."""
    # Not the class's own `dist`, whose arguments may be others (a rate, say, where the random variable has a scale).
    return Distribution.dist.__func__(getattr(pm, name), list(parameters), shape=shape)


def written(name: str, parameters: tuple[np.ndarray, ...]) -> str | None:
    """The distribution as a call, ``Gamma.dist(alpha=2.0, beta=3.0)``; None where no call is found that gives it.

    Its arguments are found by trying: those of the class's signature, each with a parameter or its inverse, whose
    random variable has these very parameters.
    """
    import inspect

    cls = getattr(pm, name)
    names = [p for p in inspect.signature(cls.dist).parameters if p not in ("args", "kwargs")]
    # A bound that is infinite is one that was not given.
    given = [p.reshape(()) if p.size == 1 else p for p in parameters if np.isfinite(p).all()]
    for n in range(len(given), -1, -1):
        for values in combinations(given, n):
            for keywords in combinations(names, n):
                for inverted in product((False, True), repeat=n):
                    with np.errstate(divide="ignore"):
                        tried = [1 / v if i else v for v, i in zip(values, inverted, strict=True)]
                    if _gives(cls, dict(zip(keywords, tried, strict=True)), parameters):
                        shown = ", ".join(f"{k}={_number(v)}" for k, v in zip(keywords, tried, strict=True))
                        return f"{name}.dist({shown})"
    return None


def is_unnamed_distribution(prior: Any) -> bool:
    """Whether it is a random variable that no model has yet."""
    return prior.owner is not None and isinstance(prior.owner.op, RNGConsumerOp) and prior.name is None


def is_univariate(prior: Any) -> bool:
    """Whether every entry has a distribution of its own."""
    return prior.owner.op.ndim_supp == 0


def fitted(prior: Any, name: str, shape: tuple[int, ...]) -> Any:
    """A user's unnamed distribution, resized to the parameter's shape."""
    if not prior.dtype.startswith("float"):
        raise InvalidPriorError(
            f"the prior of the {name} is of whole numbers: use a continuous one, such as pm.Normal.dist(0, 5)."
        )
    own = tuple(int(n) for n in prior.shape.eval(mode=INTERPRETED))
    try:
        fits = np.broadcast_shapes(own, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise InvalidPriorError(
            f"the prior of the {name} has shape {own}, which does not broadcast to theirs, {shape}."
        )
    return resized(prior, shape[: len(shape) - prior.owner.op.ndim_supp])


def resized(prior: Any, size: tuple[Any, ...]) -> Any:
    """The distribution in another size: of numbers, or of PyTensor's variables, such as a model's lengths."""
    return change_dist_size(prior, size)


def check_positive(prior: Any, name: str) -> None:
    """Reject a prior that gives negative values a density."""
    if (_log_density(prior, -np.logspace(-9, 9, 19)) > -np.inf).any():
        raise InvalidPriorError(
            f"the prior of the {name} allows negative values: use a positive one, such as pm.HalfNormal.dist(2) or "
            "pm.InverseGamma.dist(3, 1)."
        )


def vanishes_at_zero(prior: Any) -> bool:
    """Whether a density goes to 0 at 0 faster than any power, as the inverse-gamma's and the log-normal's do."""
    with np.errstate(all="ignore"):
        log_density = _log_density(prior, NEAR_ZERO)
        log_density = log_density.reshape(len(NEAR_ZERO), -1)
        # Nothing at all near 0, or what overflows on its way to nothing.
        nothing = ~np.isfinite(log_density[0])
        steepness = np.diff(log_density, axis=0) / np.diff(np.log(NEAR_ZERO))[:, None]
        steeper = (steepness[-1] > 0) & (steepness[0] > STEEPENING * steepness[-1])
    return bool((nothing & ~(log_density[0] == np.inf) | steeper).all())


def has_density_at(prior: Any, values: np.ndarray) -> bool:
    """Whether the density is above 0 at values of the prior's shape."""
    return bool(np.isfinite(pm.logp(prior, values).eval(mode=INTERPRETED)).all())


def distribution_function(prior: Any, values: np.ndarray) -> np.ndarray | None:
    """The distribution function at values of the prior's shape; None of distributions for which PyMC has none."""
    try:
        return np.exp(np.asarray(pm.logcdf(prior, values).eval(mode=INTERPRETED)))
    except NotImplementedError:
        return None


def in_words(variable: Any) -> str:
    """A random variable of a model in PyMC's words."""
    from pymc.printing import str_for_dist

    return str_for_dist(variable)


def in_python(prior: Any) -> str:
    """An unnamed distribution as it is made; in PyMC's words, where no call is found that makes it."""
    apart = taken_apart(prior)
    call = None if apart is None else written(*apart)
    return in_words(prior).split("~")[-1].strip() if call is None else f"pm.{call}"


def _log_density(prior: Any, values: np.ndarray) -> np.ndarray:
    """Log-density at numbers, each for every entry of the prior, (n, ...)."""
    batch = (values.size, *(1,) * prior.ndim)
    return np.asarray(pm.logp(prior, values.reshape(batch)).eval(mode=INTERPRETED))


def _class_of(op: type) -> Any:
    """PyMC's class of distributions whose random variable is this Op."""
    for name in pm.distributions.__all__:
        cls = getattr(pm.distributions, name)
        if isinstance(cls, type) and issubclass(cls, Distribution):
            rv_type = getattr(cls, "rv_type", None) or type(getattr(cls, "rv_op", None))
            if rv_type is op:
                return cls
    return None


def _gives(cls: Any, arguments: dict[str, np.ndarray], parameters: tuple[np.ndarray, ...]) -> bool:
    try:
        made = [np.asarray(p.eval(mode=INTERPRETED)) for p in cls.dist(**arguments).owner.inputs[2:]]
        return len(made) == len(parameters) and all(
            a.shape == b.shape and np.allclose(a, b, rtol=1e-12, atol=0) for a, b in zip(made, parameters, strict=True)
        )
    except Exception:  # arguments that do not go together, each class with errors of its own
        return False


def _number(value: np.ndarray) -> str:
    """Numbers as Python writes them, without what rounding left in the last digits: PyTensor inverts in float32."""

    def plain(v: float) -> float:
        brief = float(f"{v:.6g}")
        return brief if abs(brief - v) <= 5e-8 * abs(v) else float(f"{v:.15g}")

    return repr(np.vectorize(plain, otypes=[float])(value).tolist())
