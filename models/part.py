"""The Particle Transformer (ParT, arXiv 2202.03772) in one readable file.

A jet is a set of N particles. Each has F features x and a four-vector v; each *pair* has
four physical features of its own. The pairs, through a small shared network, become a bias
U that is added to the attention scores of every particle block::

    x (B,F,N) -> embed ------> 8 particle blocks ---> 2 class blocks -> norm -> fc -> logits
    v (B,4,N) -> pair_embed ->  U added to QK^T       cls token asks     (B,C)

Written from the paper and from weaver-core's observable behaviour (names, shapes, order of
operations, eps), so that its checkpoints load; part_weights.py loads them.

Shapes: B jets, F features, N particles, P = N (N + 1) / 2 pairs, E = 128 channels, H heads
of D = E / H channels, C classes. Left out: weaver-core's sequence trimmer (it shuffles and
cuts particles, by default also at evaluation after five calls), mixed precision, extra pair
features, global tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part_topk import keep_top_k

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

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


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
    top_k (H,): only so many strongest keys of a row get a weight, see part_topk.py.
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
        self.act = _activation(activation)
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
            layers += [nn.LayerNorm(i), nn.Linear(i, o), _activation(activation)]
        self.embed = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, N) -> (B, N, E). Padded columns take part in the batch statistics."""
        out: Tensor = self.embed(self.input_bn(x).transpose(1, 2))
        return out


class PairEmbed(nn.Module):
    """Four-vectors (B, 4, N) to the attention bias U (B, H, N, N), symmetric.

    Only the P = N (N + 1) / 2 pairs i >= j are evaluated, then mirrored. The last activation
    stays unless `use_pre_activation_pair`, so in the published models U >= -0.17.
    """

    def __init__(self, pair_input_dim: int, dims: Sequence[int], activation: str, last: bool):
        super().__init__()
        layers: list[nn.Module] = [nn.BatchNorm1d(pair_input_dim)]
        for i, o in zip((pair_input_dim, *dims), dims, strict=False):
            layers += [nn.Conv1d(i, o, 1), nn.BatchNorm1d(o), _activation(activation)]
        self.embed = nn.Sequential(*(layers if last else layers[:-1]))

    def forward(self, v: Tensor) -> Tensor:
        """(B, 4, N) -> (B, H, N, N); v is (px, py, pz, E) in GeV."""
        n = v.shape[-1]
        pair = torch.arange(n * (n + 1) // 2, device=v.device)  # (P,): (0,0) (1,0) (1,1) (2,0) ...
        i = ((8.0 * pair.double() + 1).sqrt() / 2 - 0.5).long()  # tril_indices would fix N in
        j = pair - i * (i + 1) // 2  # an exported graph
        u = self.embed(pair_features(v[:, :, i], v[:, :, j]))  # (B, H, P)
        at = torch.arange(n, device=v.device)
        row, col = torch.maximum(at[:, None], at), torch.minimum(at[:, None], at)  # (N, N)
        out: Tensor = u[:, :, row * (row + 1) // 2 + col]
        return out


def pair_features(vi: Tensor, vj: Tensor, eps: float = 1e-8) -> Tensor:
    """ln kT, ln z, ln Delta, ln m2 of pairs: (B, 4, P) from two (B, 4, P) of four-vectors.

    With transverse momentum pt, rapidity y, azimuth phi (paper, eq. 3; order and clamps as
    in weaver-core): Delta = hypot(dy, dphi), kT = min(pt) Delta, z = min(pt) / (pti + ptj),
    m2 the squared invariant mass. Each is clamped to at least eps before the logarithm, so
    a particle with itself gives ln Delta = ln 1e-8.
    """
    pti, yi, phii = _pt_rapidity_phi(vi)
    ptj, yj, phij = _pt_rapidity_phi(vj)
    dphi = (phii - phij + math.pi) % (2 * math.pi) - math.pi
    delta = torch.sqrt((yi - yj) ** 2 + dphi**2)
    softer = torch.minimum(pti, ptj)
    px, py, pz, energy = (vi + vj).unbind(1)
    features = (
        softer * delta,
        softer / (pti + ptj).clamp(min=eps),
        delta,
        energy**2 - (px**2 + py**2 + pz**2),
    )
    return torch.stack([f.clamp(min=eps).log() for f in features], dim=1)


def _pt_rapidity_phi(v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    px, py, pz, energy = v.unbind(1)
    rapidity = 0.5 * torch.log(1 + 2 * pz / (energy - pz).clamp(min=1e-20))
    return torch.sqrt(px**2 + py**2), rapidity, torch.atan2(py, px)


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
        x: Tensor,  # (B, F, N) standardised features, see part_inputs.py
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


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ModelError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    return ACTIVATIONS[name]()


def _block(
    defaults: dict[str, Any], override: Mapping[str, Any] | None, key: str
) -> dict[str, Any]:
    allowed = ("ffn_ratio", "dropout", "attn_dropout", "activation_dropout", "activation")
    for name in override or {}:
        if name not in allowed:
            raise ModelError(f"{key} may set {', '.join(allowed)}; got {name!r}")
    return {**defaults, **(override or {})}
