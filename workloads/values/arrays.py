"""A matrix as it lies in arrays, and what they make of bit-planes.

The arrays are those of the placement (:func:`hyflexsim.sim.placement.cells.arrays`): each holds a
stretch of inputs and of columns in one or two modes. A cell's content follows from the region that
its piece belongs to, so a rank, row tile or column band in the wrong place shows in the sums.

Left out: that copies of a matrix err differently (all read the first copy's cells).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from hyflexsim.models.cells.cell_columns import layout, levels
from hyflexsim.models.cells.converted_sums import Converter
from hyflexsim.models.cells.crossbar import converters_of
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.cells import Array, Piece, arrays, factor_regions, find_weight
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.units import tiling
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.tiling import Region


@dataclass(frozen=True)
class Band:
    """The part of an array in one mode: columns of cells over some inputs.

    ``inputs`` (I,): numbers of the inputs on its wordlines; ``levels`` (I, C): its cells;
    ``outputs`` (C,): whose columns they are; ``columns``: what each goes through and is worth.
    ``offset`` (C,): what its converter adds to every sum, in levels.
    """

    row_tile: int
    mode: str
    inputs: np.ndarray
    levels: np.ndarray
    outputs: np.ndarray
    columns: tuple[Converter, ...]
    offset: np.ndarray

    @cached_property
    def kinds(self) -> dict[Converter, np.ndarray]:
        """Places of the columns that go through the same."""
        places: dict[Converter, list[int]] = {}
        for place, column in enumerate(self.columns):
            places.setdefault(column, []).append(place)
        return {column: np.array(each) for column, each in places.items()}

    @cached_property
    def adders(self) -> tuple[np.ndarray, np.ndarray]:
        """Outputs in the band, and what each column adds to each of them: (C, outputs)."""
        own, at = np.unique(self.outputs, return_inverse=True)
        slices = np.zeros((len(self.outputs), len(own)))
        slices[np.arange(len(at)), at] = [each.worth * (each.step or 1) for each in self.columns]
        return own, slices


@dataclass(frozen=True)
class Factor:
    """One factor of a matrix in its arrays; ``bias``: what its cells hold beyond the codes."""

    rows: int
    outputs: int
    row_tiles: int
    bands: tuple[Band, ...]
    bias: int
    arrays: int

    def read(self, bits: np.ndarray) -> list[np.ndarray]:
        """Column sums of bit-planes (B, rows), 0 or 1, with offsets: (B, C) for each band."""
        return [bits[:, band.inputs] @ band.levels + band.offset for band in self.bands]

    def convert(self, number: int, sums: np.ndarray) -> np.ndarray:
        """Codes of column sums (B, C) of a band, in steps of its converters."""
        made = sums.copy()
        for each, own in self.bands[number].kinds.items():
            if each.step:  # else without loss
                codes = np.floor(sums[:, own] / each.step + 0.5)
                made[:, own] = np.clip(codes, each.first, each.last)
        return made

    def shift_add(self, codes: list[np.ndarray], worth: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """Partial sums (B, row tiles, outputs) of codes by band, of planes that are ``worth`` (B,).

        ``bits`` (B, rows): the planes, whose sum takes the bias of the cells away again.
        """
        total = np.zeros((len(worth), self.row_tiles, self.outputs))
        for band, each in zip(self.bands, codes, strict=True):
            own, slices = band.adders
            total[:, band.row_tile, own] += each.astype(np.float64) @ slices
        if self.bias:
            for tile, outputs, inputs in self._covered():
                total[:, tile, outputs] -= self.bias * bits[:, inputs].sum(1)[:, None]
        total *= worth[:, None, None]
        return total

    def _covered(self) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Row tiles with the outputs and inputs whose cells hold a bias."""
        found = {}
        for band in self.bands:
            for output in np.unique(band.outputs):
                found[band.row_tile, int(output)] = band.inputs
        return [(tile, np.array([output]), inputs) for (tile, output), inputs in found.items()]


class Levels(NamedTuple):
    """A whole factor in one mode, with errors: levels of its cells (rows, outputs, S), and what
    converters add to column sums (row tiles, outputs, S), in levels.
    """

    cells: np.ndarray
    offsets: np.ndarray


Cells = Mapping[tuple[int, str], Levels]
"""By number of the factor, and mode."""


def arrays_of(placement: Placement, name: str) -> list[Array]:
    """The arrays of the first copy of an op's matrix."""
    return [array for array in arrays(placement, name) if array.copy == 0]


