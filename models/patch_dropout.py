"""Training pictures by some of their patches: Y. Liu et al., "PatchDropout: Economizing Vision
Transformers Using Patch Dropout", WACV 2023 (arXiv:2208.07220).

Some of the patches, drawn anew for every picture and step, take as much less work; a training ends
with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError


@contextmanager
def some_patches(model: nn.Module, count: int, when: Callable[[], bool]) -> Iterator[None]:
    """Within the block, a model in training sees `count` random patches where `when()` holds.

    The class token, first of each row, is always seen. Patches are drawn from torch's global
    generator. `model`: a transformer of pictures from transformers, whose ``base_model.embeddings``
    gives (B, 1 + N, E).

    Raises ModelError for a model without patches, and in a step for `count` outside 1 ... N.
    """
    embeddings: Any = getattr(getattr(model, "base_model", None), "embeddings", None)
    if not hasattr(embeddings, "patch_embeddings"):
        raise ModelError(f"{type(model).__name__} has no patches (train.patches)")

    def choose(module: nn.Module, inputs: Any, tokens: Tensor) -> Tensor:
        if not (model.training and when()):
            return tokens
        batch, patches, width = tokens.shape[0], tokens.shape[1] - 1, tokens.shape[2]
        if not 1 <= count <= patches:
            raise ModelError(f"train.patches must be 1 to {patches}; got {count}")
        chosen = torch.rand(batch, patches).argsort(1)[:, :count].to(tokens.device) + 1
        seen = tokens.gather(1, chosen[:, :, None].expand(-1, -1, width))
        return torch.cat([tokens[:, :1], seen], dim=1)

    hook = embeddings.register_forward_hook(choose)
    try:
        yield
    finally:
        hook.remove()
