"""The host as a SimPy process: sends requests as they come, and holds back what finds no room.

It decides when an instant is over, like components and before them. First those that wait enter, in
order, as far as there is room after all visits that end then; then what comes at this instant
enters, waits as far as its queue has places, or is refused. Where a plan has several members, chips
side by side or models on one chip, the host is their dispatcher: each has its own queue, and a
request joins one of those that serve its model as it comes. The next turn of a conversation joins
the one that holds its keys and values, where one still does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from heapq import heappop, heappush
from typing import Any, Protocol

from simpy.events import Event

from hyflexsim.sim.engine.pages import Pages
from hyflexsim.sim.engine.request import Host, Request, arrivals_of, first_turns
from hyflexsim.sim.engine.sessions import Kept, following


class Chips(Protocol):
    """What a host sees of a run (the engine)."""

    clock: Any  # a simpy.Environment with a host that may be `due` to decide
    window: int
    entered: list[int]  # ps at which each request entered for the first time, -1 before

    def enter(self, index: int, member: int, held: int) -> None:
        """Take a request in; the keys and values of its first ``held`` tokens are there."""

    def go_on(self, request: int) -> None:
        """Feed the last token of a request back, which waited for room."""

    def drop(self, request: int) -> None:
        """Forget a request that has no token in hand."""


class Member:
    """A chip, or a model's part of one, as its host knows it: requests on it, and those that wait.

    ``window``: most requests on it at once; ``memory``: what it has for them. ``kept``: what of
    that is filled by others that have left.
    """

    def __init__(self, window: int, memory: int) -> None:
        self.window = window
        self.memory = memory
        self.live = 0
        self.held = 0  # of its memory
        self.kept = Kept()
        self.waiting: deque[int] = deque()


class HostProcess:
    """Arrivals, queues, and clients that wait for answers.

    ``arrived``: when each request came, NEVER while it has not. ``came``: as which one of all; of
    those of one instant by number. ``refused``: those that found the queue full. ``sent_to``: the
    member that each joined. ``found``, ``dropped``: as in ``Played``.
    """

    def __init__(self, chips: Chips, requests: Sequence[Request], host: Host) -> None:
        self.chips = chips
        self.arrived = arrivals_of(requests, host)
        self.came = [0] * len(requests)
        self.refused: list[int] = []
        self.sent_to = [0] * len(requests)
        self.found = [0] * len(requests)
        self.dropped: list[int] = []
        rooms = zip(host.rooms(chips.window), host.memories, strict=True)
        self._members = [Member(window, memory) for window, memory in rooms]
        self._serving = [host.serving[request.model] for request in requests]
        self._turns = host.turns(requests)
        self._shortest = host.shortest
        self._needs = [0] * len(requests) if host.memory is None else list(host.needs)
        self.pages = None if host.page is None else Pages(requests, host, host.page, self.came)
        if self.pages is not None:
            self._needs = [self.pages.needs(request) for request in range(len(requests))]
        self._places = len(requests) if host.places is None else host.places
        self._requests = requests
        self._closed = host.clients is not None
        self._think = host.think
        self._firsts = first_turns(requests)
        self._following = following(requests)
        self._coming: list[int] = []  # requests that have come and are not seen yet: a heap
        self._seen = 0  # how many have come
        self._asked = 0  # conversations that clients have begun
        chips.clock.host = self
        if not self._closed:
            chips.clock.process(self._serve())
        for request in self._firsts[: host.clients or 0]:
            self._ask_after(requests[request].arrival)

    def answered(self, request: int) -> None:
        """A request has left its chip: there is room, and its client goes on."""
        now = self.chips.clock.now
        self._out(request)
        if self.pages is not None and self._requests[request].keeps:
            member = self._members[self.sent_to[request]]
            member.kept.keep(request, self._needs[request], now)
        self.chips.clock.due = True
        if request in self._following:
            turn = self._following[request]
            self._come_after(max(self._think[request], self._requests[turn].arrival - now), turn)
        elif self._closed:
            self._ask_after(self._think[request])

    def ask(self, request: int) -> None:
        """A request has said a token, and needs room before it is fed back."""
        assert self.pages is not None
        self.pages.members[self.sent_to[request]].asking.add(request)
        self.chips.clock.due = True

    def decide(self, now: int) -> None:
        """An instant is over: let those go on that ask, then in what there is room for, then see to
        what has come.
        """
        if self.pages is not None:
            for number in range(len(self._members)):
                self._settle(self.pages, number)
        for number, member in enumerate(self._members):
            while member.waiting and self._fits(member, member.waiting[0]):
                self._enter(member.waiting.popleft(), number)
        while self._coming:
            request = heappop(self._coming)
            self.came[request] = self._seen
            self._seen += 1
            self._send(request)

    def _settle(self, pages: Pages, number: int) -> None:
        """Let requests on a member go on, or give up for others."""
        member, group = self._members[number], pages.members[number]
        while group.asking:
            found = pages.next_one(number, member.memory - member.held)
            if found is None:
                return
            request, granted = found
            if granted:
                group.asking.remove(request)
                member.held += pages.more(request)
                self._needs[request] += pages.more(request)
                self._make_room(member)
                pages.granted(request)
                self.chips.go_on(request)
            else:
                self._out(request)
                pages.given_up(request)
                self._needs[request] = pages.needs(request)
                member.waiting.appendleft(request)
                self.chips.drop(request)

    def _out(self, request: int) -> None:
        number = self.sent_to[request]
        self._members[number].live -= 1
        self._members[number].held -= self._needs[request]
        if self.pages is not None:
            self.pages.members[number].leave(request)

    def _send(self, request: int) -> None:
        number = self._choose(request)
        member = self._members[number]
        self.sent_to[request] = number
        if not member.waiting and self._fits(member, request):
            self._enter(request, number)
        elif len(member.waiting) < self._places:
            member.waiting.append(request)
        else:
            self.refused.append(request)

    def _fits(self, member: Member, request: int) -> bool:
        fits = member.held + self._needs[request] <= member.memory
        return fits and member.live < member.window

    def _choose(self, request: int) -> int:
        """The member that holds its conversation; else, of those that serve its model, the one with
        the fewest requests, or each in turn.
        """
        before = self._requests[request].after
        if before is not None and before in self._members[self.sent_to[before]].kept:
            return self.sent_to[before]
        serving = self._serving[request]
        if not self._shortest:
            return serving[self._turns[request]]
        return min(serving, key=lambda i: self._there(self._members[i]))

    def _there(self, member: Member) -> int:
        return member.live + len(member.waiting)

    def _enter(self, request: int, number: int) -> None:
        member = self._members[number]
        member.live += 1
        member.held += self._needs[request]
        if self.pages is not None:
            self.pages.members[number].enter(request)
        if self.chips.entered[request] < 0:
            self._begin(request, member)
            self.chips.enter(request, number, self.found[request])
        else:
            self.chips.enter(request, number, 0)
        self._make_room(member)

    def _begin(self, request: int, member: Member) -> None:
        """Look for keys and values that are there when a request enters for the first time."""
        self.found[request] = self._requests[request].held
        before = self._requests[request].after
        if before is not None and before in member.kept:
            member.kept.take(before)
            self.found[request] = self._requests[before].tokens

    def _make_room(self, member: Member) -> None:
        """Drop conversations whose pages somebody needs."""
        self.dropped += member.kept.shrink(member.memory - member.held)

    def _serve(self) -> Generator[Event, None, None]:
        clock = self.chips.clock
        for first in self._firsts:
            at = self.arrived[first]
            if at > clock.now:
                yield clock.timeout(at - clock.now)
            self._comes(first)

    def _ask_after(self, think: int) -> None:
        self.chips.clock.timeout(think).callbacks.append(self._ask)

    def _ask(self, _: Event) -> None:
        if self._asked < len(self._firsts):
            self._comes(self._firsts[self._asked])
            self._asked += 1

    def _come_after(self, think: int, turn: int) -> None:
        self.chips.clock.timeout(think).callbacks.append(lambda _: self._comes(turn))

    def _comes(self, request: int) -> None:
        self.arrived[request] = self.chips.clock.now
        heappush(self._coming, request)
        self.chips.clock.due = True
