"""Keys and values in pages: a request holds those of its tokens, and asks for more as it grows.

As in vLLM (Kwon et al., SOSP 2023, arXiv 2309.06180 §4): a request enters when there are pages for
its prompt; each token that it generates needs room before it is fed back, and one in so many needs
a new page. Where none is free, the request that came last gives all of its pages up at the end of
the token in hand (of a prompt: at its first answer), stands first in the queue, and computes the
keys and values of its prompt and of what it has generated anew when it enters again: preemption by
recompute (§4.5). So the first to come always goes on, and nothing is stuck. Swapping to the host's
memory, and pages that requests share, are left out, and so is vLLM's watermark of free pages. What
stays of a conversation for its next turn: sessions.py.

Who is short waits. Of several, the first to come is served first, and each waits for another one to
give up: the last to come for the first of them, the one before that for the second.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.plan.plan import Group, Plan


def sampled(plan: Plan) -> set[int]:
    """Steps whose tokens are answers and do nothing but be fed back: text is generated.

    Raises ValueError for a member that has several, whose text has no one length.
    """
    edges = [(edge, edge.source) for step in plan.steps for edge in step.inputs]
    others = {source for edge, source in edges if not (isinstance(edge, Group) and edge.lag)}
    fed_back = {source for _, source in edges} - others
    found = {i for i in fed_back & plan.outputs if plan.steps[i].head}
    for member in range(plan.members):
        outputs = [i for i in plan.outputs if plan.steps[i].member == member]
        if len(outputs) > 1 and found & set(outputs):
            raise ValueError(f"member {member} has {len(outputs)} outputs: pages need one")
    return found


@dataclass
class Growing:
    """The requests on a member that hold pages, in the order in which they came, and those that ask
    for another token. ``came``: of each request, which place in that order it has.
    """

    came: Sequence[int]
    on: list[int] = field(default_factory=list)
    asking: set[int] = field(default_factory=set)

    def enter(self, request: int) -> None:
        """A request is on the member."""
        insort(self.on, request, key=self.came.__getitem__)

    def leave(self, request: int) -> None:
        """A request has left it, or has given up."""
        self.on.remove(request)
        self.asking.discard(request)


class Pages:
    """Lengths of requests, in tokens whose keys and values they hold; pages of ``size`` tokens.

    ``came``: as in :class:`Growing`. ``preemptions``: as in ``Played``.
    """

    def __init__(
        self, requests: Sequence[Request], host: Host, size: int, came: Sequence[int]
    ) -> None:
        self.size = size
        self.members = [Growing(came) for _ in range(host.members)]
        self.preemptions: list[tuple[int, int, int]] = []
        self._tokens = [request.tokens for request in requests]
        self._length = [request.prefill or request.tokens for request in requests]
        self._entered = list(self._length)

    def needs(self, request: int) -> int:
        """Pages of its length."""
        return -(-self._length[request] // self.size)

    def grows(self, request: int) -> bool:
        """Whether there are tokens to come."""
        return self._length[request] < self._tokens[request]

    def more(self, request: int) -> int:
        """Pages that its next token takes: 0 or 1."""
        return int(self._length[request] % self.size == 0)

    def prefill(self, request: int) -> int:
        """Tokens that are computed together when a request enters."""
        return self._entered[request]

    def granted(self, request: int) -> None:
        """A request is one token longer."""
        self._length[request] += 1

    def given_up(self, request: int) -> None:
        """A request will begin anew, with the token that it would have gone on with."""
        self.preemptions.append((request, self._entered[request], self._length[request]))
        self._length[request] += 1
        self._entered[request] = self._length[request]

    def next_one(self, member: int, free: int) -> tuple[int, bool] | None:
        """A request that asks and may go on (True) or has to give up (False); None: they wait.

        ``free``: pages that nobody holds.
        """
        group = self.members[member]
        last = len(group.on) - 1  # who gives up for the next that is short
        for at, request in enumerate(group.on):
            if request not in group.asking:
                continue
            if self.more(request) <= free:
                return request, True
            victim = group.on[max(last, at)]
            if victim in group.asking:
                return victim, False
            last -= 1
        return None
