"""Cells of a programmed matrix that do not hold what was written: dead columns, stuck cells.

Which they are is up to the caller, who knows where the matrix lies. Of a dead column every
conversion is 0; a stuck cell holds its top level or the lowest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from hyflexsim.models.cells.converter_errors import ConverterErrors, Place, with_errors
from hyflexsim.models.cells.crossbar import CrossbarConfig, Programmed
from hyflexsim.models.errors import ModelError


class Broken(NamedTuple):
    """A column of a row tile, or one cell of it.

    ``tile``, ``input``: row tile, and row in it (-1: the whole column is dead). ``output``: its
    number in the matrix. ``slice``: which column of the weight, the least significant first.
    ``on``: stuck at the top level, else at the lowest. ``pair``: of cells on neighbouring rows the
    negative one.
    """

    tile: int
    input: int
    output: int
    slice: int
    on: bool = False
    pair: bool = False


Damage = Mapping[tuple[int, bool], Sequence[Broken]]
"""What is broken, by number of the factor and whether it is in SLC."""


def damaged(
    programmed: Programmed, broken: Sequence[Broken], outputs: Tensor | None = None
) -> Programmed:
    """The same matrix with these cells broken; `outputs`: those that it holds (None: all).

    Raises ModelError for a cell that the matrix does not have.

    >>> import torch
    >>> from hyflexsim.models.cells.crossbar import program_crossbar, read_crossbar
    >>> weights = torch.tensor([[1, 1], [3, 0]])
    >>> cells = damaged(program_crossbar(weights, 2), [Broken(0, 1, 0, 0, on=True)])
    >>> read_crossbar(torch.tensor([1, 1]), cells).tolist()                 # 1 + 3, and 3 + 0
    [4.0, 3.0]
    """
    if not broken:
        return programmed
    cells = programmed.cells.clone()
    variance = programmed.read_variance
    variance = None if variance is None else variance.clone()
    places = _places(outputs, cells.shape[-1])
    tiles, rows, slices, _ = cells.shape
    for one in broken:
        inside = (
            one.tile < tiles and one.input < rows and one.slice < slices and one.output in places
        )
        if not inside:
            raise ModelError(f"broken cells must be of the matrix; got {one}")
        at = (one.tile, slice(None) if one.input < 0 else one.input, one.slice, places[one.output])
        if one.input < 0:
            cells[at] = 0
            if variance is not None:
                variance[at] = 0
        else:
            cells[at] = _stuck(programmed, one, float(cells[at]))
    return programmed.changed(cells, variance)


def built(
    programmed: Programmed,
    broken: Sequence[Broken],
    outputs: Tensor | None,
    errors: ConverterErrors,
    place: Place,
    config: CrossbarConfig,
    adc_bits: int | None,
) -> Programmed:
    """The matrix with what is broken of it, behind converters that differ.

    A stuck cell is read with the gain of its converter; a dead column gives 0 whatever that one's
    offset.
    """
    stuck = [one for one in broken if one.input >= 0]
    dead = [one for one in broken if one.input < 0]
    programmed = damaged(programmed, stuck, outputs)
    return damaged(with_errors(programmed, errors, place, config, adc_bits), dead, outputs)


def _places(outputs: Tensor | None, count: int) -> dict[int, int]:
    numbers = range(count) if outputs is None else outputs.tolist()
    return {number: place for place, number in enumerate(numbers)}


def _stuck(programmed: Programmed, one: Broken, held: float) -> float:
    """Level of a stuck cell; of a pair, the difference to what the other cell holds."""
    form = programmed.form
    top = (1 << form.widths[one.slice]) - 1
    if not form.paired:
        return float(form.lowest[one.slice] + top * one.on)
    other = max(held, 0.0) if one.pair else max(-held, 0.0)
    return other - top * one.on if one.pair else top * one.on - other
