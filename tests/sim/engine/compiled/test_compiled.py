"""The compiled engine against the SimPy engine: the same trace, sums, peaks and reports, by ==."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Host, Request
from hyflexsim.sim.plan.members import side_by_side
from hyflexsim.sim.plan.plan import Group, Threshold


@st.composite
def plans(draw, plan_of, sequenced):
    """Anything a plan can say: bit-planes, single tokens, sampled tokens, lags, thresholds, lanes,
    sizes, components that take turns under a sequencer; buffers of a place or two, also where that
    must end in a deadlock."""
    count = draw(st.integers(1, 8))
    components = draw(st.integers(1, 5))
    lanes = st.lists(st.integers(0, components - 1), min_size=1, max_size=3, unique=True)
    chain = []
    for i in range(count):
        axis = draw(st.sampled_from(["sequence", "sequence", "sequence", "single"]))
        options = {
            "axis": axis,
            "extra": draw(st.sampled_from([0, 0, 0, 1])),
            "planes": draw(st.sampled_from([1, 1, 1, 2])),
            "head": axis == "sequence" and draw(st.integers(0, 4)) == 0,
            "size": draw(st.sampled_from(["one", "all", "prefix"])),
        }
        inputs = []
        for source in draw(st.lists(st.integers(0, i - 1), max_size=3, unique=True)) if i else []:
            rule = draw(st.sampled_from(["stream", "stream", "lag", "prefix", "all", "first"]))
            every = chain[source][-1]["planes"]
            group = Group(source, every=every, spread=options["planes"], lag=int(rule == "lag"))
            inputs.append(group if rule in ("stream", "lag") else Threshold(source, rule))
        if draw(st.integers(0, 4)) == 0:
            inputs.append(Group(i, every=options["planes"], spread=options["planes"], lag=1))
        places = draw(st.sampled_from([None, None, 1, 2])) if inputs else None
        rate = Rate(draw(st.integers(0, 6)), 1, draw(st.integers(0, 3)), draw(st.integers(1, 3)))
        chain.append((tuple(draw(lanes)), rate, inputs, places, options))
    return sequenced(draw, plan_of(*chain))


@st.composite
def streams(draw):
    """A few requests, some of which generate text."""
    requests = []
    for arrival in sorted(draw(st.lists(st.integers(0, 30), min_size=1, max_size=5))):
        tokens = draw(st.integers(1, 6))
        requests.append(Request(arrival, tokens, draw(st.sampled_from([None, 1, tokens]))))
    return requests


@settings(max_examples=300, deadline=None)
@given(data=st.data(), requests=streams(), window=st.sampled_from([None, 1, 2]))
def test_equal_to_the_simpy_engine(plan_of, sequenced, outcome, data, requests, window):
    plan = data.draw(plans(plan_of, sequenced))
    expected = outcome(engine.play, plan, requests, window=window)
    assert outcome(compiled.play, plan, requests, window=window) == expected
    # tables that start with next to no room grow on the way, and nothing else changes
    assert outcome(compiled.play, plan, requests, window=window, room=1) == expected


@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    requests=streams(),
    window=st.sampled_from([None, 1, 2]),
    places=st.sampled_from([None, 0, 1, 2]),
    clients=st.sampled_from([None, None, 1, 2, 7]),
    dies=st.booleans(),
    members=st.sampled_from([1, 1, 2, 3]),
    shortest=st.booleans(),
    memory=st.sampled_from([None, 1, 3, 5]),
    models=st.booleans(),
)
def test_equal_however_requests_come(
    plan_of,
    sequenced,
    outcome,
    data,
    requests,
    window,
    places,
    clients,
    dies,
    members,
    shortest,
    memory,
    models,
):
    """Queues of few places, clients, chips side by side; also where a component dies. With several
    models each chip serves one of them, and has a memory and a window of its own.
    """
    plan = side_by_side(data.draw(plans(plan_of, sequenced)), members)
    requests = requests * 2 if clients else requests
    requests = [replace(r, arrival=i) if clients else r for i, r in enumerate(requests)]
    thinks = st.lists(st.integers(1, 9), min_size=len(requests), max_size=len(requests))
    think = data.draw(thinks) if clients else ()
    sizes = st.lists(st.integers(1, memory or 1), min_size=len(requests), max_size=len(requests))
    needs = data.draw(sizes) if memory else ()
    host = Host(None if clients else places, clients, think, members, shortest, memory, needs)
    if models:
        serving = [[0, *range(2, members)], *[[1]][: members - 1]]
        requests = [replace(r, model=i % len(serving)) for i, r in enumerate(requests)]
        memories = None if memory is None else [memory + i for i in range(members)]
        windows = [1 + i for i in range(members)]
        host = replace(host, models=serving, memory=memories, windows=windows)
    deaths = {data.draw(st.sampled_from(plan.steps[0].lanes)): 20} if dies else None
    options = {"window": window, "host": host, "deaths": deaths}
    expected = outcome(engine.play, plan, requests, **options)
    assert outcome(compiled.play, plan, requests, **options) == expected
    assert outcome(compiled.play, plan, requests, room=1, **options) == expected


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    requests=streams(),
    window=st.sampled_from([None, 1]),
    at=st.integers(0, 80),
)
def test_equal_also_where_components_die(plan_of, sequenced, outcome, data, requests, window, at):
    plan = data.draw(plans(plan_of, sequenced))
    serving = sorted({lane for step in plan.steps for lane in step.lanes})
    deaths = dict.fromkeys(data.draw(st.sets(st.sampled_from(serving), max_size=2)), at)
    options = {"window": window, "deaths": deaths}
    expected = outcome(engine.play, plan, requests, **options)
    assert outcome(compiled.play, plan, requests, **options) == expected


@settings(max_examples=100, deadline=None)
@given(data=st.data(), requests=streams(), scale=st.sampled_from([97, 10**5 + 3, 10**9 + 7]))
def test_equal_also_where_events_are_far_apart(plan_of, sequenced, outcome, data, requests, scale):
    """Service times and arrivals at the distances that real chips have, and beyond."""
    plan = data.draw(plans(plan_of, sequenced))
    slow = tuple(
        replace(step, rate=replace(step.rate, fixed=step.rate.fixed * scale, quantum=scale // 3))
        for step in plan.steps
    )
    plan = replace(plan, steps=slow)
    requests = [replace(request, arrival=request.arrival * scale) for request in requests]
    assert outcome(compiled.play, plan, requests) == outcome(engine.play, plan, requests)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), before=streams(), requests=streams())
def test_a_plan_played_before_is_as_new(plan_of, sequenced, outcome, data, before, requests):
    """Tables are kept with the plan; a run leaves nothing in them."""
    plan = data.draw(plans(plan_of, sequenced))
    fresh = outcome(compiled.play, replace(plan), requests)
    outcome(compiled.play, plan, before)
    assert outcome(compiled.play, plan, requests) == fresh
    assert outcome(compiled.play, plan, requests) == fresh


def test_a_deadlock_is_reported_in_the_same_words(plan_of, outcome):
    """The fork of test_engine.py, with more requests than the report has room for."""
    plan = plan_of(
        (0, 1, [], None, {}),
        (1, 1, [Group(0)], 1, {}),
        (2, 1, [Group(0)], 1, {}),
        (3, 1, [Group(1), Threshold(2, "all")], 1, {}),
        components=["bus", "query", "key", "digital"],
    )
    requests = [Request(n, 8) for n in range(9)]
    report = outcome(compiled.play, plan, requests)
    assert report == outcome(engine.play, plan, requests)
    assert report.startswith("deadlock at ")
    assert "; and " in report


def test_many_lanes_wake_at_once(plan_of, outcome):
    """A barrier lets 300 tokens go to 100 lanes in one instant, in component order."""
    plan = plan_of(
        (0, 3, [], None, {}), (tuple(range(100, 0, -1)), 5, [Threshold(0, "all")], None, {})
    )
    requests = [Request(0, 300), Request(0, 300)]
    assert outcome(compiled.play, plan, requests) == outcome(engine.play, plan, requests)


@pytest.mark.parametrize("block", [1, 7])
def test_blocks_of_the_trace_may_end_anywhere(plan_of, outcome, monkeypatch, block):
    plan = plan_of((0, 1, [], None, {}), (1, 3, [Group(0)], 2, {}), (0, 2, [Group(1)], 1, {}))
    requests = [Request(0, 5), Request(3, 4)]
    expected = outcome(engine.play, plan, requests)
    monkeypatch.setattr(compiled, "BLOCK", block)
    assert outcome(compiled.play, plan, requests) == expected


def test_progress_names_each_request_as_it_leaves(plan_of):
    plan = plan_of((0, 3, [], None, {"axis": "sequence"}))
    requests = [Request(0, 9), Request(0, 1), Request(40, 1)]
    seen: dict[str, list[int]] = {"compiled": [], "simpy": []}
    compiled.play(plan, requests, progress=seen["compiled"].append)
    engine.play(plan, requests, progress=seen["simpy"].append)
    assert seen["compiled"] == seen["simpy"]
    assert sorted(seen["simpy"]) == [0, 1, 2]


def test_requests_must_come_in_order(plan_of):
    with pytest.raises(ValueError, match="requests must be in order of arrival"):
        compiled.play(plan_of((0, 1, [], None, {})), [Request(5, 1), Request(3, 1)])


def test_no_request_at_all(plan_of, outcome):
    plan = plan_of((0, 1, [], None, {}))
    assert outcome(compiled.play, plan, []) == outcome(engine.play, plan, [])
