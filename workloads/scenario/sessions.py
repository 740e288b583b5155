"""Conversations: which requests are turns of one, and how long clients think between turns.

=========  =========================================================================================
alone      every request stands for itself
fixed      each conversation has so many ``turns``
uniform    any number of turns from ``least`` to ``most`` as likely as another
geometric  1, 2, ... turns, with a fixed probability to go on; ``mean``; cut at ``most``
trace      requests with the same session in the trace of the arrivals (trace_file.py)
=========  =========================================================================================

A turn's prompt begins with all tokens of the turn before it, prompt and answer. ``requests`` counts
turns; the last conversation ends with them. ``prompts`` are the new tokens of each turn: of a first
one the whole prompt. In a trace with sessions they are whole prompts, as a server gets them, so the
next one must be longer than prompt and answer before it.

Arrivals are those of first turns. The next turn comes some time after the answer: ``think`` is the
mean of an exponential distribution (``gaps`` = "fixed": always so long). Clients of a closed loop
think for their own ``think`` between turns as between conversations. A turn of a trace comes at
its time there or, if the answer before it is not there by then, as soon as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.scenario.arrivals import think_times, thinks
from hyflexsim.workloads.scenario.schema import (
    Alone,
    Closed,
    FixedTurns,
    FromTrace,
    Generate,
    GeometricTurns,
    TracedTurns,
    TraceFile,
    UniformTurns,
)
from hyflexsim.workloads.scenario.trace_file import SESSIONS, read_trace

DRAWN = 4
"""Stream of random numbers for turns, behind those of lengths (lengths.py); then for thinking."""


class Turn(NamedTuple):
    """A request of a conversation: tokens of its whole prompt, and in all; the turn before it."""

    prompt: int
    tokens: int
    after: int | None


def before_each(workload: Generate, seed: int = 0) -> list[int | None]:
    """The request that each is the next turn of, by number; None: it is the first.

    Raises :class:`InputError` for sessions that do not go with the arrivals, and for a trace
    without sessions.
    """
    given, count = workload.sessions, workload.requests
    if isinstance(given, Alone):
        return [None] * count
    if isinstance(given, TracedTurns):
        return _traced(workload)
    closed = isinstance(workload.arrivals, Closed)
    if closed and given.think is not None:
        raise InputError(
            "workload.sessions.think must not stand beside closed arrivals, whose clients have a "
            f"think of their own; got {given.think!r}"
        )
    if not closed and given.think is None:
        raise InputError(
            'workload.sessions.think must be a duration such as "1 ms", the mean time from an '
            "answer to the next turn; got nothing"
        )
    firsts: set[int] = set()
    following = 0
    for turns in _turns(given, count, seed):
        firsts.add(following)
        following += turns
        if following >= count:
            break
    return [None if i in firsts else i - 1 for i in range(count)]


def turns(workload: Generate, new: Sequence[int], answers: Sequence[int], seed: int) -> list[Turn]:
    """All requests as turns, from prompts and answers in tokens; the last word of an answer is
    not fed back.

    Raises :class:`InputError` as :func:`before_each`, and for turns of a trace that do not begin
    with those before them.
    """
    whole = isinstance(workload.sessions, TracedTurns) and isinstance(workload.prompts, FromTrace)
    made: list[Turn] = []
    for after, prompt, answer in zip(before_each(workload, seed), new, answers, strict=True):
        before = 0 if after is None else made[after].tokens + 1
        if whole and not before < prompt:
            raise InputError(
                f"{_file(workload)}: request {len(made) + 1}, which goes on with request "
                f"{(after or 0) + 1} of its session, must have a prompt of more than {before} "
                f"tokens, its prompt and answer; got {prompt}"
            )
        told = prompt if whole else before + prompt
        made.append(Turn(told, told + answer - 1, after))
    return made


def thinking(workload: Generate, seed: int = 0) -> list[int]:
    """ps from the answer of each request to the next turn, at least 1; empty: nobody waits."""
    given, count = workload.sessions, workload.requests
    if isinstance(workload.arrivals, Closed):
        return thinks(workload.arrivals, count, seed)
    if isinstance(given, Alone):
        return []
    if isinstance(given, TracedTurns) or given.think is None:
        return [1] * count
    own = seed if given.seed is None else given.seed
    return think_times(given.think, given.gaps, count, np.random.default_rng([own, DRAWN + 1]))


def _turns(
    given: FixedTurns | UniformTurns | GeometricTurns, most: int, seed: int
) -> Iterator[int]:
    """Numbers of turns of one conversation after the other, as many as there may be."""
    own = seed if given.seed is None else given.seed
    random = np.random.default_rng([own, DRAWN])
    for _ in range(most):
        match given:
            case FixedTurns(turns=turns):
                yield turns
            case UniformTurns(least=least, most=longest):
                yield int(random.integers(least, longest + 1))
            case GeometricTurns(mean=mean, most=longest):
                yield min(int(random.geometric(1 / mean)), longest)


def _traced(workload: Generate) -> list[int | None]:
    arrivals, path = workload.arrivals, _file(workload)
    assert isinstance(arrivals, TraceFile)
    trace = read_trace(path, workload.requests, arrivals.speed, arrivals.model)
    if trace.sessions is None:
        raise InputError(
            f"{path}: must have a column {' or '.join(SESSIONS)} for workload.sessions"
        )
    last: dict[str, int] = {}
    after: list[int | None] = []
    for i, (session, time) in enumerate(zip(trace.sessions, trace.times, strict=True)):
        before = last.get(session) if session else None
        if before is not None and trace.times[before] == time:
            raise InputError(
                f"{path}: request {i + 1} must come after request {before + 1} of its session, "
                f"{session!r}; both come at once"
            )
        last[session] = i
        after.append(before)
    return after


def _file(workload: Generate) -> Path:
    """The trace that a workload's sessions are of."""
    if not isinstance(workload.arrivals, TraceFile):
        raise InputError(
            "workload.arrivals.kind must be trace for workload.sessions of a trace; got "
            f"{workload.arrivals.kind!r}"
        )
    return Path(workload.arrivals.file)
