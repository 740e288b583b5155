"""Weights of ParT from a file, whichever line of weaver-core wrote it.

Three things differ between files of the same network:

- the published ones wrap the model, so every key starts with `mod.`;
- weaver-core 0.4 calls the attention projection `attn.in_proj_weight`, 0.5
  `attn.in_proj.weight`;
- weaver-core 0.4 reads the 128 channels after `out_proj` as (8 heads, 16), scales each head
  by `c_attn` and **transposes to (16, 8)**; 0.5 does not transpose. The shapes are equal, so
  a file of 0.4 loads into 0.5 without complaint and gives wrong logits.

The third is why `head_order` exists. The published checkpoints (December 2022) are of the
old order. Converting adds no work: rows of `out_proj` are scaled and permuted, `c_attn`
becomes one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeGuard

import torch
from safetensors.torch import load_file
from torch import Tensor

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.transformer import ParticleTransformer

HEAD_ORDERS = ("0.4", "0.5")


def load_state_dict_any(
    model: ParticleTransformer, path: str | Path, head_order: str | None = None
) -> ParticleTransformer:
    """Fill `model` from a .safetensors file or a .pt/.pth file of tensors; returns it.

    `head_order` is "0.4" or "0.5", the weaver-core line that trained the weights; it may be
    left out only for files with 0.5's names. Nothing in the file is executed: a pickle that
    holds more than tensors is refused. Raises ModelError for an unreadable file, missing or
    unknown keys, a wrong shape, NaN or infinity, all before the model is touched.
    """
    path = Path(path)
    state = _read(path)
    prefix = "mod."
    if state and all(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    old_names = any(key.endswith("attn.in_proj_weight") for key in state)
    if head_order is None and not old_names:
        head_order = "0.5"
    if head_order not in HEAD_ORDERS:
        raise ModelError(
            f"{path}: head_order must be '0.4' (all published checkpoints) or '0.5' for a file "
            f"with weaver-core 0.4's names; got {head_order!r}"
        )
    state = {key.replace(".attn.in_proj_", ".attn.in_proj."): v for key, v in state.items()}
    _check(path, state, model)
    if head_order == "0.4":
        state = convert_head_order(state)
    model.load_state_dict(state)
    return model


def convert_head_order(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of weaver-core 0.4's head order as one of 0.5's; same logits.

    Row r of out_proj (weight (E, E), bias (E,)) is scaled by c_attn[r // D], rows are put in
    the order of (H, D) transposed, and c_attn (H,) becomes ones.
    """
    new = dict(state)
    for key, scale in state.items():
        if not key.endswith(".c_attn"):
            continue
        heads, block = len(scale), key.removesuffix("c_attn")
        for name in (f"{block}attn.out_proj.weight", f"{block}attn.out_proj.bias"):
            rows = state[name].reshape(heads, -1, *state[name].shape[1:])  # (H, D, ...)
            scaled = rows * scale.reshape(heads, *[1] * (rows.dim() - 1))
            new[name] = scaled.transpose(0, 1).flatten(0, 1)  # (E, ...), channel-major
        new[key] = torch.ones_like(scale)
    return new


def fold_head_scale(model: ParticleTransformer) -> ParticleTransformer:
    """Move every c_attn into its out_proj, in place: same logits, one product less.

    The blocks then have no `c_attn`, as on a chip, where it is part of the static weights.
    """
    for block in (*model.blocks, *model.cls_blocks):
        if block.c_attn is not None:
            out = block.attn.out_proj
            scale = block.c_attn.detach().repeat_interleave(
                out.out_features // block.attn.num_heads
            )  # (E,)
            with torch.no_grad():
                out.weight.mul_(scale[:, None])
                out.bias.mul_(scale)
            block.c_attn = None
    return model


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; a .safetensors, .pt or .pth file is needed")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each reader has its own kinds of exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path}: must be a .safetensors file or a .pt file of tensors only; {reason}"
        ) from None
    if not _is_state(state):
        held = state.items() if isinstance(state, dict) else ()
        inner = [key for key, value in held if _is_state(value)]
        hint = f"; its {inner[0]!r} is one: save that alone" if inner else ""
        raise ModelError(f"{path}: must hold a state dict (name: tensor) and nothing else{hint}")
    return state


def _is_state(value: object) -> TypeGuard[dict[str, Tensor]]:
    return isinstance(value, dict) and all(isinstance(v, Tensor) for v in value.values())


def _check(path: Path, state: dict[str, Tensor], model: ParticleTransformer) -> None:
    expected = model.state_dict()
    for what, keys in (
        ("lacks", [k for k in expected if k not in state]),
        ("has unknown", [k for k in state if k not in expected]),
    ):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(f"{path}: {what} key {keys[0]}{more}; it needs this model's names")
    for key, value in state.items():
        if value.shape != expected[key].shape:
            raise ModelError(
                f"{path}: {key} must have shape {tuple(expected[key].shape)}; "
                f"got {tuple(value.shape)}"
            )
        if expected[key].is_floating_point() and not value.is_floating_point():
            raise ModelError(f"{path}: {key} must hold floating-point numbers; got {value.dtype}")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ModelError(f"{path}: {key} must be finite; it holds NaN or infinity")
