"""What an exported attention multiplies, in one shape for every model: heads, tokens, elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hyflexsim.workloads.values.program import Program, attention_scale


@dataclass(frozen=True)
class Attention:
    """The ops of one exported attention; ``cap`` and ``add`` are None where scores have none.

    ``window``: tokens that a query looks at before and after its own; None: all. ``squares``: of
    an image, tokens in a row, side of a square, where the first one begins.
    """

    node: Any
    qk: str
    cap: str | None
    add: str | None
    softmax: str
    pv: str
    causal: bool
    window: tuple[int, int] | None
    scale: float
    squares: tuple[int, int, int] | None = None

    @property
    def biased(self) -> str:
        """The op whose results the softmax takes."""
        return self.add or self.cap or self.qk

    @property
    def most(self) -> float:
        """What scores are capped at, c tanh(x / c)."""
        return float(self.node.args[7])

    @property
    def sinks(self) -> Any:
        """The node of trained scores of no token, one a head; None if there are none."""
        return self.node.args[8]

    @property
    def operands(self) -> tuple[Any, Any, Any, Any]:
        """Exported nodes of q (1, H, Q, D), k (1, G, K, D), v (1, G, K, V), bias (1, H, Q, K)."""
        q, k, v, bias, *_ = self.node.args
        return q, k, v, bias


def attentions(program: Program) -> dict[str, Attention]:
    """Attentions by the name of each of their ops."""
    by_node: dict[Any, dict[str, str]] = {}
    for name, op in program.ops.items():
        if op.stage in ("qk", "cap", "add", "softmax", "pv"):
            by_node.setdefault(op.nodes[-1], {})[op.stage] = name
    found: dict[str, Attention] = {}
    for node, stages in by_node.items():
        window = node.args[5] if len(node.args) > 5 else None
        made = Attention(
            node,
            stages["qk"],
            stages.get("cap"),
            stages.get("add"),
            stages["softmax"],
            stages["pv"],
            bool(node.args[4]),
            None if window is None else (int(window[0]), int(window[1])),
            attention_scale(node),
            tuple(node.args[9]) if len(node.args) > 9 and node.args[9] else None,
        )
        found |= dict.fromkeys(stages.values(), made)
    return found


def hidden_keys(a: Attention, queries: int, keys: int) -> Tensor:
    """Which keys a query does not look at, (Q, K): those after it, or outside its window or
    square.
    """
    if a.squares is not None:
        square = square_of(torch.arange(keys), *a.squares, keys)
        return square[:queries, None] != square
    at = torch.arange(queries)[:, None] + (keys - queries if a.causal else 0)
    distance = torch.arange(keys) - at
    hidden = distance > 0 if a.causal else torch.zeros_like(distance, dtype=torch.bool)
    if a.window is not None:
        behind, ahead = a.window
        hidden = hidden | (distance < -behind) | (distance > ahead)
    return hidden


def square_of(token: Tensor, wide: int, side: int, first: int, tokens: int) -> Tensor:
    """The square of an image that a token lies in; what is beyond the last begins the first."""
    row, column = (
        (at - first) % size for at, size in ((token // wide, tokens // wide), (token % wide, wide))
    )
    return row // side * (wide // side) + column // side


def capped(scores: Tensor, most: float) -> Tensor:
    """c tanh(x / c); -inf, of keys that are not looked at, stays."""
    return torch.where(torch.isneginf(scores), scores, most * (scores / most).tanh())


def weights_of(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax over keys of scores (Q, K, H); with sinks (H,) one more score, of no key."""
    if sinks is None:
        return scores.softmax(1)
    more = sinks.expand(len(scores), 1, -1)
    return torch.cat([scores, more], 1).softmax(1)[:, :-1]


def per_head(tensor: Tensor, heads: int) -> Tensor:
    """(1, G, T, D) -> (H, T, D): each of the G groups serves H / G heads."""
    groups = tensor[0]
    return groups.repeat_interleave(heads // groups.shape[0], dim=0)
