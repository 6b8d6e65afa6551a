"""The command line."""

from bayesgmm.cli.commands import app, main

__all__ = ["app", "main"]
