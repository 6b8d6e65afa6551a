"""Bayesian Gaussian mixture models: soft assignments, and how sure one can be of them."""

__version__ = "0.1.0"
