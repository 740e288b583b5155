"""What a visit has waited for, on paper."""

import numpy as np

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.plan.plan import Component, Group, Plan, Step, Threshold
from hyflexsim.workloads.values.spans import Span, Waits, pair_rows


def plan_of(*steps):
    made = [Step(name, name, "sfu", "a", (0,), Rate(fixed=1), **options) for name, options in steps]
    return Plan(tuple(made), (Component("c", "sfu"),))


def spans(plan, tokens, prefill=None):
    """(first, stop) of the first input of the last step."""
    ((_, span), *_) = Waits(plan, tokens, prefill).edges[-1]
    return list(zip(span.first.tolist(), span.stop.tolist(), strict=True))


def test_stream_waits_for_the_same_token():
    plan = plan_of(("a", {}), ("b", {"inputs": (Group(0),)}))
    assert spans(plan, 3) == [(0, 1), (1, 2), (2, 3)]


def test_a_recurrent_input_is_the_token_before():
    plan = plan_of(("a", {}), ("b", {"inputs": (Group(0, lag=1),)}))
    assert spans(plan, 3) == [(0, 0), (0, 1), (1, 2)]


def test_planes_of_a_token():
    plan = plan_of(("a", {"planes": 2}), ("b", {"inputs": (Group(0, every=2),)}))
    assert spans(plan, 2) == [(0, 2), (2, 4)]


def test_thresholds():
    prefix = plan_of(("a", {}), ("b", {"inputs": (Threshold(0, "prefix"),)}))
    assert spans(prefix, 3) == [(0, 1), (0, 2), (0, 3)]
    everything = plan_of(("a", {}), ("b", {"axis": "single", "inputs": (Threshold(0, "all"),)}))
    assert spans(everything, 3) == [(0, 3)]


def test_a_single_result_reaches_every_token():
    plan = plan_of(("a", {"axis": "single"}), ("b", {"inputs": (Group(0),)}))
    assert spans(plan, 2) == [(0, 1), (0, 1)]


def test_sampled_tokens_start_at_the_end_of_the_prompt():
    plan = plan_of(("a", {}), ("b", {"head": True, "inputs": (Group(0),)}))
    waits = Waits(plan, 5, 3)
    assert waits.positions[1].first.tolist() == [2, 3, 4]
    assert spans(plan, 5, 3) == [(2, 3), (3, 4), (4, 5)]


def test_the_last_wave_holds_what_is_left():
    plan = plan_of(("a", {"axis": "pair", "wave": 4}))
    own = Waits(plan, 3, None).positions[0]  # six pairs
    assert (own.first.tolist(), own.stop.tolist()) == ([0, 4], [4, 6])
    split = plan_of(("a", {"axis": "pair", "wave": 4, "split": True, "size": "wave"}))
    assert Waits(split, 3, None).positions[0].numbers().tolist() == [0, 1, 2, 3, 4, 5]


def test_a_stretch_through_another():
    outer = Span(np.array([0, 1]), np.array([0, 3]))
    inner = Span(np.array([0, 2, 4]), np.array([2, 4, 6]))
    reach = outer.through(inner)
    assert (reach.first.tolist(), reach.stop.tolist()) == ([0, 2], [0, 6])
    assert reach.numbers().tolist() == [2, 3, 4, 5]


def test_pairs_of_plan_and_model():
    i, j = np.triu_indices(5)
    model = [(a, b) for a in range(5) for b in range(a + 1)]
    for pair, row in enumerate(pair_rows(5)):
        assert model[row] == (j[pair], i[pair])
