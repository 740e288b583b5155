"""Several models on one chip, or behind one dispatcher: placed each on its share, joined, played.

Each model is extracted, placed and planned as if it were alone on its PUs; then plans are joined
(sim/plan/members.py), and so are placements and graphs, with the model's name before each layer, op
and matrix. What a run tells of all of them together it tells of each: ``models`` of summary.json.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.faults import FaultMap
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.placement.memory import table_bytes
from hyflexsim.sim.plan.members import beside, together
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.workloads.run.column_table import Row
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.precision import Streams
from hyflexsim.workloads.run.precision import notes as precision_notes
from hyflexsim.workloads.run.prepare import (
    Limited,
    Planned,
    Prepared,
    check_sessions,
    load_graph,
    load_host,
    load_requests,
    memory_of,
    place_and_plan,
    plan_key,
    think_of,
)
from hyflexsim.workloads.run.run import (
    Result,
    as_precise,
    dead_before,
    played_and_counted,
    timed,
)
from hyflexsim.workloads.run.stream import lost_by, stream
from hyflexsim.workloads.run.stream import notes as stream_notes
from hyflexsim.workloads.run.summary import beyond_positions, bound_by, broken_notes, lost_note
from hyflexsim.workloads.scenario.colocation import Colocation
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.terminal import Say


class Part(NamedTuple):
    """One of the models: its scenario, requests, where it lies, and the memory for its requests."""

    name: str
    scenario: Scenario
    planned: Planned
    requests: list[Request]
    labels: list[str]
    window: int
    limited: Limited | None

    def alone(self) -> Prepared:
        """The model on its share of the PUs with nobody beside it; the plan is the same."""
        graph, placement, plan, _ = self.planned
        host = load_host(self.scenario, len(self.requests))
        return Prepared(
            placement.chip, graph, placement, plan, self.requests, self.labels, self.window, host
        )


class Place(NamedTuple):
    """PUs of a machine, and which of how many machines it is."""

    share: range
    machine: int
    machines: int


class _Same:
    """Things, to compare by whether they are the same ones; held, so that no others are."""

    def __init__(self, things: tuple[tuple[str, Planned], ...]) -> None:
        self._things = things
        self._ids = tuple((name, id(planned.plan)) for name, planned in things)

    def __hash__(self) -> int:
        return hash(self._ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._ids == self._ids


class Ready(NamedTuple):
    """All models together, ready to be played, and each of them."""

    joined: Prepared
    parts: list[Part]


def prepare(colocation: Colocation, kept: Kept | None = None) -> Ready:
    """Everything up to the first event. ``kept``: what earlier runs have made.

    Raises :class:`InputError` for what any of the models refuses, with its name.
    """
    kept = kept or Kept()
    chip = colocation.hardware()
    pus = chip.values.pus * colocation.chip.chips
    places = _places(colocation, pus)
    broken = FaultMap(colocation.broken(), chip, pus * len(colocation.machines()))
    parts = []
    for number, name in enumerate(colocation.models):
        with refused_by_name(name):
            parts.append(_part(name, colocation.alone(name), chip, number, places[name], kept))
    _check_tables(colocation, chip, parts)
    deals = {part.scenario.mapping.deal for part in parts}
    if len(deals) > 1:
        raise InputError(f"{colocation.name}: mapping.deal must be the same for all models")
    return Ready(_joined(colocation, chip, pus, parts, broken, kept), parts)


def _places(colocation: Colocation, pus: int) -> dict[str, Place]:
    """Where each model may be; a machine has so many ``pus``."""
    machines = len(colocation.machines())
    shares = colocation.shares(pus)
    return {n: Place(shares[n], model.chip, machines) for n, model in colocation.models.items()}


def simulate(
    colocation: Colocation,
    *,
    progress: Say | None = None,
    folder: Path | None = None,
    kept: Kept | None = None,
) -> Result:
    """Run all models of a scenario together.

    ``progress``, ``folder``, ``kept``: as in :func:`hyflexsim.workloads.run.run.simulate`.
    """
    seconds: dict[str, float] = {}
    say = progress or (lambda what, done, total: None)
    with timed(seconds, "prepare"):
        say(f"placing {', '.join(colocation.models)}", 0, 0)
        ready = prepare(colocation, kept)
    most = {part.name: len(part.requests) for part in ready.parts}

    def streams_of(joined: Prepared, played: Played, components: Sequence[Row]) -> Streams:
        for number, part in enumerate(_of_parts(ready.parts, joined)):
            own = _of(played, _numbers(joined, number))
            answered = len(own.lost) < len(own.finished)
            yield _streamed(part, joined, own, components)["stream"] if answered else None

    joined = as_precise(colocation, ready.joined, streams_of, seconds, say)
    parts = _of_parts(ready.parts, joined)
    result = played_and_counted(colocation, joined, seconds, say, folder=folder)
    told = {part.name: _told(part, number, joined, result) for number, part in enumerate(parts)}
    result.summary["models"] = told
    result.summary["notes"] += _idle_deaths(joined)
    result.summary["notes"] += [
        f"{part.name}: {note}"
        for model, part in enumerate(parts)
        for note in _notes(part, model, told[part.name], joined, most[part.name])
    ]
    return result


def _idle_deaths(joined: Prepared) -> list[str]:
    """Deaths that change nothing: those of PUs that hold nothing."""
    used = {pu for group in joined.placement.groups() for pu in group}
    idle = [f"faults.deaths.pu{pu}" for pu in joined.placement.faults.deaths if pu not in used]
    return [f"without effect in this run: {', '.join(idle)}"] if idle else []


def _of_parts(parts: Sequence[Part], joined: Prepared) -> list[Part]:
    """The models with those of their requests that there are among the joined ones, the first."""
    counts = Counter(request.model for request in joined.requests)
    return [
        part._replace(requests=part.requests[: counts[i]], labels=part.labels[: counts[i]])
        for i, part in enumerate(parts)
    ]


def _notes(part: Part, model: int, told: dict[str, Any], joined: Prepared, most: int) -> list[str]:
    ready = replace(joined, requests=part.requests)
    return [
        *beyond_positions(part.planned.graph, part.requests),
        *stream_notes(ready, told),
        *lost_note(ready, told["lost_by"]["death"], _deaths(model, joined)),
        *broken_notes(part.planned.placement),
        *precision_notes(part.scenario, told["stream"], len(part.requests), most),
    ]


@contextmanager
def refused_by_name(name: str) -> Iterator[None]:
    """What is refused here is refused with the model's name."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"models.{name}: {error}") from None


