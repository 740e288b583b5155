"""Sums over visits: a block by hand, and those of every way of cutting and sizing tokens."""

import numpy as np
import pytest

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Host, Request, arrivals_of
from hyflexsim.sim.engine.tally import Counter
from hyflexsim.sim.engine.trace import DTYPES, NAMES
from hyflexsim.sim.plan.unrolled import shape_of


def block(*rows):
    """Columns of rows (step, request, token, arrival, start, end)."""
    return tuple(np.array([row[i] for row in rows], dtype=dtype) for i, dtype in enumerate(DTYPES))


def counted(plan, requests, *blocks):
    counter = Counter(plan, requests)
    for each in blocks:
        counter.add(each)
    return counter.tally([0] * len(plan.components))


def test_visits_are_added_to_their_step_and_component(plan_of):
    """Lanes 1 and 2 take tokens in turn; waits 3 and 1, served 5 and 7."""
    plan = plan_of((0, 1, [], None, {}), ((1, 2), 1, [], None, {}))
    tally = counted(plan, [Request(0, 4)], block((1, 0, 0, 0, 3, 8), (1, 0, 3, 2, 3, 10)))
    assert tally.visits.tolist() == tally.sizes.tolist() == [0, 2]
    assert tally.served_ps.tolist() == [0, 12]
    assert tally.first_wait_ps.tolist() == [0, 4]
    assert tally.component_visits.tolist() == [0, 1, 1]
    assert tally.component_served_ps.tolist() == [0, 5, 7]
    assert tally.component_wait_ps.tolist() == [0, 3, 1]
    assert tally.end_ps == 10


def test_blocks_add_up_and_an_empty_one_adds_nothing(plan_of):
    plan = plan_of((0, 1, [], None, {}))
    row = (0, 0, 0, 0, 1, 2)
    tally = counted(plan, [Request(0, 4)], block(row), block(row), block())
    assert (tally.visits.tolist(), tally.end_ps) == ([2], 2)


def test_only_the_first_part_waits_in_the_buffer(plan_of):
    """Two planes a token: the second one's wait is the bank's, not the buffer's."""
    plan = plan_of((0, 1, [], None, {"planes": 2}))
    tally = counted(plan, [Request(0, 1)], block((0, 0, 0, 0, 3, 8), (0, 0, 1, 0, 8, 9)))
    assert tally.first_wait_ps.tolist() == [3]
    assert tally.component_wait_ps.tolist() == [11]


SIZED = [
    {"size": "all"},
    {"size": "all", "context_extra": 2},
    {"size": "all", "context_extra": 2, "kept": (2, 5)},
    {"size": "prefix"},
    {"size": "prefix", "context_extra": 1, "kept": (1, 3)},
    {"size": "prefix", "head": True},
    {"size": "prefix", "planes": 4},
    {"size": "wave", "axis": "pair", "wave": 4},
    {"size": "wave", "axis": "pair", "wave": 4, "split": True},
    {"size": "wave", "axis": "pair", "wave": 4, "split": True, "planes": 2},
    {"size": "one", "extra": 1},
]


@pytest.mark.parametrize("engine", [play, compiled.play], ids=["simpy", "compiled"])
@pytest.mark.parametrize("options", SIZED, ids=str)
def test_sizes_are_those_of_the_closed_form(plan_of, engine, options):
    plan = plan_of(((0, 1, 2), Rate(work=3), [], None, options))
    requests = [Request(0, 5, 3), Request(0, 7), Request(3, 1)]
    shapes = [shape_of(plan, request.tokens, request.prefill) for request in requests]
    tally = engine(plan, requests).tally
    assert tally.sizes.tolist() == [sum(shape.sizes[0] for shape in shapes)]
    assert tally.visits.tolist() == [sum(shape.counts[0] for shape in shapes)]
    served = (
        sum(time) if isinstance(time, list) else time * shape.counts[0]
        for shape in shapes
        for time in shape.durations
    )
    assert tally.served_ps.tolist() == [sum(served)]


@pytest.mark.parametrize("engine", [play, compiled.play], ids=["simpy", "compiled"])
def test_planes_of_a_token_stay_on_their_lane(plan_of, engine):
    """Two lanes, four planes, three tokens: 8 and 4 visits."""
    plan = plan_of(((0, 1), 1, [], None, {"planes": 4}))
    assert engine(plan, [Request(0, 3)]).tally.component_visits.tolist() == [8, 4]


def test_columns_of_a_trace():
    assert NAMES == ("step", "request", "token", "arrival", "start", "end")
    assert sum(np.dtype(each).itemsize for each in DTYPES) == 36


def test_requests_come_in_order():
    arrivals_of([Request(0, 1), Request(0, 1), Request(2, 1)], Host())
    with pytest.raises(ValueError, match=r"^requests must be in order of arrival$"):
        arrivals_of([Request(1, 1), Request(0, 1)], Host())
