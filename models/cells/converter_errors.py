"""Converters that are not alike: each has an offset and a gain of its own.

A converter makes of a column sum v the code round(v · (1 + gain) / step + offset), cut to its
range. The offset is that of all conversions of the converter, the columns and planes that it
serves; which those are follows from where the weights lie. Gains are part of the cells that the
converter reads; an offset is one more row of the array, which is always driven.

Sources: both are standard figures of merit of converters; HyFlexPIM gives none.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from hyflexsim.models.cells.crossbar import CrossbarConfig, Programmed, converters_of
from hyflexsim.models.cells.rram_noise import check_not_negative


@dataclass(frozen=True)
class ConverterErrors:
    """How converters differ, and which columns share one. Raises ModelError for a negative spread.

    Those of the matrix at a path of a model follow from the seed of the chip alone.
    """

    offset: float = 0.0
    """Standard deviation of the offset, in codes."""
    gain: float = 0.0
    """Standard deviation of the gain, no unit."""
    columns: int = 128
    """Columns of an array."""
    per_array: int = 1
    """Converters of an array; neighbouring columns share one."""

    def __post_init__(self) -> None:
        check_not_negative("offset", self.offset)
        check_not_negative("gain", self.gain)

    def __bool__(self) -> bool:
        return bool(self.offset or self.gain)

    def drawn(self, seed: int, path: str, factor: int, tile: int, count: int) -> np.ndarray:
        """Offset (codes) and gain of the first converters of a row tile of a factor: (count, 2)."""
        generator = np.random.default_rng([seed, zlib.crc32(path.encode()), factor, tile])
        normal: np.ndarray = generator.standard_normal((count, 2))
        return normal * (self.offset, self.gain)

    def converter(self, column: np.ndarray) -> np.ndarray:
        """Number of the converter of a column of a row tile, counted through its arrays.

        >>> ConverterErrors(columns=8, per_array=2).converter(np.array([0, 3, 4, 8])).tolist()
        [0, 0, 1, 2]
        """
        array, at = np.divmod(column, self.columns)
        number: np.ndarray = array * self.per_array + at // -(-self.columns // self.per_array)
        return number


@dataclass(frozen=True)
class Place:
    """Where a part of a factor lies: its first row tile, and its first column on the wordlines."""

    seed: int
    path: str
    factor: int
    tile: int = 0
    column: int = 0


def with_errors(
    programmed: Programmed,
    errors: ConverterErrors,
    place: Place,
    config: CrossbarConfig,
    adc_bits: int | None,
) -> Programmed:
    """The same cells behind converters that differ; `adc_bits` None: there are none."""
    if not errors or adc_bits is None:
        return programmed
    tiles, rows, slices, out = programmed.cells.shape
    column = place.column + np.arange(out)[None] * slices + np.arange(slices)[:, None]  # (S, out)
    number = errors.converter(column)
    drawn = np.stack(
        [
            errors.drawn(place.seed, place.path, place.factor, place.tile + tile, number.max() + 1)
            for tile in range(tiles)
        ]
    )
    offset, gain = torch.from_numpy(drawn[:, number]).float().unbind(-1)  # (T, S, out)
    steps = [each.step for each in converters_of(programmed.form, rows, adc_bits, config.adc_mode)]
    offset = offset * torch.tensor(steps)[:, None]
    cells = torch.cat([programmed.cells * (1 + gain)[:, None], offset[:, None]], 1)
    variance = programmed.read_variance
    if variance is not None:  # an offset has none
        variance = functional.pad(variance * (1 + gain).square()[:, None], (0, 0, 0, 0, 0, 1))
    return programmed.changed(cells, variance, driven_row=True)
