"""An INT8 code as the cells of one row hold it: a level for each column, and what it is worth.

How a chip holds signs decides what multiplicative noise does to a small negative weight. Three
ways, with 2-bit cells:

- "twos-complement" (HyFlexPIM's released code slices so): -1 is -64 + 48 + 12 + 3. The top column
  is signed; one bit wide, it simply counts -128.
- "biased" (ISAAC): cells hold code + 128, and 128 times the sum of the inputs is subtracted
  digitally, exactly: -1 is 64 + 48 + 12 + 3 - 128.
- "differential" (pairs of cells): one set of columns for positive codes and one for negative,
  subtracted after conversion: -1 is -(1). Twice the columns.

A relative error of σ in each level gives -1 an error of 81 σ, 81 σ and 1 σ.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from hyflexsim.models.cells.quantization import slice_codes, slice_weights, slice_widths
from hyflexsim.models.errors import ModelError

Sign = Literal["twos-complement", "biased", "differential"]


class Layout(NamedTuple):
    """The S columns of a code, least significant first; a pair's negative half comes last."""

    widths: tuple[int, ...]
    """Bits of each column."""
    worth: tuple[int, ...]
    """What one level adds to the code."""
    lowest: tuple[int, ...]
    """Level of an empty cell: 0, or negative for a signed column."""
    bias: int
    """What the levels hold beyond the code, 0 or 128."""


def layout(bits_per_cell: int, sign: Sign = "twos-complement") -> Layout:
    """Columns of cells of `bits_per_cell` bits (1 ... 8).

    Raises ModelError for other bits and an unknown sign.

    >>> layout(2, "differential").worth
    (1, 4, 16, 64, -1, -4, -16, -64)
    """
    if sign not in get_args(Sign):
        raise ModelError(f"sign must be {', '.join(get_args(Sign))}; got {sign!r}")
    widths, worth = slice_widths(bits_per_cell), slice_weights(bits_per_cell)
    zeros = (0,) * len(widths)
    if sign == "biased":
        return Layout(widths, worth, zeros, 128)
    if sign == "differential":
        return Layout(2 * widths, (*worth, *(-w for w in worth)), 2 * zeros, 0)
    if widths[-1] == 1:
        return Layout(widths, (*worth[:-1], -worth[-1]), zeros, 0)
    return Layout(widths, worth, (*zeros[:-1], -(2 ** (widths[-1] - 1))), 0)


def levels(codes: Tensor, bits_per_cell: int, sign: Sign = "twos-complement") -> Tensor:
    """INT8 codes (...) as levels (S, ...), float32, in the columns of :func:`layout`.

    The codes are the sum over columns of level · worth, minus the bias. Raises ModelError as
    :func:`layout`, for codes that are not integers or outside -128 ... 127.

    >>> [levels(torch.tensor([-1]), 2, s).flatten().int().tolist() for s in get_args(Sign)]
    [[3, 3, 3, -1], [3, 3, 3, 1], [0, 0, 0, 0, 1, 0, 0, 0]]
    """
    form = layout(bits_per_cell, sign)
    slices = slice_codes(codes, bits_per_cell)  # which also checks the codes
    if sign == "differential":
        # a magnitude of 128 has no code of its own, so slices are cut from wider integers
        size = codes.to(torch.int16).abs()
        halves = [_slices(size * (codes > 0), form), _slices(size * (codes < 0), form)]
        return torch.cat(halves).float()
    held = slices.float()
    if sign == "biased":  # moves the top slice up by half its range and leaves the others
        held[-1] += 2 ** (form.widths[-1] - 1)
    elif form.widths[-1] == 1:
        held[-1] = held[-1].abs()
    return held


def _slices(magnitudes: Tensor, form: Layout) -> Tensor:
    """(S / 2, ...) levels of magnitudes 0 ... 128."""
    half = len(form.widths) // 2
    return torch.stack(
        [
            torch.div(magnitudes, worth, rounding_mode="floor") % 2**width
            for worth, width in zip(form.worth[:half], form.widths[:half], strict=True)
        ]
    )
