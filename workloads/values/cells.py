"""What models/cells makes of the same matrices: converters, and errors of cells by a chip's seed.

The one place that knows how models/cells is called. An op's matrix becomes a
:class:`~hyflexsim.models.cells.crossbar_layers.CrossbarLinear` whose ranks are in the modes that the
placement gives them; its cells, errors included, are also what the execution reads.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hyflexsim.models.cells.crossbar import CrossbarConfig, read_crossbar
from hyflexsim.models.cells.crossbar_layers import CrossbarLinear
from hyflexsim.models.cells.rram_noise import CellNoise, MultiplicativeNoise
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.cells import factor_regions, find_weight
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.units import tiling
from hyflexsim.workloads.values.matrices import Matrix


class ModelCells:
    """The matrices of a placement as models/cells holds them.

    ``seed``: of the chip, None: cells without errors. A matrix draws from (seed, path in the model)
    as in :mod:`hyflexsim.models.cells.on_chip`. Raises InputError for a chip whose cells models/cells
    cannot hold: other bits than 8 a weight and 1 a single-level cell, errors of another model.
    """

    def __init__(
        self,
        placement: Placement,
        matrices: dict[str, Matrix],
        prefix: str = "",
        seed: int | None = None,
    ):
        self.placement = placement
        self.module: Any = placement.chip.holder.values
        if (self.module.weight_bits, self.module.slc_bits) != (8, 1):
            raise InputError("values: cells with converters need 8 bits a weight, 1 a single-level cell")
        self.layers = {
            name: self._layer(name, matrix, f"{prefix}{name}", seed)
            for name, matrix in matrices.items()
        }

    def multiply(self, name: str, factor: int, codes: Tensor) -> Tensor:
        """Codes (T, in) through the cells and converters of a factor: (T, out), in units of codes."""
        matrix = self.layers[name]._matrices[factor]
        total = torch.zeros(len(codes), matrix.out, dtype=torch.float64)
        whole = codes.to(torch.int16)
        for programmed, bits, outputs, inputs in matrix.parts:
            part = read_crossbar(
                whole if inputs is None else whole[:, inputs],
                programmed,
                adc_bits=bits,
                adc_mode=self.module.adc.range,
                input_bits=int(self.module.input_bits),
            )
            total[:, slice(None) if outputs is None else outputs] += part
        return total

    def cells(self, name: str) -> dict[tuple[int, str], np.ndarray]:
        """Levels by (number of the factor, mode): (rows, outputs, columns of a weight)."""
        found = {}
        for number, matrix in enumerate(self.layers[name]._matrices):
            rows = matrix.weight.codes.shape[1]
            for (programmed, _, outputs, inputs), mode in zip(
                matrix.parts, self._modes(name, number), strict=True
            ):
                _, _, slices, wide = programmed.cells.shape
                held = programmed.cells.permute(0, 1, 3, 2).reshape(-1, wide, slices)
                whole = np.zeros((rows, matrix.out, slices), dtype=np.float32)
                at = np.arange(rows) if inputs is None else inputs.numpy()
                across = np.arange(matrix.out) if outputs is None else outputs.numpy()
                whole[np.ix_(at, across)] = held[: len(at)].numpy()
                found[number, mode] = whole
        return found

    def _modes(self, name: str, number: int) -> list[str]:
        areas = factor_regions(self.placement, find_weight(self.placement, name))
        return [area.mode for area in areas[number]]

    def _layer(self, name: str, matrix: Matrix, path: str, seed: int | None) -> CrossbarLinear:
        weight = find_weight(self.placement, name)
        first = weight.parts[0]
        assert isinstance(first, tiling.Factor)
        mask = torch.zeros(first.outputs, dtype=torch.bool)
        for area in factor_regions(self.placement, weight)[0]:
            if area.mode == "slc":
                mask[list(area.outputs)] = True
        pair = matrix.weights
        made = CrossbarLinear(
            (pair[0], pair[1]) if len(pair) == 2 else pair[0],
            config=self._config(),
            protected=mask,
            noise=None if seed is None else self._noise("mlc"),
            slc_noise=None if seed is None else self._noise("slc"),
            generator=None if seed is None else _generator(path, seed),
        )
        self._check_modes(name, made)
        return made

    def _check_modes(self, name: str, layer: CrossbarLinear) -> None:
        """A begun row tile of U is filled up with further ranks: these must be the same here."""
        areas = factor_regions(self.placement, find_weight(self.placement, name))
        for number, matrix in enumerate(layer._matrices):
            for (_, _, outputs, inputs), area in zip(matrix.parts, areas[number], strict=False):
                chosen = inputs if number else outputs
                own = area.inputs if number else area.outputs
                if chosen is not None and chosen.tolist() != list(own):
                    raise InputError(
                        f"values: {name}: models/cells keeps {len(chosen)} ranks in "
                        f"{area.mode.upper()} where the placement has {len(own)}"
                    )

    def _config(self) -> CrossbarConfig:
        adc = self.module.adc
        return CrossbarConfig(
            rows=tiling.height(self.module),
            slc_adc_bits=int(adc.slc_bits),
            mlc_bits=int(self.module.mlc_bits),
            mlc_adc_bits=int(adc.mlc_bits),
            adc_mode=adc.range,
            sign=self.module.sign,
        )

    def _noise(self, mode: str) -> CellNoise | None:
        cells = self.module.cells
        if cells.noise not in ("none", "sigma"):
            raise InputError(f"values: cells.noise must be none or sigma; got {cells.noise}")
        sigma = float(getattr(cells, f"{mode}_sigma")) if cells.noise == "sigma" else 0.0
        return MultiplicativeNoise(sigma) if sigma else None


def _generator(path: str, seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}:{path}".encode()))
