"""What an engine is given beside a plan, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyflexsim.sim.engine.tally import Tally
from hyflexsim.sim.engine.trace import Trace


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


def check_order(requests: Sequence[Request]) -> None:
    """Refuse requests that are not in order of arrival."""
    arrivals = [request.arrival for request in requests]
    if arrivals != sorted(arrivals):
        raise ValueError("requests must be in order of arrival")
