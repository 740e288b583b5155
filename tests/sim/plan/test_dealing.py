"""How tokens are dealt to the copies of a matrix: who serves what, and what it does to the pace."""

from dataclasses import replace

import numpy as np
import pytest

from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.engine.trace import Keep
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import DEALS, Options, place
from hyflexsim.sim.plan.dealing import Lanes, dealt_otherwise, lane_of, turn_of
from hyflexsim.sim.plan.members import side_by_side
from hyflexsim.sim.plan.overlap import layer_serial
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.plan.planner import build_plan

ENGINES = pytest.mark.parametrize("engine", ["simpy", "compiled"])


def served(plan, requests, engine, **options):
    """Visits of each component."""
    return engines.play(plan, requests, engine=engine, **options).tally.component_visits.tolist()


@ENGINES
def test_single_tokens_alternate(plan_of, engine):
    """Six class tokens on two copies of 10 ps: 60 ps on the first, or 30 on both."""
    plan = plan_of(((0, 1), 10, [], None, {"axis": "single"}))
    requests = [Request(0, 4)] * 6
    assert engines.play(plan, requests, engine=engine).finished == [10, 20, 30, 40, 50, 60]
    assert served(plan, requests, engine) == [6, 0]
    plan = replace(plan, in_turn=True)
    assert engines.play(plan, requests, engine=engine).finished == [10, 10, 20, 20, 30, 30]
    assert served(plan, requests, engine) == [3, 3]


@ENGINES
def test_as_many_requests_as_copies_load_all_alike(plan_of, engine):
    """Five tokens on three copies, three times: 6, 6, 3 or 5, 5, 5."""
    plan = plan_of(((0, 1, 2), 1, [], None, {}))
    assert served(plan, [Request(0, 5)] * 3, engine) == [6, 6, 3]
    assert served(replace(plan, in_turn=True), [Request(0, 5)] * 3, engine) == [5, 5, 5]


@ENGINES
@pytest.mark.parametrize("members", [2, 3, 4])
def test_the_dispatcher_and_the_dealing_have_no_period_in_common(plan_of, engine, members):
    """Twelve single tokens: each of two copies on each chip serves as many."""
    plan = replace(plan_of(((0, 1), 10, [], None, {"axis": "single"})), in_turn=True)
    requests = [Request(i, 1) for i in range(12)]
    visits = served(side_by_side(plan, members), requests, engine, host=Host(members=members))
    assert sorted(visits) == sorted(
        [-(-12 // members // 2)] * members + [12 // members // 2] * members
    )


@ENGINES
def test_a_bank_and_its_converter_agree(plan_of, engine):
    """Planes of a token and the steps behind them stay on one lane: nobody waits for the other."""
    bank = ((0, 1), 5, [], None, {"planes": 2})
    converter = ((2, 3), 5, [Group(0)], None, {"planes": 2})
    plan = replace(plan_of(bank, converter), in_turn=True)
    played = engines.play(plan, [Request(0, 3), Request(0, 3)], engine=engine)
    lanes = Lanes(plan)(played.trace.step, played.trace.request, played.trace.token)
    both = {}
    for request, token, lane in zip(played.trace.request, played.trace.token, lanes, strict=True):
        both.setdefault((int(request), int(token) // 2), set()).add(int(lane))
    assert both == {(r, t): {(t + r) % 2} for r in range(2) for t in range(3)}


@ENGINES
def test_a_filtered_trace_keeps_what_a_lane_has_served(plan_of, engine):
    """Of three requests with two tokens the second copy has tokens 1, 0 and 1."""
    plan = replace(plan_of(((0, 1), 1, [], None, {})), in_turn=True)
    keep = Keep(components=("c1",))
    trace = engines.play(plan, [Request(0, 2)] * 3, engine=engine, keep=keep).trace
    assert sorted(zip(trace.request.tolist(), trace.token.tolist(), strict=True)) == [
        (0, 1),
        (1, 0),
        (2, 1),
    ]


def test_arrays_of_visits_are_dealt_as_one_is(plan_of):
    plan = replace(side_by_side(plan_of(((0, 1, 2), 1, [], None, {"planes": 2})), 2), in_turn=True)
    request, token = (each.ravel() for each in np.mgrid[:6, :8])
    step = request % 2
    assert Lanes(plan)(step, request, token).tolist() == [
        lane_of(plan.steps[s], t, turn_of(plan, r))
        for s, r, t in zip(step.tolist(), request.tolist(), token.tolist(), strict=True)
    ]


@pytest.mark.parametrize("deal", DEALS)
def test_the_mapping_says_so(chain_of, chip_of, deal):
    graph = chain_of({"b.0": [1]})
    plan = build_plan(graph, place(graph, chip_of(), Options(copies="none", deal=deal)))
    assert layer_serial(side_by_side(plan, 2)).in_turn == (deal == "in-turn")


def test_who_sees_the_rule(plan_of):
    """Nobody where there are no copies, nor the first request of each chip."""
    alone, copied = plan_of((0, 1, [], None, {})), plan_of(((0, 1), 1, [], None, {}))
    assert [dealt_otherwise(plan, 2) for plan in (alone, copied)] == [False, True]
    assert not dealt_otherwise(copied, 1)
    assert not dealt_otherwise(side_by_side(copied, 2), 2)


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="deal must be by-token or in-turn; got 'random'"):
        Options(deal="random")
