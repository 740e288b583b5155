"""Routes: where the results of ops lie, and the transfers that bring them elsewhere.

Results lie in the digital modules of the PUs that made them. A consumer elsewhere gets them over
the chip's global bus (one transfer, all listen) or chip-to-chip links.
"""

from __future__ import annotations

from typing import Any

import networkx as nx

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.plan.builder import Board, Flow, Input
from hyflexsim.sim.plan.plan import Group, Threshold
from hyflexsim.sim.units import interconnect

HOST = (-1,)
"""Where inputs come from and outputs go, in place of PUs."""


class Routes:
    """Transfers of one plan. ``heads``: ops that only sampled tokens need.

    ``ready``: of each op so far, the step that ends it, and the PUs that hold its result.
    ``moved``: steps that bring something somewhere, which others share. ``recurrent``: (step, op)
    that are to be wired when all steps exist.
    """

    def __init__(
        self, graph: nx.DiGraph, placement: Placement, board: Board, heads: set[str]
    ) -> None:
        self.graph = graph
        self.placement = placement
        self.hw = placement.hw
        self.board = board
        self.heads = heads
        self.ready: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.moved: dict[tuple[Any, ...], int] = {}
        self.recurrent: list[tuple[int, str]] = []

    def sources(self, name: str) -> list[tuple[str, str]]:
        """(producer, rule) of an op's inputs, in the order they were connected."""
        return [(u, data["rule"]) for u, _, data in self.graph.in_edges(name, data=True)]

    def inputs(self, name: str, pus: tuple[int, ...]) -> list[Input]:
        """What an op on ``pus`` waits for, brought there."""
        return [
            self.wait(name, source, self.at(source, pus) if source in self.ready else -1, rule)
            for source, rule in self.sources(name)
            if not self._postpone(name, source, rule)
        ]

    def _postpone(self, name: str, source: str, rule: str) -> bool:
        """Note an edge from a later op (or the op itself), to be wired when all steps exist."""
        if rule != "recurrent" or (source in self.ready):
            return False
        self.recurrent.append((len(self.board.steps), source))
        return True

    def wait(self, name: str, source: str, step: int, rule: str) -> Input:
        """How an op waits for the result of ``source``, which is there after ``step``.

        Raises :class:`InputError` for a stream between axes that have no common token.
        """
        here, there = self.graph.nodes[name]["axis"], self.graph.nodes[source]["axis"]
        if rule == "recurrent":
            return Group(step, lag=1)
        if rule == "pair" and here == there:
            return Group(step)
        if rule == "pair":
            return Threshold(step, "pair" if here == "pair" else "row")
        if rule == "stream":
            if (here, there) in (
                ("single", "sequence"),
                ("pair", "sequence"),
                ("sequence", "pair"),
            ):
                raise InputError(
                    f"edge {source!r} -> {name!r}: rule stream cannot join a {there} op to a "
                    f"{here} op; use all, first, last or pair"
                )
            return Group(step)
        return Threshold(step, rule)

    def at(self, source: str, pus: tuple[int, ...]) -> int:
        """The step after which the result of ``source`` lies in ``pus``."""
        step, home = self.ready[source]
        if home == pus:
            return step
        chip = 0 if home == HOST else self.placement.chip(home[0])
        goal = 0 if pus == HOST else self.placement.chip(pus[0])
        if chip == goal:
            return self._carry(source, step, "global_bus", (chip,))
        while chip != goal:
            following = chip + (1 if goal > chip else -1)
            step = self._carry(source, step, "chip_link", (chip, following))
            chip = following
        return step

    def _carry(self, source: str, step: int, kind: str, ends: tuple[int, ...]) -> int:
        """One transfer of a result, heard by all who need it there."""
        key = ("carry", source, kind, ends)
        if key not in self.moved:
            op = self.graph.nodes[source]
            service = interconnect.transfer(self.hw, kind, result_bytes(op, self.hw))
            where = "-".join(map(str, ends))
            self.moved[key] = self.board.add(
                f"{source}.{kind}{where}",
                source,
                (self.board.bus(kind, ends),),
                service,
                [Group(step)],
                self.flow(source),
            )
        return self.moved[key]

    def flow(self, name: str) -> Flow:
        """How the tokens of an op run."""
        op = self.graph.nodes[name]
        size = {"all": "all", "prefix": "prefix"}.get(op["context"], "one")
        if op["axis"] == "pair":
            size = "wave"
        return Flow(op["axis"], op["extra"], name in self.heads, size, op["context_extra"])


def result_bytes(op: dict[str, Any], hw: Any) -> int:
    """Bytes of one result token (per token of context, where it has one)."""
    return int(-(-op["width"] * op.get("bits", hw.analog.input_bits) // 8))
