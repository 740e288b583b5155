"""How numbers become the integers that the chip multiplies, and which format they have between.

Assumed, since no paper says so: codes are symmetric, -(2^(b-1) - 1) ... 2^(b-1) - 1; a weight has
one scale, an input of a matrix one a token, queries and keys one a token and head, found as their
largest magnitude; values (V) one scale a head, fixed beforehand (the largest magnitude in the
prompt), because products of several tokens are added as integers; probabilities are unsigned with
the fixed scale 1 / (2^b - 1). Results between ops are FP16, as the special function unit computes
(HyFlexPIM §5.3).

Integers are held in float64, exact to 2^53, so that what was never written can be NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor


def half(values: Tensor) -> Tensor:
    """Rounded to FP16, held in float64.

    >>> half(torch.tensor([1 / 3, 1e6])).tolist()
    [0.333251953125, inf]
    """
    return values.to(torch.float16).double()


def scale_of(values: Tensor, bits: int) -> Tensor:
    """Scale of codes of ``bits`` for each row (..., n): (..., 1), float64; all zeros have 1."""
    top = 2 ** (bits - 1) - 1
    step = values.float().abs().amax(-1, keepdim=True) / top
    return torch.where(step == 0, torch.ones_like(step), step).double()


def codes_of(values: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Codes of ``values`` (...) at a scale that broadcasts to them: whole numbers in float64.

    Divided in float32 and rounded half to even; beyond the last code they saturate.

    >>> codes_of(torch.tensor([1.0, -0.5, 9.0]), torch.tensor(1 / 127), 8).tolist()
    [127.0, -64.0, 127.0]
    """
    top = 2 ** (bits - 1) - 1
    return (values.float() / scale.float()).round().clamp(-top, top).double()


def probability_codes(values: Tensor, bits: int) -> Tensor:
    """Codes 0 ... 2^bits - 1 of numbers from 0 to 1."""
    codes: Tensor = (values * (2**bits - 1)).round()
    return codes
