"""Mixtures from elsewhere: draws of a hand-written model, and numbers that somebody gave."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.arguments import check_choice
from bayesgmm.exceptions import InvalidArgumentError, ModelError
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.posterior.relabel import METHODS, relabelled
from bayesgmm.record.adopted import Names, adopted
from bayesgmm.record.spread import KINDS
from bayesgmm.record.stan import read_stan

if TYPE_CHECKING:
    import xarray as xr


def adopt(
    dt: Any,
    *,
    weights: Any = "w",
    means: Any = "mu",
    covariances: Any = None,
    scales: Any = None,
    variances: Any = None,
    precisions: Any = None,
    cholesky: Any = None,
    covariance_type: str | None = None,
    X: Any = None,
    relabel: str | None = "stephens",
) -> "xr.DataTree":
    r"""Take over the draws of a mixture that was written by hand, in PyMC, Stan, NumPyro or anything else.

    The result is a tree like those of :func:`bayesgmm.sample`, for all that takes one. Of the priors nothing is known:
    what needs them (:func:`bayesgmm.evidence`, the check of data against priors) says so or is left out.

    Parameters
    ----------
    dt : xr.DataTree, xr.Dataset, dict, or paths
        Draws in ArviZ's form: a tree with a group posterior, that group alone, or a dictionary of arrays
        (chain, draw, ...). Or the CSV files of CmdStan, one path a chain.
    weights : str or None, default "w"
        The name of the variable: (component), or one number, the weight of the first of two. None: equal weights.
    means : str, default "mu"
        (component, feature), or (component) of one feature.
    covariances, scales, variances, precisions, cholesky : str, optional
        Exactly one, and "cov" as ``covariances`` where none is given: covariance matrices, standard deviations,
        variances, their inverses or precision matrices, or lower-triangular Cholesky factors of covariances, which may
        be packed as PyMC has them.
    covariance_type : {"full", "tied", "diag", "spherical"}, optional
        Default: by the shape. Needed where that may be two, with as many components as features.
    X : (N, D) array or data frame, optional
        The rows that were fitted, in the units of the means. Default: the one variable of observed_data or
        constant_data that may be they. :func:`bayesgmm.relabel` and :func:`bayesgmm.diagnose` need rows.
    relabel : {"stephens", "ecr"} or None, default "stephens"
        How to undo label switching (:func:`bayesgmm.relabel`); None leaves the labels. Without rows they stay too.

    Returns
    -------
    xr.DataTree
        Posterior variables ``weights``, ``means``, ``scales`` and ``covariances``, features named after the columns of
        X or the coordinates of the means; components are numbered. Sampler statistics and all other groups and
        variables are kept; those of a name that has a meaning here get an underscore after it.

    Raises
    ------
    ModelError
        There is no such variable; its sizes fit nothing, or may be two things; or its values are none of their kind,
        such as matrices that are not symmetric.
    InvalidArgumentError, InvalidDataError, StorageError

    Notes
    -----
    A variable's axes may be in any order. Dims called component and feature are what they say, and so are those that
    weights and means share with others; the rest are told by their sizes, and where there are as many components as
    features, components come first. A list of names, such as ``["chol_0", "chol_1"]``, stands for one variable a
    component, and an array for numbers that are the same in every draw.

    Examples
    --------
    >>> import bayesgmm as bg, numpy as np
    >>> rng = np.random.default_rng(1)
    >>> X = np.concatenate([rng.normal(-3, 1, size=(50, 1)), rng.normal(3, 1, size=(50, 1))])
    >>> draws = {
    ...     "p": rng.beta(50, 50, size=(4, 100)),
    ...     "mu": rng.normal([-3, 3], 0.1, size=(4, 100, 2)),
    ...     "sigma": rng.gamma(100, 0.01, size=(4, 100, 2)),
    ... }
    >>> dt = bg.adopt(draws, weights="p", scales="sigma", X=X)
    >>> bg.assignments(dt, [[-2.5], [2.5]])["label"].values
    array([0, 1])
    """
    spread = {
        "covariances": covariances, "scales": scales, "variances": variances, "precisions": precisions,
        "cholesky": cholesky,
    }  # fmt: skip
    given = {kind: name for kind, name in spread.items() if name is not None} or {KINDS[0]: "cov"}
    if len(given) > 1:
        raise InvalidArgumentError(f"{' and '.join(given)} are given: give one of them, the others follow from it.")
    if covariance_type is not None:
        check_choice(covariance_type, "covariance_type", tuple(COVARIANCE_TYPES))
    if relabel is not None:
        check_choice(relabel, "relabel", METHODS)
    ((kind, name),) = given.items()
    fit = adopted(_tree(dt), Names(weights, means, kind, name), X, covariance_type=covariance_type)
    return (fit if relabel is None or not fit.has_rows else relabelled(fit, relabel)).tree


def from_arrays(
    weights: Any,
    means: Any,
    covariances: Any,
    *,
    X: Any = None,
    features: Sequence[str] | None = None,
    covariance_type: str | None = None,
) -> "xr.DataTree":
    """A mixture of known parameters, as a tree with one draw.

    For :func:`bayesgmm.assignments`, :func:`bayesgmm.density`, :func:`bayesgmm.anomaly`, :func:`bayesgmm.regression`,
    pictures, :func:`bayesgmm.save` and all else that takes a tree. As there is one draw, intervals have no width.

    Parameters
    ----------
    weights : (K,) array or None
        None: equal weights.
    means : (K, D) array, or (K,) of one feature
    covariances : (K, D, D), (D, D), (K, D) or (K,) array
        In scikit-learn's shapes.
    X : (N, D) array or data frame, optional
        Rows that belong to it, for what is asked without new ones.
    features : sequence of D str, optional
        Default: the columns of X, or x0, x1 and so on.
    covariance_type : {"full", "tied", "diag", "spherical"}, optional
        Default: by the shape. Needed where that may be two, with as many components as features.

    Returns
    -------
    xr.DataTree

    Raises
    ------
    ModelError, InvalidArgumentError, InvalidDataError

    Examples
    --------
    >>> import bayesgmm as bg
    >>> dt = bg.from_arrays([0.3, 0.7], [[0.0, 0.0], [4.0, 4.0]], [1.0, 2.0], covariance_type="spherical")
    >>> bg.assignments(dt, [[2.0, 1.0], [3.0, 4.0]])["probability"].values.round(2)
    array([[0.64, 0.36],
           [0.  , 1.  ]])
    """
    from arviz_base import from_dict

    if covariance_type is not None:
        check_choice(covariance_type, "covariance_type", tuple(COVARIANCE_TYPES))
    values = {"weights": weights, "means": means, "covariances": covariances}
    draws = {
        name: np.asarray(value, dtype=np.float64)[None, None] for name, value in values.items() if value is not None
    }
    if draws["means"].ndim > 4 or (weights is not None and draws["weights"].ndim != 3):
        shapes = ", ".join(f"{name} {value.shape[2:]}" for name, value in draws.items())
        raise InvalidArgumentError(
            f"from_arrays takes one mixture, weights (K,) and means (K, D), and was given {shapes}. Draws of mixtures "
            "go through bayesgmm.adopt, as an ArviZ tree: arviz_base.from_dict({'posterior': {'w': w[None], ...}})."
        )
    if draws["means"].ndim == 3:
        draws["means"] = draws["means"][..., None]
    coords = {} if features is None else {"feature": list(features)}
    if features is not None and len(coords["feature"]) != draws["means"].shape[-1]:
        raise InvalidArgumentError(
            f"features = {features!r} are {len(features)} names for {draws['means'].shape[-1]} columns of means: give "
            "one for each."
        )
    dims = {"weights": ["component"], "means": ["component", "feature"]}
    tree = from_dict({"posterior": draws}, coords=coords, dims=dims)
    names = Names(None if weights is None else "weights", "means", "covariances", "covariances")
    return adopted(tree, names, X, covariance_type=covariance_type, method="given").tree


def _tree(dt: Any) -> "xr.DataTree":
    from arviz_base import convert_to_datatree

    paths = [dt] if isinstance(dt, str | os.PathLike) else dt
    if isinstance(paths, list | tuple) and paths and all(isinstance(path, str | os.PathLike) for path in paths):
        return read_stan(paths)
    try:
        tree = convert_to_datatree(dt)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"a {type(dt).__name__} cannot be read as draws: bring it into ArviZ's form first, with "
            "arviz.from_numpyro, arviz.from_cmdstanpy, arviz.from_emcee or arviz.from_dict."
        ) from error
    if "posterior" not in tree:
        raise ModelError(f"the tree has no group posterior; it has {', '.join(tree.children) or 'none'}.")
    return tree
