"""What a run adds up to, exactly, whatever part of its trace is kept.

Counted block by block while the trace goes by, in one compiled pass of integer arithmetic, so it
costs the same for a thousand visits and for ten thousand million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hyflexsim.sim.machine_code import Kernel

if TYPE_CHECKING:
    from hyflexsim.sim.plan import Plan
    from hyflexsim.sim.played import Request

ADD = Kernel("hyflexsim.sim.sums", "add", ("sums",))
SIZES = ("one", "all", "prefix", "wave")  # of a step's tokens; the kernel knows them by number
STEP = np.dtype(
    [
        ("size", "i8"),
        ("parts", "i8"),
        ("planes", "i8"),
        ("wave", "i8"),
        ("extra", "i8"),
        ("head", "i8"),
        ("split", "i8"),
        ("shown", "i8"),
        ("shown_at", "i8"),
    ]
)
BY_STEP = np.dtype([("visits", "i8"), ("sizes", "i8"), ("served", "i8"), ("first_wait", "i8")])
BY_COMPONENT = np.dtype([("visits", "i8"), ("served", "i8"), ("wait", "i8")])


@dataclass(frozen=True)
class Tally:
    """Exact sums over all visits, as integer arrays; times in ps.

    By step: ``visits``, ``sizes`` (of tokens), ``served_ps``, ``first_wait_ps`` (from arrival to
    start of the first part of each token: the time it spends in its buffer). By component as
    reported: ``component_visits``, ``component_served_ps``, ``component_wait_ps``, and
    ``peak_queue``, its longest queue at the end of an instant. ``end_ps``: of the last visit.
    """

    visits: np.ndarray
    sizes: np.ndarray
    served_ps: np.ndarray
    first_wait_ps: np.ndarray
    component_visits: np.ndarray
    component_served_ps: np.ndarray
    component_wait_ps: np.ndarray
    peak_queue: np.ndarray
    end_ps: int


class Counter:
    """Adds up blocks of visits, given in order of their end."""

    def __init__(self, plan: Plan, requests: Sequence[Request]) -> None:
        steps = plan.steps
        shown = [step.shown or step.lanes for step in steps]
        self._shown = np.array([lane for each in shown for lane in each], dtype=np.int64)
        self._steps = np.zeros(len(steps), dtype=STEP)
        self._steps["size"] = [SIZES.index(step.size) for step in steps]
        self._steps["extra"] = [step.context_extra for step in steps]
        for name in ("parts", "planes", "wave", "head", "split"):
            self._steps[name] = [getattr(step, name) for step in steps]
        self._steps["shown"] = lengths = [len(each) for each in shown]
        self._steps["shown_at"] = np.cumsum([0, *lengths])[:-1]
        self._tokens = np.array([(r.tokens, r.prefill or r.tokens) for r in requests])
        self._tokens = self._tokens.reshape(-1, 2).astype(np.int64)
        self._by_step = np.zeros(len(steps), dtype=BY_STEP)
        self._by_component = np.zeros(len(plan.components), dtype=BY_COMPONENT)
        self._end = 0

    def add(self, block: tuple[np.ndarray, ...]) -> None:
        """One block: step, request, token, arrival, start, end."""
        if len(block[0]):
            ADD(block, self._steps, self._shown, self._tokens, self._by_step, self._by_component)
            self._end = int(block[5][-1])

    def tally(self, peak_queue: Sequence[int] | np.ndarray) -> Tally:
        """The sums so far, with the longest queue of each component."""
        s, c = self._by_step, self._by_component
        return Tally(
            visits=s["visits"],
            sizes=s["sizes"],
            served_ps=s["served"],
            first_wait_ps=s["first_wait"],
            component_visits=c["visits"],
            component_served_ps=c["served"],
            component_wait_ps=c["wait"],
            peak_queue=np.asarray(peak_queue, dtype=np.int64),
            end_ps=self._end,
        )
