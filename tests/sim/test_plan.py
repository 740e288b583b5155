"""A plan evaluated for a length: token counts, sizes, who waits for how many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.plan import NEEDS, Group, Rate, Step, Threshold, size_of, tokens_of


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
    shape = plan_of(*chain).shape(3)
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
    shape = plan.shape(5, 3)
    assert shape.counts == [5, 3]
    assert shape.waits == [bytes([0, 0, 0, 1, 1]), None]


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
    assert NEEDS[rule](here, there, 3, wave) == need


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
        plan_of((0, 1, [], None, {})).shape(4, 5)
