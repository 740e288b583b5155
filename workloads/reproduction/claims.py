"""A claim of the paper beside ours, and the verdict: how far apart, or why that is no question.

``derived`` claims are judged by their ratio; others are none of our making, and say what they are:

``input``            the paper's own table, added up: evidence of nothing
``fitted``           rests on a value that was read off the paper's figures
``not derivable``    what the paper compares with is not public
``contradictory``    the paper says two things that cannot both hold
``shape``            the paper has no numbers, or of another model and task: only yes or no
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

KINDS = ("derived", "input", "fitted", "not derivable", "contradictory", "shape")
CLOSE, NEAR = 0.10, 0.25
"""Bounds of the verdicts on derived claims: shares by which ours may be off."""

COLUMNS = ("panel", "series", "x", "ours", "paper")
"""Of a figure's table; ``paper`` is nan where it has no number."""
_PLAIN = ("name", "title", "axes", "log", "picture", "theirs")


@dataclass(frozen=True)
class Switch:
    """One thing changed, as one would say it on the command line, and what comes out then."""

    what: str
    value: float


@dataclass(frozen=True)
class Claim:
    """One row of the page. ``how``: closed form, run, table of a study, or arithmetic on these."""

    figure: str
    claim: str
    paper: float
    ours: float
    rests: str = ""
    why: str = ""
    kind: str = "derived"
    how: str = "closed form"
    switches: tuple[Switch, ...] = ()

    @property
    def ratio(self) -> float:
        """Ours over the paper's."""
        return self.ours / self.paper

    @property
    def verdict(self) -> str:
        """See the head of this file.

        >>> Claim("fig14", "1.24 x", 1.24, 1.30).verdict
        'derived, within 10 %'
        >>> Claim("table2", "area", 1807, 1807, kind="input").verdict
        'input'
        """
        if self.kind != "derived":
            return self.kind
        away = max(self.ratio, 1 / self.ratio) - 1
        if away <= CLOSE:
            return "derived, within 10 %"
        return "derived, within 25 %" if away <= NEAR else "off"


@dataclass(frozen=True)
class Figure:
    """A figure made again. ``table``: of :data:`COLUMNS`; ``axes``: labels of x and y.

    ``picture``: ``beside`` (bars), or ``tornado``, whose table is another
    (:mod:`hyflexsim.workloads.sweeping.sensitivity`). ``theirs``: what the dashes are called.
    """

    name: str
    title: str
    table: pd.DataFrame
    axes: tuple[str, str]
    claims: tuple[Claim, ...]
    log: bool = False
    picture: str = "beside"
    theirs: str = "paper"

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which :meth:`from_json` makes it again."""
        fields = {name: getattr(self, name) for name in _PLAIN}
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return fields | {"table": rows, "claims": [asdict(claim) for claim in self.claims]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Figure:
        """The inverse of :meth:`as_json`."""
        table = pd.DataFrame(content["table"])
        numbers = {"ours", "paper", "answer"} & set(table.columns)
        table = table.astype(dict.fromkeys(numbers, float))
        claims = tuple(
            Claim(**{**row, "switches": tuple(Switch(**each) for each in row["switches"])})
            for row in content["claims"]
        )
        axes: tuple[str, str] = (content["axes"][0], content["axes"][1])
        plain = {name: content[name] for name in _PLAIN} | {"axes": axes}
        return cls(table=table, claims=claims, **plain)


@cache
def _paper() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("paper.toml").read_text("utf-8"))


def paper(figure: str) -> dict[str, Any]:
    """What the paper has of a figure.

    >>> paper("headline")["energy_linear"]
    1.24
    """
    return _paper()[figure]


def table(rows: list[tuple[str, str, str, float, float]]) -> pd.DataFrame:
    """A figure's table of rows in the order of :data:`COLUMNS`."""
    return pd.DataFrame(rows, columns=list(COLUMNS))
