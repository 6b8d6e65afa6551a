"""What can go wrong, by name. Every error is a ``ValueError`` or a ``TypeError``, as scikit-learn's users expect."""

from typing import Any


class InvalidDataError(ValueError):
    """The table of numbers cannot be fitted as it is; the message names the rows or columns and the remedy."""


class InvalidDataTypeError(TypeError):
    """The data are not a table of real numbers."""


class InvalidArgumentError(ValueError):
    """An argument has a value outside its range; the message names the value and the range."""


class InvalidPriorError(ValueError):
    """A prior does not fit the parameter it is given for."""


class ModelError(ValueError):
    """The model is not one of :func:`bayesgmm.build_model`, or a tree of draws not one of a mixture."""


class SamplingError(ValueError):
    """The sampler could not run from where it was started."""


class ImproperPosteriorError(InvalidDataError):
    """Rows lie exactly on a line or plane, so the posterior has no maximum; the message names them and the remedies."""


class ClusterError(RuntimeError):
    """A pass over rows on a Dask cluster did not finish; the message says what the fit had come to."""


class StorageError(OSError, ValueError):
    """A file could not be written or read; what stood there before is as it was."""


class MissingPackageError(ImportError, ValueError):
    """An optional package is not installed; the message names the command that installs it."""


class MultipleModesWarning(UserWarning):
    """The posterior has other modes than the one that the chains start at."""


class CollapsedComponentWarning(UserWarning):
    """A component has no width to speak of in some direction; the message names its rows."""


class ImportanceWarning(UserWarning):
    """Draws say little of what was asked of them by importance weights."""


class InMemoryWarning(UserWarning):
    """Data that were not in memory, a dask array say, were loaded into it."""


class UnboundedPosteriorWarning(UserWarning):
    """The priors do not guarantee that the posterior density has a maximum."""


def __getattr__(name: str) -> Any:
    if name != "ConvergenceWarning":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # scikit-learn's own, so that its users' filters see it; importing it takes half a second, which only those pay who
    # meet or name the warning.
    import sklearn.exceptions

    class ConvergenceWarning(sklearn.exceptions.ConvergenceWarning):
        """An optimiser stopped before it reached a maximum."""

    ConvergenceWarning.__module__, ConvergenceWarning.__qualname__ = __name__, name
    globals()[name] = ConvergenceWarning
    return ConvergenceWarning


def __dir__() -> list[str]:
    return sorted({*globals(), "ConvergenceWarning"})
