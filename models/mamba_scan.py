"""Mamba's selective scan whose backward pass is linear in the tokens (transformers' is quadratic).

The reference scan of transformers reads step t of a (B, D, N, S) tensor by indexing, and the
gradient of each such read is a tensor of the full size: training costs N times the memory traffic
it should. Here the steps are unbound once. Values are the same; see Mamba, arXiv 2312.00752 §3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    **_: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """h_t = exp(A dt_t) h_(t-1) + dt_t B_t u_t; y_t = C_t h_t + D u_t, gated by silu(z).

    u, dt, z (batch, D, N); A (D, S); B, C (batch, S, N); D, delta_bias (D,). Gives y (batch, D, N),
    and with `return_last_state` also h_N (batch, D, S). The signature is that of
    ``mamba_selective_scan`` in transformers.
    """
    if delta_bias is not None:
        dt = dt + delta_bias.to(dt.dtype)[..., None]
    if delta_softplus:
        dt = functional.softplus(dt)
    steps = dt.permute(2, 0, 1)[..., None]  # (N, batch, D, 1)
    decays = torch.exp(A * steps).unbind(0)  # N of (batch, D, S)
    inputs = (steps * u.permute(2, 0, 1)[..., None] * B.permute(2, 0, 1)[:, :, None]).unbind(0)
    state = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    states = []
    for decay, value in zip(decays, inputs, strict=True):
        state = decay * state + value
        states.append(state)
    y = torch.einsum("nbds,bsn->bdn", torch.stack(states), C)
    if D is not None:
        y = y + u * D[:, None]
    if z is not None:
        y = y * functional.silu(z)
    return (y, state) if return_last_state else y


def install() -> None:
    """Put :func:`selective_scan` in the place of transformers' own, for all its Mamba models.

    The mixer looks the function up in its module at each call, and offers no other way in.
    """
    from transformers.models.mamba import modeling_mamba  # noqa: PLC0415

    modeling_mamba.mamba_selective_scan = selective_scan
