"""Where a training computes: this processor, or a GPU by CUDA."""

from __future__ import annotations

import torch

from hyflexsim.models.errors import ModelError


def device_of(name: str) -> torch.device:
    """The device of that name: ``cpu``, ``cuda`` (the first GPU), ``cuda:1``.

    A GPU multiplies float32 matrices in TF32 (10 bits of mantissa) from then on: that is what its
    matrix units are for, and far finer than a training's noise. Raises ModelError for another name
    and for a GPU that is not there.

    >>> device_of("cpu")
    device(type='cpu')
    """
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not (kind == "cuda" and number.isdecimal())):
        raise ModelError(f"device must be cpu, cuda or cuda:N; got {name!r}")
    if kind == "cpu":
        return torch.device("cpu")
    there = torch.cuda.device_count()
    if int(number or 0) >= there:
        raise ModelError(f"device {name}: torch sees {there or 'no'} GPU{'s' * (there > 1)}")
    torch.set_float32_matmul_precision("high")
    return torch.device(name)
