"""The compiled engine: plays a plan as machine code, with the same answer as engine.py.

Same trace row by row, same counts and queue peaks, same deadlock report: property tests hold the
two to it. The event loop is in loop.py, its tables in tables.py. Here is what Python does
meanwhile: take full blocks of the trace away, double tables that are full, and say how far the
run is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from hyflexsim.sim.engine.compiled import registers as reg
from hyflexsim.sim.engine.compiled.entering_again import EnteringAgain
from hyflexsim.sim.engine.compiled.machine_code import Kernel
from hyflexsim.sim.engine.compiled.table_types import Tables
from hyflexsim.sim.engine.compiled.tables import FIRST_ROWS, fresh_nodes, tables
from hyflexsim.sim.engine.deadlock import Blocked, Waiting, report
from hyflexsim.sim.engine.request import NEVER, Host, Request
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.tally import Counter
from hyflexsim.sim.engine.trace import BLOCK, DTYPES, Keep, Recorder, Watch
from hyflexsim.sim.errors import DeadlockError
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.unrolled import shape_of

RUN = Kernel(
    "hyflexsim.sim.engine.compiled.loop",
    "run",
    ("loop", "queues", "growing", "sessions", "wheel", "registers", "sums"),
)


def play(
    plan: Plan,
    requests: Sequence[Request],
    *,
    window: int | None = None,
    progress: Callable[[int], None] | None = None,
    keep: Keep | None = None,
    room: int = FIRST_ROWS,
    watch: Watch | None = None,
    deaths: Mapping[int, int] | None = None,
    host: Host | None = None,
) -> Played:
    """Play ``plan`` as :func:`hyflexsim.sim.engine.engine.play` does, some forty times faster.

    ``room``: rows that the growing tables have at first. ``progress`` is told of requests that have
    left once a block of the trace, not at once; ``watch`` is told of the block itself.

    >>> from hyflexsim.sim.plan.plan import Component, Plan, Rate, Step
    >>> step = Step("host", "host", "host_port", "l", lanes=(0,), rate=Rate(fixed=7))
    >>> plan = Plan((step,), (Component("port", "host_port"),), frozenset({0}))
    >>> play(plan, [Request(0, tokens=4)]).finished
    [28]

    Raises :class:`DeadlockError` when tokens are left that nothing moves.
    """
    recorder = Recorder(plan, keep, watch)
    counter = Counter(plan, requests)
    host = host or Host()
    t = tables(plan, requests, window or len(requests), room, deaths, host)
    again = EnteringAgain(plan, requests, host, counter)
    registers = t.registers
    left = int(t.shapes["visits"][t.requests["shape"]].sum())
    told = 0
    while True:
        most = BLOCK if again.happened else min(left, BLOCK)  # who enters again makes more visits
        rows = _fresh_block(most or 1)  # credits may be due when all visits are over
        registers[reg.ROWS] = 0
        reason = RUN(t, rows, counter.sums)
        while reason in (reg.ROOM, reg.SHAPE):
            t = _grown(t) if reason == reg.ROOM else again.shaped(t)
            reason = RUN(t, rows, counter.sums)
        block = tuple(column[: registers[reg.ROWS]] for column in rows)
        left -= len(block[0])
        counter.end_ps = int(block[5][-1]) if len(block[5]) else counter.end_ps
        recorder.add(block)
        if progress is not None:
            for request in t.left[told : registers[reg.LEFT]].tolist():
                progress(request)
        told = int(registers[reg.LEFT])
        if reason == reg.DONE:
            break
    lost = (t.entered < 0) | (t.requests["left"] > 0)
    if registers[reg.LIVE] and not (t.dies == reg.DIED).any():
        stuck = _blocked(plan, t), _waiting(plan, requests, t)
        raise DeadlockError(report(plan, int(registers[reg.NOW]), *stuck))
    t.finished[lost] = -1
    arrived = t.requests["arrival"]
    peak = np.maximum(t.components["peak"], t.components["queued"])
    return Played(
        trace=recorder.finish(),
        tally=counter.tally(peak),
        arrived=np.where(arrived == NEVER, -1, arrived).tolist(),
        entered=t.entered.tolist(),
        first_output=t.first_output.tolist(),
        finished=t.finished.tolist(),
        peak_places=_peak_places(plan, t),
        peak_requests=int(registers[reg.PEAK_LIVE]),
        refused=np.flatnonzero(t.refused).tolist(),
        preemptions=again.all_of(t),
        found=_found(requests, t),
        dropped=np.flatnonzero(t.sessions["kept"] == reg.DROPPED).tolist(),
    )


def _found(requests: Sequence[Request], t: Tables) -> list[int]:
    """Tokens of each request that had keys and values when it first entered."""
    found = np.where(t.entered < 0, 0, [request.held for request in requests])
    taken = np.flatnonzero(t.sessions["kept"] == reg.TAKEN)
    found[t.sessions["after"][taken]] = [requests[before].tokens for before in taken.tolist()]
    each: list[int] = found.tolist()
    return each


def _fresh_block(rows: int) -> tuple[np.ndarray, ...]:
    """Columns of the trace, in one piece of memory: large enough for the system's large pages."""
    widths = [np.dtype(dtype).itemsize for dtype in DTYPES]
    ends = np.cumsum([rows * width for width in reversed(widths)])[::-1]  # int64 first: aligned
    memory = np.empty(int(ends[0]), dtype=np.uint8)
    return tuple(
        memory[end - rows * width : end].view(dtype)
        for end, width, dtype in zip(ends.tolist(), widths, DTYPES, strict=True)
    )