def _part(name: str, scenario: Scenario, chip: Chip, model: int, place: Place, kept: Kept) -> Part:
    graph = kept.once("graph", scenario.model.model_dump_json(), lambda: load_graph(scenario))
    requests, labels = load_requests(scenario, graph)
    lengths = [request.tokens for request in requests]
    usual, longest = -(-sum(lengths) // len(lengths)), max(lengths)
    planned = kept.once(
        "plan",
        (id(graph), place, plan_key(scenario, usual, longest)),
        lambda: place_and_plan(scenario, graph, chip, usual, longest, *place),
    )
    check_sessions(requests, planned.plan)
    window, limited = planned.window, memory_of(scenario, graph, planned.placement, lengths)
    if limited is not None:
        window = len(requests)
    if scenario.run.window is not None:
        window = min(window, scenario.run.window)
    requests = [replace(request, model=model) for request in requests]
    labels = [f"{name}/{label}" if label else name for label in labels]
    return Part(name, scenario, planned, requests, labels, window, limited)


def _check_tables(colocation: Colocation, chip: Chip, parts: list[Part]) -> None:
    """Embedding tables of all models of a machine, where they lie in a memory outside of PUs."""
    for number, names in enumerate(colocation.machines()):
        graphs = [part.planned.graph for part in parts if part.name in names]
        tables = sum(sum(table_bytes(graph, chip).values()) for graph in graphs)
        if not tables or chip.unit("lookup").where == "pu":
            continue
        holder = chip.unit("lookup")
        room = colocation.chip.chips * holder.kind.memory_bytes(holder)
        if tables > room:
            raise CapacityError(
                f"{colocation.name}: tables of {', '.join(names)} take {tables} bytes; "
                f"{holder.name} of chip {number} holds {room}: {tables - room} short"
            )


# --- joined --------------------------------------------------------------------------------------


def _joined(
    colocation: Colocation,
    chip: Chip,
    pus: int,
    parts: list[Part],
    broken: FaultMap,
    kept: Kept,
) -> Prepared:
    machines = [[part for part in parts if part.name in names] for names in colocation.machines()]
    inside = [part for machine in machines for part in machine]  # in order of members
    replicas, count = colocation.host.replicas, len(parts)
    order = sorted(
        ((model, i) for model, part in enumerate(parts) for i in range(len(part.requests))),
        key=lambda place: (parts[place[0]].requests[place[1]].arrival, place),
    )
    memories = [part.limited.memory for part in inside if part.limited]
    needs = [part.limited.needs if part.limited else [] for part in parts]
    host = replace(
        load_host(parts[0].scenario, len(parts[0].requests)),  # queue, dispatcher, clients of one
        members=count * replicas,
        memory=memories * replicas or None,
        needs=[needs[model][i] for model, i in order if needs[model]],
        models=[[inside.index(part) + count * k for k in range(replicas)] for part in parts],
        windows=[part.window for part in inside] * replicas,
        page=colocation.host.page if colocation.host.admission == "paged" else None,
        think=_thinks(parts, order),
    )

    def joined() -> Plan:
        plans = [_machine(machine, pus * number) for number, machine in enumerate(machines)]
        return replace(beside(plans * replicas), replicas=replicas)

    own = tuple((part.name, part.planned) for part in inside)
    places = tuple(colocation.models[part.name].chip for part in inside)
    plan = kept.once("joined", (_Same(own), places, replicas), joined)
    return Prepared(
        chip=chip,
        graph=_graph(parts),
        placement=_placement(colocation, pus, parts, broken),
        plan=plan,
        requests=_numbered(parts, order),
        labels=[parts[model].labels[i] for model, i in order],
        window=max(part.window for part in parts),
        host=host,
    )


def _thinks(parts: Sequence[Part], order: Sequence[tuple[int, int]]) -> list[int]:
    """ps from the answer of each request of all models to the next turn; empty: nobody waits."""
    thinks = [think_of(part.scenario, len(part.requests)) for part in parts]
    return [thinks[model][i] if thinks[model] else 1 for model, i in order] if any(thinks) else []


def _numbered(parts: Sequence[Part], order: Sequence[tuple[int, int]]) -> list[Request]:
    """The requests of all models in order, as which each next turn has the number before it."""
    place = {each: number for number, each in enumerate(order)}
    requests = []
    for model, i in order:
        request = parts[model].requests[i]
        if request.after is not None:
            request = replace(request, after=place[model, request.after])
        requests.append(request)
    return requests


def _machine(parts: Sequence[Part], first: int) -> Plan:
    """The plan of one machine, whose first PU has the number ``first`` among all."""
    plan = together([part.planned.plan for part in parts], [part.name for part in parts])
    numbered = (replace(c, pu=c.pu + first if c.pu >= 0 else c.pu) for c in plan.components)
    return replace(plan, components=tuple(numbered))


def _graph(parts: Sequence[Part]) -> nx.DiGraph:
    """The graphs of all, side by side."""
    notes = [f"{p.name}: {note}" for p in parts for note in p.planned.graph.graph.get("notes", ())]
    names = " + ".join(part.planned.graph.graph["name"] for part in parts)
    joined = nx.DiGraph(name=names, notes=notes)
    for part in parts:
        own = nx.relabel_nodes(part.planned.graph, lambda op, name=part.name: f"{name}/{op}")
        for op, attributes in own.nodes(data=True):
            joined.add_node(op, **attributes | {"layer": f"{part.name}/{attributes['layer']}"})
        joined.add_edges_from(own.edges(data=True))
    return joined


def _placement(
    colocation: Colocation, pus: int, parts: Sequence[Part], broken: FaultMap
) -> Placement:
    """The placements of all, PUs numbered through the machines.

    Spare arrays are told of by each model, which may have as many as it likes.
    """
    placed: dict[str, tuple[int, ...]] = {}
    weights, order, extents = {}, [], {}
    for part in parts:
        name, placement = part.name, part.planned.placement
        first = pus * colocation.models[name].chip
        for layer, group in placement.pus.items():
            placed[f"{name}/{layer}"] = tuple(pu + first for pu in group)
        for group, extent in placement.extents.items():
            extents[tuple(pu + first for pu in group)] = extent
        for key, weight in placement.weights.items():
            weights[f"{name}/{key}"] = replace(
                weight,
                name=f"{name}/{key}",
                layer=f"{name}/{weight.layer}",
                ops=tuple(f"{name}/{op}" for op in weight.ops),
            )
        order += [f"{name}/{op}" for op in placement.order]
    options = parts[0].planned.placement.options
    chip = broken.chip
    chips = broken.pus // chip.values.pus
    options = replace(options, chips=chips, share=None, spare_arrays=0, machine=0, machines=1)
    return Placement(chip, options, placed, weights, tuple(order), broken, extents)


# --- told ----------------------------------------------------------------------------------------


def _told(part: Part, model: int, joined: Prepared, result: Result) -> dict[str, Any]:
    """What summary.json says of one model: as of a run, but for what it shares with others."""
    numbers = _numbers(joined, model)
    played = _of(result.played, numbers)
    finished = np.array(played.finished)
    latency = (finished - np.array(played.arrived))[finished >= 0]
    mine = set(numbers)
    rows = [row for row in result.tables["requests"] if row["request"] in mine]
    count = len(rows)
    if not count:
        with refused_by_name(part.name):
            raise dead_before(joined.plan, _deaths(model, joined))
    p50, p95, p99 = (round(float(q)) for q in np.quantile(latency, (0.5, 0.95, 0.99)))
    return {
        "model": part.planned.graph.graph["name"],
        "pus_used": len({pu for group in part.planned.placement.pus.values() for pu in group}),
        "requests": count,
        "lost": len(played.lost),
        "lost_by": lost_by(played),
        "tokens": sum(int(row["tokens"]) for row in rows),
        "latency_ps": {
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "mean": round(float(latency.mean())),
            "max": int(latency.max()),
        },
        "throughput_per_s": count / (max(played.tally.end_ps, 1) * 1e-12),
        "energy_per_request_pj": sum(float(row["energy_pj"]) for row in rows) / count,
        **_streamed(part, joined, played, result.tables["components"]),
    }


def _streamed(
    part: Part, joined: Prepared, played: Played, components: Sequence[Row]
) -> dict[str, Any]:
    """What holds a model up among the components that are its alone, those of its PUs, and its
    stream; ``played``: of its requests.
    """
    layers = tuple(f"{part.name}/{layer}" for layer in part.planned.placement.pus)
    own = [row for row in components if str(row["layer"]).startswith(layers)]
    bound = bound_by(joined.chip, own)
    ready = replace(joined, requests=part.requests, labels=part.labels)
    return {"bound": bound, "stream": stream(part.scenario, ready, played, bound["utilisation"])}


def _deaths(model: int, joined: Prepared) -> dict[int, int]:
    """Components of a model that die, and when (ps)."""
    members = joined.host.models[model]
    own = {lane for step in joined.plan.steps if step.member in members for lane in step.lanes}
    return {component: at for component, at in joined.deaths.items() if component in own}


def _numbers(joined: Prepared, model: int) -> list[int]:
    """Numbers of a model's requests among all."""
    return [i for i, request in enumerate(joined.requests) if request.model == model]


def _of(played: Played, numbers: Sequence[int]) -> Played:
    """What was played, of some of the requests, which are numbered anew."""
    place = {number: i for i, number in enumerate(numbers)}
    return replace(
        played,
        arrived=[played.arrived[number] for number in numbers],
        entered=[played.entered[number] for number in numbers],
        first_output=[played.first_output[number] for number in numbers],
        finished=[played.finished[number] for number in numbers],
        refused=[place[number] for number in played.refused if number in place],
        preemptions=[(place[i], a, b) for i, a, b in played.preemptions if i in place],
        found=[played.found[number] for number in numbers],
        dropped=[place[number] for number in played.dropped if number in place],
    )
