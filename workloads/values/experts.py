"""What an exported block of experts computes: who takes which token, and how results are added.

A router's choice is a table (tokens, chosen) of experts, in the order of its weights. The matrices
of an expert run for its tokens alone; where they meet, the results of a token's experts are added
in the order in which the router chose them, each times its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.values.program import Program, operator_of


@dataclass(frozen=True)
class Experts:
    """The ops of one exported block of experts.

    ``layer``: of the model, as :func:`hyflexsim.sim.routing.with_routes` names it. ``stages``: of
    each expert, its ops by stage (``up``, perhaps ``clamp``, ``act``, ``gate``, ``down``). ``act``:
    the function on half of what the first matrix makes.
    """

    node: Any
    layer: str
    mix: str
    stages: Mapping[int, Mapping[str, str]]
    act: Callable[[Tensor], Tensor]

    @property
    def chosen(self) -> Any:
        """The exported node of the router's choice, (tokens, chosen) whole numbers."""
        return self.node.args[1]

    @property
    def weights(self) -> Any:
        """The exported node of the weights of these, (tokens, chosen)."""
        return self.node.args[2]

    def ops_beside(self, name: str) -> Mapping[str, str]:
        """The ops of the expert that an op is of, by stage."""
        return next(each for each in self.stages.values() if name in each.values())

    def before(self, name: str, stage: str) -> str:
        """The op of the same expert whose results a stage works on."""
        own = self.ops_beside(name)
        if stage == "down":
            return own["gate"]
        return own["up"] if stage == "clamp" else own.get("clamp", own["up"])

    def clamped(self, hidden: Tensor) -> Tensor:
        """Gates to the limit from above, the other half to both sides (N, 2 I)."""
        (_, limit), (gate, up) = self.node.args[8], self._halves(hidden)
        whole = hidden.clone()
        whole[:, ::2], whole[:, 1::2] = gate.clamp(max=limit), up.clamp(-limit, limit)
        return whole

    def active(self, hidden: Tensor) -> Tensor:
        """The function of the gate's half (N, 2 I): (N, I); of a clamped one x sigmoid(alpha x)."""
        gate, _ = self._halves(hidden)
        numbers = self.node.args[8]
        if numbers is None:
            return self.act(gate)
        return gate * torch.sigmoid(numbers[0] * gate)

    def gated(self, hidden: Tensor, active: Tensor) -> Tensor:
        """The other half, gated: (N, I); of a clamped one it has one more."""
        _, up = self._halves(hidden)
        return active * (up if self.node.args[8] is None else up + 1)

    def _halves(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        if self.node.args[8] is not None:  # interleaved
            return hidden[:, ::2], hidden[:, 1::2]
        gate, up = hidden.chunk(2, -1)
        return gate, up

    def mixed(self, chosen: Tensor, weights: Tensor, results: Mapping[int, Tensor]) -> Tensor:
        """Sum of the results (N, D) of each token's experts; NaN where it is not known who."""
        total = torch.zeros_like(next(iter(results.values())))
        for which, weight in zip(chosen.T, weights.T, strict=True):
            for expert, result in results.items():
                own = which == expert
                total[own] += weight[own, None] * result[own]
        lost = chosen.isnan().any(1)
        return total.masked_fill(lost[:, None], torch.nan)


def experts(program: Program) -> dict[str, Experts]:
    """Blocks of experts by the name of each of their ops.

    Raises InputError for one whose activation is not known by its class.
    """
    by_node: dict[Any, dict[int, dict[str, str]]] = {}
    mixes: dict[Any, str] = {}
    for name, op in program.ops.items():
        node = op.nodes[-1]
        if operator_of(node) != "experts":
            continue
        if op.stage == "mix":
            mixes[node] = name
        else:
            expert = program.graph.nodes[name]["routed"]["expert"]
            by_node.setdefault(node, {}).setdefault(expert, {})[op.stage] = name
    found: dict[str, Experts] = {}
    for node, stages in by_node.items():
        first = stages[0]["up"]
        layer = program.graph.nodes[first]["layer"].rpartition(".experts.")[0]
        made = Experts(node, layer, mixes[node], stages, _function(node, first))
        found |= dict.fromkeys(
            [made.mix, *(n for each in stages.values() for n in each.values())], made
        )
    return found


def expert_of(program: Program, name: str) -> int | None:
    """The expert whose tokens an op works on; None: it works on all."""
    routed = program.graph.nodes[name].get("routed")
    return None if routed is None else int(routed["expert"])


def _function(node: Any, name: str) -> Callable[[Tensor], Tensor]:
    from transformers import activations  # noqa: PLC0415

    act = str(node.args[7])
    cls = getattr(activations, act, None) or getattr(torch.nn, act, None)
    try:
        made: Callable[[Tensor], Tensor] = cls()  # type: ignore[misc]
    except TypeError:  # none of this name, or one with arguments that the export has not kept
        raise InputError(f"values: op {name!r}: activation {act} is not executed") from None
    return made
