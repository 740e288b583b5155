"""Methods of single families that an export would write out in another way than a chip computes.

Each stands in for the method of its name while a model is exported (attention_capture.py), and
gives the same numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock


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


PATCHES: dict[str, Callable[..., Any]] = {
    "FalconAttention._split_heads": _falcon_heads,
}
"""By class and method of the module that defines a model."""


def apply(model: Any, stack: ExitStack) -> None:
    """Put the methods in place until ``stack`` is closed."""
    module = sys.modules[type(model).__module__]
    for path, method in PATCHES.items():
        cls, _, name = path.partition(".")
        if hasattr(module, cls):
            stack.enter_context(mock.patch.object(getattr(module, cls), name, method))
