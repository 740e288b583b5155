"""The documentation site: ``make docs`` builds it, strictly, into build/docs.

Left out of the sources here, since it is made from the code: a page for each command and the
reference of modules (extensions/commands.py, extensions/modules.py).
"""

import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "extensions"))

project = "hyflexsim"
author = "hyflexsim developers"
version = release = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "commands",
    "modules",
    "references",
    "headers",
]
exclude_patterns = ["extensions"]
nitpicky = True  # a reference that leads nowhere fails the build (see references.py)
default_role = "code"
smartquotes = False  # options have two hyphens

# Markdown
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# notebooks run each time they are read, since what they show depends on the code
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True

# docstrings
napoleon_google_docstring = False
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_use_type_comments = False  # there are none, and to look for them takes a third of the build
toc_object_entries = False
suppress_warnings = ["ref.python"]  # an annotation such as Host may be of two modules

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["notebooks.css"]
html_title = f"hyflexsim {version}"
html_show_copyright = False
html_copy_source = False
