"""The report of a run that stopped with tokens in flight: who waits for whom."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hyflexsim.sim.plan.plan import Plan

SHOWN = 8


class Blocked(NamedTuple):
    """A token at a component that waits for a place in a buffer (the step whose buffer it is)."""

    buffer: int
    step: int
    component: int
    request: int
    token: int


class Waiting(NamedTuple):
    """The first token of a step and request whose inputs are not all there."""

    request: int
    step: int
    token: int


def report(plan: Plan, now: int, blocked: Iterable[Blocked], waiting: Iterable[Waiting]) -> str:
    """Name what every stuck step waits for, first in order first (at most eight)."""
    steps = plan.steps
    reasons = [
        f"{steps[b.step].name} at {plan.components[b.component].name} holds request {b.request} "
        f"token {b.token} until {steps[b.buffer].name} has a place "
        f"(all {steps[b.buffer].places} taken)"
        for b in blocked
    ]
    for w in waiting:
        sources = ", ".join(steps[edge.source].name for edge in steps[w.step].inputs)
        reasons.append(
            f"{steps[w.step].name} waits with request {w.request} token {w.token} for {sources}"
        )
    shown = "; ".join(reasons[:SHOWN])
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return f"deadlock at {now} ps: {shown}{more}"
