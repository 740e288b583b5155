"""What an engine returns."""

from __future__ import annotations

from dataclasses import dataclass

from hyflexsim.sim.engine.tally import Tally
from hyflexsim.sim.engine.trace import Trace


@dataclass(frozen=True)
class Played:
    """What an engine returns: the trace, and per request when it entered, first and last answered.

    ``tally``: exact sums over all visits, whatever part of the trace was kept. Times in ps.
    ``peak_places[s]``: most places taken at once in the input buffer of step s.
    ``peak_requests``: most requests on the chip at once. ``arrived``: when each came, -1 if its
    client never sent it. A request that is lost has ``finished`` -1, and ``entered`` -1 if it never
    got in: as a component died or, where ``refused`` has it, as the host's queue was full.
    ``preemptions``: of each time that a request gave its pages up (pages.py) its number, the tokens
    with which it had entered, and those whose keys and values it had by then. ``found``: of each
    request, how many of its tokens had keys and values when it first entered. ``dropped``: requests
    whose pages stayed (``keeps``) until others needed them.
    """

    trace: Trace
    tally: Tally
    arrived: list[int]
    entered: list[int]
    first_output: list[int]
    finished: list[int]
    peak_places: dict[int, int]
    peak_requests: int
    refused: list[int]
    preemptions: list[tuple[int, int, int]]
    found: list[int]
    dropped: list[int]

    @property
    def lost(self) -> list[int]:
        """Requests that were never answered in full."""
        return [request for request, at in enumerate(self.finished) if at < 0]
