"""The engine: plays a plan with SimPy processes.

Every component is a process that serves one token at a time; every bounded input buffer is a
process that hands places back to those who wait for them (both in servers.py); the host is a
process that releases requests (host.py). Nobody calls into another component: a finished token goes
into the queue of the next one.

What happens at one instant does not depend on the order of an event list. First every visit
that ends in this picosecond delivers its token; then, when no event of this instant is left,
every idle component decides, in component order, and takes the first token in
(arrival, step, request, token) order whose buffers downstream have places. It reserves them at
once and gives its own place back 1 ps later: a credit that took no time would again depend on
the order of events. Components of a sequencer do not decide: it does, for all of them, when none
serves (:class:`~hyflexsim.sim.engine.servers.Sequencer`).

A visit costs one SimPy event. Three things keep it so: a component uses one event object again
and again; a place that nobody waits for is given back by bookkeeping alone; and deciding needs no
event of its own, because it follows the last event of an instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappush
from typing import Any

import simpy

from hyflexsim.sim.engine.deadlock import Blocked, Waiting, report
from hyflexsim.sim.engine.host import HostProcess
from hyflexsim.sim.engine.pages import sampled
from hyflexsim.sim.engine.request import NEVER, Host, Request, check_members
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.servers import Flow, InputBuffer, QueueLength, Sequencer, Server
from hyflexsim.sim.engine.tally import Counter
from hyflexsim.sim.engine.trace import Keep, Recorder, Watch
from hyflexsim.sim.errors import DeadlockError
from hyflexsim.sim.plan.dealing import lane_of, turn_of
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.unrolled import ANSWER, DIRECT, GROUP, STREAM, shape_of


class Clock(simpy.Environment):  # type: ignore[misc]
    """A SimPy environment in which idle components decide when an instant is over."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: list[Server | Sequencer] = []
        self.host: HostProcess | None = None
        self.due = False  # the host has to decide

    def step(self) -> None:
        """Process one event; if it was the last of its instant, let the host and components decide.

        Deciding creates no event at the same instant, so one pass in component order is enough.
        """
        super().step()
        idle = self.idle
        if idle or self.due:
            queue = self._queue
            now = self._now
            if not queue or queue[0][0] != now:
                if self.due and self.host is not None:
                    self.due = False
                    self.host.decide(now)
                idle.sort(key=_by_index)
                for server in idle:
                    server.decide(now)
                idle.clear()


