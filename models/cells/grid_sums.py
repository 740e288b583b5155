"""Column sums of levels on a grid, through converters, in vectors of 16-bit numbers.

A programmed level is a multiple of 1/256 (:data:`GRID`), so a column's sum is an integer of such
steps. Where the sums of a column lie within 256 levels of each other, as those of 64 rows of 2-bit
cells do, sixteen bits hold them all, and a vector has twice the columns that it has in float32: the
method of :mod:`converted_sums`, with sums of 5 rows made once, in tables that stay in the first
cache. A converter's code is then the upper byte of a sum. All of it is exact: the result equals
that of converted_sums on any machine, in any order.

The inner loop is written for LLVM, since nothing that is written in loops over arrays keeps the
sums of 32 columns in one register: compilers must assume that results and tables overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hyflexsim.models.cells.converted_sums import Converter
from hyflexsim.models.cells.threads import as_torch

GRID = 256
"""Steps of a level; ASSUMED: ours, 1/6 of the released noise of level 1 (σ = 0.025)."""

_LANES = 32  # columns that are added at once: 512 bits
_BYTES = 2 * _LANES  # of one vector
_ROWS = 64  # whose bits are one word
_WIDTH = 5  # rows of a group
_PATTERNS = 1 << _WIDTH
_GROUPS = -(-_ROWS // _WIDTH)  # of a word
_FEWER = 7  # groups that a tile's last word may do with: 35 rows
_TABLES = _GROUPS * _PATTERNS * _BYTES  # bytes that the sums of a word's groups take

_I16, _I32, _I64 = (ir.IntType(bits) for bits in (16, 32, 64))
_SUMS = ir.VectorType(_I16, _LANES)
_RESULTS = ir.VectorType(_I32, _LANES)


class GridColumns(NamedTuple):
    """Columns of cells (T, R, S, O) with what their sums start and are cut at.

    ``words`` (T, 2): how many times 64 rows are added of each tile, and whether 35 more; rows
    after them hold nothing. ``limits`` (3, T, S, O'): start of a sum, first and last code, of 16
    bits. ``worth`` (S,). ``offset`` (O',): what all codes of an output together lack. O' is O up to
    whole vectors. ``largest``: no result is beyond it.
    """

    cells: NDArray[np.float32]
    words: NDArray[np.int64]
    limits: NDArray[np.uint16]
    worth: NDArray[np.int64]
    offset: NDArray[np.int32]
    largest: int


def grid_columns(cells: NDArray[np.float32], converters: Sequence[Converter]) -> GridColumns | None:
    """Columns whose sums 16 bits hold, behind converters, one for each of the S slices.

    None for levels that are not on the grid, sums of a column that may lie 256 levels apart, steps
    other than one level, cells that are worth a fraction, results beyond 32 bits.
    """
    tiles, _, slices, outputs = cells.shape
    worth = np.array([each.worth for each in converters])
    if any(each.step != 1 for each in converters) or worth.round().tolist() != worth.tolist():
        return None
    if tiles * np.abs(worth).sum() * 2**16 >= 2**31:
        return None
    if not np.array_equal(cells * GRID, np.rint(cells * GRID)):
        return None
    lowest = np.floor(np.minimum(cells, 0).sum(1)).astype(np.int32)
    if (np.maximum(cells, 0).sum(1) - lowest + 0.5 >= 2**16 / GRID).any():
        return None
    # a sum starts at half a level above minus its lowest: what is above 256 steps is then its code
    start = (GRID // 2 - GRID * lowest) & 0xFFFF
    ends = np.array([(each.first, each.last) for each in converters])
    first, last = (np.clip(end[:, None] - lowest, 0, GRID - 1) for end in ends.T)
    whole = -(-outputs // _LANES) * _LANES
    limits = np.zeros((3, tiles, slices, whole), dtype=np.uint16)
    limits[..., :outputs] = start, first, last
    # codes count from the lowest, and the worths of all planes of two's complement sum to -1
    offset = np.zeros(whole, dtype=np.int32)
    offset[:outputs] = -(lowest * worth.astype(np.int32)[:, None]).sum((0, 1))
    largest = int(tiles * np.abs(worth).sum() * np.abs(ends).max()) * 2**7
    return GridColumns(cells, _words(cells), limits, worth.astype(np.int64), offset, largest)


def _words(cells: NDArray[np.float32]) -> NDArray[np.int64]:
    """Of each tile: whole words of rows up to the last that holds a level, and the shorter one."""
    rows = cells.shape[1]
    used = (cells.any((2, 3)) * np.arange(1, rows + 1)).max(1)
    rest = used % _ROWS
    shorter = (rest > 0) & (rest <= _FEWER * _WIDTH)
    return np.stack([used // _ROWS + ((rest > 0) & ~shorter), shorter], 1).astype(np.int64)


def grid_sums(codes: NDArray[np.int8], columns: GridColumns, planes: int) -> NDArray[np.floating]:
    """Codes (B, T · R) of ``planes`` bits through columns: (B, O), in units of codes.

    float32 where that holds all results without rounding, else float64. Equal to
    :func:`~hyflexsim.models.cells.converted_sums.converted_sums` of the same cells.
    """
    tiles, rows, _, outputs = columns.cells.shape
    words = np.empty((tiles, len(codes), planes, -(-rows // _ROWS)), dtype=np.uint64)
    as_torch()
    _collect_bits(_eights(codes, tiles, rows), words)
    small = columns.largest <= 2**24
    result = np.empty((len(codes), outputs), dtype=np.float32 if small else np.float64)
    _add_up(words, *columns[:-1], result)
    return result


def _eights(codes: NDArray[np.int8], tiles: int, rows: int) -> NDArray[np.uint64]:
    """Codes of eight rows of a tile in one number each, the first in its lowest byte: (B, T, n)."""
    codes = codes.reshape(len(codes), tiles, rows)
    if rows % 8:
        codes = np.pad(codes, ((0, 0), (0, 0), (0, -rows % 8)))
    return np.ascontiguousarray(codes).view("<u8")


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _collect_bits(eights: Any, words: Any) -> None:
    """Bit r of word w is the plane's bit of row 64 w + r of a tile."""
    tiles, count, planes, each = words.shape
    for i in numba.prange(count):
        for tile in range(tiles):
            for plane in range(planes):
                for word in range(each):
                    found = np.uint64(0)
                    for at in range(8 * word, min(8 * word + 8, eights.shape[2])):
                        bits = eights[i, tile, at] >> np.uint64(plane)
                        bits &= np.uint64(0x0101010101010101)
                        # a product moves the bit of byte k to bit 56 + k, and nothing else there
                        bits = (bits * np.uint64(0x0102040810204080)) >> np.uint64(56)
                        found |= bits << np.uint64(8 * (at % 8))
                    words[tile, i, plane, word] = found


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _add_up(
    words: Any, cells: Any, counts: Any, limits: Any, worth: Any, offset: Any, result: Any
) -> None:
    tiles, count, planes, each = words.shape
    slices, outputs = cells.shape[2], cells.shape[3]
    for block in numba.prange((outputs + _LANES - 1) // _LANES):
        left = block * _LANES
        wide = min(_LANES, outputs - left)
        sums = np.zeros((count, _LANES), dtype=np.int32)
        room = np.zeros(each * _TABLES // 2 + _LANES, dtype=np.uint16)
        skip = (-room.ctypes.data % _BYTES) // 2  # vectors are read at multiples of their size
        table = room[skip : len(room) - _LANES + skip].reshape((-1, _PATTERNS, _LANES))
        for tile in range(tiles):
            for s in range(slices):
                _subset_sums(table, cells[tile, :, s], left, wide)
                bits, start = words[tile].ctypes.data, limits[0, tile, s, left:].ctypes.data
                first, last = start + limits.strides[0], start + 2 * limits.strides[0]
                for i in range(count):
                    _add_planes(
                        table.ctypes.data,
                        bits + i * words.strides[1],
                        planes,
                        each,
                        counts[tile, 0],
                        counts[tile, 1],
                        start,
                        first,
                        last,
                        worth[s],
                        sums.ctypes.data + i * sums.strides[0],
                    )
        for i in range(count):
            for c in range(wide):
                result[i, left + c] = sums[i, c] + offset[left + c]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _subset_sums(table: Any, cells: Any, left: int, wide: int) -> None:
    """Every subset of a group of rows, in steps of a level, negative ones as 2^16 less.

    Groups begin anew with each word: the last one of a word has fewer rows.
    """
    rows = len(cells)
    level = np.zeros(_LANES, dtype=np.uint16)
    for group in range(len(table)):
        word, at = group // _GROUPS, group % _GROUPS * _WIDTH
        for highest in range(min(_WIDTH, _ROWS - at)):
            row = word * _ROWS + at + highest
            level[:] = 0
            if row < rows:
                for c in range(wide):
                    level[c] = np.uint16(np.int32(cells[row, left + c] * GRID))
            for below in range(1 << highest):
                for c in range(_LANES):
                    table[group, (1 << highest) + below, c] = table[group, below, c] + level[c]


@intrinsic  # type: ignore[untyped-decorator]
def _add_planes(
    _context: Any,
    table: Any,
    words: Any,
    planes: Any,
    each: Any,
    whole: Any,
    shorter: Any,
    start: Any,
    first: Any,
    last: Any,
    worth: Any,
    result: Any,
) -> Any:
    """Add to results (32, int32) the codes of all planes of one input, times their worth.

    Addresses: of tables (words, 13, 32, 32), words (P, each), starts, first and last codes (32).
    """
    signature = types.void(*[types.int64] * 11)

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Sequence[ir.Value]) -> None:
        _plane_loop(builder, *arguments)

    return signature, generate


def _plane_loop(
    b: ir.IRBuilder,
    table: ir.Value,
    words: ir.Value,
    planes: ir.Value,
    each: ir.Value,
    whole: ir.Value,
    shorter: ir.Value,
    start: ir.Value,
    first: ir.Value,
    last: ir.Value,
    worth: ir.Value,
    result: ir.Value,
) -> None:
    begins, lows, highs = (_load(b, address, _SUMS, 2) for address in (start, first, last))
    step = b.mul(each, _I64(8))

    def codes(place: ir.Value) -> ir.Value:
        sums = _words_added(b, table, place, whole, shorter, begins)
        code = b.lshr(sums, _every(b, _SUMS, _I16(GRID.bit_length() - 1)))
        code = b.select(b.icmp_unsigned("<", code, lows), lows, code)
        return b.select(b.icmp_unsigned(">", code, highs), highs, code)

    top = b.add(words, b.mul(step, b.sub(planes, _I64(1))))
    most = b.sub(ir.Constant(_SUMS, None), codes(top))  # the last plane is negative
    before, loop, end = b.block, b.append_basic_block("plane"), b.append_basic_block("planes_done")
    b.branch(loop)
    b.position_at_end(loop)
    above, total = b.phi(_I64), b.phi(_SUMS)
    at = b.sub(above, step)
    added = b.add(b.add(total, total), codes(at))
    above.add_incoming(top, before)
    above.add_incoming(at, b.block)
    total.add_incoming(most, before)
    total.add_incoming(added, b.block)
    b.cbranch(b.icmp_unsigned(">", at, words), loop, end)
    b.position_at_end(end)
    place = b.inttoptr(result, _RESULTS.as_pointer())
    product = b.mul(b.sext(added, _RESULTS), _every(b, _RESULTS, b.trunc(worth, _I32)))
    b.store(b.add(b.load(place, align=4), product), place, align=4)


def _words_added(
    b: ir.IRBuilder,
    table: ir.Value,
    words: ir.Value,
    whole: ir.Value,
    shorter: ir.Value,
    begins: ir.Value,
) -> ir.Value:
    """Sums of one plane: of each group of rows the entry of its table that its bits name."""
    before, check, body, after, tail, end = (
        b.block,
        *(b.append_basic_block(name) for name in ("check", "word", "after", "tail", "added")),
    )
    b.branch(check)
    b.position_at_end(check)
    number, sums = b.phi(_I64), b.phi(_SUMS)
    tables = b.add(table, b.mul(number, _I64(_TABLES)))
    place = b.add(words, b.mul(number, _I64(8)))
    b.cbranch(b.icmp_unsigned("<", number, whole), body, after)
    b.position_at_end(body)
    number.add_incoming(_I64(0), before)
    number.add_incoming(b.add(number, _I64(1)), body)
    sums.add_incoming(begins, before)
    sums.add_incoming(_groups_added(b, tables, _load(b, place, _I64, 8), _GROUPS, sums), body)
    b.branch(check)
    b.position_at_end(after)
    b.cbranch(b.icmp_unsigned("!=", shorter, _I64(0)), tail, end)
    b.position_at_end(tail)
    more = _groups_added(b, tables, _load(b, place, _I64, 8), _FEWER, sums)
    b.branch(end)
    b.position_at_end(end)
    result = b.phi(_SUMS)
    result.add_incoming(sums, after)
    result.add_incoming(more, tail)
    return result


def _groups_added(
    b: ir.IRBuilder, tables: ir.Value, word: ir.Value, groups: int, sums: ir.Value
) -> ir.Value:
    """Sums with those of the first groups of a word."""
    scale = _BYTES.bit_length() - 1
    for group in range(groups):
        shift = group * _WIDTH - scale
        entry = b.lshr(word, _I64(shift)) if shift > 0 else b.shl(word, _I64(-shift))
        entry = b.and_(entry, _I64(_PATTERNS - 1 << scale))
        place = b.add(b.add(tables, entry), _I64(group * _PATTERNS * _BYTES))
        sums = b.add(sums, _load(b, place, _SUMS, _BYTES))
    return sums


def _load(b: ir.IRBuilder, address: ir.Value, kind: ir.Type, align: int) -> ir.Value:
    return b.load(b.inttoptr(address, kind.as_pointer()), align=align)


def _every(b: ir.IRBuilder, kind: ir.VectorType, value: ir.Value) -> ir.Value:
    """A vector of one value."""
    nothing = ir.Constant(kind, ir.Undefined)
    one = b.insert_element(nothing, value, _I32(0))
    return b.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_I32, kind.count), None))
