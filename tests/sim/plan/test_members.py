"""Chips side by side behind a dispatcher, against runs of one chip, recursions and M/D/c."""

from dataclasses import replace
from math import exp, lgamma, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.plan.members import beside, side_by_side, together
from hyflexsim.sim.plan.plan import Component, Group, Plan, Step, Threshold

ENGINES = pytest.mark.parametrize("engine", ["simpy", "compiled"])


def chip(plan_of, in_turn=False):
    plan = plan_of(
        (0, 3, [], None, {}),
        ((1, 2), 5, [Group(0)], 2, {}),
        (0, 2, [Threshold(1, "prefix")], None, {}),
    )
    return replace(plan, in_turn=in_turn)


@pytest.mark.parametrize("members", [1, 2, 3])
def test_members_share_nothing(plan_of, under, members):
    one = under(chip(plan_of), {1: 0, 2: 0})
    plan = side_by_side(one, members)
    assert plan.members == members
    assert len({component.name for component in plan.components}) == len(plan.components)
    for i, step in enumerate(plan.steps):
        mine = range(step.member * len(one.steps), (step.member + 1) * len(one.steps))
        parts = range(step.member * len(one.components), (step.member + 1) * len(one.components))
        assert i in mine
        assert {edge.source for edge in step.inputs} | set(step.reserves) <= set(mine)
        assert set(step.lanes) <= set(parts)
        assert plan.components[step.lanes[0]].sequencer in (None, parts[-1])
    assert plan.outputs == {m * 3 + 2 for m in range(members)}


@ENGINES
@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    members=st.integers(1, 3),
    window=st.sampled_from([None, 1, 2]),
    places=st.sampled_from([None, 0, 1]),
    in_turn=st.booleans(),
)
def test_in_turn_each_chip_is_alone(plan_of, engine, gaps, members, window, places, in_turn):
    """Round robin: chip k has every so-many-th request, as if the others were not there.

    So also its copies take tokens of these in turn, whatever the number of chips.
    """
    requests = [Request(at, 1 + i % 3) for i, at in enumerate(np.cumsum(gaps).tolist())]
    host = Host(places, members=members)
    plan = side_by_side(chip(plan_of, in_turn), members)
    together = engines.play(plan, requests, engine=engine, window=window, host=host)
    for member in range(members):
        mine = requests[member::members]
        alone = engines.play(
            chip(plan_of, in_turn),
            mine,
            engine=engine,
            window=window or len(requests),
            host=Host(places),
        )
        assert together.finished[member::members] == alone.finished
        assert together.entered[member::members] == alone.entered


@ENGINES
@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 9), min_size=1, max_size=20),
    members=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 4), min_size=20, max_size=20),
)
def test_the_shortest_queue(plan_of, engine, gaps, members, sizes):
    """From the definition: whoever has the fewest unfinished requests; what ends now has ended."""
    service = 6
    requests = [Request(at, n) for at, n in zip(np.cumsum(gaps).tolist(), sizes, strict=False)]
    ends = [[] for _ in range(members)]
    expected = []
    for request in requests:
        there = [sum(end > request.arrival for end in mine) for mine in ends]
        mine = ends[there.index(min(there))]
        mine.append(max([request.arrival, *mine[-1:]]) + service * request.tokens)
        expected.append(mine[-1])
    plan = side_by_side(plan_of((0, service, [], None, {})), members)
    host = Host(members=members, shortest=True)
    assert engines.play(plan, requests, engine=engine, host=host).finished == expected


@ENGINES
def test_counts_of_all_members_add_up(plan_of, engine):
    requests = [Request(i, 1 + i % 4) for i in range(12)]
    one = engines.play(chip(plan_of), requests, engine=engine)
    plan = side_by_side(chip(plan_of), 3)
    three = engines.play(plan, requests, engine=engine, host=Host(members=3))
    assert three.tally.visits.reshape(3, -1).sum(axis=0).tolist() == one.tally.visits.tolist()
    assert three.tally.sizes.reshape(3, -1).sum(axis=0).tolist() == one.tally.sizes.tolist()


def model(plan_of, service):
    """A model on components of its own."""
    plan = plan_of(
        (0, 2, [], None, {}), (1, service, [Group(0)], 1, {}), (0, 1, [Group(1)], None, {})
    )
    names = [f"port of {service}", f"bank of {service}"]
    parts = zip(plan.components, names, strict=True)
    return replace(plan, components=tuple(replace(c, name=name) for c, name in parts))


