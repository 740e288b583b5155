"""Plan, shapes and requests as flat tables (table_types.py): what the compiled loop reads."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from hyflexsim.sim.engine.compiled.registers import (
    BITS,
    CLOSED,
    COMING,
    COMPONENTS,
    DIGITS,
    FAN_OUT,
    FREE_NODES,
    HEAP,
    HOST,
    HOST_DUE,
    IDLING,
    NONE,
    PAGE,
    PLACES,
    REGISTERS,
    SESSIONS,
    SHORTEST,
    SLOTS,
    TURN,
)
from hyflexsim.sim.engine.compiled.table_types import (
    BLOCK,
    BUFFER,
    CHANNEL,
    COMPONENT,
    EDGE,
    EVENT,
    GROWING,
    LANE,
    MEMBER,
    NODE,
    OUTPUT,
    REQUEST,
    SESSION,
    SHAPE,
    SLOT,
    STEP,
    TOKEN,
    Tables,
)
from hyflexsim.sim.engine.pages import sampled
from hyflexsim.sim.engine.request import (
    NEVER,
    Host,
    Request,
    arrivals_of,
    check_members,
    first_turns,
)
from hyflexsim.sim.engine.tally import SIZES
from hyflexsim.sim.plan.dealing import turn_of
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.unrolled import STREAM, Output, Shape, pattern_of, shape_of
from hyflexsim.sim.plan.work import Work

FIRST_ROWS = 8192
"""Rows that the growing tables have at first."""


def tables(
    plan: Plan,
    requests: Sequence[Request],
    window: int,
    room: int = FIRST_ROWS,
    deaths: Mapping[int, int] | None = None,
    host: Host | None = None,
) -> Tables:
    """All tables at time zero, before anything has entered; those that grow have ``room`` rows."""
    host = host or Host()
    check_members(plan, host)
    arrivals = arrivals_of(requests, host)
    spoken = any(request.after is not None or request.keeps for request in requests)
    firsts = first_turns(requests)
    shapes, place = on_members(requests, host)
    shape_of_each = [place[_key(request)] for request in requests]
    kept: dict[Hashable, dict[str, Any]] = plan.once("tables", dict)
    if shapes not in kept:
        kept.clear()  # those of the latest run alone: there is no end of sets of lengths
        kept[shapes] = before_any_request(plan, shapes)
    made = kept[shapes]
    made = made | {name: made[name].copy() for name in CHANGING}
    registers = np.zeros(REGISTERS, dtype=np.int64)
    registers[HOST_DUE] = True  # it releases the first requests
    registers[FREE_NODES] = room  # from node 0 on
    registers[COMPONENTS] = len(plan.components)
    registers[HOST] = len(plan.components) + len(made["buffers"])
    registers[PAGE] = host.page or 0
    registers[PLACES] = len(requests) if host.places is None else host.places
    registers[SHORTEST] = host.shortest
    registers[CLOSED] = host.clients is not None
    registers[COMING] = NONE
    registers[SESSIONS] = spoken
    clients, asking = _clients(requests, host)
    begin = [requests[first].arrival for first in firsts[: host.clients or 0]]
    registers[IDLING] = len(begin)
    events = np.zeros(int(registers[HOST]) + 1 + asking, dtype=EVENT)
    events["time"][int(registers[HOST]) + 1 :][: len(begin)] = begin
    registers[FAN_OUT] = made.pop("fan_out") + len(plan.components)
    times = {name: np.full(len(requests), -1, dtype=np.int64) for name in ANSWERS}
    dies = np.full(len(plan.components), NEVER, dtype=np.int64)
    for component, at in (deaths or {}).items():
        dies[component] = at
    return Tables(
        registers=registers,
        dies=dies,
        requests=_requests(plan, requests, shape_of_each, host, arrivals),
        events=events,
        slots=np.zeros(DIGITS * SLOTS, dtype=SLOT),
        bits=np.zeros(BITS, dtype=np.uint64),
        idle=np.zeros((2, len(plan.components) // 64 + 1), dtype=np.uint64),
        nodes=fresh_nodes(room, 0),
        waits=np.zeros(room, dtype=np.uint8),
        marks=np.zeros(room, dtype=np.uint32),
        blocks=np.zeros(room, dtype=BLOCK),
        members=_members(host, window),
        growing=_growing(requests),
        present=_present(len(requests), host, window),
        firsts=np.array([*firsts, 0], dtype=np.uint32)[: len(firsts)],
        sessions=_sessions(requests, host, place) if spoken else np.zeros(1, dtype=SESSION),
        came=np.full(len(requests), NONE, dtype=np.uint32),
        behind=np.zeros(len(requests), dtype=np.uint32),
        refused=np.zeros(len(requests), dtype=bool),
        thinks=np.array([*host.think, 0], dtype=np.int64),
        clients=clients,
        asks=np.full(max(asking, 1), NONE, dtype=np.uint32),
        left=np.zeros(len(requests), dtype=np.uint32),
        **made,
        **times,
    )


ANSWERS = ("entered", "first_output", "finished")
CHANGING = ("channels", "components", "ready", "buffers", "shapes")
"""Tables made from a plan and lengths that the loop writes to: every run has its own."""


def before_any_request(plan: Plan, lengths: Sequence[Length]) -> dict[str, Any]:
    """What follows from a plan and the lengths of requests; and ``fan_out`` over all of them."""
    shapes = [shape_of(plan, *length) for length in lengths]
    members = [member for _, _, member, _, _ in lengths]
    static = plan.once("steps", lambda: _steps(plan))
    steps, outputs = static["steps"].copy(), static["outputs"].copy()
    evaluated = _shapes(plan, shapes, steps)
    evaluated["shapes"]["member"] = members
    always = (evaluated["edges"]["kind"] != STREAM).any(axis=0)
    outputs["group"] = always[outputs["edge"]] if len(always) else 0
    outputs["only"] = (evaluated["waits_at"] == NONE).all(axis=0)[outputs["step"]]
    plain = (steps["outputs"] == 1) & (steps["answers"] == 0) & (steps["prefix"] == NONE)
    first = outputs[steps["output_at"]]
    plain &= (first["group"] == 0) & (first["only"] == 1)
    steps["follower"] = np.where(plain, first["step"], NONE)
    same = evaluated["durations"]
    same = np.where((same == same[:1]).all(axis=0), same.max(axis=0, initial=0), 0)
    steps["ps"] = np.maximum(same, 0)[steps["duration"]]
    most = max((_fan_out(shape, steps, outputs) for shape in shapes), default=0)
    return static | evaluated | {"steps": steps, "outputs": outputs, "fan_out": most}


Length = tuple[int, int, int, Work | None, int]  # tokens, prefill, member, work, held


def _key(request: Request, held: int = 0) -> Hashable:
    """What requests have in common that have one shape on one member; ``held``: by its last turn"""
    prefill = request.tokens if request.prefill is None else request.prefill
    return request.tokens, prefill, request.work, request.model, held or request.held


def _keys(requests: Sequence[Request]) -> dict[Any, None]:
    """Keys of all shapes with which requests may enter, in order."""
    keys = dict.fromkeys(map(_key, requests))
    for request in requests:
        if request.after is not None and requests[request.after].keeps:
            keys[_key(request, requests[request.after].tokens)] = None
    return keys


def on_members(
    requests: Sequence[Request], host: Host
) -> tuple[tuple[Length, ...], dict[Hashable, int]]:
    """Shapes, and where those of a key begin: one for each member that serves its model."""
    shapes: list[Length] = []
    place: dict[Hashable, int] = {}
    for key in _keys(requests):
        tokens, prefill, work, model, held = key
        place[key] = len(shapes)
        shapes += [(tokens, prefill, member, work, held) for member in host.serving[model]]
    return tuple(shapes), place


def _members(host: Host, window: int) -> np.ndarray:
    rows = np.zeros(host.members, dtype=MEMBER)
    rows["first"] = rows["last"] = rows["oldest"] = rows["newest"] = NONE
    rows["window"], rows["memory"] = host.rooms(window), host.memories
    return rows


def _growing(requests: Sequence[Request]) -> np.ndarray:
    rows = np.zeros(len(requests), dtype=GROWING)
    rows["tokens"] = [request.tokens for request in requests]
    rows["length"] = rows["entered"] = [request.prefill or request.tokens for request in requests]
    return rows


def _sessions(requests: Sequence[Request], host: Host, place: Mapping[Hashable, int]) -> np.ndarray:
    rows = np.zeros(len(requests), dtype=SESSION)
    for name in ("before", "after", "begun", "older", "newer"):
        rows[name] = NONE
    rows["keeps"] = [request.keeps and host.page is not None for request in requests]
    for i, request in enumerate(requests):
        if request.after is None:
            continue
        rows[i]["before"], rows[i]["earliest"] = request.after, request.arrival
        rows[request.after]["after"] = i
        if requests[request.after].keeps:
            rows[i]["begun"] = place[_key(request, requests[request.after].tokens)]
    return rows


def _clients(requests: Sequence[Request], host: Host) -> tuple[np.ndarray, int]:
    """Whose each request is, and how many there are: in a closed loop that turns out as it goes;
    else whoever has more than one turn sends these.
    """
    rows, used = np.zeros(len(requests), dtype=np.uint32), 0
    if host.clients is not None:
        return rows, host.clients
    for i, request in enumerate(requests):
        if request.after is None:
            continue
        if requests[request.after].after is None:
            rows[request.after], used = used, used + 1
        rows[i] = rows[request.after]
    return rows, used


def _present(requests: int, host: Host, window: int) -> np.ndarray:
    """Room for the requests on each member; each holds a page at least."""
    most = min(requests, max(host.rooms(window)), max(host.memories)) if host.page else 1
    return np.zeros((host.members, max(most, 1)), dtype=np.uint32)


def fresh_nodes(count: int, first: int) -> np.ndarray:
    """Free nodes number ``first`` ... in a chain."""
    nodes = np.zeros(count, dtype=NODE)
    nodes["next"] = np.arange(first + 1, first + count + 1)
    nodes["next"][-1:] = NONE
    return nodes


def _starts(lengths: Sequence[int]) -> np.ndarray:
    """Where each of several rows begins, put one after the other."""
    return np.concatenate([[0], np.cumsum(lengths)])[: len(lengths)].astype(np.int64)


def _steps(plan: Plan) -> dict[str, np.ndarray]:
    """Tables that depend on the plan alone."""
    steps, pattern = plan.steps, pattern_of(plan)
    buffer_of = {s: i for i, s in enumerate(s for s, x in enumerate(steps) if x.places is not None)}
    channel_of: dict[tuple[int, int], int] = {}
    for i, step in enumerate(steps):
        for lane in step.lanes:
            channel_of.setdefault((i, lane), len(channel_of))
    deciding = np.array([*plan.deciding, 0], dtype=np.uint32)
    rows = np.zeros(len(steps), dtype=STEP)
    for name in ("planes", "parts"):
        rows[name] = [getattr(step, name) for step in steps]
    many: dict[str, list[list[Any]]] = {
        "lane": [[channel_of[i, c] for c in s.lanes] for i, s in enumerate(steps)],
        "reserve": [[buffer_of[i] for i in step.reserves] for step in steps],
        "output": pattern.outputs,
    }
    for name, lists in many.items():
        lengths = [len(each) for each in lists]
        rows[f"{name}s"] = lengths
        rows[f"{name}_at"] = _starts(lengths)
    rows["size"] = [SIZES.index(step.size) for step in steps]
    rows["duration"] = pattern.duration_of
    rows["own"] = [buffer_of.get(i, NONE) for i in range(len(steps))]
    flat = {name: [x for each in lists for x in each] for name, lists in many.items()}
    outputs, prefix = _outputs(flat["output"], rows["outputs"])
    rows["prefix"] = np.where(prefix, pattern.marks + np.cumsum(prefix) - 1, NONE)
    rows["answers"] = [i in plan.outputs for i in range(len(steps))]
    text = sampled(plan)
    rows["sampled"] = [i in text for i in range(len(steps))]
    lanes = np.zeros(len(flat["lane"]), dtype=LANE)
    lanes["channel"] = flat["lane"]
    lanes["server"] = [component for step in steps for component in step.lanes]
    lanes["component"] = deciding[lanes["server"]]
    rows["sequenced"] = [plan.server(step).sequencer is not None for step in steps]
    return {
        "steps": rows,
        "lanes": lanes,
        "reserves": np.array([*flat["reserve"], 0], dtype=np.uint32),
        "outputs": outputs,
        **_channels(plan, list(channel_of), deciding),
        "buffers": _buffers([step.places for step in steps if step.places is not None]),
    }


def _outputs(ends: list[Output], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs of all steps (``counts`` of each), and which steps keep a mark of their prefix."""
    numbers = np.array([*ends, (0, 0, 0)], dtype=np.int64)  # never empty, as everywhere
    rows = np.zeros(len(numbers), dtype=OUTPUT)
    rows["step"], rows["edge"], rows["mark"] = numbers.T
    owner = np.repeat(np.arange(len(counts)), counts)
    prefix = np.bincount(owner, weights=numbers[:-1, 2] >= 0, minlength=len(counts)) > 0
    return rows, prefix


