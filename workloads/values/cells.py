"""What models/cells makes of the same matrices: converters, and errors of cells by a chip's seed.

The one place that knows how models/cells is called. Each region of a factor that the placement has
(its ranks in one mode) is programmed and read as one crossbar; the cells, errors included, are also
what the execution reads, array by array.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hyflexsim.models.cells.crossbar import Programmed, program_crossbar, read_crossbar
from hyflexsim.models.cells.rram_noise import CellNoise, MultiplicativeNoise
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.cells import factor_regions, find_weight
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.units import tiling
from hyflexsim.workloads.values.matrices import Matrix


class Held(NamedTuple):
    """A region of a factor in cells, and the places of its inputs and outputs."""

    mode: str
    programmed: Programmed
    inputs: Tensor
    outputs: Tensor


class ModelCells:
    """The matrices of a placement as models/cells holds them.

    ``seed``: of the chip, None: cells without errors. A matrix draws from (seed, path in the
    model), for all of its cells in either mode, as models/cells does for a whole model. Raises
    InputError for cells that models/cells cannot hold: other bits than 8 a weight, or errors that
    are not relative to the level.
    """

    def __init__(
        self,
        placement: Placement,
        matrices: Mapping[str, Matrix],
        prefix: str = "",
        seed: int | None = None,
    ):
        self.placement = placement
        self.module: Any = placement.chip.holder.values
        if self.module.weight_bits != 8:
            raise InputError(
                f"values: cells with converters need 8 bits a weight; got {self.module.weight_bits}"
            )
        self.held = {
            name: list(self._factors(name, matrix, f"{prefix}{name}", seed))
            for name, matrix in matrices.items()
        }

    def multiply(self, name: str, factor: int, codes: Tensor) -> Tensor:
        """Codes (T, in) through cells and converters of a factor: (T, out), in units of codes."""
        weight = find_weight(self.placement, name)
        part = weight.parts[factor]
        assert isinstance(part, tiling.Factor)
        total = torch.zeros(len(codes), part.outputs, dtype=torch.float64)
        for region in self.held[name][factor]:
            total[:, region.outputs] += read_crossbar(
                codes[:, region.inputs].to(torch.int16),
                region.programmed,
                adc_bits=self._adc_bits(region.mode),
                adc_mode=self.module.adc.range,
                input_bits=int(self.module.input_bits),
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
        generator = None if seed is None else _generator(path, seed)
        areas = factor_regions(self.placement.chip, find_weight(self.placement, name))
        for codes, regions in zip(matrix.codes, areas, strict=True):
            draws = {mode: _offspring(generator) for mode in ("slc", "mlc")}
            held = []
            for region in regions:
                inputs, outputs = torch.tensor(region.inputs), torch.tensor(region.outputs)
                programmed = program_crossbar(
                    codes.to(torch.int16),
                    int(getattr(self.module, f"{region.mode}_bits")),
                    rows=tiling.height(self.module),
                    sign=self.module.sign,
                    outputs=outputs,
                    inputs=inputs,
                    noise=None if seed is None else self._noise(region.mode),
                    generator=draws[region.mode],
                )
                held.append(Held(region.mode, programmed, inputs, outputs))
            yield held

    def _adc_bits(self, mode: str) -> int:
        return int(getattr(self.module.adc, f"{mode}_bits"))

    def _noise(self, mode: str) -> CellNoise | None:
        cells = self.module.cells
        if cells.noise not in ("none", "sigma"):
            raise InputError(f"values: cells.noise must be none or sigma; got {cells.noise}")
        sigma = float(getattr(cells, f"{mode}_sigma")) if cells.noise == "sigma" else 0.0
        return MultiplicativeNoise(sigma) if sigma else None


def _generator(path: str, seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}:{path}".encode()))


def _offspring(generator: torch.Generator | None) -> torch.Generator | None:
    """A generator of its own, seeded by a draw."""
    if generator is None:
        return None
    seed = torch.randint(2**62, (), generator=generator)
    return torch.Generator().manual_seed(int(seed))
