"""References to what this site has no page for: right if the code has it, else the build fails.

A docstring may name any function of the package, with or without its module, or by its public name
(``hyflexsim.analysis.load``, from within analysis just ``load``). Those that are not
documented here are shown as code. Types of other packages in signatures are shown as they are:
their sites are not asked, so that the build needs no network.
"""

import importlib
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

OWN = "hyflexsim."


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """The text itself where the name exists; None, which Sphinx reports, where it does not."""
    if node.get("refdomain") != "py":
        return None
    target, module, owner = node["reftarget"], node.get("py:module"), node.get("py:class")
    if node["reftype"] in ("class", "obj", "exc") and not target.startswith(OWN):
        return content  # an annotation; modules import most of these for type checkers only
    places = [target]
    if module:
        package = ".".join(module.split(".")[:2])
        places += [f"{at}.{target}" for at in (module, module.rpartition(".")[0], package)]
        if owner:
            places.append(f"{module}.{owner}.{target}")
    return content if any(exists(place) for place in places) else None


def exists(dotted: str) -> bool:
    """Whether a module, or something in one, has this name."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            known = getattr(thing, "__annotations__", {}) | getattr(thing, "model_fields", {})
            if not hasattr(thing, part) and part not in known:
                return False
            thing = getattr(thing, part, None)
        return True
    return False
