"""Attention that starts as trained attention looks: A. Trockman and J. Z. Kolter, "Mimetic
Initialization of Self-Attention Layers", ICML 2023 (arXiv:2305.09828).

In trained transformers W_Q W_K^T has a positive and W_V W_O a negative diagonal: a token looks at
those like itself, and takes away what it has. A model that starts so learns from few images what it
otherwise needs many for. Positions start as the usual sines, in two dimensions for pictures.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")


class Mix(NamedTuple):
    """Shares of noise and of the diagonal in a product of two matrices."""

    noise: float
    diagonal: float


LOOKS_AT = Mix(0.7, 0.7)
"""Of W_Q W_K^T (section 4: alpha_2, beta_2)."""

TAKES = Mix(0.4, -0.4)
"""Of W_V W_O (section 4: alpha_1, beta_1)."""

POSITIONS = 0.2
"""Size of sines beside patches, which start near 0.1: our choice, the paper names none."""


@torch.no_grad()
def start(model: nn.Module, *, heads: int, generator: torch.Generator | None = None) -> None:
    """Set the four matrices of every self-attention of a model, in place; biases stay.

    Layers are those with ``q_proj``, ``k_proj``, ``v_proj`` and ``o_proj``, each (E, E); a head has
    E / `heads` of the rows of the first two. Learned positions of a square of patches
    (``position_embeddings``, (1, N, E)) start as :func:`sines`; a class token's stays.

    Raises ModelError where no layer is of that kind, or `heads` does not divide E.
    """
    layers = [
        [getattr(each, name) for name in PROJECTIONS]
        for each in model.modules()
        if all(isinstance(getattr(each, name, None), nn.Linear) for name in PROJECTIONS)
    ]
    if not layers:
        raise ModelError(f"{type(model).__name__} has no attention with {', '.join(PROJECTIONS)}")
    for query, key, value, out in layers:
        width = query.in_features
        square = all(each.weight.shape == (width, width) for each in (query, key, value, out))
        if not square or width % heads:
            raise ModelError(f"attention must have {heads} heads of equal width; got {width} x ...")
        size = width // heads
        for head in range(heads):
            rows = slice(head * size, (head + 1) * size)
            left, right = _halves(_mixed(width, LOOKS_AT, generator), size)
            query.weight[rows], key.weight[rows] = left.T, right.T
        left, right = _halves(_mixed(width, TAKES, generator), width)
        value.weight.copy_(left.T)
        out.weight.copy_(right)
    for path, table in model.named_parameters():
        side = math.isqrt(table.shape[1]) if table.dim() == 3 else 0
        if path.endswith("position_embeddings") and side:
            table[0, -(side**2) :] = POSITIONS * sines(side, table.shape[2])


def _mixed(width: int, mix: Mix, generator: torch.Generator | None) -> Tensor:
    """(E, E): noise of variance 1 / E, and the diagonal."""
    noise = torch.randn(width, width, generator=generator) / math.sqrt(width)
    return mix.noise * noise + mix.diagonal * torch.eye(width)


def _halves(product: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(E, rank) twice, whose product left right^T is nearest to `product`, evenly shared."""
    u, s, vh = torch.linalg.svd(product)
    root = s[:rank].sqrt()
    return u[:, :rank] * root, vh[:rank].T * root


def sines(side: int, width: int, base: float = 10_000.0) -> Tensor:
    """Positions of side x side patches, (side², width): half of the features for each direction.

    Raises ModelError unless width is a multiple of 4.
    """
    if width % 4:
        raise ModelError(f"width must be a multiple of 4; got {width}")
    at = torch.arange(float(side))[:, None] * base ** (-torch.arange(width / 4) / (width / 4))
    one = torch.cat([at.sin(), at.cos()], dim=1)  # (side, width / 2)
    down = one[:, None].expand(side, side, -1)
    across = one[None].expand(side, side, -1)
    return torch.cat([down, across], dim=-1).reshape(side * side, width)
