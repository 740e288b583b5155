"""Runs beside each other in a terminal: no number is ever cut.

Runs have letters where their names are long, and stand in as many tables as the terminal's width
asks for; the first run, to which ratios are taken, is in each.

>>> brief(1.812e-6), brief(0.0), brief(54321.0), brief(9.87654e12), brief(float("nan"))
('1.81e-06', '0', '54,321', '9.88e+12', '–')
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 10
"""Characters of a run's name that stands over its column."""
GAP = 2
"""Spaces after a column."""


def brief(value: float) -> str:
    """A number in at most ten characters; a dash where there is none, as for x / 0."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if 1e4 <= size < 1e8:
        return f"{value:,.0f}"
    return f"{value:,.4g}" if 1e-3 <= size < 1e4 else f"{value:.3g}"


def comparison(numbers: pd.DataFrame, width: int) -> Iterator[str | Table]:
    """Lines that explain letters, then tables, of what :func:`hyflexsim.analysis.compare` gives."""
    base, *others = [name for name in numbers.columns if name != "unit" and " / " not in name]
    short = _short([base, *others])
    yield from (f"{letter}: {name}" for name, letter in short.items() if letter != name)
    rows = [str(name) for name in numbers.index]
    units = [str(unit) for unit in numbers["unit"]]
    first = [("", rows), ("unit", units), (short[base], _texts(numbers[base]))]
    columns = list(first)
    for name in others:
        ratio = f"{short[name]} / {short[base]}"
        pair = [
            (short[name], _texts(numbers[name])),
            (ratio, _texts(numbers[f"{name} / {base}"])),
        ]
        if len(columns) > len(first) and sum(map(_wide, (*columns, *pair))) - GAP > width:
            yield _table(columns)
            columns = list(first)
        columns += pair
    yield _table(columns)


def _short(names: Sequence[str]) -> dict[str, str]:
    """Names, or letters where one of them is long."""
    if all(len(name) <= LONGEST for name in names):
        return {name: name for name in names}
    return {name: _letter(i) for i, name in enumerate(names)}


def _letter(index: int) -> str:
    """A, B, … Z, AA, …

    >>> _letter(0), _letter(25), _letter(26)
    ('A', 'Z', 'AA')
    """
    ahead = _letter(index // 26 - 1) if index >= 26 else ""
    return ahead + chr(ord("A") + index % 26)


def _texts(values: pd.Series) -> list[str]:
    return [brief(float(value)) for value in values]


def _wide(column: tuple[str, list[str]]) -> int:
    head, cells = column
    return GAP + max(map(len, (head, *cells)))


def _table(columns: Sequence[tuple[str, list[str]]]) -> Table:
    result = Table(box=None, pad_edge=False)
    for i, (head, _) in enumerate(columns):
        # where a terminal is narrower than one run, digits go on below; they are not dropped
        side: Literal["left", "right"] = "right" if i > 1 else "left"
        result.add_column(head, justify=side, overflow="fold", header_style="dim")
    for row in zip(*(cells for _, cells in columns), strict=True):
        result.add_row(*row)
    return result
