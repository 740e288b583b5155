"""What a run adds up to, exactly, whatever part of its trace is kept.

The compiled loop adds each visit as it ends; visits of the SimPy engine are counted block by block
in one compiled pass of the same code (sums.py). Both are integer arithmetic, which costs the same
for a thousand visits and for ten thousand million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hyflexsim.sim.engine.compiled.machine_code import Kernel
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.plan.dealing import turn_of
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.work import Work

ADD = Kernel("hyflexsim.sim.engine.compiled.sums", "add", ("sums",))
SIZES = (
    "one",
    "all",
    "prefix",
    "wave",
    "source",
    "window",
)  # of a step's tokens; the kernel knows them by number
STEP = np.dtype(
    [
        ("extra", "i8"),
        ("behind", "i8"),
        ("ahead", "i8"),
        ("tokens", "i8"),  # beyond N on its axis, or in all
        ("kept", "i8"),
        ("of", "i8"),
        ("each", "i8"),
        ("size", "u4"),
        ("parts", "u4"),
        ("planes", "u4"),
        ("wave", "u4"),
        ("head", "u4"),
        ("split", "u4"),
        ("source", "u4"),
        ("lanes", "u4"),
        ("lane_at", "u4"),
        ("work", "u4"),  # 1 + the column of `given_at`; 0: none
        ("_", "u4"),
    ]
)
BY_STEP = np.dtype(  # `sizes`: where they are not always 1
    [("visits", "i8"), ("sizes", "i8"), ("served", "i8"), ("first_wait", "i8")]
)
BY_COMPONENT = np.dtype([("visits", "i8"), ("served", "i8"), ("wait", "i8")])


@dataclass(frozen=True)
class Tally:
    """Exact sums over all visits, as integer arrays; times in ps.

    By step: ``visits``, ``sizes`` (of tokens), ``served_ps``, ``first_wait_ps`` (from arrival to
    start of the first part of each token: the time it spends in its buffer). By component:
    ``component_visits``, ``component_served_ps``, ``component_wait_ps``, and ``peak_queue``, its
    longest queue at the end of an instant. ``end_ps``: of the last visit.
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


class Sums(NamedTuple):
    """Tables that a visit is looked up in, and those it is added to."""

    steps: np.ndarray
    lanes: np.ndarray  # components that serve, by step and lane
    turns: np.ndarray  # of requests: where the dealing of their tokens to lanes begins
    tokens: np.ndarray  # (requests, 2): all of them, and those there from the start
    given_at: np.ndarray  # (requests, names of work): where in `given` its sizes begin, or -1
    given: np.ndarray  # sizes that requests bring along
    by_step: np.ndarray
    by_component: np.ndarray


class Counter:
    """Adds up visits: a block at a time, or ``sums`` is what the compiled loop adds to.

    ``end_ps``: when the last visit ended.
    """

    def __init__(self, plan: Plan, requests: Sequence[Request]) -> None:
        tokens = np.array([(r.tokens, r.prefill or r.tokens) for r in requests], dtype=np.int64)
        self.sums = Sums(
            *plan.once("sums", lambda: _looked_up(plan)),
            turns=turn_of(plan, np.arange(len(requests), dtype=np.uint32)),
            tokens=tokens.reshape(-1, 2),
            **_given(plan, requests),
            by_step=np.zeros(len(plan.steps), dtype=BY_STEP),
            by_component=np.zeros(len(plan.components), dtype=BY_COMPONENT),
        )
        self.end_ps = 0

    def add(self, block: tuple[np.ndarray, ...]) -> None:
        """One block, in order of end: step, request, token, arrival, start, end."""
        if len(block[0]):
            ADD(block, self.sums)
            self.end_ps = int(block[5][-1])

    def tally(self, peak_queue: Sequence[int] | np.ndarray) -> Tally:
        """The sums so far, with the longest queue of each component."""
        s, c = self.sums.by_step, self.sums.by_component
        return Tally(
            visits=s["visits"],
            sizes=np.where(self.sums.steps["size"] == 0, s["visits"], s["sizes"]),
            served_ps=s["served"],
            first_wait_ps=s["first_wait"],
            component_visits=c["visits"],
            component_served_ps=c["served"],
            component_wait_ps=c["wait"],
            peak_queue=np.asarray(peak_queue, dtype=np.int64),
            end_ps=self.end_ps,
        )


def _names(plan: Plan) -> list[str]:
    """Names by which requests may say how large tokens are, in order."""
    return list(dict.fromkeys(step.work for step in plan.steps if step.work))


def _given(plan: Plan, requests: Sequence[Request]) -> dict[str, np.ndarray]:
    """Tables of the sizes that requests bring along, each kept once."""
    names = plan.once("names of work", lambda: _names(plan))
    at = np.full((len(requests), max(1, len(names))), -1, dtype=np.int64)
    parts, used = [np.zeros(1, dtype=np.int64)], 1
    rows: dict[Work, np.ndarray] = {}
    for i, request in enumerate(requests):
        if request.work is None:
            continue
        if request.work not in rows:
            rows[request.work] = np.full(at.shape[1], -1, dtype=np.int64)
            for column, name in enumerate(names):
                sizes = request.work.sizes.get(name)
                if sizes is not None:
                    rows[request.work][column], used = used, used + len(sizes)
                    parts.append(sizes)
        at[i] = rows[request.work]
    return {"given_at": at, "given": np.concatenate(parts)}


def _looked_up(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """What the size of a step's token follows from, and the components that serve it."""
    lanes = [step.lanes for step in plan.steps]
    rows = np.zeros(len(plan.steps), dtype=STEP)
    rows["size"] = [SIZES.index(step.size) for step in plan.steps]
    rows["extra"] = [step.context_extra for step in plan.steps]
    rows["kept"] = [step.kept[0] for step in plan.steps]
    rows["of"] = [step.kept[1] for step in plan.steps]
    rows["tokens"] = [step.extra for step in plan.steps]
    rows["source"] = [step.axis == "source" for step in plan.steps]
    rows["each"] = [step.each for step in plan.steps]
    columns = {name: 1 + i for i, name in enumerate(_names(plan))}
    rows["work"] = [columns.get(step.work, 0) for step in plan.steps]
    for name in ("parts", "planes", "wave", "head", "split", "behind", "ahead"):
        rows[name] = [getattr(step, name) for step in plan.steps]
    rows["lanes"] = lengths = [len(each) for each in lanes]
    rows["lane_at"] = np.cumsum([0, *lengths])[:-1]
    return rows, np.array([lane for each in lanes for lane in each], dtype=np.uint32)
