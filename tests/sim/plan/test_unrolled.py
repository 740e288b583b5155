"""What a plan's steps have in common, and one length of it, by hand."""

import numpy as np
import pytest

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.plan.plan import Group, Step, Threshold, size_of
from hyflexsim.sim.plan.unrolled import (
    DIRECT,
    GROUP,
    MOST_INPUTS,
    STREAM,
    THRESHOLD,
    Pattern,
    pattern_of,
    shape_of,
)


@pytest.fixture
def plan(plan_of):
    """Two layers alike behind an input; a threshold that differs."""
    return plan_of(
        (0, 5, [], None, {}),
        (1, 5, [Group(0)], None, {}),
        (2, 7, [Group(1), Threshold(0, "all")], None, {}),
        (3, 5, [Group(2)], None, {}),
        (4, 7, [Group(3), Threshold(0, "prefix")], None, {"axis": "single"}),
    )


def test_steps_alike_are_one_class(plan):
    pattern = Pattern(plan)
    assert pattern.count_of == [0, 0, 0, 0, 1]
    assert pattern.duration_of == [0, 0, 1, 0, 2]
    assert pattern.wait_of == [0, 1, 2, 1, 3]
    assert [step.name for step in pattern.examples] == ["s0", "s4"]
    assert [(step.name, count) for step, count in pattern.durations] == [
        ("s0", 0),
        ("s2", 0),
        ("s4", 1),
    ]
    assert len(pattern.waits) == 4


def test_edges_out_of_a_step_have_marks_where_they_are_thresholds(plan):
    """Step, class of the edge, number of its mark."""
    pattern = Pattern(plan)
    assert pattern.outputs == [
        [(1, 0, -1), (2, 1, 0), (4, 3, 1)],
        [(2, 0, -1)],
        [(3, 0, -1)],
        [(4, 2, -1)],
        [],
    ]
    assert pattern.marks == 2


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"planes": 2},
        {"axis": "pair"},
        {"axis": "pair", "wave": 2},
        {"axis": "pair", "wave": 2, "split": True},
        {"head": True},
    ],
)
def test_what_counts_tokens_differently_is_another_class(plan_of, change):
    plan = plan_of((0, 5, [], None, {}), (1, 5, [], None, change))
    assert Pattern(plan).count_of == [0, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"rate": Rate(6)},
        {"size": "all"},
        {"context_extra": 1},
        {"kept": (1, 2)},
    ],
)
def test_what_takes_another_time_is_another_class(plan_of, change):
    pattern = Pattern(plan_of((0, 5, [], None, {}), (1, 5, [], None, change)))
    assert (pattern.count_of, pattern.duration_of) == ([0, 0], [0, 1])


@pytest.mark.parametrize(
    "edge", [Group(0, every=2), Group(0, spread=2), Group(0, lag=1), Threshold(0, "all")]
)
def test_what_waits_otherwise_is_another_class(plan_of, edge):
    plan = plan_of((0, 5, [], None, {}), (1, 5, [Group(0)], None, {}), (2, 5, [edge], None, {}))
    assert Pattern(plan).wait_of == [0, 1, 2]


def test_patterns_and_shapes_are_made_once(plan):
    assert pattern_of(plan) is pattern_of(plan)
    assert shape_of(plan, 4) is shape_of(plan, 4, 4)
    assert shape_of(plan, 4, 3) is not shape_of(plan, 4)


@pytest.mark.parametrize("prefill", [0, 5])
def test_a_prompt_is_one_token_at_least_and_all_at_most(plan, prefill):
    with pytest.raises(ValueError) as error:
        shape_of(plan, 4, prefill)
    assert str(error.value) == f"prefill must be 1 to 4 (the token count); got {prefill}"


def test_what_a_finished_token_releases(plan):
    """The only input of a token directly, one of several as a stream; a group to a single op."""
    outputs = shape_of(plan, 3).outputs
    assert outputs[0][0] == (DIRECT, 1)
    assert outputs[0][1] == (THRESHOLD, 2, [3, 3, 3], 0)
    assert outputs[0][2] == (THRESHOLD, 4, [1], 1)
    assert outputs[1] == [(STREAM, 2)]
    assert outputs[3] == [(GROUP, 4, 1, 1, 0, 2, 1, False, 0)]


