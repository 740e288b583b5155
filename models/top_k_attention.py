"""Attention of a library's transformer that keeps the strongest keys of a query: to train with it.

Models of the transformers library look their attention up by name. Here is one more, which does
what part/topk.py does for a Particle Transformer: the softmax runs over the k largest scores of a
row, and gradients reach these keys alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.topk import keep_top_k

NAME = "hyflexsim_top_k"


@contextmanager
def top_k_attention(model: Any, keys: int) -> Iterator[None]:
    """Let every attention of ``model`` keep ``keys`` a query and head, for a with-block.

    Raises ModelError for a model that does not look its attention up, and for keys below 1.
    """
    from transformers import AttentionInterface, AttentionMaskInterface  # noqa: PLC0415 (seconds)
    from transformers.masking_utils import eager_mask  # noqa: PLC0415

    if keys < 1:
        raise ModelError(f"keys must be at least 1; got {keys}")
    if not hasattr(model, "set_attn_implementation"):
        raise ModelError(f"{type(model).__name__} has no attention that can be replaced")
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    for module in model.modules():
        module.kept_keys = keys
    try:
        yield
    finally:
        for module in model.modules():
            del module.kept_keys
        model.set_attn_implementation(before)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """As the library calls it: queries (B, H, Q, D), keys and values (B, G, K, D); the result
    (B, Q, H, D), and weights (B, H, Q, K).
    """
    heads = query.shape[1]
    key = key.repeat_interleave(heads // key.shape[1], dim=1)
    value = value.repeat_interleave(heads // value.shape[1], dim=1)
    scores = query @ key.transpose(-1, -2) * (scaling or query.shape[-1] ** -0.5)
    if attention_mask is not None:
        scores = scores + attention_mask[..., : key.shape[2]]
    keys: int = module.kept_keys  # type: ignore[assignment]
    weights = keep_top_k(scores, [keys] * heads).softmax(-1).to(value.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights
