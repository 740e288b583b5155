"""What an engine is given beside a plan: requests, and how the host sends them; deaths.

Requests stand in the order in which they come. A host sends each at its arrival, or has clients, of
which each sends the next request some time after the answer to its last (a closed loop). While a
chip is full requests wait at the host, in a queue which may have so many places and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.work import Work

NEVER = 2**63 - 1
"""Picoseconds at which a component dies that does not, and at which what has not come yet comes."""


@dataclass(frozen=True, slots=True)
class Request:
    """An input of ``tokens``, of which ``prefill`` (default: all) are there at ``arrival`` ps.

    ``work``: how large its tokens are, as far as its values say that (plan/work.py). ``model``: of
    several models in a plan, the one that it is for. ``held``: tokens of the prompt, not all, whose
    keys and values are there (plan/held.py). ``after``: it is the next turn of a conversation
    (sessions.py), behind the request of this number, and comes some time after that one has left,
    but not before its ``arrival``. ``keeps``: its pages stay for its next turn.
    """

    arrival: int
    tokens: int
    prefill: int | None = None
    work: Work | None = None
    model: int = 0
    held: int = 0
    after: int | None = None
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """How requests come to the chip.

    ``memory``: what a chip has for the requests on it, or a number for each member, and ``needs``
    how much each of them takes while it is there, 1 to all of it (None: only their number counts);
    who does not fit waits, and all behind it. ``page``: tokens of a page; memories are counted in
    pages then, and a request holds those of its tokens so far (pages.py). ``places``: of a chip's
    queue (None: without end); a request that finds as many waiting is lost.
    ``members``: chips side by side; each request goes to the next one in turn or, where
    ``shortest``, to the one with the fewest requests on it and waiting, the first of equals.
    ``models``: of several models, the members that serve each (none: all serve all requests), among
    which its requests are sent so. ``windows``: most requests on each member at once (none: those
    of the run).
    ``clients``: how many wait for answers (None: nobody). The first request of client k comes at
    the arrival of request k (of conversation k), each other one ``think[i]`` ps, at least 1, after
    its client's request i has left the chip: its next turn or, as there is none, the first one of
    the next conversation. Without clients, next turns alone come so.

    >>> Host(places=8).places
    8
    """

    places: int | None = None
    clients: int | None = None
    think: Sequence[int] = ()
    members: int = 1
    shortest: bool = False
    memory: int | Sequence[int] | None = None
    needs: Sequence[int] = ()
    models: Sequence[Sequence[int]] = ()
    windows: Sequence[int] = ()
    page: int | None = None

    @property
    def serving(self) -> list[tuple[int, ...]]:
        """The members that serve each model."""
        return [tuple(each) for each in self.models] or [tuple(range(self.members))]

    @property
    def memories(self) -> list[int]:
        """What each member has for requests; NEVER where only their number counts."""
        if self.memory is None:
            return [NEVER] * self.members
        return [self.memory] * self.members if isinstance(self.memory, int) else [*self.memory]

    def rooms(self, window: int) -> list[int]:
        """Most requests on each member at once; ``window``: where nothing else is said."""
        return [*self.windows] or [window] * self.members

    def turns(self, requests: Sequence[Request]) -> list[int]:
        """Whose turn each request is, among the members that serve its model; a conversation is
        one member's.
        """
        counts = dict.fromkeys(range(len(self.serving)), 0)
        turns: list[int] = []
        for request in requests:
            if request.after is not None:
                turns.append(turns[request.after])
                continue
            turns.append(counts[request.model] % len(self.serving[request.model]))
            counts[request.model] += 1
        return turns


def first_turns(requests: Sequence[Request]) -> list[int]:
    """Numbers of the requests that come after no other one."""
    return [i for i, request in enumerate(requests) if request.after is None]


def arrivals_of(requests: Sequence[Request], host: Host) -> list[int]:
    """When each request comes, in ps; NEVER where clients decide, or answers before it.

    Raises ValueError for requests that are not in order of arrival, for those of a model that
    nobody serves, for those that would never find room, for clients that a full queue could
    refuse: such a client would have to ask again, and for turns that do not follow on one another.

    >>> arrivals_of([Request(0, 1), Request(5, 1)], Host())
    [0, 5]
    """
    arrivals = [NEVER if r.after is not None else r.arrival for r in requests]
    firsts = [r.arrival for r in requests if r.after is None]
    if firsts != sorted(firsts):
        raise ValueError("requests must be in order of arrival")
    serving, memories = host.serving, host.memories
    if host.page is not None and host.memory is None:
        raise ValueError("pages must be of a memory")
    if not all(0 <= request.model < len(serving) for request in requests):
        raise ValueError(f"requests must be for one of {len(serving)} models")
    if host.memory is not None:
        most = [min(memories[member] for member in members) for members in serving]
        rooms = [most[request.model] for request in requests]
        needs = list(host.needs)
        if host.page is not None:
            needs = [-(-request.tokens // host.page) for request in requests]
        if len(needs) != len(requests) or not all(
            1 <= need <= room for need, room in zip(needs, rooms, strict=True)
        ):
            parts = " or ".join(map(str, sorted(set(most))))
            raise ValueError(f"each request must need from 1 to all {parts} parts of a memory")
    if len(firsts) < len(requests):
        _check_turns(requests)
    elif host.clients is None:
        return arrivals
    if host.clients and host.places is not None and host.places < host.clients:
        raise ValueError(f"a queue must have a place for each of {host.clients} clients")
    if len(host.think) != len(requests) or min(host.think, default=1) < 1:
        raise ValueError("clients must think for at least 1 ps after each request")
    return arrivals if host.clients is None else [NEVER] * len(requests)


def _check_turns(requests: Sequence[Request]) -> None:
    """Each turn has one before it and one behind it at most, of the same text, which is shorter."""
    before: set[int] = set()
    for i, request in enumerate(requests):
        if request.after is None:
            continue
        if request.after not in range(i) or request.after in before:
            raise ValueError(f"request {i} must be the one turn after a request before it")
        before.add(request.after)
        last = requests[request.after]
        if request.held or request.model != last.model or not last.tokens < _prompt(request):
            raise ValueError(
                f"request {i} must begin with the {last.tokens} tokens of request {request.after}"
            )


def _prompt(request: Request) -> int:
    return request.tokens if request.prefill is None else request.prefill


def check_members(plan: Plan, host: Host) -> None:
    """Refuse a host with more or fewer members than its plan, or with an idle one."""
    if host.members != plan.members:
        raise ValueError(f"a plan of {plan.members} members cannot have a host of {host.members}")
    if sorted(member for members in host.serving for member in members) != [*range(host.members)]:
        raise ValueError(f"each of {host.members} members must serve one model")
