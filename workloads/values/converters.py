"""From a column's sum to the code of its converter.

The sum is a whole number of levels (or none, with errors of cells). ``clip``: one level a code,
sums beyond the last code saturate; ``scale``: codes cover the whole span in coarser steps, never
finer than a level. A column that reaches below zero is measured by a bipolar converter. What
HyFlexPIM's 6 and 7 bits do to the one sum too many is not public: ``adc.range`` of the chip.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Column(NamedTuple):
    """A column of cells: ``width`` bits a cell, ``worth`` of a level, ``low``: its lowest level."""

    worth: int
    width: int
    low: int


def columns_of(bits: int, cell: int, sign: str) -> tuple[tuple[Column, ...], int]:
    """The columns that hold one weight of ``bits``, in the order they lie, and the bias in them.

    >>> columns_of(8, 4, "twos-complement")
    ((Column(worth=1, width=4, low=0), Column(worth=16, width=4, low=-8)), 0)
    """
    slices = []
    for start in range(0, bits, cell):
        slices.append(Column(2**start, min(cell, bits - start), 0))
    if sign == "biased":
        return tuple(slices), 2 ** (bits - 1)
    if sign == "differential":
        return (*slices, *(Column(-c.worth, c.width, 0) for c in slices)), 0
    top = slices[-1]
    if top.width == 1:  # a bit that simply counts negative
        return (*slices[:-1], Column(-top.worth, 1, 0)), 0
    return (*slices[:-1], Column(top.worth, top.width, -(2 ** (top.width - 1)))), 0


def levels_of(codes: np.ndarray, bits: int, cell: int, sign: str) -> np.ndarray:
    """Weight codes (...) as levels of its columns (..., S)."""
    columns, bias = columns_of(bits, cell, sign)
    whole = codes.astype(np.int64)
    if sign == "differential":
        halves = []
        for part in (np.maximum(whole, 0), np.maximum(-whole, 0)):
            half = columns[: len(columns) // 2]
            halves += [part // c.worth % 2**c.width for c in half]
        return np.stack(halves, -1)
    shifted = whole + bias if sign == "biased" else whole % 2**bits
    levels = [shifted // abs(c.worth) % 2**c.width for c in columns]
    if columns[-1].low:  # the top slice is signed
        levels[-1] = np.where(levels[-1] >= -columns[-1].low, levels[-1] + 2 * columns[-1].low, levels[-1])
    return np.stack(levels, -1)


def convert(sums: np.ndarray, column: Column, rows: int, bits: int | None, how: str) -> np.ndarray:
    """Column sums (...) as the numbers that codes stand for; ``bits`` None: exactly.

    >>> convert(np.array([70.0, 3.0]), Column(1, 1, 0), 64, 6, "clip").tolist()
    [63.0, 3.0]
    """
    if bits is None:
        return sums
    low, high = rows * column.low, rows * (column.low + 2**column.width - 1)
    step = max(1.0, (high - low) / (2**bits - 1)) if how == "scale" else 1.0
    bottom = 0
    if low:
        bottom = -(2 ** (bits - 1)) if step == 1 else round(low / step)
    return np.clip(np.rint(sums / step), bottom, bottom + 2**bits - 1) * step
