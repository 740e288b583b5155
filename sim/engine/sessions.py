"""Conversations: requests that come after each other, and keys and values that stay for the next.

The prompt of a turn begins with all tokens of the turn before it: its prompt and its answer, of
which the last word was never fed back and has no keys and values yet. When a turn has left, its
pages (pages.py) stay as long as nobody else needs them. If they are there when the next turn enters
its chip, that one computes its new tokens alone; else it computes its whole prompt, like any other
request. Pages that stay keep nobody out: where those that nobody holds do not suffice, the turn
that left first gives its pages up, all at once, then the next one (least recently used).

So it is with vLLM's automatic prefix caching (its design documents), SGLang's radix tree (Zheng et
al., NeurIPS 2024, arXiv 2312.07104 §3) and CachedAttention (Gao et al., USENIX ATC 2024, arXiv
2403.19708), each of which looks for more: the first two match any common beginning of two prompts,
in whole pages, and give pages up one by one, from a text's end; the third has host memory and disks
behind the chip's memory. Here a conversation goes on in its last page, which may be half full.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

from hyflexsim.sim.engine.request import Request


def following(requests: Sequence[Request]) -> dict[int, int]:
    """The turn that comes after each, where there is one."""
    return {each.after: i for i, each in enumerate(requests) if each.after is not None}


class Kept:
    """Pages of a member that turns which have left still fill; those that left first go first.

    ``pages``: how many in all.
    """

    def __init__(self) -> None:
        self.pages = 0
        self._of: dict[int, tuple[int, int]] = {}  # when each left, and its pages
        self._order: list[tuple[int, int]] = []  # when each left, and its number

    def __contains__(self, request: int) -> bool:
        return request in self._of

    def keep(self, request: int, pages: int, now: int) -> None:
        """A request has left; its pages stay."""
        self._of[request] = now, pages
        self.pages += pages
        insort(self._order, (now, request))

    def take(self, request: int) -> None:
        """Its pages are free, or its next turn's."""
        left, pages = self._of.pop(request)
        self.pages -= pages
        self._order.remove((left, request))

    def shrink(self, room: int) -> list[int]:
        """Give up pages until no more than ``room`` are left; requests whose pages these were."""
        dropped = []
        while self.pages > room:
            dropped.append(self._order[0][1])
            self.take(dropped[-1])
        return dropped
