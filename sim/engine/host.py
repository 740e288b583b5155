"""The host as a SimPy process: sends requests as they come, and has a queue while the chip is full.

Of what comes at one instant the chip takes in what it has room for, when all visits that end then
have ended; what is left waits, as far as the queue has places, and the last are refused. While the
chip is full nothing leaves the queue but at its end, so nobody looks at it: what has come is
made up for, instant by instant, when a request leaves the chip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import Any, Protocol

from simpy.events import Event

from hyflexsim.sim.engine.request import NEVER, Host, Request, arrivals_of


class Chip(Protocol):
    """What a host sees of a run (the engine)."""

    clock: Any  # a simpy.Environment

    @property
    def full(self) -> bool:
        """Whether as many requests are on the chip as it takes at once."""

    def enter(self, index: int) -> None:
        """Take a request in."""


class HostProcess:
    """Arrivals, the queue, and clients that wait for answers.

    ``arrived``: when each request came, NEVER while it has not. ``refused``: those that found
    the queue full.
    """

    def __init__(self, chip: Chip, requests: Sequence[Request], host: Host) -> None:
        self.chip = chip
        self.arrived = arrivals_of(requests, host)
        self.refused: list[int] = []
        self._places = host.places
        self._think = None if host.clients is None else host.think
        self._waiting: deque[int] = deque()
        self._seen = 0  # requests that have come, and that the queue knows of
        self._instant = -1  # in which the last of them came
        self._asked = 0  # requests that clients have sent
        self._wake: Event | None = None
        chip.clock.process(self._serve())
        for request in requests[: host.clients or 0]:
            self._ask_after(request.arrival)

    def answered(self, request: int) -> None:
        """A request has left the chip: there is room, and its client goes on."""
        if self._think is not None:
            self._ask_after(self._think[request])
        self._look()

    def close(self) -> None:
        """Nothing moves any more: what still comes finds the queue as it is."""
        self._see(NEVER - 1)
        self._refuse()
        self.refused.sort()

    def _serve(self) -> Generator[Event, None, None]:
        clock, arrived = self.chip.clock, self.arrived
        while True:
            self._see(clock.now)
            while self._waiting and not self.chip.full:
                self.chip.enter(self._waiting.popleft())
            following = arrived[self._seen] if self._seen < len(arrived) else NEVER
            if self._waiting or following == NEVER:
                self._wake = clock.event()
                yield self._wake
            else:
                yield clock.timeout(following - clock.now)

    def _look(self) -> None:
        """Let the host look at its queue, if it waits for something that happens on the chip."""
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed()

    def _see(self, now: int) -> None:
        """Put what has come up to now into the queue."""
        while self._seen < len(self.arrived) and self.arrived[self._seen] <= now:
            if self.arrived[self._seen] != self._instant:
                self._refuse()
                self._instant = self.arrived[self._seen]
            self._waiting.append(self._seen)
            self._seen += 1
        if self._instant != now:
            self._refuse()

    def _refuse(self) -> None:
        """The last instant in which something came is over: those without a place go."""
        while self._places is not None and len(self._waiting) > self._places:
            self.refused.append(self._waiting.pop())

    def _ask_after(self, think: int) -> None:
        self.chip.clock.timeout(think).callbacks.append(self._ask)

    def _ask(self, _: Event) -> None:
        if self._asked < len(self.arrived):
            self.arrived[self._asked] = self.chip.clock.now
            self._asked += 1
            self._look()
