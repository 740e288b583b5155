"""Activations of a ParT by name."""

from __future__ import annotations

from torch import nn

from hyflexsim.models.errors import ModelError

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


def activation_of(name: str) -> nn.Module:
    """A new module of ACTIVATIONS. Raises ModelError for an unknown name."""
    if name not in ACTIVATIONS:
        raise ModelError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {name!r}")
    return ACTIVATIONS[name]()
