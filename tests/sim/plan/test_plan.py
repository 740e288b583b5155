"""A plan evaluated for a length: token counts, sizes, who waits for how many."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.plan.plan import Group, Step, Threshold, size_of, tokens_of
from hyflexsim.sim.plan.unrolled import ANSWER, GROUP, NEEDS, THRESHOLD, shape_of


def step(**options):
    return Step("s", "s", "bank", "l", (0,), Rate(1), **options)


@pytest.mark.parametrize(
    ("options", "tokens", "prefill", "count"),
    [
        ({}, 5, 5, 5),
        ({"extra": -1}, 5, 5, 4),
        ({"axis": "single"}, 5, 5, 1),
        ({"planes": 8}, 5, 5, 40),
        ({"head": True}, 5, 3, 3),  # tokens 2, 3, 4 are sampled
        ({"axis": "pair"}, 3, 3, 6),
        ({"axis": "pair", "wave": 4}, 3, 3, 2),
        ({"axis": "pair", "wave": 4, "split": True}, 3, 3, 8),  # two idle slots
        ({"axis": "pair", "wave": 4, "split": True, "planes": 8}, 3, 3, 64),
    ],
)
def test_tokens(options, tokens, prefill, count):
    assert tokens_of(step(**options), tokens, prefill) == count


def sizes(options, tokens, prefill=None):
    s = step(**options)
    prefill = prefill or tokens
    count = tokens_of(s, tokens, prefill)
    return [size_of(s, n, tokens, prefill) for n in range(count)]


def test_sizes():
    assert sizes({"size": "all"}, 3) == [3, 3, 3]
    assert sizes({"size": "all", "context_extra": 1}, 3) == [4, 4, 4]
    assert sizes({"size": "prefix"}, 3) == [1, 2, 3]
    assert sizes({"size": "prefix", "head": True}, 5, 3) == [3, 4, 5]
    wave = {"axis": "pair", "size": "wave", "wave": 4}
    assert sizes(wave, 3) == [4, 2]
    assert sizes(wave | {"split": True}, 3) == [1, 1, 1, 1, 1, 1, 0, 0]


def test_waits_of_each_rule(plan_of):
    """Inputs each token waits for; None where all wait for exactly one."""
    chain = [
        (0, 1, [], None, {}),
        (0, 1, [Group(0)], None, {}),
        (0, 1, [Group(0), Threshold(1, "all")], None, {}),
        (0, 1, [Group(0, lag=1)], None, {}),
        (0, 1, [Group(0)], None, {"extra": 1}),
    ]
    shape = shape_of(plan_of(*chain), 3)
    assert shape.waits == [bytes(3), None, bytes([2, 2, 2]), bytes([0, 1, 1]), bytes([1, 1, 1, 0])]
    assert shape.initial == [[0, 1, 2], [], [], [0], [3]]
    assert shape.counts == [3, 3, 3, 3, 4]
    assert shape.visits == 16


def test_text_generation_is_a_lag_of_one(plan_of):
    """Prompt of 3, five tokens: input tokens 3 and 4 wait for answers 0 and 1."""
    plan = plan_of(
        (0, 1, [Group(1, lag=1)], None, {}),
        (0, 1, [Group(0)], None, {"head": True}),
    )
    shape = shape_of(plan, 5, 3)
    assert shape.counts == [5, 3]
    assert shape.waits == [bytes([0, 0, 0, 1, 1]), None]


def needs_in(shape, source):
    """Thresholds that a step's tokens open: (step, need), need[n] tokens for its token n."""
    return [(out[1], out[2]) for out in shape.outputs[source] if out[0] == THRESHOLD]


def test_thresholds_between_tokens_cut_in_planes(plan_of):
    """Two planes a token: planes 2n and 2n + 1 wait for all planes of the tokens before."""
    plan = plan_of(
        (0, 1, [], None, {"planes": 2}),
        (1, 1, [Threshold(0, "prefix")], None, {"planes": 2}),
        (2, 1, [Threshold(0, "last")], None, {"axis": "single"}),
    )
    assert needs_in(shape_of(plan, 3), 0) == [(1, [2, 2, 4, 4, 6, 6]), (2, [6])]


@pytest.mark.parametrize("split", [False, True])
def test_pairs_in_waves_of_four(plan_of, split):
    """N = 3: wave 0 (00 01 02 11) and wave 1 (12 22) need all particles; rows 0, 1, 2 end in waves
    0, 1, 1. Cut into its pairs, a wave is four parts, each of which waits for the same."""
    pairs = {"axis": "pair", "wave": 4, "size": "wave", "split": split}
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, Rate(work=10), [Threshold(0, "pair")], None, pairs),
        (2, 1, [Threshold(1, "row")], None, {}),
    )
    shape = shape_of(plan, 3)
    parts = 4 if split else 1
    assert shape.counts == [3, 2 * parts, 3]
    assert needs_in(shape, 0) == [(1, [3] * 2 * parts)]
    assert needs_in(shape, 1) == [(2, [parts, 2 * parts, 2 * parts])]
    # 10 ps a pair; the two idle slots of a cut wave take the least there is
    assert shape.durations[1] == ([10] * 6 + [1] * 2 if split else [40, 20])
    assert shape.sizes[1] == 6


