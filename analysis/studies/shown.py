"""A study in a notebook: its table, and the first of its pictures."""

from __future__ import annotations

from hyflexsim.analysis.notebook import block
from hyflexsim.analysis.studies.accuracy import accuracy_table, rank_table
from hyflexsim.analysis.studies.report import PICTURES
from hyflexsim.analysis.studies.studies import Study

TABLES = {"accuracy": accuracy_table, "study": rank_table}
"""Tables of means; a Pareto study's own has them already."""


def html(study: Study) -> str:
    """Means with intervals, and the first picture that a folder of its kind gets."""
    table = TABLES[study.kind](study) if study.kind in TABLES else study.table
    name, draw = next(PICTURES[study.kind](study))
    drawn = draw()
    axes = drawn[0] if isinstance(drawn, list) else drawn
    facts = {"model": str(study.info["model"]), "data": str(study.info["data"])}
    return block(study.info["title"], facts, table, [(name.removesuffix(".png"), axes)])
