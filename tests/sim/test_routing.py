"""Experts: tokens in are tokens out, loads are the router's, and both engines play the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.plan import Group, Threshold
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.routing import frozen, taken, with_routes
from hyflexsim.sim.units.catalogue import load_chip

OP = {"axis": "sequence", "extra": 0, "context": None, "context_extra": 0}


def drawn(experts, chosen, seed=0, **more):
    return [
        {"expert": e, "experts": experts, "chosen": chosen, "seed": seed, **more}
        for e in range(experts)
    ]


def block(routes):
    """A token goes through a router and to experts, whose results are added."""
    graph = g.new_graph("t", causal=False)
    g.add_op(graph, "in", "input", layer="l.0", width=8)
    g.add_op(graph, "gate", "gemv", layer="l.0", width=4, rows=8, cols=4, weight="gate")
    g.connect(graph, "in", "gate")
    mix = {"width": 8, "elements": 16, "function": "mix"}
    g.add_op(graph, "mix", "pointwise", layer="l.0", **mix)
    for e, routed in enumerate(routes):
        shape = {"width": 8, "rows": 8, "cols": 8, "weight": f"w{e}", "routed": routed}
        g.add_op(graph, f"e{e}", "gemv", layer=f"l.0.experts.{e}", **shape)
        g.connect(graph, "in", f"e{e}")
        g.connect(graph, "gate", f"e{e}")
        g.connect(graph, f"e{e}", "mix")
    g.connect(graph, "gate", "mix")
    g.add_op(graph, "out", "output", layer="l.0", width=8)
    g.connect(graph, "mix", "out")
    g.validate(graph)
    return graph


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 12),
    st.data(),
    st.integers(1, 60),
    st.integers(0, 99),
    st.sampled_from([0.0, 1.5]),
)
def test_each_token_goes_to_so_many_experts(experts, data, tokens, seed, skew):
    chosen = data.draw(st.integers(1, experts))
    sent = [taken(frozen(r), tokens) for r in drawn(experts, chosen, seed, skew=skew)]
    assert np.bincount(np.concatenate(sent), minlength=tokens).tolist() == [chosen] * tokens
    longer = [taken(frozen(r), tokens + 7) for r in drawn(experts, chosen, seed, skew=skew)]
    assert all((a == b[b < tokens]).all() for a, b in zip(sent, longer, strict=True))


def test_drawn_choices_follow_their_weights():
    """Each of eight in a quarter of 20,000 tokens; by Zipf's law the first twice as often as the
    second where one is chosen. Within four standard deviations."""
    loads = [len(taken(frozen(r), 20_000)) for r in drawn(8, 2)]
    assert max(abs(load - 5000) for load in loads) < 4 * (20_000 * 0.25 * 0.75) ** 0.5
    skewed = sorted(len(taken(frozen(r), 20_000)) for r in drawn(3, 1, skew=1.0))
    shares = [2 / 11, 3 / 11, 6 / 11]
    for load, share in zip(skewed, shares, strict=True):
        assert abs(load - 20_000 * share) < 4 * (20_000 * share * (1 - share)) ** 0.5


def test_work_is_that_of_the_tokens_taken():
    routes = drawn(4, 2)
    macs = g.macs(block(routes), 50)
    assert [macs[f"e{e}"] for e in range(4)] == [64 * len(taken(frozen(r), 50)) for r in routes]
    assert sum(macs[f"e{e}"] for e in range(4)) == 64 * 2 * 50


def test_a_routers_own_choice():
    tables = {"l.0": [[0, 2], [2, 3], [0, 3], [2, 0]]}
    graph = with_routes(block(drawn(4, 2)), tables=tables)
    loads = [g.token_count(graph.nodes[f"e{e}"], 4) for e in range(4)]
    assert loads == [3, 0, 3, 2]  # one is idle
    assert g.loads(g.dumps(graph).encode(), "f").nodes["e0"]["routed"]["tokens"] == [0, 2, 3]
    with pytest.raises(InputError, match=r"no experts in layer 'l.1'; layers: l.0"):
        with_routes(graph, tables={"l.1": []})
    graph.remove_nodes_from(["mix", *(f"e{e}" for e in range(4))])
    with pytest.raises(InputError, match="t has no experts that a router sends tokens to"):
        with_routes(graph, skew=1.0)


@pytest.mark.parametrize("fidelity", ["token", "bit"])
def test_visits_are_the_loads_on_both_engines(fidelity):
    """Each expert's bank reads as often as it has tokens; the engines agree row by row."""
    routes = drawn(4, 2, skew=1.0)
    graph = block(routes)
    chip = load_chip("hyflexpim")
    plan = build_plan(graph, place(graph, chip, Options()), fidelity=fidelity)
    requests = [Request(0, 9), Request(10, 5)]
    shape = shape_of(plan, 9)
    for i, step in enumerate(plan.steps):
        if step.name.endswith(".bank") and step.op.startswith("e"):
            load = len(taken(frozen(routes[int(step.op[1])]), 9))
            assert shape.counts[i] == load * step.planes
    played = [engines.play(plan, requests, engine=name) for name in ("simpy", "compiled")]
    assert played[0].finished == played[1].finished
    for name in ("visits", "served_ps", "component_wait_ps"):
        one, other = (getattr(result.tally, name) for result in played)
        assert (one == other).all()


