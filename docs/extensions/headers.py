"""``{left-out}``: what the heads of files say that they leave out, file by file.

A file starts with what it models and what it leaves out (CONTRIBUTING.md), in a sentence that
begins with "Left out:". This directive shows them all, so the list is as current as the code.
"""

import ast
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
FOLDERS = ("sim", "models", "workloads")


class LeftOut(SphinxDirective):
    """A list of definitions: file, and its sentence."""

    def run(self) -> list[nodes.Node]:
        """The list."""
        entries = nodes.definition_list()
        for file, sentence in left_out():
            said = nodes.definition("", nodes.paragraph("", sentence))
            entries += nodes.definition_list_item(
                "", nodes.term("", "", nodes.literal("", file)), said
            )
            self.env.note_dependency(str(ROOT / file))
        return [entries]


def left_out() -> list[tuple[str, str]]:
    """File and sentence, in order of files."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            head = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            said = re.search(r"Left out:\s+(.*?)(?:\n\n|\Z)", head, re.DOTALL)
            if said:
                sentence = re.sub(r":\w+:`~?([^`]*)`", r"\1", " ".join(said[1].split()))
                found.append((str(path.relative_to(ROOT)), sentence[0].upper() + sentence[1:]))
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("left-out", LeftOut)
    return {"parallel_read_safe": True}
