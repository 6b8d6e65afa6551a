"""What a user's priors in other units than the rows' do to linear algebra, said in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from scipy.linalg import LinAlgError

from bayesgmm.exceptions import InvalidPriorError
from bayesgmm.model.specification import Specification


@contextmanager
def fitting_priors(specification: Specification) -> Iterator[None]:
    """Errors of linear algebra as what they come from, where priors are a user's own.

    A prior that has the means 1,000 times the rows' range away puts components there, as wide as the way.

    Raises
    ------
    InvalidPriorError
    """
    try:
        yield
    except ValueError as error:
        # NumPy's and SciPy's errors, and what SciPy says of numbers that are not finite.
        of_numbers = isinstance(error, LinAlgError) or "infs or NaNs" in str(error)
        if not (of_numbers and specification.not_defaults):
            raise
        words = "; ".join(specification.not_defaults.values())
        raise InvalidPriorError(
            f"under these priors the covariances cannot be computed with ({error}): {words}. Are they in the units of "
            "the rows, and are the means' near them? Compare with the default priors, Priors()."
        ) from error