def lay_out(
    placement: Placement,
    name: str,
    codes: Sequence[np.ndarray],
    held: Sequence[Array],
    *,
    exact: bool = True,
    cells: Cells | None = None,
) -> dict[str, Factor]:
    """The factors of an op's matrix by letter (W, or V and U), written into arrays ``held``.

    ``codes``: of each factor (out, in). ``exact``: converters without loss instead of the chip's.
    ``cells``: levels with errors instead of those of the codes. Raises InputError for a matrix in
    bytes, and for tiles without a place.
    """
    weight = find_weight(placement, name)
    module: AnalogValues = placement.chip.holder.values
    areas = factor_regions(placement.chip, weight)
    made = {}
    for number, part in enumerate(weight.parts):
        assert isinstance(part, tiling.Factor)
        own = [array for array in held if array.factor == part.part]
        writer = _Writer(module, areas[number], codes[number], number, exact, cells)
        made[part.part] = Factor(
            rows=part.rows,
            outputs=part.outputs,
            row_tiles=part.row_tiles,
            bands=tuple(writer.band(array, piece) for array in own for piece in array.pieces),
            bias=layout(1, module.sign, module.weight_bits).bias,  # type: ignore[arg-type]
            arrays=len(own),
        )
    return made


class _Writer:
    """Writes one factor into its arrays, from left to right within each row tile."""

    def __init__(
        self,
        module: AnalogValues,
        areas: Sequence[Region],
        codes: np.ndarray,
        number: int,
        exact: bool,
        cells: Cells | None,
    ):
        self.module, self.areas, self.codes = module, areas, codes
        self.number, self.exact, self.cells = number, exact, cells

    def band(self, array: Array, piece: Piece) -> Band:
        """The piece of an array, with its cells."""
        bits = _bits(self.module, piece.mode)
        adc = None if self.exact else _adc_bits(self.module, piece.mode)
        forms = self._converters(bits, adc)
        slices = len(forms)
        region = self._region(piece)
        first = region.outputs.index(piece.outputs[0])
        at = first * slices + piece.cut
        places = at + np.arange(piece.columns[1] - piece.columns[0] + 1)
        inputs = np.array(piece.inputs)
        outputs = np.array(region.outputs)[np.minimum(places // slices, len(region.outputs) - 1)]
        return Band(
            row_tile=array.row_tile,
            mode=piece.mode,
            inputs=inputs,
            levels=self._levels(piece.mode, bits, inputs, outputs, places % slices),
            outputs=outputs,
            columns=tuple(forms[k] for k in places % slices),
            offset=self._offset(array.row_tile, piece.mode, outputs, places % slices),
        )

    def _converters(self, bits: int, adc: int | None) -> tuple[Converter, ...]:
        """What the columns of one weight go through, in the order in which they lie."""
        module = self.module
        form = layout(bits, module.sign, module.weight_bits)  # type: ignore[arg-type]
        return converters_of(form, tiling.height(module), adc, module.adc.range)  # type: ignore[arg-type]

    def _region(self, piece: Piece) -> Region:
        """The region of a piece: of its mode, with its first input and output."""
        for area in self.areas:
            inside = piece.inputs[0] in area.inputs and piece.outputs[0] in area.outputs
            if area.mode == piece.mode and inside:
                return area
        raise InputError(f"values: no region of the matrix is where an array holds {piece}")

    def _levels(
        self, mode: str, bits: int, inputs: np.ndarray, outputs: np.ndarray, slices: np.ndarray
    ) -> np.ndarray:
        """Levels of the cells (inputs, columns)."""
        if self.cells is not None:
            erring: np.ndarray = self.cells[self.number, mode].cells[inputs][:, outputs, slices]
            return erring
        own, at = np.unique(outputs, return_inverse=True)
        codes = self.codes[np.ix_(own, inputs)]
        sign: Any = self.module.sign
        whole = levels(torch.tensor(codes, dtype=torch.int16), bits, sign, self.module.weight_bits)
        cells: np.ndarray = whole.numpy()[slices, at].T
        return cells

    def _offset(
        self, row_tile: int, mode: str, outputs: np.ndarray, slices: np.ndarray
    ) -> np.ndarray:
        if self.cells is None:
            return np.zeros(len(outputs), dtype=np.float32)
        own: np.ndarray = self.cells[self.number, mode].offsets[row_tile, outputs, slices]
        return own


def _bits(module: AnalogValues, mode: str) -> int:
    return int(module.slc_bits if mode == "slc" else module.mlc_bits)


def _adc_bits(module: AnalogValues, mode: str) -> int:
    return int(module.adc.slc_bits if mode == "slc" else module.adc.mlc_bits)
