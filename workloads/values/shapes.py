"""Sizes of exported tensors, which are symbolic in the token count."""

from __future__ import annotations

from typing import Any


def shape_at(size: Any, tokens: int) -> int:
    """A size of an exported shape for N tokens."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, tokens)))
