"""What models/cells makes of the same matrices: converters, and errors of cells by a chip's seed.

The one place that knows how models/cells is called. Each region of a factor that the placement has
(its ranks in one mode) is programmed and read as one crossbar; the cells, errors included, are also
what the execution reads, array by array.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from hyflexsim.models.cells.broken import Broken, built
from hyflexsim.models.cells.converter_errors import Place
from hyflexsim.models.cells.crossbar import Programmed, program_crossbar, read_crossbar
from hyflexsim.models.cells.crossbar_layers import offspring
from hyflexsim.models.cells.on_chip import generator_of
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.broken_cells import ON, BrokenCell, broken_cells
from hyflexsim.sim.placement.cells import factor_regions, find_weight
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.units import tiling
from hyflexsim.sim.units.tiling import Region
from hyflexsim.workloads.compression.devices import device_of, noises_of, settings_from
from hyflexsim.workloads.values.arrays import Levels
from hyflexsim.workloads.values.matrices import Matrix

_T = TypeVar("_T")


class Held(NamedTuple):
    """A region of a factor in cells: its first row tile, the places of its inputs and outputs."""

    mode: str
    tile: int
    programmed: Programmed
    inputs: Tensor
    outputs: Tensor


class ModelCells:
    """The matrices of a placement as models/cells holds them.

    ``seed``: of the chip, None: cells without errors, nothing broken, converters alike. A matrix
    draws from (seed, path in the model), for all of its cells in either mode, as models/cells does
    for a whole model. The device is the chip's
    (:func:`~hyflexsim.workloads.compression.devices.device_of`, whose refusals are raised);
    InputError too for errors of single reads, which the execution does not draw.
    """

    def __init__(
        self,
        placement: Placement,
        matrices: Mapping[str, Matrix],
        prefix: str = "",
        seed: int | None = None,
    ):
        self.placement = placement
        (noise,) = noises_of(placement.chip, settings_from({"sigma": ["chip"]}))
        self.device = device_of(placement.chip, noise)
        self.held = {
            name: list(self._factors(name, matrix, f"{prefix}{name}", seed))
            for name, matrix in matrices.items()
        }

    def multiply(self, name: str, factor: int, codes: Tensor) -> Tensor:
        """Codes (T, in) through cells and converters of a factor: (T, out), in units of codes."""
        weight = find_weight(self.placement, name)
        part = weight.parts[factor]
        assert isinstance(part, tiling.Factor)
        total, form = (
            torch.zeros(len(codes), part.outputs, dtype=torch.float64),
            self.device.crossbar,
        )
        for region in self.held[name][factor]:
            total[:, region.outputs] += read_crossbar(
                codes[:, region.inputs].to(torch.int16),
                region.programmed,
                adc_bits=_of(region.mode, form.slc_adc_bits, form.mlc_adc_bits),
                adc_mode=form.adc_mode,
                input_bits=self.device.input_bits or 8,
            )
        return total

    def cells(self, name: str) -> dict[tuple[int, str], Levels]:
        """Levels by (number of the factor, mode)."""
        weight = find_weight(self.placement, name)
        found = {}
        for number, regions in enumerate(self.held[name]):
            part = weight.parts[number]
            assert isinstance(part, tiling.Factor)
            for region in regions:
                held = region.programmed.cells.permute(0, 1, 3, 2)  # (T, rows, out, S)
                tiles, _, wide, slices = held.shape
                offsets = np.zeros((part.row_tiles, part.outputs, slices), dtype=np.float32)
                if region.programmed.driven_row:
                    own = np.arange(region.tile, region.tile + tiles)
                    offsets[np.ix_(own, region.outputs.numpy())] = held[:, -1].numpy()
                    held = held[:, :-1]
                whole = np.zeros((part.rows, part.outputs, slices), dtype=np.float32)
                at = np.ix_(region.inputs.numpy(), region.outputs.numpy())
                whole[at] = held.reshape(-1, wide, slices)[: len(region.inputs)].numpy()
                found[number, region.mode] = Levels(whole, offsets)
        return found

    def _factors(
        self, name: str, matrix: Matrix, path: str, seed: int | None
    ) -> Iterator[list[Held]]:
        generator = None if seed is None else generator_of(path, seed)
        areas = factor_regions(self.placement.chip, find_weight(self.placement, name))
        damage: dict[int, list[BrokenCell]] = {}
        for cell in broken_cells(self.placement, name) if seed is not None else ():
            if not cell.copy:
                damage.setdefault(cell.factor, []).append(cell)
        for number, (codes, regions) in enumerate(zip(matrix.codes, areas, strict=True)):
            draws = {}
            if generator is not None:  # SLC first, as for a whole model
                draws = {mode: offspring(generator, codes.device) for mode in ("slc", "mlc")}
            found, tile = [], 0
            for region in regions:
                held = self._programmed(codes, region, draws.get(region.mode), tile)
                if seed is not None:
                    mine = [cell for cell in damage.get(number, ()) if cell.mode == region.mode]
                    place = Place(seed, path, number, tile, region.first)
                    held = self._built(held, mine, place)
                found.append(held)
                if len(region.inputs) < codes.shape[1]:  # the next one is below
                    tile += len(held.programmed.cells)
            yield found

    def _programmed(
        self,
        codes: Tensor,
        region: Region,
        draw: torch.Generator | None,
        tile: int,
    ) -> Held:
        device, form = self.device, self.device.crossbar
        inputs, outputs = torch.tensor(region.inputs), torch.tensor(region.outputs)
        noise = _of(region.mode, device.slc_noise, device.noise)
        programmed = program_crossbar(
            codes.to(torch.int16),
            _of(region.mode, form.slc_bits, form.mlc_bits),
            rows=form.rows,
            sign=form.sign,
            bits=form.weight_bits,
            outputs=outputs,
            inputs=inputs,
            noise=None if draw is None else noise,
            generator=draw,
        )
        if programmed.read_variance is not None:
            raise InputError("values: cells.read_sigma_rel must be 0; each read would err anew")
        return Held(region.mode, tile, programmed, inputs, outputs)

    def _built(self, held: Held, broken: Iterable[BrokenCell], place: Place) -> Held:
        form = self.device.crossbar
        found = built(
            held.programmed,
            [
                Broken(cell.tile, cell.input, cell.output, cell.slice, cell.state == ON, cell.pair)
                for cell in broken
            ],
            held.outputs,
            self.device.errors,
            place,
            form,
            _of(held.mode, form.slc_adc_bits, form.mlc_adc_bits),
        )
        return held._replace(programmed=found)


def _of(mode: str, slc: _T, mlc: _T) -> _T:
    return slc if mode == "slc" else mlc
