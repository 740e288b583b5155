"""Matrix times vector as the analog modules do it: bit-planes in, cells, ADC, shift-and-add.

::

    x (INT8) -> bit-plane p --wordlines--> 64 rows x columns of b-bit cells
                                              |  column sum, 0 ... 64 (2^b - 1)
                                             ADC (6 bit SLC, 7 bit MLC)
                                              |  code
                   y = sum over planes p, slices i, row tiles of  ±2^p · 2^(b i) · code

Inputs are INT8 codes in two's complement, so plane 7 counts negative. The weight's slices sit in
neighbouring columns; rows come in tiles of 64, and
the tiles' results are added digitally, so only the ADC loses anything. 64 rows of 2-bit cells
reach 192: 8 bits are needed, one more than HyFlexPIM's rule log2(rows) + b - 1 gives, and 64
rows of 1-bit cells reach 64, one more than 6 bits count. What a converter that is too small
does is not stated; `adc_mode` offers "clip" (one level a code, sums beyond the last code
saturate) and "scale" (codes cover the whole span in coarser steps). A sum gets the code that lies
less than half a step above it, or at most half a step below.

Levels with errors are kept to 1/256 of a level (GRID). So sums are added exactly, and a chip of one
seed has the same codes on every machine.

How signs are held is not stated either: cell_columns.py. A signed column is measured against a
reference column by a bipolar ADC.

Sources: HyFlexPIM §3.2, §5.4 (64 × 128 arrays, 6/7 bit, bit-serial inputs: STATED). Its
released accuracy code models none of this. Left out: wire resistance, noise of converters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hyflexsim.models.cells.cell_columns import Layout, Sign, layout, levels
from hyflexsim.models.cells.converted_sums import Converter, converted_sums
from hyflexsim.models.cells.grid_sums import GRID, GridColumns, grid_columns, grid_sums
from hyflexsim.models.cells.quantization import check_bits, slice_codes
from hyflexsim.models.cells.rram_noise import CellNoise, program_column
from hyflexsim.models.errors import ModelError

AdcMode = Literal["clip", "scale"]


_BLOCK = 4_000_000  # column sums held at a time, 16 MB
_EXACT = 1024  # products of 8-bit integers that float32 adds up without rounding


@dataclass(frozen=True)
class CrossbarConfig:
    """Arrays and converters of the analog modules. Raises ModelError for values not allowed."""

    rows: int = 64
    """Rows of an array, 1 ... 1024; STATED, HyFlexPIM §5.4."""

    slc_adc_bits: int | None = 6
    """ADC resolution for 1-bit cells, bits, 1 ... 16, None: ideal; STATED, HyFlexPIM §3.2."""

    slc_bits: int = 1
    """Bits per SLC cell, 1 ... 8; STATED, HyFlexPIM §5.4."""

    mlc_bits: int = 2
    """Bits per MLC cell, 1 ... 8; STATED, HyFlexPIM §3.2."""

    weight_bits: int = 8
    """Bits of a weight, 2 ... 8; STATED, HyFlexPIM §5.1."""

    mlc_adc_bits: int | None = 7
    """ADC resolution for MLC cells, bits, 1 ... 16, None: ideal; STATED, HyFlexPIM §3.2."""

    adc_mode: AdcMode = "clip"
    """What a small ADC does with the span of the column sums; UNKNOWN, ASSUMED."""

    sign: Sign = "twos-complement"
    """How negative weights are held; UNKNOWN, ASSUMED."""

    def __post_init__(self) -> None:
        check_bits(self.rows, "rows", high=1024)
        check_bits(self.mlc_bits, "mlc_bits")
        _check_adc(self.slc_adc_bits, self.adc_mode, "slc_adc_bits")
        _check_adc(self.mlc_adc_bits, self.adc_mode, "mlc_adc_bits")
        for bits in (self.slc_bits, self.mlc_bits):
            layout(bits, self.sign, self.weight_bits)


@dataclass(frozen=True)
class Programmed:
    """A weight matrix (out, in) written to cells; made by :func:`program_crossbar`."""

    cells: Tensor  # (T, rows, S, out) float32: levels, with programming noise if any
    read_variance: Tensor | None  # same shape: variance of one read, in squared level steps
    form: Layout  # of the S columns
    inputs: int  # in; the last tile is padded with rows that no input drives
    codes: Tensor | None = None  # (out, in), what the cells hold exactly; None: they err
    clipping: dict[tuple[int, str], Clipping] = field(default_factory=dict, compare=False)
    """What a converter may cut, by its bits and mode; made when asked."""
    driven_row: bool = False  # the last row of each tile is always on: what converters add

    def changed(
        self, cells: Tensor, read_variance: Tensor | None, *, driven_row: bool | None = None
    ) -> Programmed:
        """The same matrix in cells that err, without what was made of the old ones."""
        driven = self.driven_row if driven_row is None else driven_row
        return Programmed(cells, read_variance, self.form, self.inputs, driven_row=driven)

    columns: dict[tuple[Converter, ...], GridColumns | None] = field(
        default_factory=dict, compare=False
    )
    """The cells for sums of 16 bits, by what they go through; made when asked."""


class Clipping(NamedTuple):
    """Outputs of which some converter may cut a sum, (n,) int64, and their cells."""

    outputs: Tensor
    cells: Programmed


def required_adc_bits(
    bits_per_cell: int, rows: int = 64, *, sign: Sign = "twos-complement", bits: int = 8
) -> int:
    """Smallest ADC that converts every column sum of codes of `bits` bits exactly: bits.

    Raises ModelError for bits_per_cell outside 1 ... 8, rows outside 1 ... 1024.

    >>> [required_adc_bits(b) for b in (1, 2, 3, 4)]
    [7, 8, 9, 10]
    """
    check_bits(rows, "rows", high=1024)
    need = 1
    form = layout(bits_per_cell, sign, bits)
    for low, high in zip(form.lowest, form.highest, strict=True):
        if low:
            need = max(need, 1 + max(-low * rows - 1, high * rows).bit_length())
        else:
            need = max(need, (rows * high).bit_length())
    return need


def program_crossbar(
    codes: Tensor,
    bits_per_cell: int,
    *,
    rows: int = 64,
    sign: Sign = "twos-complement",
    bits: int = 8,
    outputs: Tensor | None = None,
    inputs: Tensor | None = None,
    noise: CellNoise | None = None,
    generator: torch.Generator | None = None,
) -> Programmed:
    """Write weight codes (out, in) of `bits` bits into cells; noise is drawn once, here.

    `outputs`, `inputs`: places (int64) of the ones to keep, None: all. Noise is drawn for all of
    them, so that a cell has the same error whichever others are kept.

    Raises ModelError for codes that are not an integer matrix in -128 ... 127, bits_per_cell
    outside 1 ... 8, rows outside 1 ... 1024, an unknown sign.
    """
    check_bits(bits_per_cell, "bits_per_cell")
    check_bits(rows, "rows", high=1024)
    if codes.dim() != 2 or 0 in codes.shape:
        raise ModelError(f"codes must have shape (out, in); got {tuple(codes.shape)}")
    form = layout(bits_per_cell, sign, bits)
    held, spread = [], []
    for column, level in enumerate(levels(codes, bits_per_cell, sign, bits)):
        cells, variance = program_column(noise, level, form, column, generator)
        if noise is not None:
            cells = (cells * GRID).round_().div_(GRID)
        held.append(_tiles(_chosen(cells, outputs, inputs), rows))
        if variance is not None:
            spread.append(_tiles(_chosen(variance, outputs, inputs), rows))
    return Programmed(
        torch.stack(held, 2),
        torch.stack(spread, 2) if spread else None,
        form,
        codes.shape[1] if inputs is None else len(inputs),
        _chosen(codes, outputs, inputs) if noise is None else None,
    )


def read_crossbar(
    x: Tensor,
    programmed: Programmed,
    *,
    adc_bits: int | None = None,
    adc_mode: AdcMode = "clip",
    input_bits: int = 8,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Integer inputs (..., in) through programmed cells: (..., out), in units of codes.

    Inputs are two's complement, `input_bits` (2 ... 8) wide, one bit-plane a read. adc_bits
    None converts exactly. Without noise the result is an integer. `generator` draws the read
    noise, anew for each plane. float64, or float32 where that holds the result exactly.

    Columns that hold exact levels, whose sum no input can bring beyond the converter's codes, are
    converted exactly: together they are one product of integers.

    Raises ModelError for inputs that are not integers, of another width or out of range, and
    bits outside the allowed ones.
    """
    check_bits(input_bits, "input_bits", low=2)
    _check_adc(adc_bits, adc_mode, "adc_bits")
    if x.shape[-1:] != (programmed.inputs,):
        raise ModelError(f"x must have shape (..., {programmed.inputs}); got {tuple(x.shape)}")
    flat = x.reshape(-1, programmed.inputs)
    _check_codes(flat, input_bits)
    if programmed.codes is None:
        result = _converted(flat, programmed, adc_bits, adc_mode, input_bits, generator)
    else:
        result = integer_product(flat, programmed.codes)
        cut = _clipping(programmed, adc_bits, adc_mode)
        if cut is not None and len(cut.outputs):
            made = _converted(flat, cut.cells, adc_bits, adc_mode, input_bits, None)
            if made.dtype != result.dtype:
                result, made = result.double(), made.double()
            result.index_copy_(1, cut.outputs, made)
    return result.reshape(*x.shape[:-1], result.shape[1])


