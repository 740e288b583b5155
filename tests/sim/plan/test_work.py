"""Work that follows from a request's values: sizes, times and sums, on every engine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.chip.service import Action, Rate
from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.members import side_by_side
from hyflexsim.sim.plan.plan import Group, Threshold
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.plan.work import Work

KEYS = {"size": "all", "each": 2, "work": "pv", "actions": (Action("nor", 1, 3),)}


def attention(plan_of, size="all"):
    """Scores of all keys, then a sum over the keys of two heads; 3 ps a key and head."""
    per_key = Rate(quantum=1, work=3, speed=1)
    return plan_of(
        (0, 2, [], None, {}),
        (1, per_key, [Threshold(0, "all")], None, {"size": size}),
        (2, per_key, [Group(1)], 1, KEYS | {"size": size}),
    )


def work(*sizes):
    return Work({"pv": np.array(sizes, dtype=np.int64)})


def test_without_values_every_key_of_every_head_counts(plan_of):
    shape = shape_of(attention(plan_of), 4)
    assert shape.durations == [2, 12, 24]
    assert shape.sizes == [4, 16, 32]


def test_with_values_each_token_has_its_own_size(plan_of):
    shape = shape_of(attention(plan_of), 4, work=work(2, 8, 0, 3))
    assert shape.durations == [2, 12, [6, 24, 1, 9]]  # never less than 1 ps
    assert shape.sizes == [4, 16, 13]


@pytest.mark.parametrize("play", [engine.play, compiled.play])
def test_time_and_sums_by_hand(plan_of, play):
    """Scores end at 20, 33, 46, 59 ps, a place comes back 1 ps late; the sums take 9, 3, 24, 3."""
    played = play(attention(plan_of), [Request(0, 4, work=work(3, 1, 8, 1))])
    assert played.finished == [46 + 24 + 3]
    assert played.tally.sizes.tolist() == [4, 16, 13]
    assert played.tally.served_ps.tolist() == [8, 48, 39]


def test_all_keys_given_are_all_keys(plan_of, outcome):
    """k = N: the same times, counts and sums as without a table."""
    for size, given_sizes in (("all", [10] * 5), ("prefix", [2, 4, 6, 8, 10])):
        plan = attention(plan_of, size)
        full = outcome(engine.play, plan, [Request(0, 5)])
        for play in (engine.play, compiled.play):
            assert outcome(play, plan, [Request(0, 5, work=work(*given_sizes))]) == full


@st.composite
def streams(draw):
    count = draw(st.integers(1, 5))
    tables = {}
    requests = []
    for _ in range(count):
        tokens = draw(st.integers(1, 5))
        sizes = draw(st.lists(st.integers(0, 12), min_size=tokens, max_size=tokens))
        mine = draw(st.sampled_from(["own", "shared", None]))
        made = work(*sizes)
        if mine == "shared":
            made = tables.setdefault(tokens, made)
        requests.append(Request(draw(st.integers(0, 60)), tokens, work=made if mine else None))
    return sorted(requests, key=lambda r: r.arrival)


@settings(max_examples=60, deadline=None)
@given(
    requests=streams(),
    window=st.sampled_from([None, 1, 2]),
    members=st.integers(1, 2),
    size=st.sampled_from(["all", "prefix"]),
)
def test_engines_agree_event_by_event(plan_of, outcome, reference, requests, window, members, size):
    plan = side_by_side(attention(plan_of, size), members)
    host = Host(members=members)
    one = outcome(engine.play, plan, requests, window=window, host=host)
    other = outcome(compiled.play, plan, requests, window=window, host=host, room=4)
    assert one == other
    if window is None and members == 1:
        rows = zip(*(one[c] for c in "srtabe"), strict=True)
        assert sorted(rows) == reference(plan, requests)
    sizes = [shape_of(plan, r.tokens, None, 0, r.work).sizes for r in requests]
    totals = np.sum(sizes, axis=0)[: len(plan.steps) // members]
    found = np.array(one["sizes"]).reshape(members, -1).sum(0)
    assert found.tolist() == totals.tolist()


def test_sizes_must_be_one_a_token(plan_of):
    with pytest.raises(InputError, match=r"^work of pv must be of 4 tokens; got 3$"):
        _ = shape_of(attention(plan_of), 4, work=work(1, 2, 3)).sizes
    with pytest.raises(InputError, match=r"^work of pv must be int64 sizes from 0, one a token$"):
        work(-1)
