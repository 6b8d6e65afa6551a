"""A specification on paper: as JSON, and read from it."""

import json

import numpy as np

from bayesgmm.exceptions import StorageError
from bayesgmm.model.covariance import COVARIANCE_TYPES
from bayesgmm.model.prior import Prior
from bayesgmm.model.specification import Specification

# Raised when what stands in a file changes. 2: weights of a stick, and a concentration with a prior. 3: likenesses with
# shares. 4: the reference within the covariance of all rows.
FORMAT = 4
# Before this the default prior of the covariances was another one.
OLDEST_DEFAULT = 4


def to_json(specification: Specification) -> str:
    """As JSON. A user's prior that is not just a name and numbers is kept as words."""
    return json.dumps(
        {
            "format": FORMAT,
            "features": list(specification.features),
            "n_components": specification.n_components,
            "covariance_type": specification.covariance.name,
            "resolution": specification.resolution.tolist(),
            "typical_variance_scale": specification.typical_variance_scale.tolist(),
            "terms": list(specification.terms),
            "classes": None if specification.classes is None else list(specification.classes),
            "priors": [
                {
                    "variable": prior.variable,
                    "distribution": prior.distribution,
                    "numbers": {name: np.asarray(value).tolist() for name, value in prior.numbers.items()},
                    "users": prior.users,
                    "words": prior.words,
                    "given": prior.given,
                }
                for prior in specification.priors
            ],
        }
    )


def from_json(text: str) -> Specification:
    """What :func:`to_json` wrote.

    Raises
    ------
    StorageError
        It is not such a text, or one of a newer version.
    """
    try:
        read = json.loads(text)
        if read["format"] > FORMAT:
            raise StorageError(f"this fit was written by a newer bayesgmm (format {read['format']}): update it.")
        return Specification(
            features=tuple(read["features"]),
            n_components=read["n_components"],
            covariance=COVARIANCE_TYPES[read["covariance_type"]],
            priors=_priors(read),
            resolution=np.array(read["resolution"], dtype=np.float64),
            typical_variance_scale=np.array(read["typical_variance_scale"], dtype=np.float64),
            terms=tuple(read["terms"]),
            classes=None if read.get("classes") is None else tuple(read["classes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"not the specification of a mixture: {error!r}.") from error


def _priors(read: dict) -> tuple[Prior, ...]:
    """The priors in a file; an earlier version's default of the covariances, which nothing makes now, in words."""
    earlier = read["format"] < OLDEST_DEFAULT
    found = []
    for own in read["priors"]:
        variable = own["variable"]
        if earlier and variable == "covariances":
            words = "around a reference, as an earlier version of bayesgmm had it by default"
            found.append(Prior(variable, None, {}, users=True, words=words))
        elif not (earlier and variable == "reference"):
            numbers = {name: np.array(value, dtype=np.float64) for name, value in own["numbers"].items()}
            given = own.get("given", False)
            found.append(Prior(variable, own["distribution"], numbers, own["users"], words=own["words"], given=given))
    return tuple(found)
