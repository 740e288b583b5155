"""Requests that have given up their pages enter again, with another prompt and so another shape.

The loop stops for each; where its shape is not among the tables, they are made anew with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hyflexsim.sim.engine.compiled import registers as reg
from hyflexsim.sim.engine.compiled.table_types import Tables
from hyflexsim.sim.engine.compiled.tables import Length, before_any_request, on_members
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.engine.tally import Counter
from hyflexsim.sim.plan.plan import Plan

SHAPED = (
    *("steps", "outputs", "edges", "durations", "times", "needs"),
    *("waits_at", "prefix_at", "templates", "begun", "initial"),
)
"""Tables that say something of every shape, and are not written to."""


class EnteringAgain:
    """Gives such requests their shapes, and keeps account of them.

    ``happened``: whether there were any.
    """

    def __init__(
        self, plan: Plan, requests: Sequence[Request], host: Host, counter: Counter
    ) -> None:
        self._plan = plan
        self._requests = requests
        self._counter = counter
        self.happened = False
        self._preemptions: list[tuple[int, int, int]] = []
        self._shapes: list[Length] = [] if host.page is None else [*on_members(requests, host)[0]]
        self._places = {shape: i for i, shape in enumerate(self._shapes)}

    def shaped(self, t: Tables) -> Tables:
        """The tables with the shape that is wanted."""
        self.happened = True
        request = int(t.registers[reg.WANTED])
        row = t.growing[request]
        self._preemptions.append(_given_up(request, row))
        row["entered"], row["again"] = row["length"], 0
        self._counter.sums.tokens[request, 1] = row["length"]
        member = int(t.shapes[t.requests[request]["shape"]]["member"])
        sent = self._requests[request]
        shape = (sent.tokens, int(row["length"]), member, sent.work, 0)
        if shape not in self._places:
            self._places[shape] = len(self._shapes)
            self._shapes.append(shape)
            t = self._with_all(t)
        t.requests["shape"][request] = self._places[shape]
        return t

    def _with_all(self, t: Tables) -> Tables:
        made = before_any_request(self._plan, self._shapes)
        shapes = made["shapes"]
        shapes["free_block"][: len(t.shapes)] = t.shapes["free_block"]
        fan_out = made["fan_out"] + t.registers[reg.COMPONENTS]
        t.registers[reg.FAN_OUT] = max(t.registers[reg.FAN_OUT], fan_out)
        return t._replace(shapes=shapes, **{name: made[name] for name in SHAPED})

    def all_of(self, t: Tables) -> list[tuple[int, int, int]]:
        """All preemptions, also of those that did not enter again: as in ``Played``."""
        waiting = np.flatnonzero(t.growing["again"]).tolist()
        return sorted([*self._preemptions, *(_given_up(i, t.growing[i]) for i in waiting)])


def _given_up(request: int, row: np.void) -> tuple[int, int, int]:
    """Its number, the tokens with which it entered, and those that it had computed."""
    return request, int(row["entered"]), int(row["length"]) - 1
