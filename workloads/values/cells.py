"""What models/cells makes of the same matrices: converters, and errors of cells by a chip's seed.

The one place that knows how models/cells is called. Each region of a factor that the placement has
(its ranks in one mode) is programmed and read as one crossbar; the cells, errors included, are also
what the execution reads, array by array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from hyflexsim.models.cells.crossbar import Programmed, program_crossbar, read_crossbar
from hyflexsim.models.cells.crossbar_layers import offspring
from hyflexsim.models.cells.on_chip import generator_of
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.cells import factor_regions, find_weight
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.units import tiling
from hyflexsim.sim.units.tiling import Region
from hyflexsim.workloads.compression.devices import device_of, noises_of, settings_from
from hyflexsim.workloads.values.matrices import Matrix

_T = TypeVar("_T")


class Held(NamedTuple):
    """A region of a factor in cells, and the places of its inputs and outputs."""

    mode: str
    programmed: Programmed
    inputs: Tensor
    outputs: Tensor


class ModelCells:
    """The matrices of a placement as models/cells holds them.

    ``seed``: of the chip, None: cells without errors. A matrix draws from (seed, path in the
    model), for all of its cells in either mode, as models/cells does for a whole model. The device
    is the chip's (:func:`~hyflexsim.workloads.compression.devices.device_of`, whose refusals are
    raised); InputError too for errors of single reads, which the execution does not draw.
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

    def cells(self, name: str) -> dict[tuple[int, str], np.ndarray]:
        """Levels by (number of the factor, mode): (rows, outputs, columns of a weight)."""
        weight = find_weight(self.placement, name)
        found = {}
        for number, regions in enumerate(self.held[name]):
            part = weight.parts[number]
            assert isinstance(part, tiling.Factor)
            for region in regions:
                _, _, slices, wide = region.programmed.cells.shape
                levels = region.programmed.cells.permute(0, 1, 3, 2).reshape(-1, wide, slices)
                whole = np.zeros((part.rows, part.outputs, slices), dtype=np.float32)
                at = np.ix_(region.inputs.numpy(), region.outputs.numpy())
                whole[at] = levels[: len(region.inputs)].numpy()
                found[number, region.mode] = whole
        return found

    def _factors(
        self, name: str, matrix: Matrix, path: str, seed: int | None
    ) -> Iterator[list[Held]]:
        generator = None if seed is None else generator_of(path, seed)
        areas = factor_regions(self.placement.chip, find_weight(self.placement, name))
        for codes, regions in zip(matrix.codes, areas, strict=True):
            draws = {}
            if generator is not None:  # SLC first, as for a whole model
                draws = {mode: offspring(generator, codes.device) for mode in ("slc", "mlc")}
            yield [self._programmed(codes, region, draws.get(region.mode)) for region in regions]

    def _programmed(self, codes: Tensor, region: Region, draw: torch.Generator | None) -> Held:
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
        return Held(region.mode, programmed, inputs, outputs)


def _of(mode: str, slc: _T, mlc: _T) -> _T:
    return slc if mode == "slc" else mlc
