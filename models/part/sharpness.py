"""How binary a ParT's attention is while it trains, and what drives it.

A row is one real query of one head of one particle block. What makes a row sharp is the spread
of its scores q·k/sqrt(D) + U, so the sizes of q, k and U are taken beside it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hyflexsim.models.part.training import JetTensors
from hyflexsim.models.part.transformer import ParticleTransformer
from hyflexsim.models.training import evaluating

LIMITS = {"share_50": 0.5, "share_90": 0.9, "share_95": 0.95}


def sharpness_of(
    model: ParticleTransformer, jets: JetTensors, most: int = 200, batch: int = 50
) -> dict[str, float]:
    """Means over rows, heads and particle blocks on the first jets, in evaluation mode.

    `share_50`, `share_90`, `share_95`: share of rows whose largest weight is above 0.5, 0.9,
    0.95; `entropy` in nats; `keys`: effective keys, exp of a row's entropy; `norm_q`, `norm_k`:
    length of a head's query and key; `spread`: standard deviation of a row's scores over its
    real keys; `size_u`: mean |U| of real pairs (0 without U).
    """
    sums: dict[str, float] = {}
    rows = 0.0
    last = min(most, len(jets))
    for first in range(0, last, batch):
        x, v, mask = jets.batch(torch.arange(first, min(first + batch, last)))
        projected: list[Tensor] = []
        hooks = [_keep_output(block, projected) for block in model.blocks]
        try:
            with evaluating(model):
                _, records = model(x, v, mask, return_attention=True)
        finally:
            for hook in hooks:
                hook.remove()
        for record, qkv in zip(records, projected, strict=False):  # class blocks come after
            found = _of_block(record, qkv, mask)
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value.double().sum())
            rows += float(mask.sum()) * record.weights.shape[1]
    return {name: total / rows for name, total in sums.items()}


def _keep_output(block: Any, into: list[Tensor]) -> Any:
    return block.attn.in_proj.register_forward_hook(lambda _m, _i, out: into.append(out))


def _of_block(record: Any, qkv: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Values of each row (B, H, N), zero where the query is padding."""
    w = record.weights  # (B, H, N, N)
    heads = w.shape[1]
    largest, entropy = w.amax(-1), -(w * w.clamp(min=1e-12).log()).sum(-1)  # (B, H, N)
    found: dict[str, Tensor] = {name: largest > limit for name, limit in LIMITS.items()}
    found |= {"entropy": entropy, "keys": entropy.exp()}
    for name, part in zip(("norm_q", "norm_k"), qkv.chunk(3, -1)[:2], strict=True):
        split = part.reshape(*part.shape[:2], heads, -1)  # (B, N, H, D)
        found[name] = split.norm(dim=-1).transpose(1, 2)
    real = mask[:, :, None]  # (B, 1, 1, N): keys
    count = real.sum(-1)
    u = torch.zeros_like(record.qk) if record.bias is None else record.bias
    scores = (record.qk + u) * real
    mean = scores.sum(-1) / count
    variance = ((scores - mean[..., None]) ** 2 * real).sum(-1) / count
    found |= {"spread": variance.sqrt(), "size_u": (u.abs() * real).sum(-1) / count}
    return {name: value * mask for name, value in found.items()}