@ENGINES
@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 6), min_size=2, max_size=14),
    replicas=st.integers(1, 2),
    shortest=st.booleans(),
    windows=st.lists(st.integers(1, 3), min_size=2, max_size=2),
    places=st.sampled_from([None, 0, 1]),
    memory=st.booleans(),
)
def test_models_that_share_nothing_are_each_alone(
    plan_of, engine, gaps, replicas, shortest, windows, places, memory
):
    plans = [model(plan_of, 5), model(plan_of, 8)]
    arrivals = np.cumsum(gaps).tolist()
    requests = [Request(at, 1 + i % 3, model=i * i % 3 % 2) for i, at in enumerate(arrivals)]
    needs = [r.tokens for r in requests] if memory else ()
    plan = side_by_side(together(plans, ["a", "b"]), replicas)
    serving = [[2 * k + m for k in range(replicas)] for m in (0, 1)]
    host = Host(places, members=2 * replicas, shortest=shortest, models=serving)
    rooms = {"memory": [4, 3] * replicas} if memory else {}
    host = replace(host, windows=windows * replicas, needs=needs, **rooms)
    all_of = engines.play(plan, requests, engine=engine, host=host)
    for m in (0, 1):
        numbers = [i for i, request in enumerate(requests) if request.model == m]
        mine = [replace(requests[i], model=0) for i in numbers]
        if not mine:
            continue
        one = Host(places, members=replicas, shortest=shortest)
        if memory:
            one = replace(one, memory=(4, 3)[m], needs=[r.tokens for r in mine])
        alone = engines.play(
            side_by_side(plans[m], replicas), mine, engine=engine, window=windows[m], host=one
        )
        assert [all_of.finished[i] for i in numbers] == alone.finished
        assert [all_of.entered[i] for i in numbers] == alone.entered
        steps = [i for i, step in enumerate(plan.steps) if step.name.startswith("ab"[m])]
        assert all_of.tally.visits[steps].tolist() == alone.tally.visits.tolist()


def port(service, bank):
    """A port in, 4 ps, and a bank behind it."""
    steps = (
        Step("in", "in", "host_port", "l", lanes=(0,), rate=Rate(fixed=4)),
        Step("fc", "fc", "bank", "l", lanes=(1,), rate=Rate(fixed=service), inputs=(Group(0),)),
    )
    components = (Component("host.in", "host_port"), Component(bank, "bank", "l", pu=0))
    return Plan(steps, components, frozenset({1}))


@ENGINES
def test_models_on_one_chip_meet_at_the_port(engine):
    """Two of them come at once: the second's first token waits 4 ps for the port, no longer."""
    plan = together([port(10, "pu00"), port(3, "pu01")], ["a", "b"])
    assert [component.name for component in plan.components] == ["host.in", "pu00", "pu01"]
    assert plan.components[2].layer == "b/l"
    requests = [Request(0, 1), Request(0, 1, model=1)]
    host = Host(members=2, models=[[0], [1]])
    assert engines.play(plan, requests, engine=engine, host=host).finished == [14, 11]
    apart = beside([port(10, "pu00"), port(3, "pu01")])
    assert engines.play(apart, requests, engine=engine, host=host).finished == [14, 7]


def test_models_on_one_pu_are_refused():
    with pytest.raises(ValueError, match="pu00 is of two models"):
        together([port(10, "pu00"), port(3, "pu00")], ["a", "b"])


def poisson_weight(mean, k):
    return exp(k * log(mean) - mean - lgamma(k + 1))


def mdc_wait(servers, load):
    """Mean wait in M/D/c in services (Crommelin, Post Office El. Eng. J. 25, 1932).

    sum over i >= 1 of [ sum_{j >= ic} p(j) - sum_{j > ic} p(j) / load ], p of Poisson with mean
    i c load.
    """
    total = 0.0
    for i in range(1, 400):
        mean, n = i * servers * load, i * servers
        above = sum(poisson_weight(mean, j) for j in range(n + 1, n + 400))
        total += poisson_weight(mean, n) + above - above / load
    return total


def test_mdc_with_one_server_is_md1():
    assert mdc_wait(1, 0.5) == pytest.approx(0.5)
    assert mdc_wait(1, 0.7) == pytest.approx(0.7 / 0.6, rel=1e-3)


@pytest.mark.parametrize(("servers", "load"), [(2, 0.7), (4, 0.8)])
def test_mdc(plan_of, servers, load):
    """With services all alike, serving in turn is what one queue before c servers does."""
    service, waits = 100_000, []
    plan = side_by_side(plan_of((0, service, [], None, {})), servers)
    for seed in range(10):
        gaps = np.random.default_rng(seed).exponential(service / load / servers, 20_000)
        requests = [Request(at, 1) for at in np.cumsum(np.rint(gaps)).astype(int).tolist()]
        played = engines.play(plan, requests, engine="compiled", host=Host(members=servers))
        waits.append(np.mean(np.subtract(played.finished, played.arrived)) / service - 1)
    half = 3.250 * np.std(waits, ddof=1) / np.sqrt(10)  # 99 %, Student, 9 degrees of freedom
    assert abs(np.mean(waits) - mdc_wait(servers, load)) < half
    assert half < 0.15 * mdc_wait(servers, load)


@ENGINES
def test_a_host_knows_how_many_there_are(plan_of, engine):
    plan = side_by_side(chip(plan_of), 2)
    with pytest.raises(ValueError, match="a plan of 2 members cannot have a host of 1"):
        engines.play(plan, [Request(0, 1)], engine=engine)
