"""A code as the cells of one row hold it: a level for each column, and what it is worth.

How a chip holds signs decides what multiplicative noise does to a small negative weight. Four
ways, here an INT8 code in 2-bit cells:

- "twos-complement" (HyFlexPIM's released code slices so): -1 is -64 + 48 + 12 + 3. The top column
  is signed; one bit wide, it simply counts -128.
- "biased" (ISAAC): cells hold code + 128, and 128 times the sum of the inputs is subtracted
  digitally, exactly: -1 is 64 + 48 + 12 + 3 - 128.
- "differential" (pairs of cells): one set of columns for positive codes and one for negative,
  subtracted after conversion: -1 is -(1). Twice the columns.
- "differential-rows" (NeuRRAM): pairs of cells on neighbouring rows, whose currents are subtracted
  on the bitline: -1 is -(1) too. Twice the rows, and a converter that reads both signs.

A relative error of σ in each level gives -1 an error of 81 σ, 81 σ and 1 σ.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from hyflexsim.models.cells.quantization import slice_codes, slice_weights, slice_widths
from hyflexsim.models.errors import ModelError

Sign = Literal["twos-complement", "biased", "differential", "differential-rows"]


class Layout(NamedTuple):
    """The S columns of a code, least significant first; a pair's negative half comes last."""

    widths: tuple[int, ...]
    """Bits of each column."""
    worth: tuple[int, ...]
    """What one level adds to the code."""
    lowest: tuple[int, ...]
    """Lowest level: 0, or negative for a signed column and for pairs on rows."""
    highest: tuple[int, ...]
    """Highest level."""
    bias: int
    """What the levels hold beyond the code: 0, or half the range of the codes."""
    paired: bool = False
    """Whether a level is the difference of two cells."""


def layout(bits_per_cell: int, sign: Sign = "twos-complement", bits: int = 8) -> Layout:
    """Columns of cells of `bits_per_cell` bits (1 ... 8) that hold codes of `bits` bits (2 ... 8).

    Raises ModelError for other bits and an unknown sign.

    >>> layout(2, "differential").worth
    (1, 4, 16, 64, -1, -4, -16, -64)
    """
    if sign not in get_args(Sign):
        raise ModelError(f"sign must be {', '.join(get_args(Sign))}; got {sign!r}")
    widths = slice_widths(bits_per_cell, bits)
    worth = slice_weights(bits_per_cell, bits=bits)
    zeros, tops = (0,) * len(widths), tuple(2**width - 1 for width in widths)
    if sign == "biased":
        return Layout(widths, worth, zeros, tops, 2 ** (bits - 1))
    if sign == "differential":
        both = (*worth, *(-w for w in worth))
        return Layout(2 * widths, both, 2 * zeros, 2 * tops, 0)
    if sign == "differential-rows":
        return Layout(widths, worth, tuple(-top for top in tops), tops, 0, paired=True)
    if widths[-1] == 1:
        return Layout(widths, (*worth[:-1], -worth[-1]), zeros, tops, 0)
    half = 2 ** (widths[-1] - 1)
    return Layout(widths, worth, (*zeros[:-1], -half), (*tops[:-1], half - 1), 0)


def levels(
    codes: Tensor, bits_per_cell: int, sign: Sign = "twos-complement", bits: int = 8
) -> Tensor:
    """Codes (...) of `bits` bits as levels (S, ...), float32, in the columns of :func:`layout`.

    The codes are the sum over columns of level · worth, minus the bias. Raises ModelError as
    :func:`layout`, for codes that are not integers or out of range.

    >>> [levels(torch.tensor([-1]), 2, s).flatten().int().tolist() for s in get_args(Sign)]
    [[3, 3, 3, -1], [3, 3, 3, 1], [0, 0, 0, 0, 1, 0, 0, 0], [-1, 0, 0, 0]]
    """
    form = layout(bits_per_cell, sign, bits)
    slices = slice_codes(codes, bits_per_cell, bits=bits)  # which also checks the codes
    if sign.startswith("differential"):
        # a magnitude of 128 has no code of its own, so slices are cut from wider integers
        size = codes.to(torch.int16).abs()
        count = len(slices)
        halves = [_slices(size * side, form, count) for side in (codes > 0, codes < 0)]
        return (halves[0] - halves[1] if form.paired else torch.cat(halves)).float()
    held = slices.float()
    if sign == "biased":  # moves the top slice up by half its range and leaves the others
        held[-1] += 2 ** (form.widths[-1] - 1)
    elif form.widths[-1] == 1:
        held[-1] = held[-1].abs()
    return held


def _slices(magnitudes: Tensor, form: Layout, count: int) -> Tensor:
    """The `count` slices (count, ...) of magnitudes."""
    return torch.stack(
        [
            torch.div(magnitudes, worth, rounding_mode="floor") % 2**width
            for worth, width in zip(form.worth[:count], form.widths[:count], strict=True)
        ]
    )
