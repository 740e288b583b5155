"""What each op computed, and the table that holds two such computations against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

Results = dict[tuple[str, str], Tensor]
"""By op and what of it: ``W``, ``V``, ``U`` and ``product`` are integers, ``codes`` those between,
``values`` what others read, ``which`` the places of the largest scores; (tokens, ...) float64, NaN
where nothing was computed, -inf for scores of tokens that are not looked at.
"""


class Row(NamedTuple):
    """How one op agrees: of ``elements``, how many are ``equal``, and by how much the rest differ
    at most (infinite where one side has computed nothing).
    """

    op: str
    what: str
    elements: int
    equal: int
    largest_difference: float


def compare(wanted: Results, got: Results, tolerance: float = 0.0) -> Iterator[Row]:
    """A row for each op and what, in the order of ``wanted``; what only one side has is unequal.

    ``tolerance``: relative (of numbers below 1 absolute), within which they count as
    equal; 0: bit for bit.
    """
    for key in dict.fromkeys([*wanted, *got]):
        one, other = wanted.get(key), got.get(key)
        if one is None or other is None or one.shape != other.shape:
            there = [each for each in (one, other) if each is not None]
            size = max(int((~torch.isneginf(each)).sum()) for each in there)
            yield Row(*key, size, 0, inf if size else 0.0)
            continue
        counted = ~(torch.isneginf(one) & torch.isneginf(other))
        same = (one == other) & counted
        if tolerance:
            scale = torch.maximum(one.abs(), other.abs()).clamp(min=1)
            near = (one - other).abs() <= tolerance * scale
            same |= near & counted
        elements = int(counted.sum())
        apart = (one - other).abs()[counted & ~same]
        largest = float(torch.nan_to_num(apart, nan=inf, posinf=inf).max()) if len(apart) else 0.0
        yield Row(*key, elements, int(same.sum()), largest)


def added(rows: Iterable[Row]) -> list[Row]:
    """Rows of one op and what put together, in the order in which they first come."""
    total: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = total.get(row[:2])
        if before is None:
            total[row[:2]] = row
            continue
        total[row[:2]] = Row(
            row.op,
            row.what,
            before.elements + row.elements,
            before.equal + row.equal,
            max(before.largest_difference, row.largest_difference),
        )
    return list(total.values())


def save(folder: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write values.parquet into a run directory."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    pq.write_table(pa.table(dict(columns)), folder / "values.parquet")
