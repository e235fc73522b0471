"""The site: `sphinx-build -W --keep-going -n docs docs/_build`. Nothing is fetched from a network."""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"  # read once, when `penalties.keras` is imported to be documented
sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import penalties

project = "penalties"
author = "The penalties developers"
copyright = "The penalties developers, Apache-2.0"
version = release = penalties.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "public_names",
    "docstrings",
]
exclude_patterns = ["_build"]

# The public modules, each of which lists its names: each of these has an entry in the API reference.
public_modules = ["penalties", "penalties.functional", "penalties.plot", "penalties.keras"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

default_role = "code"  # docstrings write code as Markdown does, in single backticks
autosummary_generate = False  # the entries are on the page, below their table
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

# Other people's types are on other people's sites, and what is private is nowhere.
nitpick_ignore_regex = [("py:.*", r"(?!penalties\b).*|penalties\.(.*\.)?(_\w+\..*|T)")]

html_theme = "furo"
html_title = f"penalties {release}"
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
