"""From placement to plan: every op becomes steps on components, in closed form.

A matrix-vector product (gemv) of one token is this chain; all other ops are one step each::

    PU bus -> input buffer -> bank -> ADC, shift-and-add -> output buffer -> PU bus -> accumulator
    (INT8 vector)            8 planes                      (partial sums of row tiles)

At fidelity ``bit`` bank, ADC and shift-and-add serve the eight bit-planes one by one. Pairs travel
in waves: one pair for every copy of the pair network, so that all copies work in step
(``split_pairs`` serves them one by one, with the same times).

How results get from PU to PU is in routes.py. Operands of a product of two activations are written
into the NOR arrays first (HyFlexPIM §3.3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.power import power_mw
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Placement, Weight
from hyflexsim.sim.plan.builder import Board, Flow, Input
from hyflexsim.sim.plan.plan import Group, Plan
from hyflexsim.sim.plan.routes import HOST, Routes, result_bytes
from hyflexsim.sim.units import (
    accumulator,
    adc,
    buffer,
    crossbar,
    digital_pim,
    interconnect,
    sfu,
    shift_add,
)
from hyflexsim.sim.units.service import Service
from hyflexsim.sim.units.tiling import Factor

FIDELITIES = ("token", "bit")


def build_plan(
    graph: nx.DiGraph,
    placement: Placement,
    *,
    fidelity: str = "token",
    generate: bool = False,
    split_pairs: bool = False,
) -> Plan:
    """The plan of ``graph`` on ``placement``.

    ``generate``: the last op's token n is fed back as the first op's token n + 1, so that text is
    generated token by token; needs a causal graph with an op marked ``head``. Raises
    :class:`InputError` for a graph that cannot do so, or an unknown fidelity.
    """
    if fidelity not in FIDELITIES:
        raise InputError(f"fidelity must be one of {', '.join(FIDELITIES)}; got {fidelity!r}")
    return _Builder(graph, placement, fidelity == "bit", generate, split_pairs).build()


class _Builder:
    def __init__(
        self, graph: nx.DiGraph, placement: Placement, bit: bool, generate: bool, split: bool
    ) -> None:
        self.graph = graph
        self.placement = placement
        self.hw = placement.hw
        self.planes = self.hw.analog.input_bits if bit else 1
        self.split = split
        self.generate = generate
        self.wave = wave_size(graph, placement)
        self.heads = _head_ops(graph) if generate else set()
        self.board = Board(graph, placement, self.wave)
        self.routes = Routes(graph, placement, self.board, self.heads)
        self.shards: set[str] = set()  # ops whose result is spread over the PUs of a group

    def build(self) -> Plan:
        for name in self.placement.order:
            op = self.graph.nodes[name]
            build = getattr(self, f"_{op['kind']}", self._sfu)
            self.routes.ready[name] = build(name, op)
        for step, source in self.routes.recurrent:
            self.board.wait(step, Group(self.routes.ready[source][0], lag=1))
        outputs = [
            self.routes.ready[n][0] for n, k in self.graph.nodes(data="kind") if k == "output"
        ]
        if self.generate:
            self._feed_back(outputs)
        sinks = outputs or [
            self.routes.ready[n][0] for n in self.graph if not self.graph.out_degree(n)
        ]
        return Plan(*self.board.finish(), frozenset(sinks))

    def _feed_back(self, outputs: list[int]) -> None:
        if not self.graph.graph.get("causal"):
            raise InputError(f"{self.graph.graph['name']} is not causal: it cannot generate text")
        if not self.heads:
            raise InputError(f"{self.graph.graph['name']} has no op marked head to sample from")
        sampled = next(i for i in outputs if self.board.steps[i]["head"])
        for name, op in self.graph.nodes(data=True):
            if op["kind"] == "input" and op["axis"] == "sequence":
                self.board.wait(self.routes.ready[name][0], Group(sampled, lag=1))

    # --- ops -------------------------------------------------------------------------------

    def _input(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        port = self.board.component("host.in", "host_port")
        service = interconnect.transfer(self.hw, "host_port", result_bytes(op, self.hw))
        return self.board.add(name, name, (port,), service, [], self.routes.flow(name)), HOST

    def _output(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        port = self.board.component("host.out", "host_port")
        service = interconnect.transfer(self.hw, "host_port", result_bytes(op, self.hw))
        inputs = self.routes.inputs(name, HOST)
        return self.board.add(name, name, (port,), service, inputs, self.routes.flow(name)), HOST

    def _gemv(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        weight = self.placement.weights[op["weight"]]
        pus = self.placement.pus[weight.layer]
        flow = self.routes.flow(name)
        sharded = self._sharded_input(name, pus)
        last = -1
        for position, factor in enumerate(weight.factors):
            gather = sharded and self._gathers(factor, pus)
            if position == 0:
                source = self._feed(name, op, pus, flow, gather)
            else:
                source = self._bus_in(name, factor.rows, [Group(last)], pus, flow, gather)
            last = self._grid(name, weight, factor, source, pus, flow)
            if sharded and not gather:
                last = self._reduce(name, factor, last, pus, flow)
                sharded = False
            else:
                sharded = len(pus) > 1
        if sharded:
            self.shards.add(name)
        return last, pus

    def _matmul(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        pus = self._pus(op)
        self._spread(name, pus)
        inputs = []
        for source, rule in self.routes.sources(name):
            if self.graph.nodes[source]["kind"] == "softmax":
                step = self.routes.at(source, pus)
            else:
                step = self._written(source, pus)
            inputs.append(self.routes.wait(name, source, step, rule))
        bits = (int(op["operand_bits"][0]), int(op["operand_bits"][1]))
        service = digital_pim.multiply(self.hw, g.unit_macs(op), bits, len(pus))
        return self._digital(name, service, inputs, pus, macs=g.unit_macs(op)), pus

    def _scan(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        pus = self._pus(op)
        self._spread(name, pus)
        bits = (self.hw.digital.value_bits, self.hw.digital.value_bits)
        service = digital_pim.multiply(self.hw, g.unit_macs(op), bits, len(pus))
        inputs = self.routes.inputs(name, pus)
        return self._digital(name, service, inputs, pus, macs=g.unit_macs(op)), pus

    def _lookup(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        pus = self._pus(op)
        service = digital_pim.look_up(self.hw, op["width"], len(pus))
        return self._digital(name, service, self.routes.inputs(name, pus), pus), pus

    def _sfu(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        pus = self._pus(op)
        self._spread(name, pus)
        unit = self.board.component("sfu", "sfu", pus, self.hw.pu.digital_modules * len(pus))
        service = sfu.apply(self.hw, op["kind"], op["elements"], len(pus))
        inputs = self.routes.inputs(name, pus)
        return self.board.add(name, name, (unit,), service, inputs, self.routes.flow(name)), pus

    def _spread(self, name: str, pus: tuple[int, ...]) -> None:
        """A result made from shards stays spread over the PUs of its group."""
        if self._sharded_input(name, pus):
            self.shards.add(name)

    def _sharded_input(self, name: str, pus: tuple[int, ...]) -> bool:
        """Whether an input lies in shards on these PUs (what comes from elsewhere comes whole)."""
        return any(
            u in self.shards and self.routes.ready[u][1] == pus
            for u in self.graph.predecessors(name)
        )

    def _gathers(self, factor: Factor, pus: tuple[int, ...]) -> bool:
        """Of two ways to use a vector that lies in shards, the one that moves fewer bytes.

        Gather it, for a matrix split by outputs; or split the matrix by inputs and add up the
        partial sums of the PUs (which HyFlexPIM §3.1 describes).
        """
        gathered = -(-factor.rows * self.hw.analog.input_bits // 8)
        return gathered <= self._reduced_bytes(factor, pus)

    def _reduced_bytes(self, factor: Factor, pus: tuple[int, ...]) -> int:
        return (len(pus) - 1) * accumulator.partial_bytes(self.hw, factor.outputs, 1)

    # --- pieces of a gemv --------------------------------------------------------------------

    def _feed(
        self, name: str, op: dict[str, Any], pus: tuple[int, ...], flow: Flow, gather: bool
    ) -> int:
        """The transfer that brings an op's input to its arrays, shared by all who read the same."""
        sources = self.routes.sources(name)
        key = ("feed", tuple(sources), pus, flow, op["rows"], gather)
        if key not in self.routes.moved:
            inputs = self.routes.inputs(name, pus)
            self.routes.moved[key] = self._bus_in(name, op["rows"], inputs, pus, flow, gather)
        return self.routes.moved[key]

    def _bus_in(
        self,
        name: str,
        elements: int,
        inputs: list[Input],
        pus: tuple[int, ...],
        flow: Flow,
        gather: bool,
    ) -> int:
        size = -(-elements * self.hw.analog.input_bits // 8)
        if gather:
            bus = self.board.bus("global_bus", (self.placement.chip(pus[0]),))
            service = interconnect.transfer(self.hw, "global_bus", size)
            inputs = [Group(self.board.add(f"{name}.gather", name, (bus,), service, inputs, flow))]
        bus = self.board.bus("pu_bus", pus)
        service = interconnect.transfer(self.hw, "pu_bus", size, len(pus))
        return self.board.add(f"{name}.in", name, (bus,), service, inputs, flow)

    def _grid(
        self,
        name: str,
        weight: Weight,
        factor: Factor,
        source: int,
        pus: tuple[int, ...],
        flow: Flow,
    ) -> int:
        """Bank, ADC (and shift-and-add), transfer and accumulation of one matrix."""
        hw, planes = self.hw, self.planes
        pairs = flow.axis == "pair"
        split = pairs and self.split
        copies = self.wave if pairs else weight.copies
        gang = 1
        if pairs and not split:
            gang, copies = copies, 1
        parts = planes * (self.wave if split else 1)
        whole = hw.analog.input_bits if planes == 1 else 1
        beat = crossbar.beat(hw, factor)
        label = f"{name}.{factor.part}"
        cut: dict[str, Any] = {"planes": planes, "split": split}

        def lanes(kind: str) -> tuple[int, ...]:
            return self._lanes(weight, factor, kind, copies, gang, pus, beat * whole)

        bank = self.board.add(
            f"{label}.bank",
            name,
            lanes("bank"),
            crossbar.read(hw, factor, whole),
            [Group(source, spread=parts)],
            flow,
            places=self._places("input", factor.rows, copies, pus, flow),
            macs=factor.macs,
            macs_in=planes,
            **cut,
        )
        self.board.reserve(source, bank)
        service = adc.convert(hw, factor, whole, beat)
        if planes == 1:
            extra = shift_add.actions(hw, factor, whole)
            service = replace(service, actions=(*service.actions, *extra))
        else:  # hand a plane over while its last column is converted
            early = adc.plane(hw, factor) - shift_add.last_column(hw, factor)
            service = replace(service, rate=replace(service.rate, fixed=early))
        last = self.board.add(
            f"{label}.adc", name, lanes("adc"), service, [Group(bank)], flow, **cut
        )
        if planes > 1:
            last = self.board.add(
                f"{label}.shift_add",
                name,
                lanes("shift_add"),
                shift_add.add(hw, factor),
                [Group(last)],
                flow,
                **cut,
            )
        out = self._bus_out(label, name, factor, last, parts, copies, pus, flow)
        self.board.reserve(bank, out)
        if factor.row_tiles == 1:
            return out
        adders = self.board.component(
            "accumulator", "accumulator", pus, self.hw.pu.digital_modules * len(pus)
        )
        service = accumulator.accumulate(hw, factor, len(pus))
        return self.board.add(f"{label}.sum", name, (adders,), service, [Group(out)], flow)

    def _lanes(
        self,
        weight: Weight,
        factor: Factor,
        kind: str,
        copies: int,
        gang: int,
        pus: tuple[int, ...],
        busy_ps: int,
    ) -> tuple[int, ...]:
        """The copies of a bank (ADC, shift-and-add), or all of them as one that works in step."""
        shadow: tuple[tuple[str, int, float], ...] = ()
        units = factor.arrays * gang
        if kind == "adc" and self.planes == 1:
            shadow = (("shift_add", busy_ps, power_mw(self.hw, "shift_add", units)),)
        short = f"{weight.ops[0].removeprefix(weight.layer + '.')}.{factor.part}.{kind}"
        if gang > 1:
            short += f"x{gang}"
        return tuple(
            self.board.component(
                f"{short}[{copy}]" if copies > 1 else short,
                kind,
                pus,
                units,
                layer=weight.layer,
                shadow=shadow,
                busy_ps=busy_ps,
            )
            for copy in range(copies)
        )

    def _bus_out(
        self,
        label: str,
        name: str,
        factor: Factor,
        source: int,
        parts: int,
        copies: int,
        pus: tuple[int, ...],
        flow: Flow,
    ) -> int:
        bus = self.board.bus("pu_bus", pus)
        size = accumulator.partial_bytes(self.hw, factor.outputs, factor.row_tiles)
        return self.board.add(
            f"{label}.out",
            name,
            (bus,),
            interconnect.transfer(self.hw, "pu_bus", size, len(pus)),
            [Group(source, every=parts)],
            flow,
            places=self._places("output", factor.outputs, copies, pus, flow),
        )

    def _reduce(
        self, name: str, factor: Factor, source: int, pus: tuple[int, ...], flow: Flow
    ) -> int:
        """Add up the partial sums of several PUs over the global bus (HyFlexPIM §3.1)."""
        bus = self.board.bus("global_bus", (self.placement.chip(pus[0]),))
        service = interconnect.transfer(self.hw, "global_bus", self._reduced_bytes(factor, pus))
        return self.board.add(
            f"{name}.{factor.part}.reduce", name, (bus,), service, [Group(source)], flow
        )

    # --- digital modules ------------------------------------------------------------------------

    def _written(self, source: str, pus: tuple[int, ...]) -> int:
        """The step that has written an operand into the NOR arrays of ``pus``."""
        key = ("written", source, pus)
        if key not in self.routes.moved:
            step = self.routes.at(source, pus)
            service = digital_pim.write(self.hw, self.graph.nodes[source]["width"], len(pus))
            self.routes.moved[key] = self._digital(
                f"{source}.write", service, [Group(step)], pus, op=source
            )
        return self.routes.moved[key]

    def _pus(self, op: dict[str, Any]) -> tuple[int, ...]:
        return self.placement.pus[op["layer"]]

    def _digital(
        self,
        name: str,
        service: Service,
        inputs: list[Input],
        pus: tuple[int, ...],
        *,
        op: str | None = None,
        macs: int = 0,
    ) -> int:
        unit = self.board.component(
            "digital", "digital_pim", pus, self.hw.pu.digital_modules * len(pus)
        )
        flow = self.routes.flow(op or name)
        return self.board.add(name, op or name, (unit,), service, inputs, flow, macs_per_size=macs)

    def _places(
        self, side: str, token_bytes: int, copies: int, pus: tuple[int, ...], flow: Flow
    ) -> int | None:
        """Places in an op's buffer; a wave of pairs is larger than that and waits in memory."""
        if flow.axis == "pair":
            return None
        return copies * buffer.places(self.hw, side, token_bytes, len(pus))


def wave_size(graph: nx.DiGraph, placement: Placement) -> int:
    """Pairs that travel together: the copies of the pair network (1 where there is none)."""
    copies = [
        placement.weights[op["weight"]].copies
        for _, op in graph.nodes(data=True)
        if op["kind"] == "gemv" and op["axis"] == "pair"
    ]
    return min(copies, default=1)


def _head_ops(graph: nx.DiGraph) -> set[str]:
    """Ops needed only for sampled tokens: those marked ``head`` and all that follow them."""
    marked = {name for name, head in graph.nodes(data="head") if head}
    return marked.union(*(nx.descendants(graph, name) for name in marked))
