"""The Particle Transformer (ParT, arXiv 2202.03772): blocks and model.

A jet is a set of N particles. Each has F features x and a four-vector v; each *pair* has
four physical features of its own. The pairs, through a small shared network, become a bias
U that is added to the attention scores of every particle block::

    x (B,F,N) -> embed ------> 8 particle blocks ---> 2 class blocks -> norm -> fc -> logits
    v (B,4,N) -> pair_embed ->  U added to QK^T       cls token asks     (B,C)

Attention is in attention.py, pairs are in pairs.py.

Written from the paper and from weaver-core's observable behaviour (names, shapes, order of
operations, eps), so that its checkpoints load; weights.py loads them.

Shapes: B jets, F features, N particles, P = N (N + 1) / 2 pairs, E = 128 channels, H heads
of D = E / H channels, C classes. Left out: weaver-core's sequence trimmer (it shuffles and
cuts particles, by default also at evaluation after five calls), mixed precision, extra pair
features, global tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.activation import activation_of
from hyflexsim.models.part.attention import Attention, AttentionRecord
from hyflexsim.models.part.pairs import PairEmbed

_PUBLISHED: dict[str, Any] = {
    "num_classes": 10,
    "pair_input_dim": 4,
    "use_pre_activation_pair": False,
    "embed_dims": (128, 512, 128),
    "pair_embed_dims": (64, 64, 64),
    "num_heads": 8,
    "num_layers": 8,
    "num_cls_layers": 2,
    "cls_block_params": {"dropout": 0.0, "attn_dropout": 0.0, "activation_dropout": 0.0},
    "fc_params": (),
    "activation": "gelu",
}

PART_CONFIGS: dict[str, dict[str, Any]] = {
    "part-full": {"input_dim": 17, **_PUBLISHED},  # 2,143,486 parameters
    "part-kinpid": {"input_dim": 13, **_PUBLISHED},  # 2,142,958
    "part-kin": {"input_dim": 7, **_PUBLISHED},  # 2,142,166
    "part-small": {  # 272,982: ours, not published
        "input_dim": 17,
        **_PUBLISHED,
        "embed_dims": (64, 128, 64),
        "pair_embed_dims": (16, 16),
        "num_heads": 4,
        "num_layers": 4,
        "num_cls_layers": 1,
    },
}
"""Constructor arguments of the published models (JetClass, ten classes), by name.

`part-small` is this project's own, small enough to be trained on two cores.
"""


class Block(nn.Module):
    """One layer (NormFormer style). A particle block, or a class block if given a token."""

    def __init__(
        self,
        *,
        embed_dim: int = 128,
        num_heads: int = 8,
        ffn_ratio: int = 4,
        dropout: float = 0.1,
        attn_dropout: float = 0.1,
        activation_dropout: float = 0.1,
        activation: str = "gelu",
    ):
        super().__init__()
        hidden = ffn_ratio * embed_dim
        self.pre_attn_norm = nn.LayerNorm(embed_dim)
        self.attn = Attention(embed_dim, num_heads, attn_dropout)
        self.c_attn: nn.Parameter | None = nn.Parameter(torch.ones(num_heads))
        self.post_attn_norm = nn.LayerNorm(embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.pre_fc_norm = nn.LayerNorm(embed_dim)
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.act = activation_of(activation)
        self.act_dropout = nn.Dropout(activation_dropout)
        self.post_fc_norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, embed_dim)
        self.w_resid = nn.Parameter(torch.ones(embed_dim))

    def forward(
        self,
        x: Tensor,  # (B, N, E)
        cls: Tensor | None = None,  # (B, 1, E)
        bias: Tensor | None = None,  # (B, H, N, N)
        keep: Tensor | None = None,  # (B, N), or (B, 1 + N) in a class block
        record: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """New particles (B, N, E), or the new class token (B, 1, E)."""
        if cls is None:
            residual, u = x, self.pre_attn_norm(x)
            y = self.attn(u, u, bias, keep, record)
        else:  # the token asks as it is, not normalised
            residual, u = cls, self.pre_attn_norm(torch.cat([cls, x], dim=1))
            y = self.attn(cls, u, None, keep, record)
        if self.c_attn is not None:  # None once folded into out_proj
            y = y * self.c_attn.repeat_interleave(y.shape[-1] // self.attn.num_heads)
        x = residual + self.dropout(self.post_attn_norm(y))
        y = self.act_dropout(self.act(self.fc1(self.pre_fc_norm(x))))  # (B, N, 4 E)
        out: Tensor = self.dropout(self.fc2(self.post_fc_norm(y))) + self.w_resid * x
        return out


class Embed(nn.Module):
    """Particle features (B, F, N) to channels (B, N, E): BatchNorm, then Norm-Linear-GELU."""

    def __init__(self, input_dim: int, dims: Sequence[int], activation: str):
        super().__init__()
        self.input_bn = nn.BatchNorm1d(input_dim)
        layers: list[nn.Module] = []
        for i, o in zip((input_dim, *dims), dims, strict=False):
            layers += [nn.LayerNorm(i), nn.Linear(i, o), activation_of(activation)]
        self.embed = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, N) -> (B, N, E). Padded columns take part in the batch statistics."""
        out: Tensor = self.embed(self.input_bn(x).transpose(1, 2))
        return out


