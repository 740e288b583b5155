"""The engine: plays a plan with SimPy processes.

Every component is a process that serves one token at a time (:class:`Server`); every bounded
input buffer is a process that hands places back to those who wait for them
(:class:`InputBuffer`); the host is a process that releases requests. Nobody calls into another
component: a finished token goes into the queue of the next one.

What happens at one instant does not depend on the order of an event list. First every visit
that ends in this picosecond delivers its token; then, when no event of this instant is left,
every idle component decides, in component order, and takes the first token in
(arrival, step, request, token) order whose buffers downstream have places. It reserves them at
once and gives its own place back 1 ps later: a credit that took no time would again depend on
the order of events.

A visit costs one SimPy event. Three things keep it so: a component uses one event object again
and again; a place that nobody waits for is given back by bookkeeping alone; and deciding needs no
event of its own, because it follows the last event of an instant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL, Event

from hyflexsim.sim.deadlock import Blocked, Waiting, report
from hyflexsim.sim.errors import DeadlockError
from hyflexsim.sim.plan import Plan
from hyflexsim.sim.shape import ANSWER, DIRECT, GROUP, STREAM
from hyflexsim.sim.tally import Counter, Tally
from hyflexsim.sim.trace import Keep, Recorder, Trace

Visit = tuple[int, int, int, int]  # (arrival, step, request, token): also the serving order


@dataclass(frozen=True, slots=True)
class Request:
    """An input of ``tokens``, of which ``prefill`` (default: all) are there at ``arrival`` ps."""

    arrival: int
    tokens: int
    prefill: int | None = None


@dataclass(frozen=True)
class Played:
    """What an engine returns: the trace, and per request when it entered, first and last answered.

    ``tally``: exact sums over all visits, whatever part of the trace was kept. Times in ps.
    ``peak_places[s]``: most places taken at once in the input buffer of step s.
    ``peak_requests``: most requests on the chip at once.
    """

    trace: Trace
    tally: Tally
    entered: list[int]
    first_output: list[int]
    finished: list[int]
    peak_places: dict[int, int]
    peak_requests: int


class Clock(simpy.Environment):  # type: ignore[misc]
    """A SimPy environment in which idle components decide when an instant is over."""

    def __init__(self) -> None:
        super().__init__(initial_time=0)
        self.idle: list[Server] = []

    def step(self) -> None:
        """Process one event; if it was the last of its instant, let idle components decide.

        Deciding creates no event at the same instant, so one pass in component order is enough.
        """
        super().step()
        idle = self.idle
        if idle:
            queue = self._queue
            now = self._now
            if not queue or queue[0][0] != now:
                if len(idle) > 1:
                    idle.sort(key=_by_index)
                for server in idle:
                    server.decide(now)
                idle.clear()


def _standing_event(clock: Clock) -> Event:
    """An event that its one owner schedules again and again (re-armed after each processing)."""
    event = Event(clock)
    event._ok, event._value = True, None
    return event


class Server:
    """A component: a process that takes a token, holds it, records it, hands it on."""

    def __init__(self, engine: Engine, index: int) -> None:
        self.engine = engine
        self.index = index
        self.queue: list[Visit] = []
        self.lines: dict[int, Line] = {}
        self.visit: Visit | None = None
        self.started = 0
        self.done = _standing_event(engine.clock)
        engine.clock.process(self.serve())

    def serve(self) -> Generator[Event, None, None]:
        """Sleep until the visit in hand ends, record it, hand the token on, look for the next."""
        engine = self.engine
        clock, recorder, done = engine.clock, engine.recorder, self.done
        rows, limit = recorder.rows, recorder.limit
        while True:
            yield done
            done.callbacks = []
            arrival, step, request, token = self.visit  # type: ignore[misc]
            self.visit = None
            if self.queue:
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
            self.visit = visit
            self.started = now
            length = engine.lengths[step] or engine.length_of(step, visit[3])
            if length.at != now:
                length.see(now)
            length.queued -= 1
            engine.clock.schedule(self.done, NORMAL, self.service_ps(step, visit[2], visit[3]))
            return

    def service_ps(self, step: int, request: int, token: int) -> int:
        """Picoseconds of one visit, at least 1: what a component of your own may override."""
        duration = self.engine.durations[request][step]
        return duration[token] if type(duration) is list else duration  # type: ignore[return-value]


class QueueLength:
    """How long the queue of a component is, and was at most at the end of an instant."""

    __slots__ = ("at", "peak", "queued")

    def __init__(self) -> None:
        self.queued = 0
        self.peak = 0
        self.at = 0

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
        """Reserve for ``visit`` and say True; or put it into the step's line and say False.

        Only the first part of a token asks, since an analog read cannot stop halfway; the others
        stay behind it because a line keeps its order.
        """
        line = server.lines.get(self.step)
        if line is not None and visit is not line.probe:
            line.append(visit)
            return False
        if visit[3] % self.parts == 0:
            for buffer in self.reserves:
                if not buffer.has_place(now):
                    if line is None:
                        line = server.lines[self.step] = Line()
                    line.appendleft(visit)
                    line.probe = None
                    buffer.wait(server, self.step)
                    return False
            for buffer in self.reserves:
                buffer.reserve()
            if self.own is not None:
                self.own.give_back(now)
        if line:
            line.probe = line.popleft()
            heappush(server.queue, line.probe)
        elif line is not None:
            del server.lines[self.step]
        return True


class InputBuffer:
    """A bounded buffer: a process that tells those who wait of a free place, 1 ps later."""

    def __init__(self, engine: Engine, places: int) -> None:
        self.engine = engine
        self.places = places
        self.free = places
        self.freed = 0  # places given back at `freed_at`: seen from the next picosecond on
        self.freed_at = -1
        self.least_free = places
        self.waiting: list[tuple[Server, int]] = []
        self.scheduled = False
        self.credit = _standing_event(engine.clock)
        engine.clock.process(self.serve())

    def serve(self) -> Generator[Event, None, None]:
        """Each time a credit arrives, send the first of every waiting line back to its queue."""
        while True:
            yield self.credit
            self.credit.callbacks = []
            self.scheduled = False
            waiting, self.waiting = self.waiting, []
            for server, step in waiting:
                line = server.lines[step]
                line.probe = line.popleft()
                heappush(server.queue, line.probe)
                self.engine.clock.idle.append(server)

    def has_place(self, now: int) -> bool:
        """Whether a place is free and the news of it has arrived."""
        if self.freed_at < now:
            self.free += self.freed
            self.freed = 0
        return self.free > 0

    def reserve(self) -> None:
        """Take a place; :meth:`has_place` has just said that there is one."""
        self.free -= 1
        self.least_free = min(self.least_free, self.free + self.freed)

    def give_back(self, now: int) -> None:
        """Free a place; others see it from ``now`` + 1 ps on."""
        if self.freed_at < now:
            self.free += self.freed
            self.freed = 0
        self.freed += 1
        self.freed_at = now
        if self.waiting:
            self._send_credit()

    def wait(self, server: Server, step: int) -> None:
        """Wake ``server`` for ``step`` when a place is free."""
        self.waiting.append((server, step))
        if self.freed:
            self._send_credit()

    def _send_credit(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            self.engine.clock.schedule(self.credit, NORMAL, 1)


class Mark:
    """How far a producer's tokens are done without a gap, and how many that has released."""

    __slots__ = ("ahead", "done", "released")

    def __init__(self) -> None:
        self.done = 0
        self.released = 0
        self.ahead: set[int] = set()

    def advance(self, token: int) -> int:
        """Note that ``token`` is done; return the length of the unbroken prefix."""
        if token != self.done:
            self.ahead.add(token)
            return self.done
        self.done += 1
        while self.done in self.ahead:
            self.ahead.remove(self.done)
            self.done += 1
        return self.done


