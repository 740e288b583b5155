"""Routes: where the results of ops lie, and the transfers that bring them elsewhere.

Results lie in the PUs that made them, in the unit that serves ``results``. A consumer elsewhere
gets them over the link between PUs (one transfer, all listen) or from chip to chip. Inputs and
outputs pass the host's port: that of the first chip, or that of the chip where they are needed
(``ports``).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import isqrt
from typing import Any

import networkx as nx

from hyflexsim.sim.chip.chip import Chip, Link
from hyflexsim.sim.chip.kind import Unit
from hyflexsim.sim.chip.service import Action, Service, transfer
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.plan.builder import Board, Flow, Input
from hyflexsim.sim.plan.chosen import chosen, stage_of
from hyflexsim.sim.plan.plan import Group, Threshold
from hyflexsim.sim.routing import frozen
from hyflexsim.sim.vocabulary import FIXED

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
        self.chip = placement.chip
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
            self.wait(name, source, self.at(source, pus), rule)
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
        """How an op waits for the result of ``source``, which is there after ``step``."""
        here, there = self.graph.nodes[name]["axis"], self.graph.nodes[source]["axis"]
        if rule == "recurrent":
            return Group(step, lag=1)
        if rule == "pair" and here == there:
            return Group(step)
        if rule == "pair":
            return Threshold(step, "pair" if here == "pair" else "row")
        if rule == "stream":
            alike = self.graph.nodes[name].get("routed") == self.graph.nodes[source].get("routed")
            return Group(step) if alike else Threshold(step, "routed")
        if rule == "window":
            op = self.graph.nodes[name]
            return Threshold(step, "prefix", op["ahead"], op.get("stride", 1))
        if rule == "square":
            op = self.graph.nodes[name]
            where = "square" if op["context"] == "square" else "merged"
            return Threshold(step, where, stride=op["side"], wide=op["wide"])
        return Threshold(step, rule)

    def port(self, name: str, direction: str, inputs: list[Input], pus: tuple[int, ...]) -> int:
        """The step that brings a token of an op in from the host or out to it (``direction``)."""
        link = self.chip.need_link("host", "chip")
        chip = self._port_chip(pus)
        where = "host" if chip == 0 else f"chip{chip}.host"
        port = self.board.component(f"{where}.{direction}", link.name, chip=chip)
        service = link_service(link, result_bytes(self.graph.nodes[name], self.chip))
        return self.board.add(name, name, (port,), service, inputs, self.carried(name), link.name)

    def _port_chip(self, pus: tuple[int, ...]) -> int:
        """The chip whose port serves data that lie in, or go to, these PUs."""
        link = self.chip.need_link("host", "chip")
        return self.placement.chip_of_group(pus) if link.ports == "each" and pus != HOST else 0

    def home_of(self, name: str) -> tuple[int, ...]:
        """Where an op would like its input: the PUs of its layer."""
        return self.placement.pus[self.graph.nodes[name]["layer"]]

    def at(self, source: str, pus: tuple[int, ...]) -> int:
        """The step after which the result of ``source`` lies in ``pus``."""
        step, home = self.ready[source]
        if home == pus:
            return step
        chip = self._port_chip(pus) if home == HOST else self.placement.chip_of_group(home)
        goal = self._port_chip(home) if pus == HOST else self.placement.chip_of_group(pus)
        if chip == goal:
            if self.chip.link("pu", "pu") is None and HOST in (home, pus):
                return step  # the port is where the data lie
            link = self.chip.need_link("pu", "pu")
            return self._carry(source, step, link, (chip,), home, pus)
        link = self.chip.need_link("chip", "chip")
        while chip != goal:
            following = chip + (1 if goal > chip else -1)
            step = self._carry(source, step, link, (chip, following), home, pus)
            chip = following
        return step

    def _carry(
        self,
        source: str,
        step: int,
        link: Link,
        ends: tuple[int, ...],
        home: tuple[int, ...],
        pus: tuple[int, ...],
    ) -> int:
        """One transfer of a result, heard by all who need it there (in a mesh: by ``pus``)."""
        op = self.graph.nodes[source]
        size = result_bytes(op, self.chip)
        where = "-".join(map(str, ends))
        key: tuple[Any, ...] = ("carry", source, link.name, ends)
        service = link_service(link, size)
        if link.kind == "mesh":
            key = (*key, pus)
            service = link_service(link, size, hops(self.chip, home, pus))
        if key not in self.moved:
            component = (
                self.board.link(link, home, inside=True)
                if link.kind == "mesh" and home != HOST
                else self.board.link(link, ends)
            )
            self.moved[key] = self.board.add(
                f"{source}.{link.name}{where}",
                source,
                (component,),
                service,
                [Group(step)],
                self.carried(source),
                link.name,
            )
        return self.moved[key]

    def flow(self, name: str, every_key: bool = False) -> Flow:
        """How the tokens of an op run; ``every_key``: before any is left out."""
        op = self.graph.nodes[name]
        axis = "source" if op["axis"] in FIXED else op["axis"]
        size = "source" if op["context"] in FIXED else op["context"] or "one"
        if axis == "pair":
            size = "wave"
        reach = (op.get("behind", 0), op.get("ahead", 0))
        routed = frozen(op["routed"]) if op.get("routed") else None
        flow = Flow(
            axis, op["extra"], name in self.heads, size, op["context_extra"], *reach, routed
        )
        if every_key:
            return flow
        return chosen(self.chip, self.graph, name, flow, self.multiplier())

    def carried(self, name: str) -> Flow:
        """How an op's results move: scores of every key, of sums over keys one result a token."""
        flow = self.flow(name)
        if flow.work:  # counted by head, which results are not
            flow = self.flow(name, every_key=True)
        if stage_of(self.graph.nodes[name]) == "pv":
            return replace(flow, size="one", context_extra=0, kept=(1, 1))
        return flow

    def multiplier(self) -> Unit | None:
        """The unit that makes the products of queries and keys."""
        served = any(key.partition(".")[0] == "matmul" for key in self.chip.serves)
        return self.chip.unit("matmul", "values") if served else None


def link_service(link: Link, size_bytes: int, hops: int = 1, width: Fraction | int = 1) -> Service:
    """Moving bytes per unit of size over ``width`` links side by side, in so many hops."""
    values = link.values
    action = Action(f"{link.name}_bit", 0, 8 * size_bytes * hops)
    return transfer(size_bytes, values.bandwidth, values.latency * hops, (action,), width)


def hops(chip: Chip, home: tuple[int, ...], pus: tuple[int, ...]) -> int:
    """Routers between two PUs of a square mesh, row by row; the host's port is at PU 0."""
    side = isqrt(chip.values.pus - 1) + 1
    one, other = (0 if group == HOST else group[0] % chip.values.pus for group in (home, pus))
    return max(1, abs(one % side - other % side) + abs(one // side - other // side))


def result_bytes(op: dict[str, Any], chip: Chip) -> int:
    """Bytes of one result token (per token of context, where it has one)."""
    return int(-(-op["width"] * op.get("bits", chip.vector_bits) // 8))
