"""When requests arrive: a list of integer picoseconds, ascending, the same in every run.

========  ==========================================================================================
at-once   all at time zero: measures the chip alone (batch; latency contains the queue)
interval  every so often, the first at time zero: a synchronous source
poisson   independent exponential gaps, the first one before the first request: triggered events
gamma     the same with gamma-distributed gaps, whose standard deviation is ``variation`` times
          their mean: bunched above 1, more even below, Poisson at 1
bunched   events at crossings of bunches, one every ``crossing``; ``filled`` = [72, 8] says that 72
          places are filled, 8 empty, and so on again; each filled crossing gives an event with the
          same probability, so that there are ``rate_per_s`` events, each of as many requests as
          ``per_event`` says: [0.3, 0.7] of one in 30 %, of two in 70 %
on-off    Poisson at ``rate_per_s`` while on; it is on and off by turns, on first, for exponential
          times with the means ``on`` and ``off`` (interrupted Poisson process, Kuczura 1973)
closed    ``clients`` send a request, wait for its answer, think for ``think`` (mean of an
          exponential distribution, or ``gaps`` = "fixed"), and send the next; they begin with
          thinking (a closed loop: what comes depends on how fast the chip is)
trace     times from a file (trace_file.py), divided by ``speed``; if it names a ``model``, of the
          rows for that one
========  ==========================================================================================

Of conversations (sessions.py) these are the first turns, but in a trace, which has a time for each.
Gaps are drawn from numpy's PCG64 and rounded to whole picoseconds one by one, so the list does not
depend on how many requests follow.

>>> from hyflexsim.workloads.scenario.schema import Interval
>>> times(Interval(interval="25 ns"), 3)
[0, 25000, 50000]
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hyflexsim.sim.chip import measure
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.schema import (
    Arrivals,
    AtOnce,
    Bunched,
    Closed,
    Gamma,
    Interval,
    OnOff,
    Poisson,
    TraceFile,
)
from hyflexsim.workloads.scenario.trace_file import LATEST, read_trace

PS_PER_S = 10**12
TURNS = 1024
"""Turns of an on-off source that are drawn at once."""


def times(arrivals: Arrivals, count: int, seed: int = 0) -> list[int]:
    """Arrival times of ``count`` requests in ps; ``seed`` is used where the arrivals have none.

    Of a closed loop, those of the clients' first requests; further ones (as late as the last of
    these) follow from answers. Raises :class:`InputError` for a trace file that cannot be read or
    is too short, and for times that no run can hold.
    """
    if isinstance(arrivals, AtOnce):
        return [0] * count
    if isinstance(arrivals, Interval):
        step = _ps(arrivals.interval)
        return [index * step for index in range(count)]
    if isinstance(arrivals, TraceFile):
        return read_trace(Path(arrivals.file), count, arrivals.speed, arrivals.model).times
    if isinstance(arrivals, Closed):
        first = sorted(_thinks(arrivals, arrivals.clients, seed))[:count]
        return first + first[-1:] * (count - len(first))
    random = np.random.default_rng(seed if arrivals.seed is None else arrivals.seed)
    match arrivals:
        case Poisson(rate_per_s=rate):
            return _listed(np.cumsum(_gaps(random.standard_exponential(count), rate)))
        case Gamma(rate_per_s=rate, variation=variation):
            shape = variation**-2  # of a mean of 1: its deviation is 1 / sqrt(shape)
            gaps = random.standard_gamma(shape, count) / shape
            return _listed(np.cumsum(_gaps(gaps, rate)))
        case Bunched():
            return _bunched(arrivals, count, random)
        case OnOff():
            return _on_off(arrivals, count, random)


def thinks(arrivals: Closed, count: int, seed: int = 0) -> list[int]:
    """For how long clients think after each of ``count`` answers, in ps, at least 1.

    >>> from hyflexsim.workloads.scenario.schema import Closed
    >>> thinks(Closed(clients=2, think="5 ns", gaps="fixed"), 3)
    [5000, 5000, 5000]
    """
    return _thinks(arrivals, arrivals.clients + count, seed)[arrivals.clients :]


def _thinks(arrivals: Closed, count: int, seed: int) -> list[int]:
    random = np.random.default_rng(seed if arrivals.seed is None else arrivals.seed)
    return think_times(arrivals.think, arrivals.gaps, count, random)


def think_times(think: str, gaps: str, count: int, random: np.random.Generator) -> list[int]:
    """``count`` times in ps, at least 1, for which one thinks; ``think``: all, or their mean."""
    mean = _ps(think)
    if gaps == "fixed":
        return [mean] * count
    drawn = np.rint(random.standard_exponential(count) * mean).astype(np.int64)
    return _listed(np.maximum(drawn, 1))


def _ps(text: str) -> int:
    return int(measure.read(text, "ps"))


def _listed(whole: np.ndarray) -> list[int]:
    numbers: list[int] = whole.tolist()
    return numbers


def _gaps(gaps: np.ndarray, rate: float) -> np.ndarray:
    """Gaps with a mean of 1 in ps, at so many requests a second."""
    gaps = gaps * (PS_PER_S / rate)
    _check_end(float(gaps.sum()), len(gaps), rate)
    return np.rint(gaps).astype(np.int64)


def _check_end(last: float, count: int, rate: float) -> None:
    if last > LATEST:
        raise InputError(
            f"workload.arrivals.rate_per_s is too small: {count} requests at {rate} per "
            f"second take longer than {LATEST // PS_PER_S} s"
        )


def _bunched(arrivals: Bunched, count: int, random: np.random.Generator) -> list[int]:
    """Each filled crossing has an event or not; requests of one event come together."""
    crossing, rate = _ps(arrivals.crossing), arrivals.rate_per_s
    turns = [place % 2 == 0 for place in range(len(arrivals.filled))]
    filled = np.flatnonzero(np.repeat(turns, arrivals.filled))
    places = sum(arrivals.filled)
    chance = rate / PS_PER_S * crossing * places / len(filled)
    if chance > 1:
        most = PS_PER_S / crossing * len(filled) / places
        raise InputError(
            f"workload.arrivals.rate_per_s must be at most {most:g}, the filled crossings a "
            f"second; got {rate:g}"
        )
    event, requests = random.spawn(2)
    _check_end(count / chance * crossing * places / len(filled) * 2, count, rate)
    number = np.cumsum(event.geometric(chance, count)) - 1  # among the filled crossings
    at = (number // len(filled) * places + filled[number % len(filled)]) * crossing
    ends = np.cumsum(arrivals.per_event)
    each = 1 + np.minimum(np.searchsorted(ends, requests.random(count), "right"), len(ends) - 1)
    return _listed(np.repeat(at, each)[:count])


def _on_off(arrivals: OnOff, count: int, random: np.random.Generator) -> list[int]:
    """Times of a Poisson source that stands still while it is off."""
    gaps, turns = random.spawn(2)
    running = np.cumsum(_gaps(gaps.standard_exponential(count), arrivals.rate_per_s))
    means = np.array([_ps(arrivals.on), _ps(arrivals.off)])
    drawn = np.zeros((0, 2), dtype=np.int64)
    while int(drawn[:, 0].sum()) < running[-1]:
        more = np.rint(turns.standard_exponential((TURNS, 2)) * means).astype(np.int64)
        drawn = np.concatenate([drawn, more])
    on, off = np.cumsum(drawn, axis=0).T
    before = np.concatenate([[0], off])[np.searchsorted(on, running)]
    _check_end(float(running[-1]) + float(before[-1]), count, arrivals.rate_per_s)
    return _listed(running + before)
