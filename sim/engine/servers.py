"""The processes of the SimPy engine: components that serve, buffers that hand places back.

Nobody calls into another component: a server asks buffers for places, and what it has finished
goes through the engine (engine.py) into the queue of the next one. Only a sequencer tells others
when to serve: those of its PU group, which take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from heapq import heappop, heappush
from typing import Any, Protocol

import simpy
from simpy.events import NORMAL, Event

from hyflexsim.sim.engine.request import NEVER
from hyflexsim.sim.plan.dealing import lane_of

Visit = tuple[int, int, int, int]  # (arrival, step, request, token): also the serving order


def standing_event(clock: simpy.Environment) -> Event:
    """An event that its one owner schedules again and again (re-armed after each processing)."""
    event = Event(clock)
    event._ok, event._value = True, None
    return event


class Run(Protocol):
    """What a server sees of the run it is part of (the engine)."""

    clock: Any  # a simpy.Environment with a list `idle` of servers that have to decide
    recorder: Any
    counter: Any
    flow: list[Flow | None]
    lengths: list[QueueLength | None]
    turns: list[int]  # of requests: where the dealing of their tokens begins
    host: Any  # knows in which order requests came
    durations: dict[int, list[int | list[int]]]
    plan: Any  # a Plan
    servers: list[Any]  # of its components
    deaths: Mapping[int, int]

    def length_of(self, step: int, request: int, token: int) -> QueueLength:
        """The queue that a token of a step stands in."""

    def deliver(self, step: int, request: int, token: int, now: int) -> None:
        """Tell everyone who waits for this token."""


class Server:
    """A component: a process that takes a token, holds it, records it, hands it on."""

    def __init__(self, engine: Run, index: int) -> None:
        self.engine = engine
        self.index = index
        self.queue: list[Visit] = []
        self.lines: dict[int, Line] = {}
        self.visit: Visit | None = None
        self.started: int  # of the visit in hand
        self.sequencer: Sequencer | None = None
        self.dies = engine.deaths.get(index, NEVER)
        self.done = standing_event(engine.clock)
        engine.clock.process(self.serve())

    def serve(self) -> Generator[Event, None, None]:
        """Sleep until the visit in hand ends, record it, hand the token on, look for the next."""
        engine = self.engine
        clock, recorder, done = engine.clock, engine.recorder, self.done
        rows, limit = recorder.rows, recorder.limit
        sequencer = self.sequencer
        while True:
            yield done
            done.callbacks = []
            arrival, step, request, token = self.visit  # type: ignore[misc]
            self.visit = None
            if sequencer is not None:
                sequencer.ended()
            elif self.queue:
                clock.idle.append(self)
            now = clock.now
            rows.extend((step, request, token, arrival, self.started, now))
            if len(rows) >= limit:
                engine.counter.add(recorder.pack())
            engine.deliver(step, request, token, now)

    def decide(self, now: int) -> None:
        """Start the first token in order whose buffers downstream have places."""
        if self.visit is not None:
            return
        engine = self.engine
        queue = self.queue
        while queue:
            visit = heappop(queue)
            step = visit[1]
            flow = engine.flow[step]
            if flow is not None and not flow.passes(self, visit, now):
                continue
            self.start(visit, now)
            return

    def start(self, visit: Visit, now: int) -> None:
        """Begin a visit that has its places."""
        engine = self.engine
        _, step, request, token = visit
        self.visit = visit
        self.started = now
        length = engine.lengths[step] or engine.length_of(step, request, token)
        if length.at != now:
            length.see(now)
        length.queued -= 1
        service = self.service_ps(step, request, token)
        if now + service <= self.dies:  # else it never ends
            engine.clock.schedule(self.done, NORMAL, service)

    def retry(self, step: int) -> None:
        """A buffer that ``step`` waits for has a place: the first of its line may try again."""
        line = self.lines[step]
        line.probe = line.popleft()
        heappush(self.queue, line.probe)

    def waiting(self, step: int) -> Visit:
        """The first of the line of ``step``."""
        return self.lines[step][0]

    def service_ps(self, step: int, request: int, token: int) -> int:
        """Picoseconds of one visit, at least 1: what a component of your own may override."""
        duration = self.engine.durations[request][step]
        return duration[token] if type(duration) is list else duration  # type: ignore[return-value]


class Sequencer:
    """Decides for the components that take turns under it; serves nothing itself.

    At any time one step has the turn. Each of its lanes serves one token; when all have ended, the
    sequencer decides anew, among the tokens that are first in line at a lane for a step: the
    request that had the turn goes on as long as it can, and with it the step that had it; then
    the first by (request, arrival, step, token), requests in the order in which they came. The
    first that has its places gives its step the turn, and the other lanes of that step take the
    first in their lines along, lane by lane from there on. So a request's tokens go through a step
    together, and the request leaves the group before the next one walks through it: requests that
    come together are in several groups at once.
    """

    def __init__(self, engine: Run, index: int) -> None:
        self.engine = engine
        self.index = index
        self.queue: list[Visit] = []  # what has come since the last decision
        self.lines: dict[tuple[int, int], deque[Visit]] = {}  # by step and lane; none is empty
        self.held: set[tuple[int, int]] = set()  # lines whose first waits for a place
        self.visit: Visit | None = None  # one of those served
        self.serving = 0
        self.turn: tuple[int, int] | tuple[None, None] = (None, None)  # step and request

    def ended(self) -> None:
        """One of the visits has ended; after the last, decide again."""
        self.serving -= 1
        if not self.serving:
            self.visit = None
            if self.queue or self.lines:
                self.engine.clock.idle.append(self)

    def decide(self, now: int) -> None:
        """Give the turn to the step of the first token in order that has its places."""
        if self.visit is not None:
            return
        self._line_up()
        ready = [line for line in self.lines if line not in self.held]
        for step, lane in sorted(ready, key=self._rank):
            if self._starts(step, lane, now):
                lanes = len(self.engine.plan.steps[step].lanes)
                for other in range(lane + 1, lane + lanes):
                    self._starts(step, other % lanes, now)
                return

    def _line_up(self) -> None:
        steps, turns = self.engine.plan.steps, self.engine.turns
        while self.queue:
            visit = heappop(self.queue)
            _, step, request, token = visit
            lane = lane_of(steps[step], token, turns[request])
            self.lines.setdefault((step, lane), deque()).append(visit)

    def _rank(self, line: tuple[int, int]) -> tuple[bool, bool, int, int, int, int]:
        arrival, step, request, token = self.lines[line][0]
        goes_on = (step, request) == self.turn
        came = self.engine.host.came[request]
        return (request != self.turn[1], not goes_on, came, arrival, step, token)

    def _starts(self, step: int, lane: int, now: int) -> bool:
        """Start the first token of a line, if there is one that has its places."""
        engine, line = self.engine, (step, lane)
        if line not in self.lines or line in self.held:
            return False
        visit = self.lines[line][0]
        flow = engine.flow[step]
        full = None if flow is None else flow.full(visit, now)
        if full is not None:
            self.held.add(line)
            full.wait(self, line)
            return False
        self.lines[line].popleft()
        if not self.lines[line]:
            del self.lines[line]
        if self.visit is None:
            self.visit, self.turn = visit, (step, visit[2])
        self.serving += 1
        engine.servers[engine.plan.steps[step].lanes[lane]].start(visit, now)
        return True

    def retry(self, line: tuple[int, int]) -> None:
        """A buffer that a line waits for has a place."""
        self.held.discard(line)

    def waiting(self, line: tuple[int, int]) -> Visit:
        """The first of a line."""
        return self.lines[line][0]


class QueueLength:
    """How long the queue of a component is, and was at most at the end of an instant."""

    __slots__ = ("at", "peak", "queued")

    def __init__(self) -> None:
        self.queued = 0
        self.peak = 0
        self.at: int | None = None

    def see(self, now: int) -> None:
        """An instant is over: what is queued now has been queued."""
        self.peak = max(self.peak, self.queued)
        self.at = now


class Line(deque[Visit]):
    """Visits of one step that wait for a place, in order; ``probe``, the first, is in the queue."""

    probe: Visit | None = None


class Flow:
    """Flow control of one step: places to reserve downstream, a place of its own to give back."""

    def __init__(self, step: int, parts: int, own: InputBuffer | None) -> None:
        self.step = step
        self.parts = parts
        self.own = own
        self.reserves: tuple[InputBuffer, ...] = ()

    def passes(self, server: Server, visit: Visit, now: int) -> bool:
        """Reserve for ``visit`` and say True; or put it into the step's line and say False."""
        line = server.lines.get(self.step)
        if line is not None and visit is not line.probe:
            line.append(visit)
            return False
        full = self.full(visit, now)
        if full is not None:
            if line is None:
                line = server.lines[self.step] = Line()
            line.appendleft(visit)
            line.probe = None
            full.wait(server, self.step)
            return False
        if line:
            line.probe = line.popleft()
            heappush(server.queue, line.probe)
        elif line is not None:
            del server.lines[self.step]
        return True

    def full(self, visit: Visit, now: int) -> InputBuffer | None:
        """A buffer that has no place for ``visit``; or reserve in all, give back one's own, None.

        Only the first part of a token asks, since an analog read cannot stop halfway; the others
        stay behind it because a line keeps its order.
        """
        if visit[3] % self.parts:
            return None
        for buffer in self.reserves:
            if not buffer.has_place(now):
                return buffer
        for buffer in self.reserves:
            buffer.reserve()
        if self.own is not None:
            self.own.give_back(now)
        return None


