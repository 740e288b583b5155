"""Attention of a ParT: softmax(QK^T / sqrt(D) + U) V, heads side by side.

Shapes: B jets, Q queries, K keys (particles), E channels, H heads of D = E / H channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.part.topk import keep_top_k


class AttentionRecord(NamedTuple):
    """What one block attended to. `bias` is None in class blocks, which use no U.

    Scores are `qk + bias`, padded keys get no weight, `weights` is their softmax.
    """

    name: str  # "blocks.0" ... "cls_blocks.1", the block's path in the model
    qk: Tensor  # (B, H, Q, K): QK^T / sqrt(D), before U and before softmax
    bias: Tensor | None  # (B, H, Q, K): U
    weights: Tensor  # (B, H, Q, K): each row sums to one


def attention_weights(
    q: Tensor,
    k: Tensor,
    bias: Tensor | None = None,
    keep: Tensor | None = None,
    *,
    top_k: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Scores before U, (B, H, Q, K), and softmax(scores + U) over the keys to keep.

    q (B, H, Q, D), k (B, H, K, D), bias (B, H, Q, K), keep (B, 1, 1, K) true for real keys;
    top_k (H,): only so many strongest keys of a row get a weight, see topk.py.
    """
    qk = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, Q, K)
    scores = qk if bias is None else qk + bias
    if keep is not None:
        scores = scores.masked_fill(~keep, -math.inf)
    if top_k is not None:
        scores = keep_top_k(scores, top_k)
    return qk, scores.softmax(dim=-1)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    keep: Tensor | None = None,
    *,
    dropout: float = 0.0,
    top_k: Sequence[int] | None = None,
) -> Tensor:
    """softmax(QK^T / sqrt(D) + U) V: (B, H, Q, D), shapes as in :func:`attention_weights`.

    Blocks look this function up in the module at each call, so an exporter may put one
    custom operator in its place and see a single node per attention.
    """
    _, weights = attention_weights(q, k, bias, keep, top_k=top_k)
    return functional.dropout(weights, dropout, training=dropout > 0) @ v


class Attention(nn.Module):
    """Multi-head attention; rows of `in_proj` are q, k, v, head h owns rows h D ... of each.

    The projection is one Linear, as in weaver-core 0.5; `load_state_dict` also takes the
    older names `in_proj_weight` and `in_proj_bias`.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.top_k: tuple[int, ...] | None = None  # keys a head keeps; None: all
        in_proj, out_proj = nn.Linear(embed_dim, 3 * embed_dim), nn.Linear(embed_dim, embed_dim)
        nn.init.xavier_uniform_(in_proj.weight)
        nn.init.zeros_(in_proj.bias)
        nn.init.zeros_(out_proj.bias)
        self.in_proj: nn.Module = in_proj
        self.out_proj: nn.Module = out_proj
        self.register_load_state_dict_pre_hook(_rename_in_proj)  # type: ignore[no-untyped-call]

    def forward(
        self,
        query: Tensor,  # (B, Q, E); the very tensor `context` for self-attention
        context: Tensor,  # (B, K, E)
        bias: Tensor | None = None,  # (B, H, Q, K)
        keep: Tensor | None = None,  # (B, K)
        record: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """Attend from query to context: (B, Q, E). `record` receives (qk, weights)."""
        if query is context:
            q, k, v = self.in_proj(query).chunk(3, dim=-1)  # each (B, N, E)
        else:  # the class token: one query, keys and values from token and particles
            width = query.shape[-1]
            q = self._project(query, 0, width)
            k, v = self._project(context, width, 3 * width).chunk(2, dim=-1)
        q, k, v = self._split(q), self._split(k), self._split(v)  # (B, H, ., D)
        if keep is not None:
            keep = keep[:, None, None, :]  # (B, 1, 1, K)
        if record is not None:
            record.append(attention_weights(q, k, bias, keep, top_k=self.top_k))
        limit = {} if self.top_k is None else {"top_k": self.top_k}  # exporters know no top-k
        y = attention(q, k, v, bias, keep, dropout=self.dropout if self.training else 0.0, **limit)
        out: Tensor = self.out_proj(y.transpose(1, 2).flatten(2))  # (B, Q, E)
        return out

    def _project(self, t: Tensor, first: int, last: int) -> Tensor:
        """Outputs first ... last - 1 of in_proj, which a compressed module may replace."""
        if not isinstance(self.in_proj, nn.Linear):
            part: Tensor = self.in_proj(t)[..., first:last]
            return part
        weight, bias = self.in_proj.weight[first:last], self.in_proj.bias[first:last]
        return functional.linear(t, weight, bias)

    def _split(self, t: Tensor) -> Tensor:
        heads = t.view(*t.shape[:2], self.num_heads, -1)  # (B, N, H, D)
        return heads.transpose(1, 2)  # (B, H, N, D)


def _rename_in_proj(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in ("weight", "bias"):
        if prefix + "in_proj_" + name in state:
            state[f"{prefix}in_proj.{name}"] = state.pop(prefix + "in_proj_" + name)