class Mark:
    """How far a producer's tokens are done without a gap, and how many that has released."""

    __slots__ = ("ahead", "done", "released")

    def __init__(self, done: int) -> None:
        self.done = done
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
        watch: Watch | None = None,
        deaths: Mapping[int, int] | None = None,
        host: Host | None = None,
    ) -> None:
        self.plan = plan
        self.deaths = deaths or {}
        self.requests = requests
        self.window = window or len(requests)
        self.progress = progress
        self.clock = Clock()
        self.recorder = Recorder(plan, keep, watch)
        self.counter = Counter(plan, requests)
        count = len(plan.components)
        own = servers or {}
        deciding = plan.deciding
        sequencers = {j for i, j in enumerate(deciding) if i != j}
        built: dict[int, Any] = {
            i: Sequencer(self, i)
            if i in sequencers
            else own.get(plan.components[i].kind, Server)(self, i)
            for i in (construction or range(count))
        }
        self.servers = [built[i] for i in range(count)]
        for i, j in enumerate(deciding):
            if i != j:
                built[i].sequencer = built[j]
        self.lanes = [tuple(built[deciding[i]] for i in step.lanes) for step in plan.steps]
        self.only = [lanes[0] if len(set(lanes)) == 1 else None for lanes in self.lanes]
        self.turns = [turn_of(plan, request) for request in range(len(requests))]
        self.queues = [QueueLength() for _ in range(count)]
        self.queue_of = [tuple(self.queues[i] for i in step.lanes) for step in plan.steps]
        self.lengths = [lanes[0] if len(lanes) == 1 else None for lanes in self.queue_of]
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
        self.held: dict[int, tuple[int, int]] = {}  # step and token that is to be fed back
        self.entered = [-1] * len(requests)
        self.first_output = [-1] * len(requests)
        self.finished = [-1] * len(requests)
        self.peak_requests = 0
        host = host or Host()
        check_members(plan, host)
        self.sampled = set() if host.page is None else sampled(plan)
        self.host = HostProcess(self, requests, host)

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
        if self.left and not any(self._died(server) for server in self.servers):
            raise DeadlockError(report(self.plan, self.clock.now, *_who_waits(self)))
        for request in self.left:
            self.finished[request] = -1
        self.counter.add(self.recorder.pack())
        return Played(
            trace=self.recorder.finish(),
            tally=self.counter.tally([max(q.peak, q.queued) for q in self.queues]),
            arrived=[-1 if at == NEVER else at for at in self.host.arrived],
            entered=self.entered,
            first_output=self.first_output,
            finished=self.finished,
            peak_places={i: b.places - b.least_free for i, b in self.buffers.items()},
            peak_requests=self.peak_requests,
            refused=self.host.refused,
            preemptions=sorted(self.host.pages.preemptions) if self.host.pages else [],
            found=self.host.found,
            dropped=sorted(self.host.dropped),
        )

    def _died(self, server: Server | Sequencer) -> bool:
        """Whether a component holds a token that it will never hand on."""
        return server.index in self.deaths and server.visit is not None

    def enter(self, index: int, member: int, held: int) -> None:
        """The host sends a request: all of its tokens that wait for nothing arrive."""
        request = self.requests[index]
        prefill = self.host.pages.prefill(index) if self.host.pages else request.prefill
        shape = shape_of(self.plan, request.tokens, prefill, member, request.work, held)
        if self.entered[index] < 0:
            self.entered[index] = self.clock.now
        else:  # what it did so far had another prompt
            self.counter.add(self.recorder.pack())
            self.counter.sums.tokens[index, 1] = shape.prefill
        self.left[index] = shape.visits
        self.peak_requests = max(self.peak_requests, len(self.left))
        self.outputs[index] = shape.outputs
        self.durations[index] = shape.durations
        self.waits[index] = {
            step: bytearray(waits) for step, waits in enumerate(shape.waits) if waits is not None
        }
        self.marks[index] = [Mark(done) for done in shape.marks]
        for step, tokens in enumerate(shape.initial):
            for token in tokens:
                self.arrive(step, index, token, self.clock.now)

    def go_on(self, request: int) -> None:
        """Feed the last token of a request back: there is room for it."""
        step, token = self.held.pop(request)
        for output in self.outputs[request][step]:
            if output[0] == GROUP:
                self._deliver_group(output, request, token, self.clock.now)

    def drop(self, request: int) -> None:
        """Forget a request, which enters again later."""
        del self.held[request]
        self._forget(request)
        self.finished[request] = -1

    def _forget(self, request: int) -> None:
        for table in (self.outputs, self.durations, self.waits, self.marks, self.left):
            del table[request]

    def _leave(self, request: int) -> None:
        self._forget(request)
        self.host.answered(request)
        if self.progress is not None:
            self.progress(request)

    def arrive(self, step: int, request: int, token: int, now: int) -> None:
        """Queue a token, all of whose inputs are there, at who decides when it is served."""
        server = self.only[step]
        if server is None:
            lanes = self.lanes[step]
            server = lanes[lane_of(self.plan.steps[step], token, self.turns[request])]
        heappush(server.queue, (now, step, request, token))
        length = self.lengths[step] or self.length_of(step, request, token)
        if length.at != now:
            length.see(now)
        length.queued += 1
        if server.visit is None:
            self.clock.idle.append(server)

    def length_of(self, step: int, request: int, token: int) -> QueueLength:
        """Length of the queue that a token of a step stands in, where there are several."""
        lane = lane_of(self.plan.steps[step], token, self.turns[request])
        return self.queue_of[step][lane]

    def deliver(self, step: int, request: int, token: int, now: int) -> None:
        """Tell everyone who waits for this token."""
        if step in self.sampled and self.host.pages and self.host.pages.grows(request):
            self._answer(request, now)
            self.held[request] = step, token
            self.left[request] -= 1
            self.host.ask(request)
            return
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
        _, step, every, spread, shift, last, count, broadcast, begin = output
        if (token + 1) % every and token != last:
            return
        first = 0 if broadcast else (token // every + shift) * spread
        stop = count if broadcast else min(first + spread, count)
        for released in range(max(first, begin), stop):
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


def _by_index(server: Server | Sequencer) -> int:
    return server.index


def _who_waits(engine: Engine) -> tuple[list[Blocked], list[Waiting]]:
    blocked = [
        Blocked(index, step, server.index, request, token)
        for index, buffer in engine.buffers.items()
        for server, line in buffer.waiting
        for _, step, request, token in (server.waiting(line),)
    ]
    waiting = [
        Waiting(request, step, next(n for n, count in enumerate(left) if count))
        for request, waits in engine.waits.items()
        for step, left in waits.items()
        if any(left)
    ]
    return blocked, waiting


def play(
    plan: Plan,
    requests: Sequence[Request],
    *,
    window: int | None = None,
    construction: Iterable[int] | None = None,
    progress: Callable[[int], None] | None = None,
    keep: Keep | None = None,
    servers: Mapping[str, type[Server]] | None = None,
    watch: Watch | None = None,
    deaths: Mapping[int, int] | None = None,
    host: Host | None = None,
) -> Played:
    """Play ``plan`` for ``requests`` (in order of arrival) and return what happened when.

    ``window``: at most so many requests on a chip at once. ``construction``: order in which the
    components are built; it must not matter, and a test shows that it does not. ``progress`` is
    called with the number of each request that leaves. ``keep``: which part of the trace to keep.
    ``watch`` is told of each block of the trace when it is full. ``servers``: components of your
    own, by kind: a :class:`~hyflexsim.sim.engine.servers.Server` whose
    :meth:`~hyflexsim.sim.engine.servers.Server.service_ps` depends on what has happened::

        class Refreshed(Server):
            def service_ps(self, step, request, token):
                late = self.engine.clock.now // 10**6 % 8 == 0      # a pause every 8 us
                return super().service_ps(step, request, token) + 500_000 * late

        play(plan, requests, servers={"digital_pim": Refreshed})

    ``deaths``: components that finish nothing after a time, in ps; requests that need them then are
    lost. ``host``: how requests come; by default each at its arrival, to a queue without end.

    Raises :class:`DeadlockError` when tokens are left that nothing moves.
    """
    return Engine(
        plan,
        requests,
        window=window,
        construction=construction,
        progress=progress,
        keep=keep,
        servers=servers,
        watch=watch,
        deaths=deaths,
        host=host,
    ).run()