def test_a_longer_reader_is_served_stream_by_stream(plan_of):
    """4 tokens feed 5: the fifth waits for nothing; a shorter reader is a group."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0)], None, {"extra": 1}),
        (2, 1, [Group(0)], None, {"extra": -1}),
    )
    outputs = shape_of(plan, 4).outputs[0]
    assert outputs == [(STREAM, 1), (GROUP, 2, 1, 1, 0, 3, 3, False, 0)]


def test_head_steps_begin_with_the_last_token_of_the_prompt(plan_of):
    """Prompt 3 of 5: the head's token 0 is token 2; what leads back shifts the other way."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0)], None, {"head": True}),
        (2, 1, [Group(1)], None, {}),
        (3, 1, [Threshold(0, "prefix")], None, {"head": True}),
    )
    shape = shape_of(plan, 5, 3)
    assert shape.counts == [5, 3, 5, 3]
    assert shape.outputs[0] == [
        (GROUP, 1, 1, 1, -2, 4, 3, False, 0),
        (THRESHOLD, 3, [3, 4, 5], 0),
    ]
    assert shape.outputs[1] == [(GROUP, 2, 1, 1, 2, 2, 5, False, 0)]
    assert shape.initial == [[0, 1, 2, 3, 4], [], [0, 1], []]


def test_a_lag_beyond_the_end_waits_for_nobody(plan_of):
    plan = plan_of((0, 1, [], None, {}), (1, 1, [Group(0, lag=5)], None, {}))
    assert shape_of(plan, 3).initial == [[0, 1, 2], [0, 1, 2]]


def test_what_begins_after_all_that_it_reads_waits_for_nobody(plan_of):
    """3 tokens are there before the fourth, the prompt's last, with which the head begins."""
    plan = plan_of((0, 1, [], None, {"extra": -2}), (1, 1, [Group(0)], None, {"head": True}))
    shape = shape_of(plan, 5, 4)
    assert shape.counts == [3, 2]
    assert shape.waits[1] == bytes(2)


def test_a_spread_group_shifts_by_whole_groups(plan_of):
    """Lag 1 of two planes a token: planes 0, 1 are free, 2 to 5 wait."""
    plan = plan_of((0, 1, [], None, {}), (1, 1, [Group(0, spread=2, lag=1)], None, {"planes": 2}))
    shape = shape_of(plan, 3)
    assert shape.waits[1] == bytes([0, 0, 1, 1, 1, 1])
    assert shape.outputs[0] == [(GROUP, 1, 1, 2, 1, 2, 6, False, 0)]


def test_inputs_of_one_token_are_counted_in_a_byte(plan_of):
    rows = [(0, 1, [], None, {})]
    most = plan_of(*rows, (1, 1, [Group(0)] * MOST_INPUTS, None, {}))
    assert shape_of(most, 2).waits[1] == bytes([255, 255])
    more = plan_of(*rows, (1, 1, [Group(0)] * (MOST_INPUTS + 1), None, {}))
    with pytest.raises(ValueError, match=r"^a token may wait for 255 inputs; got 256$"):
        list(shape_of(more, 2).waits)


def test_times_of_contexts_that_are_kept_in_part(plan_of):
    """A quarter of contexts 1 to 6, rounded up: 1 1 1 1 2 2; of all 6: 2."""
    rate = Rate(quantum=10, work=1)
    plan = plan_of(
        (0, rate, [], None, {"size": "prefix", "kept": (1, 4)}),
        (1, rate, [], None, {"size": "all", "kept": (1, 4)}),
    )
    shape = shape_of(plan, 6)
    assert shape.durations == [[10, 10, 10, 10, 20, 20], 20]
    assert shape.sizes == [8, 12]


def test_a_rate_without_work_takes_the_same_for_all(plan_of):
    plan = plan_of((0, Rate(9), [], None, {"size": "prefix"}))
    assert shape_of(plan, 3).durations == [9]
    assert shape_of(plan, 3).sizes == [6]


def test_no_visit_takes_no_time(plan_of):
    """Idle slots of a cut wave: size 0 takes 1 ps."""
    options = {"axis": "pair", "wave": 2, "size": "wave", "split": True}
    plan = plan_of((0, Rate(work=5), [], None, options))
    assert shape_of(plan, 2).durations == [[5, 5, 5, 1]]
    assert shape_of(plan, 2).sizes == [3]


def test_sizes_of_an_array_are_those_of_its_tokens():
    step = Step("s", "s", "bank", "l", (0,), Rate(1), size="prefix", planes=2, context_extra=3)
    each = size_of(step, np.arange(8), 4, 4)
    assert each.tolist() == [4, 4, 5, 5, 6, 6, 7, 7]
    assert each.tolist() == [size_of(step, n, 4, 4) for n in range(8)]


def test_an_edge_says_nothing_of_what_it_is_not(plan_of):
    """A threshold has no groups, a stream no need; all tokens that wait are named."""
    plan = plan_of(
        (0, 1, [], None, {}), (1, 1, [Group(0)], None, {}), (2, 1, [Threshold(1, "all")], None, {})
    )
    stream, threshold = shape_of(plan, 3).class_edges
    assert stream[:9] == (STREAM, 1, 1, 0, 2, 3, False, 0, None)
    assert stream.waiting == slice(0, 3)
    assert threshold[:8] == (THRESHOLD, 0, 0, 0, 0, 3, False, 0)
    assert threshold.need.tolist() == [3, 3, 3]
    assert threshold.waiting.tolist() == [True] * 3
