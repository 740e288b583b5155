"""Tables of the compiled engine: what they start from, how they grow, what they share."""

import dataclasses

import numpy as np
import pytest

from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.compiled.registers import (
    COMPONENTS,
    FAN_OUT,
    FREE_NODE,
    FREE_NODES,
    HEAP,
    HOST,
    HOST_DUE,
    NONE,
    TURN,
)
from hyflexsim.sim.engine.compiled.tables import Pool, _starts, fresh_nodes, tables
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.trace import DTYPES
from hyflexsim.sim.plan.plan import Group, Threshold


@pytest.fixture
def plan(plan_of):
    """A bus, two lanes with places, a reader of all of them."""
    return plan_of(
        (0, 1, [], None, {}),
        ((1, 2), 3, [Group(0)], 2, {}),
        (3, 2, [Threshold(1, "all")], None, {"axis": "single"}),
    )


def test_registers_at_time_zero(plan):
    t = tables(plan, [Request(0, 4)], 3, 5)
    r = t.registers
    assert (r[HOST_DUE], r[FREE_NODE], r[FREE_NODES]) == (1, 0, 5)
    assert t.members["window"].tolist() == [3]
    assert (r[COMPONENTS], r[HOST]) == (4, 5)  # one buffer's credits between them
    assert r[FAN_OUT] == 1 + 4  # no token releases more than one; one in hand each
    assert len(t.events) == 6


def test_nobody_has_been_answered(plan):
    t = tables(plan, [Request(0, 4), Request(3, 2)], 1)
    assert t.entered.tolist() == t.first_output.tolist() == t.finished.tolist() == [-1, -1]
    assert t.requests["arrival"].tolist() == [0, 3]
    assert t.requests["shape"].tolist() == [0, 1]


def test_requests_of_one_length_share_a_shape(plan):
    t = tables(plan, [Request(0, 4), Request(0, 4, 4), Request(0, 4, 3)], 1)
    assert t.requests["shape"].tolist() == [0, 0, 1]
    assert t.shapes["visits"].tolist() == [9, 9]


def test_steps_lanes_and_buffers(plan):
    t = tables(plan, [Request(0, 4)], 1)
    assert t.steps["lanes"].tolist() == [1, 2, 1]
    assert t.steps["lane_at"].tolist() == [0, 1, 3]
    assert t.lanes["component"].tolist() == t.lanes["server"].tolist() == [0, 1, 2, 3]
    assert t.steps["own"].tolist() == [NONE, 0, NONE]
    assert t.steps["reserves"].tolist() == [1, 0, 0]
    assert t.steps["answers"].tolist() == [0, 0, 1]
    assert t.steps["prefix"].tolist() == [NONE, 1, NONE]
    assert t.buffers["free"].tolist() == t.buffers["least_free"].tolist() == [2]
    assert t.steps["ps"].tolist() == [1, 3, 2]
    assert t.steps["follower"].tolist() == [1, NONE, NONE]
    assert set(t.channels["place"].tolist()) == {HEAP}


def test_components_under_a_sequencer(plan, under):
    t = tables(under(plan, {1: 0, 2: 0}), [Request(0, 4)], 1)
    assert t.steps["sequenced"].tolist() == [0, 1, 0]
    assert t.lanes["component"].tolist() == [0, 4, 4, 3]
    assert t.lanes["server"].tolist() == [0, 1, 2, 3]
    assert t.components["state"].tolist() == [0, 0, 0, 0, TURN]
    assert t.channels["place"].tolist() == [HEAP, NONE, NONE, HEAP]
    assert t.components["ready_at"].tolist() == [0, 1, 1, 1, 2]


def test_most_tokens_that_one_releases(plan_of):
    """A single token is heard by 7; planes by 4 at once; both edges of one step add up."""
    plan = plan_of(
        (0, 1, [], None, {"axis": "single"}),
        (1, 1, [Group(0)], None, {}),
        (2, 1, [Group(0)], None, {}),
        (3, 1, [Group(1, spread=4)], None, {"planes": 4}),
    )
    t = tables(plan, [Request(0, 7)], 1)
    assert t.registers[FAN_OUT] == 14 + 4
    plan = plan_of((0, 1, [], None, {}), (1, 1, [Group(0, spread=4)], None, {"planes": 4}))
    assert tables(plan, [Request(0, 7)], 1).registers[FAN_OUT] == 4 + 2
    plan = plan_of((0, 1, [], None, {}))
    assert tables(plan, [Request(0, 7)], 1).registers[FAN_OUT] == 0 + 1


