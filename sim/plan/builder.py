"""Steps and components while a plan is being built.

The planner says which op needs what; here it becomes rows with indices. A component is made when
the first step names it, in the order of the model, so that indices (part of the serving order)
follow from the graph and the placement alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import networkx as nx

from hyflexsim.sim.chip.chip import Link
from hyflexsim.sim.chip.kind import Unit
from hyflexsim.sim.chip.service import Action, Service, Visit
from hyflexsim.sim.placement.mapping import Placement, is_block
from hyflexsim.sim.plan.plan import Component, Group, Step, Threshold
from hyflexsim.sim.routing import Routed

Input = Group | Threshold


@dataclass(frozen=True, slots=True)
class Flow:
    """How an op's tokens run: its axis, how often, what their work grows with (see Step)."""

    axis: str
    extra: int = 0
    head: bool = False
    size: str = "one"
    context_extra: int = 0
    behind: int = 0
    ahead: int = 0
    routed: Routed | None = None
    kept: tuple[int, int] = (1, 1)
    each: int = 1
    work: str = ""


class Board:
    """Collects the steps and components of one plan; ``wave``: pairs that travel together."""

    def __init__(self, graph: nx.DiGraph, placement: Placement, wave: int) -> None:
        self.graph = graph
        self.placement = placement
        self.chip = placement.chip
        self.wave = wave
        self.steps: list[dict[str, Any]] = []
        self.components: list[Component] = []
        self.index: dict[str, int] = {}
        self._homes: dict[tuple[int, ...], str] = {}
        self._groups = placement.groups()

    def link(self, link: Link, ends: tuple[int, ...], *, inside: bool = False) -> int:
        """A link between units of a PU group (``inside``; ``ends``: its PUs), or of chips."""
        if inside:
            return self.component(link.name, link.name, ends)
        where = "-".join(map(str, ends))
        return self.component(f"chip{where}.{link.name}", link.name, chip=ends[0])

    def unit(self, unit: Unit, visit: Visit, pus: tuple[int, ...]) -> int:
        """The unit of a place: of a PU group, or of a chip (or beside it)."""
        name = visit.part or unit.name
        if unit.where == "pu":
            return self.component(name, visit.kind, pus, visit.power_mw)
        chip = self.placement.chip_of_group(pus)
        return self.component(f"chip{chip}.{name}", visit.kind, (), visit.power_mw, chip=chip)

    def component(
        self,
        name: str,
        kind: str,
        pus: tuple[int, ...] = (),
        power_mw: float = 0.0,
        *,
        chip: int = 0,
        layer: str = "",
        shadow: tuple[tuple[str, int, float], ...] = (),
        busy_ps: int | None = None,
    ) -> int:
        """Index of a component, made on first use; ``power_mw`` is drawn while it is busy."""
        if pus:
            name = f"{pu_name(pus)}.{name}"
        if name not in self.index:
            self.index[name] = len(self.components)
            self.components.append(
                Component(
                    name,
                    kind,
                    layer=layer or self._home(pus),
                    pu=pus[0] if pus else -1,
                    chip=self.placement.chip_of_group(pus) if pus else chip,
                    power_mw=power_mw,
                    busy_ps=busy_ps,
                    shadow=shadow,
                )
            )
        return self.index[name]

    def _home(self, pus: tuple[int, ...]) -> str:
        """The layer that shared parts of a PU are listed under: its blocks, else the largest."""
        if pus not in self._homes:
            layers = self._groups.get(pus, [])
            blocks = [layer for layer in layers if is_block(layer)]
            self._homes[pus] = "+".join(blocks) if blocks or not layers else self._largest(layers)
        return self._homes[pus]

    def _largest(self, layers: list[str]) -> str:
        weights = self.placement.weights.values()
        pieces = {x: sum(w.pieces for w in weights if w.layer == x) for x in layers}
        return max(layers, key=pieces.__getitem__)

    def reserve(self, step: int, buffer_of: int) -> None:
        """Let a step ask for a place in another's input buffer, where that one has a buffer."""
        if self.steps[buffer_of]["places"] is not None:
            self.steps[step]["reserves"] += (buffer_of,)

    def wait(self, step: int, edge: Input) -> None:
        """Let a step wait for something more."""
        self.steps[step]["inputs"] += (edge,)

    def finish(self) -> tuple[tuple[Step, ...], tuple[Component, ...]]:
        """All steps and components."""
        return tuple(Step(**step) for step in self.steps), tuple(self.components)

    def add(
        self,
        name: str,
        op: str,
        lanes: tuple[int, ...],
        service: Service,
        inputs: list[Input],
        flow: Flow,
        owner: str,
        *,
        places: int | None = None,
        macs: int = 0,
        macs_per_size: int = 0,
        macs_in: int = 1,
        planes: int = 1,
        split: bool = False,
    ) -> int:
        """Append a step and return its index.

        ``owner``: the unit or link whose actions it counts. ``macs`` a visit and
        ``macs_per_size``, complete after ``macs_in`` visits; the rest as in
        :class:`~hyflexsim.sim.plan.plan.Step`. In a wave of pairs, what one costs every one costs.
        """
        actions = service.actions
        if flow.size == "wave":
            actions = tuple(Action(a.name, 0, a.per_visit + a.per_size) for a in actions)
            macs, macs_per_size = 0, macs + macs_per_size
        component = self.components[lanes[0]]
        self.steps.append(
            {  # not a Step yet: others may still reserve, or be waited for
                "name": name,
                "op": op,
                "kind": component.kind,
                "layer": self.graph.nodes[op]["layer"],
                "lanes": lanes,
                "rate": service.rate,
                "inputs": tuple(inputs),
                "axis": flow.axis,
                "extra": flow.extra,
                "wave": self.wave if flow.axis == "pair" else 1,
                "planes": planes,
                "split": split,
                "head": flow.head,
                "size": flow.size,
                "context_extra": flow.context_extra,
                "behind": flow.behind,
                "ahead": flow.ahead,
                "routed": flow.routed,
                "kept": flow.kept,
                "each": flow.each,
                "work": flow.work,
                "unit": owner,
                "places": places,
                "actions": tuple(a for a in actions if a.per_visit or a.per_size),
                "macs": (macs, macs_per_size),
                "macs_in": macs_in,
                "lead_ps": service.lead_ps,
                "reserves": (),
            }
        )
        return len(self.steps) - 1


@lru_cache(maxsize=1024)  # asked for by every step
def pu_name(pus: tuple[int, ...]) -> str:
    """Name of a group of PUs.

    >>> pu_name((3,)), pu_name((4, 5))
    ('pu03', 'pu04-05')
    """
    return f"pu{pus[0]:02d}" if len(pus) == 1 else f"pu{pus[0]:02d}-{pus[-1]:02d}"
