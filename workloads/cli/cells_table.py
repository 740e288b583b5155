"""The arrays of a matrix for ``hyflexsim map --cells``: as a table, and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from rich.table import Table

from hyflexsim.sim.placement.cells import Array, Piece, arrays
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.workloads.cli import terminal_tables

SHOWN = 40
"""Arrays in the table; a large matrix has thousands."""

COLUMNS = ("array", "copy", "factor", "row tile", "mode", "inputs", "outputs", "columns")


def cells_table(placement: Placement, op: str) -> Table:
    """The first arrays of a matrix; its title counts all of them.

    Raises :class:`~hyflexsim.sim.errors.InputError` as
    :func:`hyflexsim.sim.placement.cells.arrays`.
    """
    found = arrays(placement, op)
    shown = list(islice(found, SHOWN))
    rest = sum(1 for _ in found)
    rows = terminal_tables.table("", *COLUMNS[:1], *(f">{name}" for name in COLUMNS[1:]))
    for row in chain.from_iterable(map(_rows, shown)):
        rows.add_row(*map(str, row))
    rows.title = f"{op}: {len(shown) + rest:,} arrays" + (f", the first {SHOWN}" if rest else "")
    return rows


def write_csv(placement: Placement, op: str, path: Path) -> None:
    """All arrays of a matrix, a row a region in each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(name.replace(" ", "_") for name in COLUMNS)
        for array in arrays(placement, op):
            writer.writerows(_rows(array))


def _rows(array: Array) -> Iterator[tuple[str | int, ...]]:
    for piece in array.pieces:
        where = (array.name, array.copy, array.factor, array.row_tile)
        yield (*where, piece.mode, *_spans(piece))


def _spans(piece: Piece) -> tuple[str, ...]:
    first, last = piece.columns
    return spans(piece.inputs), spans(piece.outputs), spans(range(first, last + 1))


def spans(numbers: Sequence[int]) -> str:
    """Rising numbers in short.

    >>> spans([0, 1, 2, 5, 7, 8])
    '0–2 5 7–8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return " ".join(f"{a}–{b}" if a < b else str(a) for a, b in runs)