def test_free_nodes_are_a_chain():
    nodes = fresh_nodes(3, 5)
    assert nodes["next"].tolist() == [6, 7, NONE]


@pytest.mark.parametrize(("lengths", "starts"), [([2, 0, 3], [0, 2, 2]), ([], []), ([4], [0])])
def test_where_rows_start(lengths, starts):
    assert _starts(lengths).tolist() == starts


def test_a_pool_says_where_it_put_things():
    pool = Pool(np.int64)
    assert [pool.add(np.array(each)) for each in ([1, 2], [3])] == [0, 2]
    assert pool.array().tolist() == [1, 2, 3, 0]
    assert Pool(np.int64).array().tolist() == [0]


@pytest.mark.parametrize(
    ("used", "needed", "length"), [(0, 5, 10), (1, 4, 10), (1, 5, 25), (5, 1, 21), (9, 3, 23)]
)
def test_a_table_doubles_when_it_would_be_more_than_half_full(used, needed, length):
    """Then there is room for what is needed beside; what was there stays, the rest is 0."""
    more = compiled._doubled(np.arange(1, 11), used, needed)
    assert len(more) == length
    assert more.tolist() == [*range(1, 11), *[0] * (length - 10)]


def test_columns_of_a_block_lie_in_one_piece():
    """3 rows of 36 bytes: three columns of int32 and three of int64, none of which overlap."""
    block = compiled._fresh_block(3)
    assert [column.dtype for column in block] == [np.dtype(each) for each in DTYPES]
    assert [len(column) for column in block] == [3] * 6
    for n, column in enumerate(block):
        column[:] = n
    assert [column.tolist() for column in block] == [[n] * 3 for n in range(6)]
    assert all(column.ctypes.data % column.itemsize == 0 for column in block)


def test_thousands_of_components_wake_in_order(plan_of, outcome):
    """65 words of 64: the words that say which words are not 0 are two, one with a single bit."""
    lanes = tuple(range(4100, 0, -1))
    plan = plan_of((0, 3, [], None, {}), (lanes, 5, [Threshold(0, "all")], None, {}))
    requests = [Request(0, 4300)]
    assert outcome(compiled.play, plan, requests) == outcome(engine.play, plan, requests)


def test_a_run_does_not_change_what_the_next_one_starts_from(plan):
    requests = [Request(0, 4)]
    before = tables(plan, requests, 1)
    compiled.play(plan, requests)
    after = tables(plan, requests, 1)
    for name in before._fields:
        assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_growth_keeps_the_chain_of_free_nodes(plan):
    """One node, then as many more as are needed, the old free one at the end of the chain."""
    t = tables(plan, [Request(0, 4)], 1, 1)
    grown = compiled._grown(t)
    free, at = [], int(grown.registers[FREE_NODE])
    while at != NONE:
        free.append(at)
        at = int(grown.nodes["next"][at])
    assert len(free) == grown.registers[FREE_NODES] == len(grown.nodes)
    assert free == [*range(1, len(free)), 0]
    assert len(grown.blocks) >= 2
    assert len(grown.waits) >= int(t.shapes["bytes"].max())


def test_a_deadlock_names_each_buffer_and_each_line(plan_of, outcome):
    """The same words by both engines, where several wait for one buffer."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0)], None, {}),
        (2, 1, [Group(0)], None, {}),
        (3, 1, [Group(1), Group(2), Group(4, lag=-1)], 1, {}),
        (4, 1, [Group(3)], 1, {}),
    )
    requests = [Request(0, 3)]
    report = outcome(compiled.play, plan, requests)
    assert report == outcome(engine.play, plan, requests)


def test_a_window_of_nothing_is_no_window(plan, outcome):
    requests = [Request(0, 2)] * 3
    plan = dataclasses.replace(plan)
    assert compiled.play(plan, requests).peak_requests == 3
    assert compiled.play(plan, requests, window=2).peak_requests == 2
