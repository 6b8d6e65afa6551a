"""Bayesian Gaussian mixture models: soft assignments, and how sure one can be of them.

The public names stand in ``__init__.pyi``, each once. They are imported when first used: ``import bayesgmm`` itself
loads none of PyMC, nutpie or matplotlib.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
