"""Distributions of vectors and matrices, whose size is their first parameter and one number their second."""

import pytensor.tensor as pt
from pymc.distributions.distribution import Continuous


class Sized(Continuous):
    """A distribution that is told its size: subclasses name their ``rv_type`` and ``rv_op``."""

    @classmethod
    def dist(cls, length, parameter, **kwargs):
        return super().dist([pt.as_tensor(length, dtype="int64"), pt.as_tensor(parameter, dtype="float64")], **kwargs)
