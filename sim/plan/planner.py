"""From placement to plan: every op becomes steps on components, in closed form.

Who serves an op is the chip's (``serves``), how it is served the unit's: a chain of visits, of
transfers between the unit and the memory of results, of sums. Here a chain becomes steps: each
waits for the one before, and one with a buffer lets the last that can wait ask for a place.

Fidelity ``bit`` asks units for bit-planes one by one. Pairs travel in waves: one pair for every
copy of the pair network, so that all copies work in step (``split_pairs`` serves them one by one,
with the same times). How results get from PU to PU is in routes.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.chip import Assignment
from hyflexsim.sim.chip.kind import Part, Unit
from hyflexsim.sim.chip.service import Access, Chain, Hop, Sum, Task, Visit
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.placement.weight import Weight
from hyflexsim.sim.plan.builder import Board, Flow, Input
from hyflexsim.sim.plan.chosen import bias_of, by_head, chooser_of, looking, looks_before
from hyflexsim.sim.plan.plan import Group, Plan, Threshold
from hyflexsim.sim.plan.routes import HOST, Routes, link_service

FIDELITIES = ("token", "bit")


def build_plan(
    graph: nx.DiGraph,
    placement: Placement,
    *,
    fidelity: str = "token",
    generate: bool = False,
    last_logits: bool = False,
    split_pairs: bool = False,
    chunk: int | None = None,
) -> Plan:
    """The plan of ``graph`` on ``placement``.

    ``generate``: the last op's token n is fed back as the first op's token n + 1, so that text is
    generated token by token; needs a causal graph with an op marked ``head``. ``chunk``: tokens of
    a prompt that may be in its layers at once; the next so many follow when these have passed the
    last layer, so that tokens of other requests get in between (chunked prefill: Sarathi-Serve,
    arXiv 2403.02310 §4). ``last_logits``: of a
    prompt, ops marked ``head`` and what follows them run for the last token only: nobody reads
    what the others would say. Raises
    :class:`InputError` for a graph that cannot do so, an unknown fidelity, or an op class that no
    unit of the chip serves.
    """
    if fidelity not in FIDELITIES:
        raise InputError(f"fidelity must be one of {', '.join(FIDELITIES)}; got {fidelity!r}")
    bit = fidelity == "bit"
    return _Builder(graph, placement, bit, generate, split_pairs, last_logits, chunk).build()


@dataclass(frozen=True, slots=True)
class _Where:
    """What a chain's steps have in common: op, PUs, flow, unit; the matrix, if there is one, and
    the copies of its part.
    """

    name: str
    pus: tuple[int, ...]
    flow: Flow
    unit: Unit
    weight: Weight | None = None
    copies: int = 1


class _Builder:
    def __init__(
        self,
        graph: nx.DiGraph,
        placement: Placement,
        bit: bool,
        generate: bool,
        split: bool,
        last_logits: bool,
        chunk: int | None,
    ) -> None:
        self.chunk = chunk
        self.graph = graph
        self.placement = placement
        self.chip = placement.chip
        self.memory = self.chip.unit("results")
        self.bit = bit
        self.split = split
        self.generate = generate
        self.wave = wave_size(graph, placement)
        self.heads = _head_ops(graph) if generate or last_logits else set()
        self.board = Board(graph, placement, self.wave)
        self.routes = Routes(graph, placement, self.board, self.heads)
        self.names = matrix_names(placement)
        self.multiplied: dict[tuple[str, Part, Task], Chain] = {}
        self.shards: set[str] = set()  # ops whose result is spread over the PUs of a group

    def build(self) -> Plan:
        for name in self.placement.order:
            self.routes.ready[name] = self._op(name, self.graph.nodes[name])
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
        deal = self.placement.options.deal
        return Plan(*self.board.finish(), frozenset(sinks), in_turn=deal == "in-turn")

    def _feed_back(self, outputs: list[int]) -> None:
        if not self.graph.graph.get("causal"):
            raise InputError(f"{self.graph.graph['name']} is not causal: it cannot generate text")
        if not self.heads:
            raise InputError(f"{self.graph.graph['name']} has no op marked head to sample from")
        sampled = next(i for i in outputs if self.board.steps[i]["head"])
        for name, op in self.graph.nodes(data=True):
            if op["kind"] == "input" and op["axis"] == "sequence":
                self.board.wait(self.routes.ready[name][0], Group(sampled, lag=1))
                if self.chunk is not None:
                    self._in_chunks(self.routes.ready[name][0], self.chunk)

    def _in_chunks(self, entry: int, chunk: int) -> None:
        """Let so many tokens of a prompt wait until those before have passed the last layer."""
        last = {u for u, v in self.graph.edges if v in self.heads and u not in self.heads}
        for source in sorted(last):
            self.board.wait(entry, Threshold(self.routes.ready[source][0], "chunk", stride=chunk))

    # --- ops -------------------------------------------------------------------------------

    def _op(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        if op["kind"] == "input":
            return self.routes.port(name, "in", [], self.routes.home_of(name)), HOST
        if op["kind"] == "output":
            home = self.routes.ready[self.routes.sources(name)[0][0]][1]
            inputs = self.routes.inputs(name, HOST)
            return self.routes.port(name, "out", inputs, home), HOST
        if op["kind"] == "gemv":
            return self._gemv(name, op)
        return self._served(name, op)

    def _served(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        """An op without a matrix, on the unit that its class is given to."""
        pus = self.placement.pus[op["layer"]]
        if op["kind"] != "lookup" and self._sharded_input(name, pus):
            self.shards.add(name)  # a result made from shards stays spread
        operand = op["multiplies"][0] if op["kind"] == "matmul" else ""
        given = self.chip.served_by(op["kind"], operand)
        unit = self.chip.units[given.unit]
        flow = self.routes.flow(name)
        task = by_head(self._task(op, given, pus), flow)
        chain = self._over_link(unit, unit.kind.serve(unit, task), task)
        self._seat(unit, chain, pus)
        if op["kind"] == "matmul":
            inputs = [
                self.routes.wait(name, source, self._operand(source, unit, given, pus), rule)
                for source, rule in self.routes.sources(name)
            ]
        else:
            inputs = self.routes.inputs(name, pus)
        where = _Where(name, pus, flow, unit)
        inputs = self._chosen_keys(where, self._task(op, given, pus), inputs)
        return self._chain(where, chain, inputs), pus

    def _seat(self, unit: Unit, chain: Chain, pus: tuple[int, ...]) -> None:
        """Give a unit its place in the order of components, before the links that bring inputs."""
        for each in chain:
            if isinstance(each, Visit):
                self.board.unit(unit, each, pus)

    def _task(self, op: dict[str, Any], given: Assignment, pus: tuple[int, ...]) -> Task:
        unit = self.chip.units[given.unit]
        return Task(
            op=op["kind"],
            macs=g.unit_macs(op),
            width=op["width"],
            probabilities=op["kind"] == "matmul" and op["multiplies"][0] == "probabilities",
            format=given.format,
            group=self._group(unit, pus),
            **{key: op[key] for key in ("elements", "heads") if key in op},
        )

    def _operand(self, source: str, unit: Unit, given: Assignment, pus: tuple[int, ...]) -> int:
        """The step after which an operand of a product is where the unit wants it."""
        if self.graph.nodes[source]["kind"] == "softmax":
            return self.routes.at(source, pus)  # streamed past, never stored
        key = ("written", source, unit.name, pus)
        if key not in self.routes.moved:
            step = self.routes.at(source, pus)
            width = self.graph.nodes[source]["width"]
            task = Task("write", width=width, format=given.format, group=self._group(unit, pus))
            where = _Where(source, pus, self.routes.flow(source), unit)
            chain = self._needed(unit.kind.write(unit, task), pus)
            self.routes.moved[key] = self._chain(where, chain, [Group(step)]) if chain else step
        return self.routes.moved[key]

    def _chosen_keys(self, where: _Where, task: Task, inputs: list[Input]) -> list[Input]:
        """Let the unit that chooses keys look at them, where it stands before this op."""
        name, op = where.name, self.graph.nodes[where.name]
        chooser = chooser_of(self.chip, self.graph, name)
        if chooser is None or not looks_before(chooser, op):
            return inputs
        own = replace(task, group=self._group(chooser, where.pus))
        chain = chooser.kind.serve(chooser, own)
        if not chain:
            return inputs
        if chooser.kind.chooses(chooser) == "bias":
            inputs = [*inputs, self._bias(name, where.pus)]
        every = self.routes.flow(name, every_key=True)
        flow = looking(self.graph, chooser, name, every, self.routes.multiplier())
        return [Group(self._chain(_Where(name, where.pus, flow, chooser), chain, inputs))]

    def _bias(self, product: str, pus: tuple[int, ...]) -> Input:
        """How a product waits for the bias that its keys are chosen by."""
        bias = bias_of(self.graph, product)
        assert bias is not None  # who chooses by it has one to look at
        source, rule = bias
        if source not in self.routes.ready:
            raise InputError(f"keys of {product} cannot be chosen by {source}, computed after it")
        return self.routes.wait(product, source, self.routes.at(source, pus), rule)

    def _over_link(self, unit: Unit, chain: Chain, task: Task) -> Chain:
        """Transfers to and from a unit that a link parts from the memory of results.

        A product reads an operand for every multiplication (nothing is kept in the unit).
        """
        if unit is self.memory or self.chip.link(unit.name, self.memory.name) is None:
            return chain
        bits = self.chip.vector_bits
        read = -(-max(task.macs, task.elements) * bits // 8)
        return (Hop(".in", read), *chain, Hop(".out", -(-task.width * bits // 8)))

    # --- matrices --------------------------------------------------------------------------------

    def _gemv(self, name: str, op: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
        weight = self.placement.weights[op["weight"]]
        pus = self.placement.pus[weight.layer]
        given = self.chip.served_by("gemv")
        unit = self.chip.units[given.unit]
        where = _Where(name, pus, self.routes.flow(name), unit, weight)
        task = Task("gemv", width=op["width"], format=given.format, group=self._group(unit, pus))
        fetched = self._fetched(where, given)
        sharded = self._sharded_input(name, pus)
        for position, part in enumerate(weight.parts):
            where = replace(where, copies=weight.part_copies[position])
            gather = sharded and self._gathers(part, unit, pus)
            chain = self._multiplied(unit, part, task)
            if position == 0:
                last = self._first_part(where, op, chain, gather, fetched)
            else:
                inputs: list[Input] = [Group(last)]
                last = self._chain(where, chain, self._gathered(where, part.rows, inputs, gather))
            if sharded and not gather:
                last = self._reduce(where, part, last)
                sharded = False
            else:
                sharded = len(pus) > 1
        if sharded:
            self.shards.add(name)
        return last, pus

    def _multiplied(self, unit: Unit, part: Part, task: Task) -> Chain:
        """What a unit does for a vector and a part; layers that are alike ask for the same."""
        key = (unit.name, part, task)
        if key not in self.multiplied:
            self.multiplied[key] = unit.kind.multiply(unit, part, task, self.bit)
        return self.multiplied[key]

    def _first_part(
        self, where: _Where, op: dict[str, Any], chain: Chain, gather: bool, fetched: list[Input]
    ) -> int:
        """The first part of a matrix; all who read the same input share the transfer to it."""
        if not isinstance(chain[0], Hop):
            inputs = self.routes.inputs(where.name, where.pus)
            inputs = self._gathered(where, op["rows"], inputs, gather)
            return self._chain(where, chain, [*inputs, *fetched])
        sources = self.routes.sources(where.name)
        key = ("feed", tuple(sources), where.pus, where.flow, op["rows"], gather)
        if key not in self.routes.moved:
            inputs = self.routes.inputs(where.name, where.pus)
            inputs = self._gathered(where, op["rows"], inputs, gather)
            self.routes.moved[key] = self._chain(where, chain[:1], inputs)
        return self._chain(where, chain[1:], fetched, after=self.routes.moved[key])

    def _fetched(self, where: _Where, given: Assignment) -> list[Input]:
        """What a matrix waits for whose weights come from another unit, once a request."""
        weight = where.weight
        if weight is None or not given.weights or given.weights == given.unit:
            return []
        key = ("fetched", weight.name)
        if key not in self.routes.moved:
            holder = self.chip.units[given.weights]
            size = weight.cells("bytes")
            stored = Access(".store", size, write=True)
            chain = (*holder.kind.fetch(holder, size), stored)
            fetching = _Where(where.name, where.pus, Flow("single"), holder)
            self.routes.moved[key] = self._chain(fetching, chain, [])
        return [Threshold(self.routes.moved[key], "first")]

    def _sharded_input(self, name: str, pus: tuple[int, ...]) -> bool:
        """Whether an input lies in shards on these PUs (what comes from elsewhere comes whole)."""
        return any(
            u in self.shards and self.routes.ready[u][1] == pus
            for u in self.graph.predecessors(name)
        )

    def _gathers(self, part: Part, unit: Unit, pus: tuple[int, ...]) -> bool:
        """Of two ways to use a vector that lies in shards, the one that moves fewer bytes.

        Gather it, for a matrix split by outputs; or split the matrix by inputs and add up the
        partial sums of the PUs (which HyFlexPIM §3.1 describes).
        """
        gathered = -(-part.rows * self.chip.vector_bits // 8)
        return gathered <= self._reduced_bytes(part, unit, pus)

    def _reduced_bytes(self, part: Part, unit: Unit, pus: tuple[int, ...]) -> int:
        return (len(pus) - 1) * -(-part.outputs * unit.kind.partial_bits(unit) // 8)

    def _gathered(
        self, where: _Where, elements: int, inputs: list[Input], gather: bool
    ) -> list[Input]:
        """Inputs after a vector that lies in shards has been gathered, where that is needed."""
        if not gather:
            return inputs
        return [Group(self._between(where, ".gather", self._bytes(elements), inputs))]

    def _reduce(self, where: _Where, part: Part, source: int) -> int:
        """Add up the partial sums of several PUs on the link between them (HyFlexPIM §3.1)."""
        size = self._reduced_bytes(part, where.unit, where.pus)
        return self._between(where, f".{part.part}.reduce", size, [Group(source)])

    def _between(self, where: _Where, label: str, size: int, inputs: list[Input]) -> int:
        """A transfer among the PUs of a group."""
        link = self.chip.link("pu", "pu") or self.chip.need_link("chip", "chip")
        mesh = link.kind == "mesh"
        ends = where.pus if mesh else (self.placement.chip_of_group(where.pus),)
        bus = self.board.link(link, ends, inside=mesh)
        service = link_service(link, size)
        label = f"{where.name}{label}"
        return self.board.add(label, where.name, (bus,), service, inputs, where.flow, link.name)

    def _bytes(self, elements: int) -> int:
        return -(-elements * self.chip.vector_bits // 8)

    # --- chains ----------------------------------------------------------------------------------

    def _chain(
        self, where: _Where, chain: Chain, inputs: list[Input], after: int | None = None
    ) -> int:
        """Steps of a chain; the first waits for ``inputs`` and the step ``after``; the last one."""
        last, parts, asks = after, 1, after
        for each in self._needed(chain, where.pus):
            waits: list[Input]
            waits = inputs if last is None else [_follow(last, parts, self._parts(where, each))]
            if last is not None and last == after:
                waits = [*waits, *inputs]
            last, parts, rigid = self._link(where, each, waits)
            if asks is not None:
                self.board.reserve(asks, last)
            if not rigid:
                asks = last
        assert last is not None
        return last

    def _needed(self, chain: Chain, pus: tuple[int, ...]) -> Chain:
        """Without accesses that the memory of results does not count; the others to all of it."""
        memory = self.memory
        found: list[Visit | Hop | Sum | Access] = []
        for each in chain:
            if isinstance(each, Access):
                whole = replace(each, group=self._group(memory, pus))
                found += [whole] if memory.kind.access(memory, whole) else []
            else:
                found.append(each)
        return tuple(found)

    def _group(self, unit: Unit, pus: tuple[int, ...]) -> Fraction | int:
        """How many of a unit's places work as one for a layer on ``pus``."""
        return self.placement.share(pus) if unit.where == "pu" else 1

    def _link(
        self,
        where: _Where,
        each: Visit | Hop | Sum | Access,
        inputs: list[Input],
    ) -> tuple[int, int, bool]:
        """One step: its index, its parts a token, whether it is rigid."""
        if isinstance(each, Sum | Access):
            visit, unit = self._elsewhere(where, each)
            there = _Where(where.name, where.pus, where.flow, unit)
            return self._visit(there, visit, each.label, inputs), 1, False
        if isinstance(each, Hop):
            return self._hop(where, each, inputs), 1, False
        step = self._visit(where, each, each.label, inputs)
        return step, self._parts(where, each), each.rigid

    def _elsewhere(self, where: _Where, each: Sum | Access) -> tuple[Visit, Unit]:
        """What another unit does in a chain: it adds partial sums, or reads or writes results."""
        if isinstance(each, Access):
            return _only(self.memory.kind.access(self.memory, each)), self.memory
        unit = self.chip.unit("partial-sums")
        task = Task("partial-sums", macs=each.additions, group=self._group(unit, where.pus))
        return _only(unit.kind.serve(unit, task)), unit

    def _hop(self, where: _Where, hop: Hop, inputs: list[Input]) -> int:
        link = self.chip.need_link(where.unit.name, self.memory.name)
        bus = self.board.link(link, where.pus, inside=True)
        service = link_service(link, hop.size_bytes, width=self.placement.share(where.pus))
        return self.board.add(
            f"{where.name}{hop.label}",
            where.name,
            (bus,),
            service,
            inputs,
            where.flow,
            link.name,
            places=self._places(where, "output", hop.waiting_bytes),
        )

    def _visit(self, where: _Where, visit: Visit, label: str, inputs: list[Input]) -> int:
        lanes = self._lanes(where, visit) if visit.own else ()
        macs, per_size = visit.macs
        return self.board.add(
            f"{where.name}{label}",
            where.name,
            lanes or (self.board.unit(where.unit, visit, where.pus),),
            visit.service,
            inputs,
            where.flow,
            where.unit.name,
            places=self._places(where, "input", visit.waiting_bytes),
            macs=macs,
            macs_per_size=per_size,
            macs_in=visit.macs_in or visit.planes,
            planes=visit.planes,
            split=visit.own and self._splits(where),
        )

    def _splits(self, where: _Where) -> bool:
        return where.flow.axis == "pair" and self.split

    def _parts(self, where: _Where, each: Visit | Hop | Sum | Access) -> int:
        if not isinstance(each, Visit):
            return 1
        return each.planes * (self.wave if each.own and self._splits(where) else 1)

    def _lanes(self, where: _Where, visit: Visit) -> tuple[int, ...]:
        """The copies of a matrix's component, or all of them as one that works in step."""
        weight, pus = where.weight, where.pus
        assert weight is not None
        pairs = where.flow.axis == "pair"
        copies = self.wave if pairs else where.copies
        gang = 1
        if pairs and not self._splits(where):
            gang, copies = copies, 1
        shadow = tuple((s.kind, s.busy_ps, s.power_mw * gang) for s in visit.shadow)
        short = f"{self.names[weight.name]}.{visit.part}"
        if gang > 1:
            short += f"x{gang}"
        return tuple(
            self.board.component(
                f"{short}[{copy}]" if copies > 1 else short,
                visit.kind,
                pus,
                visit.power_mw * gang,
                layer=weight.layer,
                shadow=shadow,
                busy_ps=visit.busy_ps,
            )
            for copy in range(copies)
        )

    def _places(self, where: _Where, side: str, waiting_bytes: int | None) -> int | None:
        """Places in an op's buffer; a wave of pairs is larger than that and waits in memory.

        Every copy of a matrix brings buffers of that size along: it lies in other modules with
        registers of their own, and copies that shared one buffer would wait for each other.
        """
        if waiting_bytes is None or where.flow.axis == "pair" or where.weight is None:
            return None
        memory, pus = self.memory, self.placement.share(where.pus)
        tokens = memory.kind.waiting_tokens(memory, side, waiting_bytes, pus)
        return None if tokens is None else where.copies * tokens


def _only(chain: Chain) -> Visit:
    """The one visit of a unit that adds, reads or writes for another."""
    (visit,) = chain
    assert isinstance(visit, Visit)
    return visit


def _follow(last: int, before: int, now: int) -> Group:
    """How a step with ``now`` parts a token waits for one with ``before``."""
    return Group(last) if now == before else Group(last, every=before, spread=now)


def matrix_names(placement: Placement) -> dict[str, str]:
    """What the components of each matrix are called within its PUs: its op, without the layer.

    Several layers may share PUs; where two of their matrices would be called alike, both keep the
    layer, since each has arrays and converters of its own.
    """
    short = {
        weight.name: weight.op.removeprefix(f"{weight.layer}.")
        for weight in placement.weights.values()
    }
    alike = Counter((placement.pus[w.layer], short[w.name]) for w in placement.weights.values())
    return {
        w.name: short[w.name] if alike[placement.pus[w.layer], short[w.name]] == 1 else w.op
        for w in placement.weights.values()
    }


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