class ParticleTransformer(nn.Module):
    """ParT: jets in, logits out.

    `input_dim` features per particle, `num_classes` logits, `pair_input_dim` 4 (0: plain
    attention without U), `fc_params` a list of (width, dropout) before the last Linear,
    `block_params` and `cls_block_params` override arguments of :class:`Block`. The names are
    weaver-core's; the defaults are those of the published full model.

    Raises ModelError for a value outside the allowed ones.

    >>> model = ParticleTransformer(**PART_CONFIGS["part-kin"])
    >>> sum(p.numel() for p in model.parameters())
    2142166
    """

    def __init__(
        self,
        input_dim: int = 17,
        num_classes: int = 10,
        *,
        pair_input_dim: int = 4,
        use_pre_activation_pair: bool = False,
        embed_dims: Sequence[int] = (128, 512, 128),
        pair_embed_dims: Sequence[int] = (64, 64, 64),
        num_heads: int = 8,
        num_layers: int = 8,
        num_cls_layers: int = 2,
        block_params: Mapping[str, Any] | None = None,
        cls_block_params: Mapping[str, Any] | None = None,
        fc_params: Sequence[tuple[int, float]] = (),
        activation: str = "gelu",
        for_inference: bool = False,
    ):
        super().__init__()
        if pair_input_dim not in (0, 4):
            raise ModelError(f"pair_input_dim must be 4, or 0 for no U; got {pair_input_dim!r}")
        if not embed_dims or embed_dims[-1] % num_heads:
            raise ModelError(
                f"last of embed_dims must be a multiple of num_heads={num_heads}; "
                f"got embed_dims={embed_dims!r}"
            )
        self.for_inference = for_inference
        width = embed_dims[-1]
        block = {"embed_dim": width, "num_heads": num_heads, "activation": activation}
        self.embed = Embed(input_dim, embed_dims, activation)
        self.pair_embed = (
            PairEmbed(
                pair_input_dim,
                (*pair_embed_dims, num_heads),
                activation,
                last=not use_pre_activation_pair,
            )
            if pair_input_dim
            else None
        )
        self.blocks = nn.ModuleList(
            Block(**_block(block, block_params, "block_params")) for _ in range(num_layers)
        )
        no_dropout = {"dropout": 0.0, "attn_dropout": 0.0, "activation_dropout": 0.0}
        cls_block = block | no_dropout
        self.cls_blocks = nn.ModuleList(
            Block(**_block(cls_block, cls_block_params, "cls_block_params"))
            for _ in range(num_cls_layers)
        )
        self.norm = nn.LayerNorm(width)
        head: list[nn.Module] = []
        for out, rate in fc_params:
            head.append(nn.Sequential(nn.Linear(width, out), nn.ReLU(), nn.Dropout(rate)))
            width = out
        self.fc = nn.Sequential(*head, nn.Linear(width, num_classes))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dims[-1]))
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    @overload
    def forward(
        self,
        x: Tensor,
        v: Tensor | None = None,
        mask: Tensor | None = None,
        return_attention: Literal[False] = False,
    ) -> Tensor: ...

    @overload
    def forward(
        self, x: Tensor, v: Tensor | None, mask: Tensor | None, return_attention: Literal[True]
    ) -> tuple[Tensor, list[AttentionRecord]]: ...

    def forward(
        self,
        x: Tensor,  # (B, F, N) standardised features, see inputs.py
        v: Tensor | None = None,  # (B, 4, N) px, py, pz, E in GeV
        mask: Tensor | None = None,  # (B, 1, N) nonzero for particles; None: no padding
        return_attention: bool = False,
    ) -> Tensor | tuple[Tensor, list[AttentionRecord]]:
        """Logits (B, C); probabilities if `for_inference`.

        With `return_attention` also a list of one :class:`AttentionRecord` a block, made
        anew in each call. Rows of padded queries in it are meaningless.
        """
        record: list[tuple[Tensor, Tensor]] | None = [] if return_attention else None
        keep = None if mask is None else mask[:, 0, :] != 0  # (B, N)
        tokens = self.embed(x)  # (B, N, E)
        if keep is not None:
            tokens = tokens.masked_fill(~keep[:, :, None], 0.0)
        u = None if self.pair_embed is None else self.pair_embed(v)  # (B, H, N, N)
        for block in self.blocks:
            tokens = block(tokens, bias=u, keep=keep, record=record)
        if keep is not None:  # the token itself is a key of the class blocks
            keep = functional.pad(keep, (1, 0), value=True)  # (B, 1 + N)
        cls = self.cls_token.expand(x.shape[0], -1, -1)  # (B, 1, E)
        for block in self.cls_blocks:
            cls = block(tokens, cls=cls, keep=keep, record=record)
        logits: Tensor = self.fc(self.norm(cls).squeeze(1))  # (B, C)
        if self.for_inference:
            logits = logits.softmax(dim=-1)
        if record is None:
            return logits
        names = [f"blocks.{i}" for i in range(len(self.blocks))]
        names += [f"cls_blocks.{i}" for i in range(len(self.cls_blocks))]
        return logits, [
            AttentionRecord(name, qk, u if name.startswith("blocks") else None, weights)
            for name, (qk, weights) in zip(names, record, strict=True)
        ]


def _block(
    defaults: dict[str, Any], override: Mapping[str, Any] | None, key: str
) -> dict[str, Any]:
    allowed = ("ffn_ratio", "dropout", "attn_dropout", "activation_dropout", "activation")
    for name in override or {}:
        if name not in allowed:
            raise ModelError(f"{key} may set {', '.join(allowed)}; got {name!r}")
    return {**defaults, **(override or {})}