class InputBuffer:
    """A bounded buffer: a process that tells those who wait of a free place, 1 ps later."""

    def __init__(self, engine: Run, places: int) -> None:
        self.engine = engine
        self.places = places
        self.free = places
        self.freed = 0  # places given back at `freed_at`: seen from the next picosecond on
        self.freed_at: int | None = None
        self.least_free = places
        self.waiting: list[tuple[Any, Any]] = []  # a server or sequencer, a line of its own
        self.credit = standing_event(engine.clock)
        engine.clock.process(self.serve())

    def serve(self) -> Generator[Event, None, None]:
        """Each time a credit arrives, send the first of every waiting line back to its queue."""
        while True:
            yield self.credit
            self.credit.callbacks = []
            waiting, self.waiting = self.waiting, []
            for server, line in waiting:
                server.retry(line)
                self.engine.clock.idle.append(server)

    def has_place(self, now: int) -> bool:
        """Whether a place is free and the news of it has arrived."""
        self._see_credits(now)
        return self.free > 0

    def reserve(self) -> None:
        """Take a place; :meth:`has_place` has just said that there is one."""
        self.free -= 1
        self.least_free = min(self.least_free, self.free + self.freed)

    def give_back(self, now: int) -> None:
        """Free a place; others see it from ``now`` + 1 ps on."""
        self._see_credits(now)
        self.freed += 1
        self.freed_at = now
        if self.waiting:
            self._send_credit()

    def wait(self, server: Server | Sequencer, line: int | tuple[int, int]) -> None:
        """Wake ``server`` for one of its lines when a place is free."""
        self.waiting.append((server, line))
        if self.freed:
            self._send_credit()

    def _see_credits(self, now: int) -> None:
        """Places given back before this instant are free."""
        if self.freed_at != now:
            self.free += self.freed
            self.freed = 0

    def _send_credit(self) -> None:
        """Several for one instant do no more than one: after the first nobody waits."""
        self.engine.clock.schedule(self.credit, NORMAL, 1)