def integer_product(x: Tensor, codes: Tensor) -> Tensor:
    """Integers (B, in) times (out, in) transposed, both of at most 8 bits: (B, out), exact.

    float32, or float64 for more than 1024 inputs: that many products of 8-bit integers float32
    adds up without rounding.
    """
    if x.shape[1] <= _EXACT:
        product: Tensor = x.float() @ codes.float().T
        return product
    total = torch.zeros(len(x), len(codes), dtype=torch.float64, device=x.device)
    for start in range(0, x.shape[1], _EXACT):
        part = slice(start, start + _EXACT)
        total += x[:, part].float() @ codes[:, part].float().T
    return total


def _converted(
    x: Tensor,
    programmed: Programmed,
    adc_bits: int | None,
    adc_mode: AdcMode,
    input_bits: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Every plane of every column through a converter: (B, out)."""
    if adc_bits is None and programmed.read_variance is None:
        return _unconverted(x, programmed)
    tiles, rows, slices, out = programmed.cells.shape
    fed = rows - programmed.driven_row
    missing = tiles * fed - programmed.inputs
    padded = functional.pad(x, (0, missing)) if missing else x
    if programmed.driven_row:  # every bit of -1 is set
        padded = functional.pad(padded.view(-1, tiles, fed), (0, 1), value=-1).flatten(1)
    converters = converters_of(programmed.form, fed, adc_bits, adc_mode)
    if programmed.read_variance is None and x.device.type == "cpu":
        result = _sums(padded.to(torch.int8).numpy(), programmed, converters, input_bits)
    else:
        result = torch.empty(len(x), out, dtype=torch.float64, device=x.device)
        block = max(1, _BLOCK // (tiles * slices * out))
        for start in range(0, len(x), block):
            planes = slice_codes(padded[start : start + block], 1, bits=input_bits).abs().float()
            bits = planes.reshape(*planes.shape[:2], tiles, rows).transpose(1, 2)
            sums = _convert_planes(bits, programmed, converters, generator)
            result[start : start + block] = sums
    if programmed.form.bias:
        result = result.double() - programmed.form.bias * x.double().sum(-1, keepdim=True)
    return result


def _sums(
    codes: NDArray[np.int8], programmed: Programmed, converters: Sequence[Converter], planes: int
) -> Tensor:
    """Converted sums of padded codes (B, T · R), by the fastest way that is exact: (B, out)."""
    cells, key = programmed.cells.numpy(), tuple(converters)
    if key not in programmed.columns:
        programmed.columns[key] = grid_columns(cells, converters)
    columns = programmed.columns[key]
    if columns is None:
        return torch.from_numpy(converted_sums(codes, cells, converters, planes))
    return torch.from_numpy(grid_sums(codes, columns, planes))


def _unconverted(x: Tensor, programmed: Programmed) -> Tensor:
    """Column sums that nothing cuts or rounds are one product with what the cells add up to."""
    worth = torch.tensor(programmed.form.worth, dtype=torch.float64, device=x.device)
    weight = (programmed.cells.double() * worth[:, None]).sum(2).flatten(0, 1)
    weight = weight[: programmed.inputs] - programmed.form.bias
    return x.double() @ weight


def converters_of(
    form: Layout, rows: int, bits: int | None, mode: AdcMode
) -> tuple[Converter, ...]:
    """What the columns of each slice go through, of arrays of `rows` rows.

    `bits` None: they are neither cut nor rounded (step 0). Codes: 0 ... 2^bits - 1, or as many
    around 0 when the span reaches below it. "scale" makes the codes cover the span, but never finer
    than one level; 0 stays 0.

    >>> converters_of(layout(4), 64, 6, "clip")[0]
    Converter(first=0, last=63, step=1.0, worth=1)
    """
    found = []
    for low, high, worth in zip(form.lowest, form.highest, form.worth, strict=True):
        if bits is None:
            found.append(Converter(-math.inf, math.inf, 0.0, worth))
            continue
        step = 1.0
        if mode == "scale":
            step = max(1.0, rows * (high - low) / (2**bits - 1))
        bipolar = -(2 ** (bits - 1)) if step == 1 else round(rows * low / step)
        first = bipolar if low else 0
        found.append(Converter(first, first + 2**bits - 1, step, worth))
    return tuple(found)


def _clipping(programmed: Programmed, bits: int | None, mode: AdcMode) -> Clipping | None:
    """Outputs of which a column may leave the converter's codes, or is read in coarse steps.

    No input brings a sum above that of the positive levels, or below that of the negative ones.
    """
    if bits is None:
        return None
    if (bits, mode) not in programmed.clipping:
        cells = programmed.cells
        converters = converters_of(programmed.form, cells.shape[1], bits, mode)
        most, least = cells.clamp(min=0).sum(1).amax(0), cells.clamp(max=0).sum(1).amin(0)
        limits = torch.tensor(converters, device=most.device)  # (S, 4): first, last, step, worth
        cut = (most > limits[:, 1:2]) | (least < limits[:, :1]) | (limits[:, 2:3] != 1)
        outputs = cut.any(0).nonzero()[:, 0]
        some = Programmed(cells[..., outputs], None, programmed.form, programmed.inputs)
        programmed.clipping[bits, mode] = Clipping(outputs, some)
    return programmed.clipping[bits, mode]


def bit_serial_matmul(
    x: Tensor,
    weight: Tensor,
    *,
    bits_per_cell: int = 2,
    adc_bits: int | None = None,
    adc_mode: AdcMode = "clip",
    input_bits: int = 8,
    rows: int = 64,
    sign: Sign = "twos-complement",
    bits: int = 8,
    noise: CellNoise | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """x (..., in) times weight (out, in) transposed, both integer codes: (..., out), float64.

    Equal to the integer product when there is no noise and the ADC has
    :func:`required_adc_bits` or None. Errors as program_crossbar and read_crossbar.

    >>> x, w = torch.tensor([[3, -128]]), torch.tensor([[-75, 127], [1, -1]])
    >>> bit_serial_matmul(x, w, adc_bits=8).tolist()
    [[-16481.0, 131.0]]
    >>> one = torch.ones(1, 64, dtype=torch.int8)
    >>> [float(bit_serial_matmul(one, 3 * one, adc_bits=b)) for b in (8, 7)]    # 192 clips at 127
    [192.0, 127.0]
    """
    programmed = program_crossbar(
        weight, bits_per_cell, rows=rows, sign=sign, bits=bits, noise=noise, generator=generator
    )
    return read_crossbar(
        x,
        programmed,
        adc_bits=adc_bits,
        adc_mode=adc_mode,
        input_bits=input_bits,
        generator=generator,
    )


def _convert_planes(
    bits: Tensor,  # (P, T, B, rows)
    programmed: Programmed,
    converters: Sequence[Converter],
    generator: torch.Generator | None,
) -> Tensor:
    """Shift-and-add of all planes, slices and tiles, each read with its noise: (B, out)."""
    _, _, slices, out = programmed.cells.shape
    total = torch.zeros(bits.shape[2], out, dtype=torch.float64, device=bits.device)
    columns = programmed.cells.flatten(2)  # (T, rows, S · out)
    for p, plane in enumerate(bits):
        sums = torch.bmm(plane, columns)  # (T, B, S · out)
        if programmed.read_variance is not None:
            std = torch.bmm(plane, programmed.read_variance.flatten(2)).sqrt_()
            draw = torch.randn(std.shape, generator=generator, dtype=std.dtype, device=std.device)
            sums += std * draw
        sign = -1 if p == len(bits) - 1 else 1
        per_slice = sums.view(*sums.shape[:2], slices, out).unbind(2)
        for v, (first, last, step, worth) in zip(per_slice, converters, strict=True):
            codes = v.div_(step).add_(0.5).floor_().clamp_(first, last) if step else v
            total += codes.sum(0, dtype=torch.float64) * (sign * 2**p * worth * (step or 1))
    return total


def _chosen(levels: Tensor, outputs: Tensor | None, inputs: Tensor | None) -> Tensor:
    levels = levels if outputs is None else levels[outputs]
    return levels if inputs is None else levels[:, inputs]


def _tiles(levels: Tensor, rows: int) -> Tensor:
    """(out, in) -> (T, rows, out), padded with zeros."""
    columns = levels.float().T
    columns = functional.pad(columns, (0, 0, 0, -columns.shape[0] % rows))
    tiles: Tensor = columns.reshape(-1, rows, columns.shape[1])
    return tiles


def _check_codes(x: Tensor, bits: int) -> None:
    """Refuse inputs that do not fit into planes."""
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise ModelError(f"codes must be integers; got {x.dtype}")
    half = 2 ** (bits - 1)
    if x.dtype == torch.int8 and bits == 8:
        return
    if x.numel() and not -half <= int(x.min()) <= int(x.max()) < half:
        raise ModelError(
            f"codes must be from {-half} to {half - 1}; got {int(x.min())} to {int(x.max())}"
        )


def _check_adc(bits: int | None, mode: str, key: str) -> None:
    if bits is not None:
        check_bits(bits, key, high=16)
    if mode not in get_args(AdcMode):
        raise ModelError(f"adc_mode must be clip or scale; got {mode!r}")