def test_more_experts_than_inputs_are_counted():
    """The sum has 300 experts to wait for, a token two of them and the router."""
    graph = block(drawn(300, 2))
    plan = build_plan(graph, place(graph, load_chip("hyflexpim"), Options(chips=2)))
    shape = shape_of(plan, 9)
    at = next(i for i, step in enumerate(plan.steps) if step.name == "mix")
    assert len(plan.steps[at].inputs) > 300
    assert set(shape.waits[at]) == {3}
    played = [engines.play(plan, [Request(0, 9)], engine=name) for name in ("simpy", "compiled")]
    assert played[0].finished == played[1].finished


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 2), min_size=1, max_size=2), min_size=1, max_size=8),
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.booleans(),
)
def test_equal_to_the_plain_event_loop(plan_of, reference, rows, times, together):
    """Three experts on components of their own or on one, whatever each takes."""
    sent = [tuple(n for n, row in enumerate(rows) if e in row) for e in range(3)]
    routed = [(("expert", e), ("tokens", tokens)) for e, tokens in enumerate(sent)]
    steps = [(0, 2, [], None, {})]
    for e in range(3):
        lane = 1 if together else 1 + e
        steps.append((lane, times[e], [Threshold(0, "routed")], None, {"routed": routed[e]}))
        steps.append((4, 1, [Group(1 + 2 * e)], 1, {"routed": routed[e]}))
    joined = [Group(0), *(Threshold(2 + 2 * e, "routed") for e in range(3))]
    plan = plan_of(*steps, (5, 1, joined, None, {}))
    requests = [Request(0, len(rows)), Request(3, len(rows))]
    wanted = reference(plan, requests)
    ends = [max(end for s, r, *_, end in wanted if r == number) for number in (0, 1)]
    for engine in ("simpy", "compiled"):
        assert engines.play(plan, requests, engine=engine).finished == ends


@pytest.mark.parametrize(
    ("routed", "message"),
    [
        ({"expert": 1}, "routed must be a table of expert, experts, chosen and seed"),
        (drawn(2, 1)[0] | {"expert": 2}, "routed expert must be an integer from 0 to 1; got 2"),
        (drawn(2, 3)[0], "routed chosen must be an integer from 1 to 2; got 3"),
        (drawn(2, 1, skew=-1)[0], "routed skew must be a number from 0 to 100; got -1"),
        ({"expert": 0, "tokens": [2, 1]}, "routed tokens must be in order, each once; got [2, 1]"),
        ({"expert": 0, "tokens": [-1]}, "routed tokens must be a list of integers from 0; got"),
    ],
)
def test_refused(routed, message):
    op = {"layer": "l", "width": 4, "rows": 4, "cols": 4, "weight": "w", "routed": routed}
    with pytest.raises(g.GraphError) as caught:
        g.add_op(g.new_graph("t"), "x", "gemv", **op)
    assert message in str(caught.value)


def test_experts_read_no_experts():
    graph = block(drawn(4, 2))
    with pytest.raises(g.GraphError, match="cannot join what two experts take"):
        g.connect(graph, "e0", "e1")
