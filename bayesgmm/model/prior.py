"""One prior in numbers: what it says in words, and the distribution that it stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayesgmm.exceptions import ModelError

# The inverse-gamma's shape: 3/2 is the marginal of an inverse-Wishart with D + 2 degrees of freedom.
VARIANCE_SHAPE = 1.5
# The distribution of stick-breaking weights.
STICKS = "StickBreaking"
# That of a covariance within clusters of which there is one: the reference, or the covariance itself.
WITHIN = "WithinCovariance"
# Names of distributions that have no integral.
IMPROPER = ("Flat", "HalfFlat")


@dataclass(frozen=True, eq=False)
class Prior:
    """One prior in numbers.

    Parameters
    ----------
    variable : str
        What it is the prior of: weights and their concentration, means, variances or scales, correlations.
    distribution : str or None
        The distribution's name; PyMC's where ``users`` is set. None: a user's that is not just a name and numbers.
    numbers : dict
        Its numbers by the names under which the model keeps them (``pm.Data``).
    users : bool
        Whether a user gave it in place of the default.
    source : PyMC distribution, optional
        What the user gave; it does not go into files.
    words : str
        Of a user's prior.
    given : bool
        Whether a default's numbers came from the user: the reference.
    """

    variable: str
    distribution: str | None
    numbers: Mapping[str, np.ndarray]
    users: bool = False
    source: Any = field(default=None, repr=False)
    words: str = ""
    given: bool = False

    def in_words(self, features: Sequence[str]) -> str:
        """The prior with its numbers, feature by feature where these differ."""
        if self.users:
            return self.words
        numbers = [np.atleast_1d(value) for value in self.numbers.values()]
        if self.variable == "weights":
            # Nothing but the name where the concentration is a variable, with a prior of its own.
            own = ", ".join(map(brief_number, numbers[0])) if numbers else "concentration"
            if self.distribution == STICKS:
                return f"sticks of Beta(1, {own}), broken in the order of the components"
            return f"Dirichlet({own})" if numbers else f"Dirichlet({own}, ..., {own})"
        if self.variable == "noise":
            return f"Beta({', '.join(brief_number(value[0]) for value in numbers)})"
        if self.variable == "correlations":
            return f"LKJ({brief_number(numbers[0][0])})" if numbers[0][0] > 0 else "flat"
        if self.distribution == WITHIN:
            scales = f"standard deviations {_scales(np.asarray(self.numbers['total_cholesky']))}"
            within = brief_number(self.numbers["within_spread"])
            return f"within the covariance of all rows ({scales}), log of its scale Normal(0, sd {within})"
        if self.variable == "covariances":
            around, spread = self.numbers.get("reference_cholesky"), self.numbers["scale_spread"]
            given = "the reference"
            if around is not None:
                given = f"a covariance (standard deviations {_scales(np.asarray(around))})"
            shape = f", shapes worth {self._likeness} rows" if len(features) > 1 else ""
            return f"around {given}{shape}, log of each one's scale Normal(0, sd {brief_number(spread)})"
        if self.variable == "means":
            each = [f"Normal({brief_number(m)}, sd {brief_number(s)})" for m, s in zip(*numbers, strict=True)]
        elif not numbers:
            return f"InverseGamma({VARIANCE_SHAPE:g}, variance_scale)"
        else:
            each = [f"InverseGamma({VARIANCE_SHAPE:g}, {brief_number(s)})" for s in numbers[0]]
        return each[0] if len(each) < len(features) else by_feature(features, each)

    @property
    def improper(self) -> bool:
        """Whether the density has no integral."""
        return self.users and self.distribution in IMPROPER

    @property
    def _likeness(self) -> str:
        """What components' shapes are worth: where there are several numbers, those between which nine in ten lie."""
        rows, shares = self.numbers["likeness"], np.cumsum(self.numbers["likeness_shares"])
        low, high = (f"{round(float(rows[np.argmax(shares >= part)]), 1):g}" for part in (0.05, 0.95))
        return low if low == high else f"{low} to {high}"

    @property
    def variance_scale(self) -> np.ndarray | None:
        """The scale of the default inverse-gamma prior of the variances, (D,) or a number; None of others."""
        given = self.numbers.get("variance_scale")
        return None if given is None else np.asarray(given)

    def with_numbers(self, numbers: Mapping[str, np.ndarray]) -> "Prior":
        """The same prior with other numbers, by their names; names that it does not have are passed over."""
        own = {name: np.asarray(numbers.get(name, value)) for name, value in self.numbers.items()}
        if all(_alike(own[name], value) for name, value in self.numbers.items()):
            return self
        words = written(self.distribution, tuple(own.values())) if self.users and self.distribution else self.words
        return replace(self, numbers=own, source=None if self.distribution else self.source, words=words)

    def variable_of(self, shape: tuple[int, ...], parameters: Mapping[str, Any] | None = None) -> Any:
        """A user's prior as an unnamed PyMC distribution of a shape, of ``parameters`` by name instead of its numbers.

        Raises
        ------
        ModelError
            The prior was read from a file that could not hold it.
        """
        from bayesgmm.graph import user_priors

        if self.distribution is not None:
            given = self.numbers if parameters is None else parameters
            made = user_priors.put_together(self.distribution, [given[name] for name in self.numbers])
            return user_priors.fitted(made, self.variable, shape)
        if self.source is None:
            raise ModelError(
                f"this fit has a prior of the {self.variable} of its own ({self.words}), which only its own model can "
                "make: pass that model (open_run(path, model=model))."
            )
        return user_priors.fitted(self.source, self.variable, shape)

    def vanishes_at_zero(self) -> bool:
        """Whether the density goes to 0 at 0 faster than any power, so that nothing can close in on it."""
        from bayesgmm.graph import user_priors

        if not self.users:
            return True
        made = self.source
        if self.distribution is not None:
            made = user_priors.put_together(self.distribution, self.numbers.values())
        # Of what stands in a file as words only, nobody knows.
        return made is not None and user_priors.vanishes_at_zero(made)


def _scales(factor: np.ndarray) -> str:
    """Standard deviations of a covariance, of which the Cholesky factor or they themselves are given."""
    scales = np.sqrt((factor**2).sum(axis=1)) if factor.ndim == 2 else np.atleast_1d(factor)
    return ", ".join(map(brief_number, scales))


def by_feature(features: Sequence[str], words: Sequence[str]) -> str:
    """Words for each feature, one after the other."""
    return "; ".join(f"{shortened(name)}: {said}" for name, said in zip(features, words, strict=True))


def shortened(name: str, most: int = 60) -> str:
    """A name that is not too long for a heading."""
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def brief_number(value: Any) -> str:
    """A number that was set rather than estimated."""
    return f"{float(value):.6g}"


def _alike(numbers: np.ndarray, value: np.ndarray) -> bool:
    """Whether numbers are a value, or that value for every entry of a parameter."""
    try:
        return np.array_equal(numbers, np.broadcast_to(value, numbers.shape))
    except ValueError:
        return False


def written(name: str, parameters: tuple[np.ndarray, ...]) -> str:
    """A distribution as a user may have written it."""
    from bayesgmm.graph import user_priors

    shown = ", ".join(np.array2string(np.asarray(p), separator=", ") for p in parameters)
    return user_priors.written(name, parameters) or f"{name}({shown})"