def test_planes_of_a_token_follow_each_other(plan_of):
    """A bus token spreads into 4 planes, and the next bus waits for the last of every 4."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0, spread=4)], None, {"planes": 4}),
        (2, 1, [Group(1, every=4)], None, {}),
    )
    shape = shape_of(plan, 2)
    assert (shape.counts, shape.waits) == ([2, 8, 2], [bytes(2), None, None])
    # every, spread, shift, last token there, tokens here, broadcast
    assert shape.outputs[0] == [(GROUP, 1, 1, 4, 0, 1, 8, False, 0)]
    assert shape.outputs[1] == [(GROUP, 2, 4, 1, 0, 7, 2, False, 0)]
    assert shape.outputs[2] == [(ANSWER,)]


def test_a_single_token_is_heard_by_all(plan_of):
    plan = plan_of((0, 1, [], None, {"axis": "single"}), (1, 1, [Group(0)], None, {}))
    shape = shape_of(plan, 3)
    assert shape.waits == [bytes(1), None]
    assert shape.outputs[0] == [(GROUP, 1, 1, 1, 0, 0, 3, True, 0)]


def test_times_follow_sizes(plan_of):
    """Whole cycles of 5 ps for 2 units: contexts 1, 2, 3 + 1 joined token; N + 1 = 4 for all."""
    rate = Rate(fixed=7, quantum=5, work=1, speed=2)
    plan = plan_of(
        (0, rate, [], None, {"size": "prefix", "context_extra": 1}),
        (1, rate, [], None, {"size": "all", "context_extra": 1}),
        (2, rate, [], None, {}),
    )
    assert shape_of(plan, 3).durations == [[12, 17, 17], 17, 12]
    assert shape_of(plan, 3).sizes == [2 + 3 + 4, 3 * 4, 3]


@given(
    st.integers(0, 50),
    st.integers(1, 20),
    st.integers(0, 50),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_rate_is_whole_cycles_and_at_least_a_picosecond(fixed, quantum, work, speed, size):
    rate = Rate(fixed, quantum, work, speed)
    assert rate.ps(size) == max(1, fixed + quantum * math.ceil(Fraction(size * work, speed)))


def test_a_prefix_of_a_sampled_token_is_the_whole_prompt_at_least(plan_of):
    plan = plan_of((0, 1, [], None, {}), (1, 1, [Threshold(0, "prefix")], None, {"head": True}))
    assert shape_of(plan, 5, 3).outputs[0] == [(3, 1, [3, 4, 5], 0)]


@pytest.mark.parametrize(
    ("rule", "here", "there", "wave", "need"),
    [
        ("prefix", 3, 3, 1, [1, 2, 3]),
        ("all", 2, 5, 1, [5, 5]),
        ("first", 1, 5, 1, [1]),
        ("last", 1, 5, 1, [5]),
        # N = 3: pairs 00 01 02 | 11 12 | 22; rows end at pairs 2, 4, 5
        ("pair", 6, 3, 1, [1, 2, 3, 3, 3, 3]),
        ("pair", 3, 3, 2, [2, 3, 3]),
        ("row", 3, 6, 1, [3, 5, 6]),
        ("row", 3, 2, 4, [1, 2, 2]),
    ],
)
def test_needs(rule, here, there, wave, need):
    assert NEEDS[rule](here, there, 3, wave).tolist() == need


@given(tokens=st.integers(1, 30), wave=st.integers(1, 50))
def test_pairs_wait_for_their_particles_and_rows_for_their_pairs(tokens, wave):
    """By definition: pair (i, j) needs particles i and j, row i all pairs with i in them."""
    pairs = [(i, j) for i in range(tokens) for j in range(i, tokens)]
    waves = -(-len(pairs) // wave)
    need = NEEDS["pair"](waves, tokens, tokens, wave)
    for w in range(waves):
        # earlier waves are served first, so what they needed is there
        seen = pairs[: (w + 1) * wave]
        assert need[w] == 1 + max(j for _, j in seen)
    rows = NEEDS["row"](tokens, waves, tokens, wave)
    for i in range(tokens):
        last = max(n for n, pair in enumerate(pairs) if i in pair)
        assert rows[i] == last // wave + 1


def test_reserving_a_place_in_memory_is_refused(plan_of):
    with pytest.raises(ValueError, match=r"^s0 reserves s1, which is memory$"):
        plan_of((0, 1, [], None, {"reserves": (1,)}), (0, 1, [Group(0)], None, {}))


def test_prefill_must_be_part_of_the_tokens(plan_of):
    with pytest.raises(ValueError, match=r"^prefill must be 1 to 4 \(the token count\); got 5$"):
        shape_of(plan_of((0, 1, [], None, {})), 4, 5)
