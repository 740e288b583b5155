"""Column sums through converters, fast: the inner loop of a crossbar read.

Inputs are single bits, so a column's sum over 8 rows is one of 256 numbers. These are made once for
each group of rows and column (the method of the Four Russians), and a bit-plane then takes one
addition a group instead of one a row; sums, codes and the shift-and-add over planes stay in
registers and cache. For few inputs groups of 4 rows cost less to prepare.

The result is that of :func:`hyflexsim.models.cells.crossbar.read_crossbar` written out plainly, but
for the order in which float32 levels are added: those on the grid of cells are added exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from hyflexsim.models.cells.threads import as_torch

_OUTPUTS = 64
_TOGETHER = 8  # groups that are added at once
_FEW = 28  # inputs below which sixteen sums of 4 rows are made sooner than 256 of 8


class Converter(NamedTuple):
    """What the columns of a slice go through: codes first ... last of ``step`` levels each.

    ``worth``: of one code in the result.
    """

    first: float
    last: float
    step: float
    worth: float


def converted_sums(
    codes: NDArray[np.int8],
    cells: NDArray[np.float32],
    converters: Sequence[Converter],
    planes: int,
) -> NDArray[np.float64]:
    """Codes (B, T · R) of ``planes`` bits through cells (T, R, S, O): (B, O), in units of codes.

    Two's complement: the last plane counts negative. ``converters``: one for each of the S slices.
    """
    width = 4 if len(codes) < _FEW else 8
    tiles, rows, slices, _ = cells.shape
    padded = -rows % (width * _TOGETHER)
    if padded:
        codes = codes.reshape(len(codes), tiles, rows)
        codes = np.pad(codes, ((0, 0), (0, 0), (0, padded))).reshape(len(codes), -1)
        cells = np.pad(cells, ((0, 0), (0, padded), (0, 0), (0, 0)))
    patterns = _patterns(codes, planes, width).reshape(planes, len(codes), tiles, -1)
    settings = np.array(converters, dtype=np.float64).reshape(slices, 4)
    order = np.ascontiguousarray(patterns.transpose(2, 1, 0, 3))  # (T, B, P, G)
    cells = np.ascontiguousarray(cells.transpose(0, 2, 1, 3))  # (T, S, R, O)
    as_torch()
    found: NDArray[np.float64] = _add_up(order, cells, settings, width)
    return found


def _patterns(codes: NDArray[np.int8], planes: int, width: int) -> NDArray[np.uint8]:
    """(P, B, groups): the bits of each plane, ``width`` rows a number."""
    bits = np.ascontiguousarray(codes).view(np.uint8)
    found = []
    for plane in range(planes):
        packed = np.packbits(bits >> plane & 1, axis=-1, bitorder="little")
        if width == 4:
            packed = np.stack([packed & 15, packed >> 4], -1).reshape(len(codes), -1)
            packed = packed[:, : codes.shape[1] // 4]
        found.append(packed)
    return np.stack(found)


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _add_up(patterns: Any, cells: Any, settings: Any, width: int) -> Any:
    tiles, count, planes, groups = patterns.shape
    slices, outputs = cells.shape[1], cells.shape[3]
    result = np.zeros((count, outputs))
    for block in numba.prange((outputs + _OUTPUTS - 1) // _OUTPUTS):
        left = block * _OUTPUTS
        wide = min(_OUTPUTS, outputs - left)
        table = np.zeros((groups, 1 << width, _OUTPUTS), dtype=np.float32)
        sums = np.zeros(_OUTPUTS, dtype=np.float32)
        total = np.zeros(_OUTPUTS, dtype=np.float32)
        for tile in range(tiles):
            for s in range(slices):
                _subset_sums(table, cells[tile, s], left, wide, width)
                first, last = np.float32(settings[s, 0]), np.float32(settings[s, 1])
                step, worth = np.float32(settings[s, 2]), settings[s, 2] * settings[s, 3]
                for i in range(count):
                    total[:] = 0
                    for plane in range(planes):
                        at = patterns[tile, i, plane]
                        sums[:] = 0
                        for g in range(0, groups, _TOGETHER):  # so that sums stay in registers
                            r, s0 = table[g, at[g]], table[g + 1, at[g + 1]]
                            t, u = table[g + 2, at[g + 2]], table[g + 3, at[g + 3]]
                            v, w = table[g + 4, at[g + 4]], table[g + 5, at[g + 5]]
                            y, z = table[g + 6, at[g + 6]], table[g + 7, at[g + 7]]
                            for c in range(_OUTPUTS):
                                four = (r[c] + s0[c]) + (t[c] + u[c])
                                sums[c] += four + ((v[c] + w[c]) + (y[c] + z[c]))
                        if step != 1:
                            for c in range(_OUTPUTS):
                                sums[c] /= step
                        sign = np.float32(-(1 << plane) if plane == planes - 1 else 1 << plane)
                        for c in range(_OUTPUTS):
                            code = np.floor(sums[c] + np.float32(0.5))
                            code = first if code < first else code
                            code = last if code > last else code
                            total[c] += sign * code
                    for c in range(wide):
                        result[i, left + c] += worth * total[c]
    return result


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _subset_sums(table: Any, cells: Any, left: int, wide: int, width: int) -> None:
    """Every subset of a group of rows: that without its highest row, and that row."""
    for group in range(len(table)):
        for highest in range(width):
            row = group * width + highest
            for below in range(1 << highest):
                for c in range(wide):
                    table[group, (1 << highest) + below, c] = (
                        table[group, below, c] + cells[row, left + c]
                    )
