"""Methods of single families that an export would write out in another way than a chip computes.

Each stands in for the method of its name while a model is exported (attention_capture.py), and
gives the same numbers.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

from hyflexsim.sim.errors import InputError


def _falcon_heads(self: Any, fused: Any) -> tuple[Any, Any, Any]:
    """Queries, keys and values by slices, where transformers gathers by a list of one number."""
    batch, tokens, _ = fused.shape
    if self.new_decoder_architecture:
        each = self.num_heads // self.num_kv_heads + 2
        qkv = fused.view(batch, tokens, -1, each, self.head_dim)
        query = qkv[:, :, :, :-2].flatten(2, 3)
        key, value = qkv[:, :, :, -2], qkv[:, :, :, -1]
        return query, *(x.repeat_interleave(each - 2, 2) for x in (key, value))
    if not self.multi_query:
        qkv = fused.view(batch, tokens, self.num_heads, 3, self.head_dim)
        return qkv[..., 0, :], qkv[..., 1, :], qkv[..., 2, :]
    qkv = fused.view(batch, tokens, self.num_heads + 2, self.head_dim)
    return qkv[..., :-2, :], qkv[..., -2:-1, :], qkv[..., -1:, :]


def _experts(ops: Any, self: Any, x: Any, index: Any, weights: Any) -> Any:
    """All experts of a block as one node; transformers loops over those that have tokens."""
    act = type(self.act_fn).__name__
    matrices = (self.gate_up_proj, self.down_proj)
    return ops.experts(x, index, weights, *matrices, None, None, act, None)


def _clamped_experts(ops: Any, self: Any, x: Any, index: Any, weights: Any) -> Any:
    """The same of GPT-OSS: (in, out) matrices with biases, gate and up interleaved and clamped."""
    matrices = (self.gate_up_proj.transpose(1, 2), self.down_proj.transpose(1, 2))
    biases = (self.gate_up_proj_bias, self.down_proj_bias)
    numbers = [self.alpha, self.limit]
    return ops.experts(x, index, weights, *matrices, *biases, "SiLUActivation", numbers)


def _is_experts(cls: Any) -> bool:
    """Whether a class holds experts as transformers does: gate and up side by side, then down."""
    forward = inspect.signature(cls.forward).parameters
    wanted = ["self", "hidden_states", "top_k_index", "top_k_weights"]
    return cls.__name__.endswith("Experts") and list(forward) == wanted


def _joined_keys(self: Any, kv_nope: Any, k_rot: Any) -> tuple[Any, Any]:
    """Keys and values of latent attention, joined; transformers copies into an empty tensor."""
    import torch  # noqa: PLC0415

    batch, _, tokens, _ = kv_nope.shape
    both = self.kv_b_proj(kv_nope.reshape(batch, tokens, -1))
    both = both.view(batch, tokens, -1, self.qk_nope_head_dim + self.v_head_dim).transpose(1, 2)
    k_nope, values = torch.split(both, [self.qk_nope_head_dim, self.v_head_dim], dim=-1)
    k_rot = k_rot.expand(-1, k_nope.shape[1], -1, -1)
    return torch.cat((k_nope, k_rot), dim=-1), values


EXPERTS: dict[str, Callable[..., Any]] = {"GptOssExperts": _clamped_experts}
"""Experts that have another form than most, by class."""


def _swin_layer(
    self: Any, x: Any, size: tuple[int, int], always_partition: bool = False, **_: Any
) -> tuple[Any, None]:
    """Swin's block without moving tokens to windows and back: attention is told of the windows."""
    if not always_partition:
        self.set_shift_and_window_size(size)
    high, wide = size
    normed = self.layernorm_before(x).view(1, high, wide, -1)
    normed, _ = self.maybe_pad(normed, high, wide)  # what it adds is refused by name
    squares = (*normed.shape[1:3], self.window_size, self.shift_size)
    mixed, _ = self.attention(normed.view(1, squares[0] * squares[1], -1), squares)
    if squares[:2] != size:
        mixed = mixed.view(normed.shape)[:, :high, :wide].reshape(x.shape)
    x = x + self.drop_path(self.dropout(mixed))
    return x + self.dropout(self.mlp(self.layernorm_after(x))), None


def _swin_attention(self: Any, x: Any, squares: tuple[int, int, int, int]) -> tuple[Any, None]:
    """Its attention, of tokens in the order of the image."""
    import torch  # noqa: PLC0415

    shape = (*x.shape[:-1], -1, self.head_dim)
    q, k, v = (
        each(x).view(shape).transpose(1, 2) for each in (self.q_proj, self.k_proj, self.v_proj)
    )
    how = (None, self.scaling, None, None, list(squares[1:]))
    bias = _swin_bias(self.relative_position_bias, *squares)
    mixed = torch.ops.hyflexsim.attention(q, k, v, bias, False, *how)
    return self.o_proj(mixed.transpose(1, 2).reshape(x.shape)), None


