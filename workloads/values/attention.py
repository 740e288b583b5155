"""What an exported attention multiplies, in one shape for every model: heads, tokens, elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hyflexsim.workloads.values.program import Program, attention_scale


@dataclass(frozen=True)
class Attention:
    """The ops of one exported attention; ``add`` is None where no bias is added to the scores.

    ``window``: tokens that a query looks at before and after its own; None: all.
    """

    node: Any
    qk: str
    add: str | None
    softmax: str
    pv: str
    causal: bool
    window: tuple[int, int] | None
    scale: float

    @property
    def operands(self) -> tuple[Any, Any, Any, Any]:
        """Exported nodes of q (1, H, Q, D), k (1, G, K, D), v (1, G, K, V), bias (1, H, Q, K)."""
        q, k, v, bias, *_ = self.node.args
        return q, k, v, bias


def attentions(program: Program) -> dict[str, Attention]:
    """Attentions by the name of each of their ops."""
    by_node: dict[Any, dict[str, str]] = {}
    for name, op in program.ops.items():
        if op.stage in ("qk", "add", "softmax", "pv"):
            by_node.setdefault(op.nodes[-1], {})[op.stage] = name
    found: dict[str, Attention] = {}
    for node, stages in by_node.items():
        window = node.args[5] if len(node.args) > 5 else None
        made = Attention(
            node,
            stages["qk"],
            stages.get("add"),
            stages["softmax"],
            stages["pv"],
            bool(node.args[4]),
            None if window is None else (int(window[0]), int(window[1])),
            attention_scale(node),
        )
        found |= dict.fromkeys(stages.values(), made)
    return found


def hidden_keys(a: Attention, queries: int, keys: int) -> Tensor:
    """Which keys a query does not look at, (Q, K): those after it, or outside its window."""
    at = torch.arange(queries)[:, None] + (keys - queries if a.causal else 0)
    distance = torch.arange(keys) - at
    hidden = distance > 0 if a.causal else torch.zeros_like(distance, dtype=torch.bool)
    if a.window is not None:
        behind, ahead = a.window
        hidden = hidden | (distance < -behind) | (distance > ahead)
    return hidden


def per_head(tensor: Tensor, heads: int) -> Tensor:
    """(1, G, T, D) -> (H, T, D): each of the G groups serves H / G heads."""
    groups = tensor[0]
    return groups.repeat_interleave(heads // groups.shape[0], dim=0)
