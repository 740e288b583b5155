"""Dealing: which copy of a matrix serves which token.

The copies of a matrix, the *lanes* of its steps, take the tokens of a request in turn. Where that
begins is the rule (``mapping.deal``)::

    by-token    token 0 of every request goes to the first lane
    in-turn     that of the next request of the chip goes one lane further on

By token, requests of one token (the class token of a jet), or of one more than there are lanes,
all meet in the first lane, and the others idle. In turn, so many requests as there are lanes load
all of them alike. All bit-planes of a token stay on its lane, and steps with equally many lanes (a
bank, its converter) agree on it, because it follows from the token and the request alone.

Requests are numbered as they come, and chips side by side (members.py) take them in turn or by
the shortest queue. So a request begins at its number by the number of chips: of those that a
chip gets in turn, that counts one by one. Counting requests instead would let each of two chips see
every other lane only.

Both engines, their sums and all tables of visits ask here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hyflexsim.sim.plan.plan import Plan, Step


def turn_of(plan: Plan, request: Any) -> Any:
    """At which turn a request, by number, begins; or those of an array of requests.

    >>> from hyflexsim.sim.plan.plan import Component, Plan
    >>> [turn_of(Plan((), (), in_turn=each), 3) for each in (False, True)]
    [0, 3]
    """
    return request // plan.members if plan.in_turn else 0 * request


def lane_of(step: Step, token: int, turn: int) -> int:
    """The lane of a step that serves a token (or part of one) of a request with this turn.

    >>> from hyflexsim.sim.chip.service import Rate
    >>> step = Step("fc", "fc", "bank", "b", lanes=(4, 5, 6), rate=Rate(), planes=2)
    >>> [lane_of(step, token, turn=2) for token in range(6)]
    [2, 2, 0, 0, 1, 1]
    """
    return (token // step.planes + turn) % len(step.lanes)


def dealt_otherwise(plan: Plan, requests: int) -> bool:
    """Whether so many requests could see which of the two rules a plan has.

    The first request of each chip begins at the first lane by either.
    """
    return requests > plan.members and any(len(step.lanes) > 1 for step in plan.steps)


class Lanes:
    """Finds the lanes of whole arrays of visits."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._counts = np.array([len(step.lanes) for step in plan.steps], dtype=np.int32)
        self._planes = np.array([step.planes for step in plan.steps], dtype=np.int32)

    def __call__(self, step: np.ndarray, request: np.ndarray, token: np.ndarray) -> np.ndarray:
        """The lane of every visit, int32: :func:`lane_of` of each."""
        turn = turn_of(self._plan, request)
        lane: np.ndarray = (token // self._planes[step] + turn) % self._counts[step]
        return lane

    def table(self, values: Sequence[Sequence[Any]], dtype: Any) -> np.ndarray:
        """Values by step and lane as an array (steps, most lanes), filled up with zeros."""
        table = np.zeros((len(values), int(self._counts.max(initial=1))), dtype=dtype)
        for i, row in enumerate(values):
            table[i, : len(row)] = row
        return table