def _channels(
    plan: Plan, channels: list[tuple[int, int]], deciding: np.ndarray
) -> dict[str, np.ndarray]:
    rows = np.zeros(len(channels), dtype=CHANNEL)
    rows["step"], servers = np.array(channels, dtype=np.uint32).reshape(-1, 2).T
    rows["component"] = deciding[servers]
    rows["place"] = np.where(rows["component"] == servers, HEAP, NONE)
    for name in ("head", "tail", "next"):
        rows[name] = NONE
    components = np.zeros(len(plan.components), dtype=COMPONENT)
    sequencers = [component for i, component in enumerate(plan.deciding) if i != component]
    components["state"][sequencers] = TURN
    components["step"][sequencers] = components["request"][sequencers] = NONE
    mine = np.bincount(rows["component"], minlength=len(components))
    components["ready_at"] = _starts(mine.tolist())
    return {
        "channels": rows,
        "components": components,
        "ready": np.zeros(len(channels), dtype=np.uint32),
    }


def _buffers(places: list[int]) -> np.ndarray:
    rows = np.zeros(len(places), dtype=BUFFER)
    rows["free"] = rows["least_free"] = places
    rows["first"] = rows["last"] = NONE
    return rows


def _requests(
    plan: Plan,
    requests: Sequence[Request],
    shape: list[int],
    host: Host,
    arrivals: list[int],
) -> np.ndarray:
    rows = np.zeros(len(requests), dtype=REQUEST)
    rows["arrival"] = arrivals
    rows["shape"] = rows["base"] = shape
    serving = host.serving
    rows["choices"] = [len(serving[request.model]) for request in requests]
    rows["turn"] = host.turns(requests)
    rows["dealt"] = turn_of(plan, np.arange(len(requests)))
    rows["need"] = host.needs if host.memory is not None and host.page is None else 0
    if host.page is not None:
        rows["need"] = [-(-(r.prefill or r.tokens) // host.page) for r in requests]
    rows["block"] = NONE
    return rows


def _shapes(plan: Plan, shapes: list[Shape], steps: np.ndarray) -> dict[str, np.ndarray]:
    """Tables with a row a shape: edges, durations, what tokens wait for."""
    pattern = pattern_of(plan)
    rows = np.zeros(len(shapes), dtype=SHAPE)
    edges = np.zeros((len(shapes), len(pattern.edges)), dtype=EDGE)
    durations = np.zeros((len(shapes), len(pattern.durations)), dtype=np.int64)
    places = np.full((2, len(shapes), len(plan.steps)), NONE, dtype=np.uint32)
    times, needs, templates, initial = Pool(np.int64), Pool(np.int64), Pool(np.uint8), Pool(TOKEN)
    begun = Pool(np.uint32)
    prefix = (steps["prefix"] != NONE).tolist()
    for i, shape in enumerate(shapes):
        for j, edge in enumerate(shape.class_edges):
            at = needs.add(edge.need) if edge.need is not None else 0
            group = (edge.every, edge.spread, edge.broadcast, edge.shift, edge.last)
            edges[i, j] = (edge.kind, *group, edge.here, edge.begin, at)
        for j, time in enumerate(shape.class_durations):
            durations[i, j] = time if isinstance(time, int) else -1 - times.add(time)
        template, first = _waiting(shape, prefix, places[:, i])
        rows[i]["visits"] = shape.visits
        rows[i]["bytes"], rows[i]["template_at"] = len(template), templates.add(template)
        marks = np.zeros(pattern.marks + sum(prefix), dtype=np.uint32)
        marks[pattern.marks :] = np.array(shape.begins, dtype=np.uint32)[prefix]
        rows[i]["marks"], rows[i]["marks_at"] = len(marks), begun.add(marks)
        rows[i]["initial"], rows[i]["initial_at"] = len(first), initial.add(first)
    rows["free_block"] = NONE
    return {
        "shapes": rows,
        "edges": edges,
        "durations": durations,
        "waits_at": places[0],
        "prefix_at": places[1],
        "times": times.array(),
        "needs": needs.array(),
        "templates": templates.array(),
        "begun": begun.array(),
        "initial": initial.array(),
    }


def _waiting(shape: Shape, prefix: list[bool], places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A request's block of `waits` when it enters, and its tokens that wait for nothing.

    ``places`` (2, steps) gets the position of each step's counts, and of its bytes for the prefix.
    """
    blocks, first, used = [], [], 0
    waits_at, prefix_at = [NONE] * len(prefix), [NONE] * len(prefix)
    waits, free = shape.class_waits, shape.class_initial
    bits = [np.zeros(count + 1, dtype=np.uint8) for count in shape.class_counts]
    for i, (kind, count) in enumerate(
        zip(shape.pattern.wait_of, shape.pattern.count_of, strict=True)
    ):
        wait, early = waits[kind], free[kind]
        if wait is not None:
            if len(early):
                tokens = np.empty(len(early), dtype=TOKEN)
                tokens["step"], tokens["token"] = i, early
                first.append(tokens)
            waits_at[i] = used
            blocks.append(wait)
            used += len(wait)
        if prefix[i]:
            prefix_at[i] = used
            blocks.append(bits[count])  # a 0 ends every prefix
            used += len(bits[count])
    places[:] = waits_at, prefix_at
    return (
        np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.uint8),
        np.concatenate(first) if first else np.zeros(0, dtype=TOKEN),
    )


class Pool:
    """Arrays one after the other; one that was added before is not stored again."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.parts: list[np.ndarray] = []
        self.used = 0

    def add(self, part: np.ndarray) -> int:
        """Append an array and return its position."""
        at = self.used
        self.parts.append(part.astype(self.dtype, copy=False))
        self.used += len(part)
        return at

    def array(self) -> np.ndarray:
        """All of them; never empty, so that its first element can be named."""
        return np.concatenate([*self.parts, np.zeros(1, dtype=self.dtype)])


def _fan_out(shape: Shape, steps: np.ndarray, outputs: np.ndarray) -> int:
    """Most tokens that one finished token of this shape may release."""
    each = [
        edge.spread if edge.every and not edge.broadcast else edge.here
        for edge in shape.class_edges
    ]
    owner = np.repeat(np.arange(len(steps)), steps["outputs"])
    released = np.array(each, dtype=np.int64)[outputs["edge"][: len(owner)]]
    return int(np.bincount(owner, weights=released, minlength=1).max())
