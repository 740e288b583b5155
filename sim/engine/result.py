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
    ``peak_requests``: most requests on the chip at once. A request that is lost because a component
    died has ``finished`` -1, and ``entered`` -1 if it never got in.
    """

    trace: Trace
    tally: Tally
    entered: list[int]
    first_output: list[int]
    finished: list[int]
    peak_places: dict[int, int]
    peak_requests: int

    @property
    def lost(self) -> list[int]:
        """Requests that were never answered in full."""
        return [request for request, at in enumerate(self.finished) if at < 0]
