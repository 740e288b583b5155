"""Attention that keeps the k strongest keys of a query: what a top-k data flow computes.

Each row of scores keeps its k largest entries; softmax runs over them alone and the other
values are not read. k may differ from layer to layer and from head to head::

    scores  1.0  3.0  0.5  2.0     k = 2     weights  0  0.73  0  0.27

Which score is the largest is decided before the softmax, so QK^T is still computed in full
(arXiv 2512.00210 names top-k as a way to save work; it saves V reads and softmax inputs).
With k of at least the number of keys the attention is the full one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hyflexsim.models.errors import ModelError


def keep_top_k(scores: Tensor, top_k: Sequence[int]) -> Tensor:
    """Scores (B, H, Q, K) with all but the `top_k[h]` largest of a row at minus infinity.

    Of equal scores at the border torch.topk decides, so never more than k stay.

    >>> keep_top_k(torch.tensor([[[[1.0, 3.0, 0.5, 2.0]]]]), [2])
    tensor([[[[-inf, 3., -inf, 2.]]]])
    """
    keys = scores.shape[-1]
    most = min(max(top_k), keys)
    if min(top_k) >= keys:
        return scores
    best = scores.topk(most, dim=-1).indices  # (B, H, Q, most), strongest first
    limit = torch.tensor(top_k, device=scores.device)[:, None, None]  # (H, 1, 1)
    kept = (torch.arange(most, device=scores.device) < limit).expand(best.shape)
    keep = torch.zeros_like(scores, dtype=torch.bool).scatter(-1, best, kept)
    return scores.masked_fill(~keep, -math.inf)


def attention_shape(model: Any) -> tuple[int, int]:
    """Particle blocks and heads of a ParticleTransformer."""
    return len(model.blocks), int(model.blocks[0].attn.num_heads)


def set_top_k(model: Any, top_k: int | Sequence[int] | Sequence[Sequence[int]] | None) -> None:
    """Let the particle blocks of a ParticleTransformer keep so many keys, in place.

    `top_k` is one number, one a layer, or one a layer and head (L, H); None takes the limit
    away. Class blocks stay full. Raises ModelError for another shape or a k below one.

    >>> from hyflexsim.models.part.transformer import PART_CONFIGS, ParticleTransformer
    >>> model = ParticleTransformer(**PART_CONFIGS["part-kin"])
    >>> set_top_k(model, [1, 2, 3, 4, 5, 6, 7, 8])
    >>> model.blocks[1].attn.top_k
    (2, 2, 2, 2, 2, 2, 2, 2)
    """
    if top_k is None:
        for block in model.blocks:
            block.attn.top_k = None
        return
    layers, heads = attention_shape(model)
    rows: list[Any] = [top_k] * layers if isinstance(top_k, int) else list(top_k)
    table = [[row] * heads if isinstance(row, int) else [int(k) for k in row] for row in rows]
    if len(table) != layers or any(len(row) != heads for row in table):
        raise ModelError(
            f"top_k must be one number, {layers} (layers) or {layers} x {heads} (heads); "
            f"got {len(table)} rows of {sorted({len(row) for row in table})}"
        )
    lowest = min(k for row in table for k in row)
    if lowest < 1:
        raise ModelError(f"top_k must keep at least 1 key; got {lowest}")
    for block, row in zip(model.blocks, table, strict=True):
        block.attn.top_k = tuple(row)
