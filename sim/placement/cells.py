"""Which cells hold a weight: array by array, from the grids that the placement counted.

::

    matrix --order of ranks--> regions (SLC, MLC) --row tiles, columns--> arrays --dealt--> PU

Arrays of one copy are numbered SLC first, factor by factor, row tile by row tile (of a copy of one
factor: those of it), copy after copy, and dealt to the PUs of the layer in turn, as
:meth:`~hyflexsim.sim.placement.mapping.Placement.rows` counts them.
Values are computed from the same regions, so time, energy and accuracy speak of the same cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.placement.weight import Weight
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.tiling import Factor, Region, cells_per_weight, height, regions


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a region that one array holds.

    ``inputs``, ``outputs``: the numbers that the matrix has for them, by row and from left to
    right. ``columns``: first and last. A weight that does not fit into what is left of an array
    goes on in the next: it is named in both. ``cut``: columns of the first one that lie before.
    """

    mode: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    columns: tuple[int, int]
    cut: int


@dataclass(frozen=True, slots=True)
class Array:
    """One array of one copy of a matrix. ``name``: ``pu3.analog.0.17`` (PU, unit, module, array).

    ``mode``: as it is counted, SLC where it holds both. ``row_tile``: of its factor.
    """

    name: str
    factor: str
    copy: int
    mode: str
    row_tile: int
    pieces: tuple[Piece, ...]


def factor_regions(chip: Chip, weight: Weight) -> tuple[tuple[Region, ...], ...]:
    """Regions of each factor of a matrix; one that covers it where it lies in bytes."""
    module = chip.holder.values
    found = []
    for part in weight.parts:
        if isinstance(part, Factor):
            found.append(regions(module, part, weight.order))
        else:
            found.append((Region("", tuple(range(part.rows)), tuple(range(part.outputs))),))
    return tuple(found)


def arrays(placement: Placement, name: str) -> Iterator[Array]:
    """The arrays of a matrix, by the name of its weight or of one of its ops.

    Raises :class:`~hyflexsim.sim.errors.InputError` for another name, for a matrix that lies in
    bytes, and for ``ideal`` tiles.
    """
    weight = find_weight(placement, name)
    holder = placement.chip.holder
    if not all(isinstance(part, Factor) for part in weight.parts):
        raise InputError(f"{weight.name} lies in {holder.name} as bytes, which has no arrays")
    made = [
        piece
        for part, areas in zip(weight.parts, factor_regions(placement.chip, weight), strict=True)
        if isinstance(part, Factor)
        for piece in _grid(holder.values, part, areas)
    ]
    made.sort(key=lambda each: each[1] != "slc")  # stable: factor by factor within a mode
    pus = placement.pus[weight.layer]
    first, slots = _first(placement, weight), placement.slots(pus)
    number = itertools.count(first)
    copies = dict(zip((part.part for part in weight.parts), weight.part_copies, strict=True))
    for copy in range(max(copies.values())):
        for factor, mode, row_tile, pieces in made:
            if copy >= copies[factor]:
                continue
            turn, place = slots.place(next(number))
            module, array = divmod(place, holder.values.arrays)
            where = f"pu{pus[turn]}.{holder.name}.{module}.{array}"
            yield Array(where, factor, copy, mode, row_tile, pieces)


def find_weight(placement: Placement, name: str) -> Weight:
    """A matrix by the name of its weight or of an op; raise InputError for another name."""
    for weight in placement.weights.values():
        if name == weight.name or name in weight.ops:
            return weight
    some = ", ".join(weight.op for weight in list(placement.weights.values())[:3])
    raise InputError(f"no matrix {name!r}; names are like {some}")


def _first(placement: Placement, weight: Weight) -> int:
    """Arrays that matrices before this one take of the same PUs."""
    pus = placement.pus[weight.layer]
    taken = 0
    for other in placement.weights.values():
        if other.name == weight.name:
            break
        if placement.pus[other.layer] == pus:
            taken += other.taken
    return taken


_Made = tuple[str, str, int, tuple[Piece, ...]]


def _grid(module: AnalogValues, factor: Factor, areas: Sequence[Region]) -> Iterator[_Made]:
    """Factor, mode, row tile and content of each array."""
    tall, wide = height(module), module.columns
    if factor.part == "U":  # modes are below each other
        done = 0
        for area in areas:
            for start in range(0, len(area.inputs), tall):
                for content in _row(module, [area], area.inputs[start : start + tall], wide):
                    yield factor.part, area.mode, done, content
                done += 1
        return
    inputs = areas[0].inputs
    for row_tile, start in enumerate(range(0, len(inputs), tall)):
        for content in _row(module, areas, inputs[start : start + tall], wide):
            yield factor.part, content[0].mode, row_tile, content


def _row(
    module: AnalogValues, areas: Sequence[Region], inputs: Sequence[int], wide: int
) -> Iterator[tuple[Piece, ...]]:
    """The arrays of one row tile, from left to right."""
    spans = [(area, cells_per_weight(module, area.mode)) for area in areas]
    end = max(area.first + len(area.outputs) * each for area, each in spans)
    for left in range(0, end, wide):
        content = []
        for area, each in spans:
            low = max(left - area.first, 0)
            high = min(left + wide - area.first, len(area.outputs) * each)
            if low < high:
                content.append(
                    Piece(
                        area.mode,
                        tuple(inputs),
                        area.outputs[low // each : (high - 1) // each + 1],
                        (area.first + low - left, area.first + high - 1 - left),
                        low % each,
                    )
                )
        yield tuple(content)
