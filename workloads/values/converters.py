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
    """A column of cells: what a level is ``worth``, its ``low``est and ``high``est level."""

    worth: int
    low: int
    high: int


def columns_of(bits: int, cell: int, sign: str) -> tuple[tuple[Column, ...], int]:
    """The columns that hold one weight of ``bits``, in the order they lie, and the bias in them.

    >>> columns_of(8, 4, "twos-complement")
    ((Column(worth=1, low=0, high=15), Column(worth=16, low=-8, high=7)), 0)
    """
    starts = range(0, bits, cell)
    tops = [2 ** min(cell, bits - start) - 1 for start in starts]
    slices = [Column(2**start, 0, top) for start, top in zip(starts, tops, strict=True)]
    last = slices[-1]
    if sign == "biased":
        return tuple(slices), 2 ** (bits - 1)
    if sign == "differential":
        return (*slices, *(Column(-c.worth, 0, c.high) for c in slices)), 0
    if sign == "differential-rows":  # a bitline carries the difference
        return tuple(Column(c.worth, -c.high, c.high) for c in slices), 0
    if last.high == 1:  # a bit that simply counts negative
        return (*slices[:-1], Column(-last.worth, 0, 1)), 0
    half = (last.high + 1) // 2
    return (*slices[:-1], Column(last.worth, -half, half - 1)), 0


def levels_of(codes: np.ndarray, bits: int, cell: int, sign: str) -> np.ndarray:
    """Weight codes (...) as levels of its columns (..., S).

    >>> levels_of(np.array([-1]), 8, 2, "twos-complement").tolist()
    [[3, 3, 3, -1]]
    """
    columns, bias = columns_of(bits, cell, sign)
    whole = codes.astype(np.int64)
    size = np.abs(whole)
    if sign == "differential":
        half = columns[: len(columns) // 2]
        parts = [np.where(whole > 0, size, 0), np.where(whole < 0, size, 0)]
        return np.stack([p // c.worth % (c.high + 1) for p in parts for c in half], -1)
    if sign == "differential-rows":
        return np.stack([np.sign(whole) * (size // c.worth % (c.high + 1)) for c in columns], -1)
    held = (whole + bias) % 2**bits
    levels = [held // abs(c.worth) % (c.high - c.low + 1) for c in columns]
    top = columns[-1]
    levels[-1] = np.where(levels[-1] > top.high, levels[-1] + 2 * top.low, levels[-1])
    return np.stack(levels, -1)


def step_of(column: Column, rows: int, bits: int | None, how: str) -> float:
    """Levels that one code stands for, of a column of ``rows`` cells."""
    if bits is None or how != "scale":
        return 1.0
    span = float(rows * (column.high - column.low))
    return max(1.0, span / float(2**bits - 1))


def convert(sums: np.ndarray, column: Column, rows: int, bits: int | None, how: str) -> np.ndarray:
    """Codes of column sums (...), in steps of :func:`step_of`; ``bits`` None: the sums.

    >>> convert(np.array([70.0, 3.0]), Column(1, 0, 1), 64, 6, "clip").tolist()
    [63.0, 3.0]
    """
    if bits is None:
        return sums
    step = step_of(column, rows, bits, how)
    bottom = 0
    if column.low:
        bottom = -(2 ** (bits - 1)) if step == 1 else round(rows * column.low / step)
    return np.clip(np.rint(sums / step), bottom, bottom + 2**bits - 1)
