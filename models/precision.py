"""How exactly matrices are multiplied while a model trains.

Float32 everywhere, or operands rounded to bfloat16 (8 bits of mantissa) and sums in float32 where
the CPU has units for that: parameters, gradients and everything else stay float32, so no model has
to know. On a CPU with AMX a step at the shapes of MiniLM and SmolLM2 takes 0.6 of the time; of a
small ViT twice as long, because torch's fused attention is slow then with heads of 32. Measure
(``make bench``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hyflexsim.models.errors import ModelError

PRECISIONS = {"float32": "highest", "bfloat16": "medium"}
"""Our names, and torch's."""


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """Multiply float32 matrices at a precision, a key of PRECISIONS, within the block.

    Scores belong outside: INT8 codes and their sums are exact in float32 only.
    Raises ModelError for an unknown one.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"precision must be {' or '.join(PRECISIONS)}; got {precision!r}")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