class Engine:
    """One run of a plan; :func:`play` is the door."""

    def __init__(
        self,
        plan: Plan,
        requests: Sequence[Request],
        *,
        window: int | None = None,
        construction: Iterable[int] | None = None,
        progress: Callable[[int], None] | None = None,
        keep: Keep | None = None,
        servers: Mapping[str, type[Server]] | None = None,
    ) -> None:
        self.plan = plan
        self.requests = requests
        self.window = window or len(requests)
        self.progress = progress
        self.clock = Clock()
        self.recorder = Recorder(plan, keep)
        self.counter = Counter(plan, requests)
        count = len(plan.components)
        own = servers or {}
        built = {
            i: own.get(plan.components[i].kind, Server)(self, i)
            for i in (construction or range(count))
        }
        self.servers = [built[i] for i in range(count)]
        self.lanes = [tuple(self.servers[i] for i in step.lanes) for step in plan.steps]
        self.only = [lanes[0] if len(lanes) == 1 else None for lanes in self.lanes]
        self.planes = [step.planes for step in plan.steps]
        self.queues = [QueueLength() for _ in range(count)]
        shown = [step.shown or step.lanes for step in plan.steps]
        self.shown = [tuple(self.queues[i] for i in lanes) for lanes in shown]
        self.lengths = [lanes[0] if len(lanes) == 1 else None for lanes in self.shown]
        self.buffers = {
            i: InputBuffer(self, step.places)
            for i, step in enumerate(plan.steps)
            if step.places is not None
        }
        self.flow = [self._flow(i) for i in range(len(plan.steps))]
        # what a request needs while it is on the chip, by request number
        self.outputs: dict[int, list[list[tuple[Any, ...]]]] = {}
        self.durations: dict[int, list[int | list[int]]] = {}
        self.waits: dict[int, dict[int, bytearray]] = {}
        self.marks: dict[int, list[Mark]] = {}
        self.left: dict[int, int] = {}
        self.entered = [-1] * len(requests)
        self.first_output = [-1] * len(requests)
        self.finished = [-1] * len(requests)
        self.peak_requests = 0
        self.slot: Event | None = None  # what the host waits for when the chip is full
        self.clock.process(self._host())

    def _flow(self, index: int) -> Flow | None:
        step = self.plan.steps[index]
        if step.places is None and not step.reserves:
            return None
        flow = Flow(index, step.parts, self.buffers.get(index))
        flow.reserves = tuple(self.buffers[i] for i in step.reserves)
        return flow

    def run(self) -> Played:
        """Play to the end; raise :class:`DeadlockError` if tokens are left that nothing moves."""
        self.clock.run()
        if min(self.finished, default=0) < 0 or self.left:
            raise DeadlockError(report(self.plan, self.clock.now, *_who_waits(self)))
        self.counter.add(self.recorder.pack())
        return Played(
            trace=self.recorder.finish(),
            tally=self.counter.tally([max(q.peak, q.queued) for q in self.queues]),
            entered=self.entered,
            first_output=self.first_output,
            finished=self.finished,
            peak_places={i: b.places - b.least_free for i, b in self.buffers.items()},
            peak_requests=self.peak_requests,
        )

    def _host(self) -> Generator[Event, None, None]:
        """Release requests at their arrival times, at most ``window`` on the chip at once."""
        for index, request in enumerate(self.requests):
            if request.arrival > self.clock.now:
                yield self.clock.timeout(request.arrival - self.clock.now)
            while len(self.left) >= self.window:
                self.slot = self.clock.event()
                yield self.slot
            self._enter(index, request)

    def _enter(self, index: int, request: Request) -> None:
        shape = self.plan.shape(request.tokens, request.prefill)
        self.entered[index] = self.clock.now
        self.left[index] = shape.visits
        self.peak_requests = max(self.peak_requests, len(self.left))
        self.outputs[index] = shape.outputs
        self.durations[index] = shape.durations
        self.waits[index] = {
            step: bytearray(waits) for step, waits in enumerate(shape.waits) if waits is not None
        }
        self.marks[index] = [Mark() for _ in range(shape.edges)]
        for step, tokens in enumerate(shape.initial):
            for token in tokens:
                self.arrive(step, index, token, self.clock.now)

    def _leave(self, request: int) -> None:
        for table in (self.outputs, self.durations, self.waits, self.marks, self.left):
            del table[request]
        if self.slot is not None and not self.slot.triggered:
            self.slot.succeed()
        if self.progress is not None:
            self.progress(request)

    def arrive(self, step: int, request: int, token: int, now: int) -> None:
        """Queue a token, all of whose inputs are there, at the component that serves it."""
        server = self.only[step]
        if server is None:
            lanes = self.lanes[step]
            server = lanes[token // self.planes[step] % len(lanes)]
        heappush(server.queue, (now, step, request, token))
        length = self.lengths[step] or self.length_of(step, token)
        if length.at != now:
            length.see(now)
        length.queued += 1
        if server.visit is None:
            self.clock.idle.append(server)

    def length_of(self, step: int, token: int) -> QueueLength:
        """Length of the queue that a token of a step stands in, where there are several."""
        shown = self.shown[step]
        return shown[token // self.planes[step] % len(shown)]

    def deliver(self, step: int, request: int, token: int, now: int) -> None:
        """Tell everyone who waits for this token."""
        for output in self.outputs[request][step]:
            kind = output[0]
            if kind == DIRECT:
                self.arrive(output[1], request, token, now)
            elif kind == STREAM:
                self._release(output[1], request, token, now)
            elif kind == GROUP:
                self._deliver_group(output, request, token, now)
            elif kind == ANSWER:
                self._answer(request, now)
            else:
                self._deliver_threshold(output, request, token, now)
        self.left[request] -= 1
        if not self.left[request]:
            self._leave(request)

    def _release(self, step: int, request: int, token: int, now: int) -> None:
        """One input of a token is there; the last one lets it arrive."""
        waits = self.waits[request].get(step)
        if waits is not None:
            waits[token] -= 1
            if waits[token]:
                return
        self.arrive(step, request, token, now)

    def _deliver_group(self, output: tuple[Any, ...], request: int, token: int, now: int) -> None:
        _, step, every, spread, shift, last, count, broadcast = output
        if (token + 1) % every and token != last:
            return
        first = 0 if broadcast else (token // every + shift) * spread
        stop = count if broadcast else min(first + spread, count)
        for released in range(max(first, 0), stop):
            self._release(step, request, released, now)

    def _deliver_threshold(
        self, output: tuple[Any, ...], request: int, token: int, now: int
    ) -> None:
        _, step, need, edge = output
        mark = self.marks[request][edge]
        done = mark.advance(token)
        while mark.released < len(need) and need[mark.released] <= done:
            if need[mark.released]:
                self._release(step, request, mark.released, now)
            mark.released += 1

    def _answer(self, request: int, now: int) -> None:
        if self.first_output[request] < 0:
            self.first_output[request] = now
        self.finished[request] = now


def _by_index(server: Server) -> int:
    return server.index


def _who_waits(engine: Engine) -> tuple[list[Blocked], list[Waiting]]:
    blocked = [
        Blocked(index, step, server.index, *server.lines[step][0][2:])
        for index, buffer in engine.buffers.items()
        for server, step in buffer.waiting
    ]
    waiting = [
        Waiting(request, step, next(n for n, count in enumerate(left) if count))
        for request, waits in engine.waits.items()
        for step, left in waits.items()
        if any(left)
    ]
    return blocked, waiting


def check_order(requests: Sequence[Request]) -> None:
    """Refuse requests that are not in order of arrival."""
    arrivals = [request.arrival for request in requests]
    if arrivals != sorted(arrivals):
        raise ValueError("requests must be in order of arrival")


def play(
    plan: Plan,
    requests: Sequence[Request],
    *,
    window: int | None = None,
    construction: Iterable[int] | None = None,
    progress: Callable[[int], None] | None = None,
    keep: Keep | None = None,
    servers: Mapping[str, type[Server]] | None = None,
) -> Played:
    """Play ``plan`` for ``requests`` (in order of arrival) and return what happened when.

    ``window``: at most so many requests on the chip at once. ``construction``: order in which the
    components are built; it must not matter, and a test shows that it does not. ``progress`` is
    called with the number of each request that leaves. ``keep``: which part of the trace to keep.
    ``servers``: components of your own, by kind: a :class:`Server` whose
    :meth:`~Server.service_ps` depends on what has happened::

        class Refreshed(Server):
            def service_ps(self, step, request, token):
                late = self.engine.clock.now // 10**6 % 8 == 0      # a pause every 8 us
                return super().service_ps(step, request, token) + 500_000 * late

        play(plan, requests, servers={"digital_pim": Refreshed})

    Raises :class:`DeadlockError` when tokens are left that nothing moves.
    """
    check_order(requests)
    return Engine(
        plan,
        requests,
        window=window,
        construction=construction,
        progress=progress,
        keep=keep,
        servers=servers,
    ).run()
