"""What an exported scan computes, in one shape for every model: channels, each with its states.

Mamba's scan has a decay for each channel and state, and step sizes by channel (arXiv 2312.00752,
Alg. 2); Mamba-2's has a decay and a step size a head, for all of its channels and states, and lets
heads of a group share B and C (arXiv 2405.21060, §7.1). Both are the recurrence

    h <- exp(A dt) h + dt B x,    y = C h + D x

for a channel with S states, token after token: the chunks in which torch computes Mamba-2 give the
same numbers in another order. RWKV-4 (arXiv 2305.13048, eq. 16 and appendix D) keeps two sums a
channel, of values and of their weights, both relative to the largest weight so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hyflexsim.workloads.values.program import Program, operator_of

STAGES = ("softplus", "clamp", "scan", "silu", "mul")
"""What the ops of a scan are called in extraction; only ``scan`` is in every one."""

_OPERANDS = {
    "scan": ("x", "dt", "a", "b", "c", "d", "z"),
    "sums": ("decay", "first", "key", "value"),
    "chunk_scan": ("x", "dt", "a", "b", "c", "d", "bias", "limit"),
}


@dataclass(frozen=True)
class Scan:
    """The ops of one exported scan.

    ``stages``: names of its ops. ``decay`` (C, S) or (C, 1), ``skip`` (C,) or None: A and D.
    ``bias``: added to step sizes before the softplus, a head (H,), or None where a matrix has it.
    """

    node: Any
    stages: Mapping[str, str]
    decay: Tensor
    skip: Tensor | None
    bias: Tensor | None

    def operand(self, label: str) -> Any:
        """The exported node of x, dt, b, c, z, key or value; of ``limit`` the two numbers."""
        return self.node.args[_OPERANDS[operator_of(self.node)].index(label)]

    @property
    def reads(self) -> tuple[str, ...]:
        """Operands that :meth:`advance` takes of a token."""
        return "x", "dt", "b", "c"

    @property
    def step_op(self) -> str:
        """The op whose results are the step sizes; empty if they are so already."""
        return self.stages.get("clamp") or self.stages.get("softplus", "")

    def rows(self, tensor: Tensor) -> Tensor:
        """An operand's tensor as (tokens, elements)."""
        return tensor[0].flatten(1) if self._by_head else tensor[0].T

    def start(self) -> Tensor:
        """States before the first token: (C, S)."""
        states = self.operand("b").meta["val"].shape[-1 if self._by_head else 1]
        return torch.zeros(len(self.decay), int(states), dtype=torch.float64)

    def step_sizes(self, dt: Tensor) -> Tensor:
        """Softplus of (N, C or H) with the bias that is its own."""
        return functional.softplus(dt if self.bias is None else dt + self.bias)

    def clamped(self, dt: Tensor) -> Tensor:
        """Step sizes within the limits of the model."""
        least, most = self.operand("limit")
        return dt.clamp(least, most)

    def advance(
        self,
        state: Tensor,
        operands: Sequence[Tensor],
        rounded: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """States after a token and what it reads of them, not rounded: (C, S), (C,).

        ``operands``: what it ``reads``, as rows have them; ``rounded``: the format of states.
        """
        x, dt, into, out = operands
        step = self._a_channel(dt)
        grown = torch.exp(self.decay * step[:, None]) * state
        state = rounded(grown + (step * x)[:, None] * self._states(into))
        y = (state * self._states(out)).sum(1)
        return state, y if self.skip is None else y + self.skip * x

    @property
    def _by_head(self) -> bool:
        return operator_of(self.node) == "chunk_scan"

    def _a_channel(self, each: Tensor) -> Tensor:
        """What a head has, for each of its channels: (C,)."""
        return each.repeat_interleave(len(self.decay) // len(each))

    def _states(self, row: Tensor) -> Tensor:
        """B or C of a token for each channel: (C, S), or (1, S) where all share them."""
        if not self._by_head:
            return row[None]
        groups = row.reshape(int(self.operand("b").meta["val"].shape[2]), -1)
        return groups.repeat_interleave(len(self.decay) // len(groups), 0)


class Sums(Scan):
    """RWKV-4's: ``decay`` (C,) and ``skip`` (C,), the bonus of a token's own weight."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Operands that :meth:`advance` takes of a token."""
        return "key", "value"

    def rows(self, tensor: Tensor) -> Tensor:
        """An operand's tensor as (tokens, channels)."""
        return tensor[0]

    def start(self) -> Tensor:
        """Both sums and the largest exponent so far: (C, 3)."""
        nothing = torch.zeros(len(self.decay), 3, dtype=torch.float64)
        nothing[:, 2] = -torch.inf
        return nothing

    def advance(
        self,
        state: Tensor,
        operands: Sequence[Tensor],
        rounded: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Sums after a token, and the mean that it reads, not rounded: (C, 3), (C,)."""
        key, value = operands
        own = torch.stack([value, torch.ones_like(value)], 1)
        assert self.skip is not None
        read, _ = _joined(state, state[:, 2], own, key + self.skip)
        total, largest = _joined(state, state[:, 2] + self.decay, own, key)
        after = torch.cat([total, largest[:, None]], 1)
        return rounded(after), read[:, 0] / read[:, 1]


def _joined(state: Tensor, before: Tensor, own: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Sums (C, 2) with weights exp(before) and a token's own with exp(key), over the larger one."""
    largest = torch.maximum(before, key)
    old, new = (before - largest).exp()[:, None], (key - largest).exp()[:, None]
    return old * state[:, :2] + new * own, largest


def scans(program: Program) -> dict[str, Scan]:
    """Scans by the name of each of their ops."""
    by_node: dict[Any, dict[str, str]] = {}
    for name, op in program.ops.items():
        if op.stage in STAGES and operator_of(op.nodes[-1]) in _OPERANDS:
            by_node.setdefault(op.nodes[-1], {})[op.stage] = name
    found: dict[str, Scan] = {}
    for node, stages in by_node.items():
        found |= dict.fromkeys(stages.values(), _scan(program, node, stages))
    return found


def _scan(program: Program, node: Any, stages: Mapping[str, str]) -> Scan:
    def constant(argument: Any) -> Tensor | None:
        return None if argument is None else program.value(argument, lambda n: None)

    if operator_of(node) == "sums":
        decay, first = constant(node.args[0]), constant(node.args[1])
        assert decay is not None
        return Sums(node, stages, -decay.exp(), first, None)
    decay, skip = constant(node.args[2]), constant(node.args[5])
    assert decay is not None
    if operator_of(node) == "scan":
        return Scan(node, stages, decay, skip, None)
    width = int(node.meta["val"].shape[-1])  # channels of a head
    wide = None if skip is None else skip.repeat_interleave(width)
    each = decay.repeat_interleave(width)[:, None]
    return Scan(node, stages, each, wide, constant(node.args[6]))
