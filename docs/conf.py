"""Sphinx configuration."""

import os
import subprocess
import sys
import urllib.request
from importlib.metadata import version as installed_version
from pathlib import Path

project = "bayesgmm"
author = "The bayesgmm developers"
copyright = "2026, the bayesgmm developers"  # noqa: A001
version = release = installed_version("bayesgmm")

sys.path.insert(0, str(Path(__file__).parent))  # for gallery_order

# Where the rooms or their imports have changed, the picture of them is drawn anew.
subprocess.run(
    [sys.executable, "draw_house.py"], cwd=Path(__file__).parent, env=os.environ | {"MPLBACKEND": "agg"}, check=True
)

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # equations show without a network
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/**/*.py", "gallery/**/*.zip"]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]

autosummary_generate = True
numpydoc_show_class_members = False
autodoc_typehints = "none"

templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
# Pages of no section, which have nothing to navigate.
html_sidebars = {name: [] for name in ("index", "start")}
html_static_path = ["_static"]
html_title = "bayesgmm"
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "show_memory": False,
    "capture_repr": ("_repr_html_",),  # data frames, and no addresses of Axes
    "plot_gallery": True,
    "within_subsection_order": "gallery_order.in_order",
}

INVENTORIES = {
    "arviz": "https://python.arviz.org/en/stable",
    "pymc": "https://www.pymc.io/projects/docs/en/stable",
    "python": "https://docs.python.org/3",
    "sklearn": "https://scikit-learn.org/stable",
    "xarray": "https://docs.xarray.dev/en/stable",
}


def _reachable(url: str) -> bool:
    """Whether a project's inventory answers: without a network the site is built without links to other sites."""
    try:
        with urllib.request.urlopen(f"{url}/objects.inv", timeout=5):
            return True
    except OSError:
        return False


intersphinx_mapping = {name: (url, None) for name, url in INVENTORIES.items() if _reachable(url)}
