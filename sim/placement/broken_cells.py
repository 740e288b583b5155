"""Cells of a matrix that do not hold what was written: in dead columns, or stuck.

Said in numbers of the matrix, factor by factor and mode by mode, so that values can be computed:
cells.py says which weight lies where, faults.py what is broken there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from hyflexsim.sim.placement.cells import Array, Piece, arrays, factor_regions, find_weight
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.units.tiling import Region, cells_per_weight, height, rows_per_input

DEAD, ON, OFF = 0, 1, -1


class BrokenCell(NamedTuple):
    """One column of a row tile, or one cell of it.

    ``copy``: which copy of the matrix. ``factor``: its number in it. ``tile``: row tile of the
    region in that mode. ``input``: row in the tile, -1 for the whole column. ``output``: its number
    in the factor. ``slice``: which of the weight's columns, the least significant first. ``state``:
    dead, stuck on or off.
    ``pair``: of cells on neighbouring rows the second, negative one.
    """

    copy: int
    factor: int
    mode: str
    tile: int
    input: int
    output: int
    slice: int
    state: int
    pair: bool = False


def broken_cells(placement: Placement, name: str) -> Iterator[BrokenCell]:
    """What is broken in a matrix, copy by copy, by the name of its weight or of one of its ops.

    Raises :class:`~hyflexsim.sim.errors.InputError` as
    :func:`hyflexsim.sim.placement.cells.arrays`.
    """
    if not placement.options.faults.inside:
        return
    weight = find_weight(placement, name)
    areas = dict(
        zip(
            (part.part for part in weight.parts),
            enumerate(factor_regions(placement.chip, weight)),
            strict=True,
        )
    )
    for array in arrays(placement, name):
        number, regions = areas[array.factor]
        yield from _of_array(placement, array, number, regions)


def _of_array(
    placement: Placement, array: Array, factor: int, regions: tuple[Region, ...]
) -> Iterator[BrokenCell]:
    module = placement.chip.holder.values
    pu, number = _place(array, module.arrays)
    dead = placement.faults.dead_columns(pu).get(number)
    stuck = placement.faults.stuck_cells(pu).get(number, ())
    if dead is None and not stuck:
        return
    each = rows_per_input(module)
    for piece in array.pieces:
        tile = _tile(piece, regions, height(module))
        first, last = piece.columns
        if dead is not None:
            for column in np.flatnonzero(dead[first : last + 1]).tolist():
                output, slice_ = _weight_at(module, piece, column)
                yield BrokenCell(array.copy, factor, piece.mode, tile, -1, output, slice_, DEAD)
        for cell in stuck:
            row, half = divmod(cell.row, each)
            if first <= cell.column <= last and row < len(piece.inputs):
                output, slice_ = _weight_at(module, piece, cell.column - first)
                state = ON if cell.on else OFF
                where = array.copy, factor, piece.mode, tile, row
                yield BrokenCell(*where, output, slice_, state, half == 1)


def _place(array: Array, per_module: int) -> tuple[int, int]:
    pu, _, module, number = array.name.rsplit(".", 3)
    return int(pu.removeprefix("pu")), int(module) * per_module + int(number)


def _tile(piece: Piece, regions: tuple[Region, ...], tall: int) -> int:
    region = next(each for each in regions if each.mode == piece.mode)
    return region.inputs.index(piece.inputs[0]) // tall


def _weight_at(module: object, piece: Piece, column: int) -> tuple[int, int]:
    """Output and slice at a column, counted from the piece's first."""
    number, slice_ = divmod(piece.cut + column, cells_per_weight(module, piece.mode))  # type: ignore[arg-type]
    return piece.outputs[number], slice_
