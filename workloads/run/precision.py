"""How many requests a run needs: as few as give the mean latency a narrow interval.

The first requests of the stream are played, then twice as many, and so on, until half the width of
the 95 % interval of the mean latency (stream.py) is at most a share ``run.precision`` of the mean.
The run that is told of is the last of these, played again with its trace; placed is the model for
the whole stream. A queue that grows without bound has no interval: all requests are played.

Of several models each has a stream, a mean and an interval of its own, and each of these must be so
narrow: played are first the first requests of all until every model has had so many of its own. A
model that has no more requests is known no better by more of the others', so then all are played.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.prepare import Prepared
from hyflexsim.workloads.scenario.experiment import Experiment
from hyflexsim.workloads.scenario.schema import AtOnce

FIRST = 1000
"""Requests that are played first: fewer have no interval of a mean worth the name."""

Streams = Iterable[dict[str, Any] | None]
""" "stream" of summary.json, of each model; None where no request of it was answered."""


def enough(
    scenario: Experiment,
    ready: Prepared,
    asked: float,
    streams_of: Callable[[Prepared], Streams],
) -> Prepared:
    """The first requests of a run that give the precision ``asked`` for, or all.

    ``streams_of``: plays, and tells of each model. Raises InputError for requests that all come at
    once: their mean has no meaning beyond them.
    """
    if any(isinstance(each, AtOnce) for each in scenario.arrivals):
        raise InputError("run.precision must go with workload.arrivals that are not at-once")
    count = first_of_each(ready.requests, FIRST)
    while count < len(ready.requests):
        part = first(ready, count)
        if all(precision(stream) <= asked for stream in streams_of(part)):
            return part
        count *= 2
    return ready


def first_of_each(requests: Sequence[Request], most: int) -> int:
    """How many come until each model has had ``most`` of its requests, or all that it has.

    >>> first_of_each([Request(at, 1, model=model) for at, model in enumerate([0, 1, 0, 0, 1])], 2)
    5
    """
    had: dict[int, list[int]] = defaultdict(list)
    for number, request in enumerate(requests):
        had[request.model].append(number)
    return 1 + max(numbers[:most][-1] for numbers in had.values())


def first(ready: Prepared, count: int) -> Prepared:
    """The same run with its first requests alone."""
    host = replace(ready.host, think=ready.host.think[:count], needs=ready.host.needs[:count])
    return replace(ready, requests=ready.requests[:count], labels=ready.labels[:count], host=host)


def precision(stream: dict[str, Any] | None) -> float:
    """Half the width of the mean latency's interval, as a share of it; infinite without one.

    >>> precision({"latency_ps": {"mean": 50.0, "half_width": {"mean": 2.0}}})
    0.04
    """
    if stream is None:
        return float("inf")
    latency = stream["latency_ps"]
    half = latency["half_width"]["mean"]
    return float("inf") if half is None else float(half / latency["mean"])


def notes(scenario: Experiment, stream: dict[str, Any], count: int, most: int) -> list[str]:
    """Whether so many requests give what was asked for; ``most``: as many there could have been."""
    asked = scenario.run.precision
    if asked is None:
        return []
    found = precision(stream)
    if found > asked:
        known = "is not known" if found == float("inf") else f"is known to ± {found:.1%}"
        return [f"the mean latency {known} after {count:,} requests, not to the {asked:.1%} asked"]
    return [f"stopped after {count:,} of {most:,} requests: mean latency is known to ± {found:.1%}"]