def _swin_bias(self: Any, high: int, wide: int, side: int, shift: int) -> Any:
    """Its trained bias of two tokens of a window, and -100 where a shift has brought them together:
    (1, H, N, N), of tokens in two windows anything.
    """
    import torch  # noqa: PLC0415

    token = torch.arange(high * wide, device=self.relative_position_index.device)
    row, column = (token // wide - shift) % high, (token % wide - shift) % wide
    inside = row % side * side + column % side
    places = self.relative_position_index.view(side**2, side**2)
    bias = self.relative_position_bias_table[places[inside[:, None], inside[None, :]]]
    if shift:
        row, column = (
            (at >= of - side).long() + (at >= of - shift).long()
            for at, of in ((row, high), (column, wide))
        )
        region = 3 * row + column
        bias = bias - 100.0 * (region[:, None] != region[None, :]).to(bias.dtype)[..., None]
    return bias.permute(2, 0, 1)[None]


def _xlnet_positions(self: Any, qlen: Any, klen: Any, bsz: Any = None, device: Any = None) -> Any:
    """Sines of the distances qlen, ..., 1 and 0, ..., 1 - qlen, (2, qlen, 1, width).

    Transformers asks for powers of a number, which torch has not on its meta device, and for all
    distances in a row.
    """
    import torch  # noqa: PLC0415

    if self.attn_type != "bi" or self.bi_data:
        raise InputError(
            f"{type(self).__name__}: attn_type must be 'bi' and bi_data false; got "
            f"{self.attn_type!r} and {self.bi_data}"
        )
    half = torch.arange(0, self.d_model, 2.0, device=device)
    frequencies = 1 / torch.full_like(half, 10000.0).pow(half / self.d_model)
    token = torch.arange(qlen, device=device).float()
    distances = [qlen - token, -token]
    if self.clamp_len > 0:
        distances = [each.clamp(-self.clamp_len, self.clamp_len) for each in distances]
    rows = [self.positional_embedding(each, frequencies, 1) for each in distances]
    return torch.stack(rows)


def _xlnet_attention(
    self: Any, h: Any, g: Any, mask_h: Any, mask_g: Any, r: Any, seg_mat: Any, **_: Any
) -> tuple[Any, None]:
    """XLNet's attention of one text and no memory; a shift by positions is a gather by them."""
    import torch  # noqa: PLC0415

    def heads(x: Any, weight: Any) -> Any:  # (N, 1, width) -> (N, 1, H, D)
        made = torch.nn.functional.linear(x, weight.reshape(self.d_model, -1).t())
        return made.view(*x.shape[:-1], self.n_head, self.d_head)

    def turned(x: Any) -> Any:  # -> (1, H, N, D)
        return x.permute(1, 2, 0, 3)

    q, k, v = (heads(h, weight) for weight in (self.q, self.k, self.v))
    tokens = h.shape[0]
    query = turned(q + self.r_r_bias)
    scores = [query @ turned(heads(rows, self.r)).transpose(-1, -2) for rows in (r[0], r[1])]
    at = torch.arange(tokens, device=h.device)
    index = tokens - at[:, None] + at[None, :]
    both = torch.cat(scores, -1)
    bias = both.gather(-1, index.expand(1, self.n_head, tokens, tokens)) * self.scale
    how = (bias, False, None, self.scale, None, None)
    mixed = torch.ops.hyflexsim.attention(turned(q + self.r_w_bias), turned(k), turned(v), *how)
    mixed = mixed.permute(2, 0, 1, 3).reshape(tokens, 1, -1)
    out = torch.nn.functional.linear(mixed, self.o.reshape(self.d_model, -1))
    return self.layer_norm(self.dropout(out) + h), None


def _as_they_are(self: Any) -> None:
    """Weights of RWKV's later blocks stay as trained. Halved every sixth block with all that they
    add to, for the range of FP16, they give the same but for the epsilon of the norms.
    """


PATCHES: dict[str, Callable[..., Any]] = {
    "DeepseekV3Attention.expand_kv": _joined_keys,
    "FalconAttention._split_heads": _falcon_heads,
    "RwkvModel._rescale_layers": _as_they_are,
    "SwinAttention.forward": _swin_attention,
    "XLNetModel.relative_positional_encoding": _xlnet_positions,
    "XLNetRelativeAttention.forward": _xlnet_attention,
    "SwinLayer.forward": _swin_layer,
}
"""By class and method of the module that defines a model."""


def rotary_by_length(model: Any) -> list[Any]:
    """Classes of a model's rotary embeddings whose frequencies change with the input's length.

    An export cannot follow that; up to the length that a model was trained on they are the first.
    """
    return sorted({type(m) for m in model.modules() if _by_length(m)}, key=lambda c: c.__name__)


def _by_length(module: Any) -> bool:
    kinds = getattr(module, "rope_type", None)
    names = kinds.values() if isinstance(kinds, dict) else [kinds]
    return any(name == "longrope" or "dynamic" in str(name) for name in names)


def apply(model: Any, ops: Any, stack: ExitStack) -> None:
    """Put the methods in place until ``stack`` is closed."""
    module = sys.modules[type(model).__module__]
    for path, method in PATCHES.items():
        cls, _, name = path.partition(".")
        if hasattr(module, cls):
            stack.enter_context(mock.patch.object(getattr(module, cls), name, method))
    for rotary in rotary_by_length(model):
        stack.enter_context(mock.patch.object(rotary, "forward", inspect.unwrap(rotary.forward)))
    for experts in {type(m) for m in model.modules()}:
        if experts.__name__ in EXPERTS or _is_experts(experts):
            method = functools.partial(EXPERTS.get(experts.__name__, _experts), ops)
            own = functools.partialmethod(method)
            stack.enter_context(mock.patch.object(experts, "forward", own))