def _grown(t: Tables) -> Tables:
    """The same state with twice the room in every table that is more than half full."""
    registers = t.registers
    initial = int(t.shapes["initial"].max()) + int(registers[reg.COMPONENTS])
    needed = max(int(registers[reg.FAN_OUT]), initial)
    nodes = t.nodes
    if registers[reg.FREE_NODES] < needed + len(nodes) // 2:
        more = fresh_nodes(len(nodes) + needed, len(nodes))
        more["next"][-1] = registers[reg.FREE_NODE]
        registers[reg.FREE_NODE] = len(nodes)
        registers[reg.FREE_NODES] += len(more)
        nodes = np.concatenate([nodes, more])
    return t._replace(
        nodes=nodes,
        waits=_doubled(t.waits, int(registers[reg.BYTES]), int(t.shapes["bytes"].max())),
        marks=_doubled(t.marks, int(registers[reg.MARKS]), int(t.shapes["marks"].max())),
        blocks=_doubled(t.blocks, int(registers[reg.BLOCKS]), 1),
    )


def _doubled(table: np.ndarray, used: int, needed: int) -> np.ndarray:
    if used + needed <= len(table) // 2:
        return table
    return np.concatenate([table, np.zeros(len(table) + needed, dtype=table.dtype)])


# --- what has become of it -----------------------------------------------------------------------


def _buffers(plan: Plan) -> dict[int, int]:
    """Places of every input buffer, by step."""
    return plan.once(
        "buffers", lambda: {i: s.places for i, s in enumerate(plan.steps) if s.places is not None}
    )


def _peak_places(plan: Plan, t: Tables) -> dict[int, int]:
    least = t.buffers["least_free"].tolist()
    buffers = _buffers(plan).items()
    return {step: places - free for (step, places), free in zip(buffers, least, strict=True)}


def _blocked(plan: Plan, t: Tables) -> Iterator[Blocked]:
    for step, first in zip(_buffers(plan), t.buffers["first"].tolist(), strict=True):
        at = first
        while at != reg.NONE:
            channel = t.channels[at]
            token = t.nodes[channel["head"]]
            yield Blocked(
                step,
                int(channel["step"]),
                int(channel["component"]),
                int(token["request"]),
                int(token["token"]),
            )
            at = int(channel["next"])


def _waiting(plan: Plan, requests: Sequence[Request], t: Tables) -> Iterator[Waiting]:
    for request in np.flatnonzero(t.requests["left"] > 0).tolist():
        row, sent = t.requests[request], requests[request]
        member = int(t.shapes[row["shape"]]["member"])
        prefill = None if sent.prefill is None else int(t.growing[request]["entered"])
        counts = shape_of(plan, sent.tokens, prefill, member).counts
        base = int(row["bytes_at"])
        for step, count in enumerate(counts):
            at = int(t.waits_at[row["shape"], step])
            if at != reg.NONE and t.waits[base + at : base + at + count].any():
                left = np.flatnonzero(t.waits[base + at : base + at + count])
                yield Waiting(request, step, int(left[0]))
