"""Layer-serial: a PU group takes turns, copies serve side by side, requests walk layer by layer."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.overlap import OVERLAPS, layer_serial, turns_ps
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of

FFN = 900_000 + 64 + 176  # a GEMV of 64 x 64 and its buses: 64 ps in, 176 ps out


def model(blocks, rule="all", width=64):
    """Blocks of single-headed attention and an MLP, for the causal rule a head to sample from."""
    graph = g.new_graph("model", causal=rule == "prefix")
    last = g.add_op(graph, "in", "input", layer="blocks.0", width=width)
    for b in range(blocks):
        last = _attention(graph, f"blocks.{b}", last, rule, width)
        last = _ffn(graph, f"blocks.{b}", last, width)
    head = {"head": True} if rule == "prefix" else {}
    g.connect(graph, last, g.add_op(graph, "out", "output", layer="blocks.0", width=width, **head))
    g.validate(graph)
    return graph


def _gemv(graph, name, layer, source, width):
    size = {"rows": width, "cols": width, "width": width}
    g.connect(graph, source, g.add_op(graph, name, "gemv", layer=layer, weight=name, **size))
    return name


def _attention(graph, layer, last, rule, width):
    q, k, v = (_gemv(graph, f"{layer}.{x}", layer, last, width) for x in "qkv")
    common = {"layer": layer, "context": rule}
    heads = {"heads": 1, "inner": width, **common}
    qk = g.add_op(graph, f"{layer}.qk", "matmul", width=1, multiplies=["values", "values"], **heads)
    soft = g.add_op(graph, f"{layer}.softmax", "softmax", width=1, elements=1, **common)
    pv = g.add_op(
        graph, f"{layer}.pv", "matmul", width=width, multiplies=["probabilities", "values"], **heads
    )
    for source, target, kind in (
        (q, qk, "stream"),
        (k, qk, rule),
        (qk, soft, "stream"),
        (soft, pv, "stream"),
        (v, pv, rule),
    ):
        g.connect(graph, source, target, kind)
    return _gemv(graph, f"{layer}.o", layer, pv, width)


def _ffn(graph, layer, last, width):
    up = _gemv(graph, f"{layer}.up", layer, last, width)
    act = {"width": width, "elements": width, "function": "gelu"}
    g.connect(graph, up, g.add_op(graph, f"{layer}.act", "pointwise", layer=layer, **act))
    return _gemv(graph, f"{layer}.down", layer, f"{layer}.act", width)


def ffn(width=64):
    graph = g.new_graph("ffn")
    g.add_op(graph, "in", "input", layer="blocks.0", width=width)
    last = _ffn(graph, "blocks.0", "in", width)
    g.connect(graph, last, g.add_op(graph, "out", "output", layer="blocks.0", width=width))
    return graph


def plan_for(hw, graph, overlap="layer-serial", copies="none", tokens=8, **build):
    placement = place(graph, hw, Options(copies=copies))
    plan = build_plan(graph, apply_copies(graph, placement, tokens, overlap), **build)
    return layer_serial(plan) if overlap == "layer-serial" else plan


def sequencers(plan):
    """By visit to a step: the sequencer of its components, -1 where there is none."""
    each = [plan.components[step.lanes[0]].sequencer for step in plan.steps]
    return np.array([-1 if sequencer is None else sequencer for sequencer in each])


def last_inside(plan, played):
    """When the last visit under a sequencer ends."""
    trace = played.trace
    return int(trace.end[sequencers(plan)[trace.step] >= 0].max())


def rates(finished):
    """Requests per second from the middle of a run on."""
    late = np.sort(finished)[len(finished) // 2 :]
    return (len(late) - 1) / (late[-1] - late[0])


def chain_ps(plan, tokens):
    """The longest way through visits that wait for each other, for a request of one token."""
    shape, ends = shape_of(plan, tokens), []
    for i, step in enumerate(plan.steps):
        before = max((ends[edge.source] for edge in step.inputs if edge.source < i), default=0)
        each = shape.durations[i]
        ends.append(before + (each[0] if isinstance(each, list) else each))
    return max(ends)


# --- the rule, in small --------------------------------------------------------------------------


def test_a_step_with_copies_takes_a_turn_for_as_many_tokens(plan_of, under):
    """5 tokens over a bus of 1 to 2 copies of 10, then 3: 5, then 3 turns of 10, then 15."""
    plan = under(
        plan_of(
            (0, 1, [], None, {}), ((1, 2), 10, [Group(0)], None, {}), (3, 3, [Group(1)], None, {})
        ),
        {0: 0, 1: 0, 2: 0, 3: 0},
    )
    assert play(plan, [Request(0, 5)]).finished == [5 + 30 + 15]
    assert play(plan, [Request(0, 1)]).finished == [14]
    assert turns_ps(plan, 5) == {4: 50}


def test_a_request_leaves_a_group_before_the_next_walks_through_it(plan_of, under):
    """Two groups of two steps of 10, three tokens: 60 in each. A token reaches the second group at
    40, so the first request ends at 100, and every 60 another.
    """
    rows = [(i, 10, [Group(i - 1)] if i else [], None, {}) for i in range(4)]
    plan = under(plan_of(*rows), {0: 0, 1: 0, 2: 1, 3: 1})
    assert play(plan, [Request(0, 3)] * 3).finished == [100, 160, 220]


def test_tokens_that_come_back_do_not_wait_for_each_other(plan_of, under):
    """Text: three requests, each a token at a time round three groups of two steps of 10.

    A round takes 60. When the group is free of the first it serves the second, 20 later, and so on:
    the requests go round one behind the other, not step by step together (which would take 180).
    """
    rows = [(i, 10, [Group(i - 1)] if i else [Group(5, lag=1)], None, {}) for i in range(6)]
    plan = under(plan_of(*rows), {i: i // 2 for i in range(6)})
    finished = play(plan, [Request(0, 5, prefill=1)] * 3).finished
    assert finished == [300, 320, 340]


def test_a_turn_waits_for_a_place_and_others_go_on(plan_of, under):
    """One place before the second step: its tokens go one by one, in turn with the first's."""
    plan = under(
        plan_of((0, 1, [], None, {}), (1, 5, [Group(0)], 1, {})),
        {0: 0, 1: 0},
    )
    assert play(plan, [Request(0, 4)]).finished == [4 * 6]


def test_lanes_of_a_step_have_one_sequencer(plan_of, under):
    with pytest.raises(ValueError, match="lanes of s0 have several sequencers"):
        under(plan_of(((0, 1), 1, [], None, {})), {0: 0, 1: 1})


def test_a_component_of_ones_own_takes_turns_too(hw):
    """Python servers are asked for the time of a visit under a sequencer as well."""
    from hyflexsim.sim.engine.servers import Server  # noqa: PLC0415

    class Slow(Server):
        def service_ps(self, step, request, token):
            return 1_000_000

    plan = plan_for(hw, ffn())
    slow = play(plan, [Request(0, 3)], servers={"sfu": Slow})
    assert last_inside(plan, slow) == 1000 + 3 * (2 * FFN + 1_000_000)


# --- one layer, in closed form -------------------------------------------------------------------


def test_every_token_takes_the_sum_of_its_steps(hw):
    """n tokens through one layer: n times the sum of all steps inside the PU, after the way in.

    Two GEMVs of 900 ns, buses of 64 ps in and 176 ps out each, one SFU cycle of 1 ns; 64 B over
    host port and global bus take 500 ps each.
    """
    plan = plan_for(hw, ffn())
    assert last_inside(plan, play(plan, [Request(0, 5)])) == 1000 + 5 * (2 * FFN + 1000)


@pytest.mark.parametrize("copies", [1, 2, 3, "fill"])
def test_copies_do_not_shorten_the_way_of_one_token(hw, copies):
    plan = plan_for(hw, ffn(), copies=copies)
    assert last_inside(plan, play(plan, [Request(0, 1)])) == 1000 + 2 * FFN + 1000


def test_copies_serve_as_many_tokens_in_a_turn(hw):
    """The first token finds the layer empty and goes alone; then 2 copies take two at a time."""
    plan = plan_for(hw, ffn(), copies=2)
    first = 1000 + 64 + 800_000  # meanwhile the other eight tokens have come
    turns = 4 * 800_000 + 5 * 100_000 + 9 * 176 + 8 * 64 + 9 * 1000
    second = 9 * 64 + 5 * 900_000 + 9 * 176
    assert last_inside(plan, play(plan, [Request(0, 9)])) == first + turns + second


def test_components_stay_visible(hw):
    """The trace says bank, ADC and bus, not sequencer; the steps are those of `pipelined`."""
    plain, plan = plan_for(hw, ffn(), "pipelined"), plan_for(hw, ffn())
    assert plan.steps == plain.steps
    inside = {c.kind for c in plan.components if c.sequencer is not None}
    assert inside == {"pu_bus", "bank", "adc", "sfu"}
    assert [c.name for c in plan.components if c.kind == "sequencer"] == ["pu00.sequencer"]


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", ["none", "fill"])
@pytest.mark.parametrize("rule", ["all", "prefix"])
def test_requests_that_come_together_work_in_all_layers_at_once(hw, copies, rule):
    """As many a second as one group can serve, whatever the number of layers."""
    plan = plan_for(hw, model(4, rule), copies=copies)
    group = max(turns_ps(plan, 8).values())
    rate = rates(play(plan, [Request(0, 8)] * 16).finished)
    assert 0.97 / group <= rate <= 1.001 / group


def test_text_of_many_requests_goes_round_behind_each_other(hw):
    """Six requests in four layers take little longer than one: a layer each."""
    plan = plan_for(hw, model(4, "prefix"), copies="fill", generate=True)
    one = play(plan, [Request(0, 12, prefill=1)]).finished[0]
    six = max(play(plan, [Request(0, 12, prefill=1)] * 6).finished)
    assert six < 2.2 * one


# --- properties ----------------------------------------------------------------------------------


@st.composite
def cases(draw, chip_of):
    """A small model, a chip with small buffers or slow buses, copies, requests."""
    chip = chip_of(
        arrays=draw(st.sampled_from([7, 12, 30])),
        digital__registers__input_bytes=draw(st.sampled_from([1, 64, 8192])),
        digital__registers__output_bytes=draw(st.sampled_from([1, 64, 8192])),
        pu_bus__bandwidth=draw(st.sampled_from(["0.3 GB/s", "3 GB/s", "1000 GB/s"])),
    )
    graph = model(draw(st.integers(1, 3)), draw(st.sampled_from(["all", "prefix"])), width=16)
    copies = draw(st.sampled_from(["none", "fill"]))
    build = {"fidelity": draw(st.sampled_from(["token", "bit"]))}
    tokens = draw(st.integers(1, 9))
    return chip, graph, copies, build, tokens


@settings(max_examples=40)
@given(data=st.data())
def test_no_switch_makes_a_token_faster_than_its_chain_of_visits(chip_of, data):
    """A token alone: at least its visits one after the other; the same in turns or not at all."""
    chip, graph, _, build, tokens = data.draw(cases(chip_of))
    alone = {
        (overlap, copies): (plan, play(plan, [Request(0, 1)]).finished[0])
        for overlap in OVERLAPS
        for copies in ("none", "fill")
        for plan in (plan_for(chip, graph, overlap, copies, tokens, **build),)
    }
    chain = chain_ps(alone["pipelined", "none"][0], 1)
    assert all(time >= chain for _, time in alone.values())
    assert alone["layer-serial", "fill"][1] == alone["layer-serial", "none"][1]
    assert alone["layer-serial", "none"][1] >= alone["pipelined", "none"][1]


@settings(max_examples=40)
@given(data=st.data(), count=st.integers(1, 4))
def test_turns_are_never_faster_than_overlap(chip_of, data, count):
    """The same plan, with and without sequencers; the same visits and so the same actions."""
    chip, graph, copies, build, tokens = data.draw(cases(chip_of))
    plan = plan_for(chip, graph, "pipelined", copies, tokens, **build)
    requests = [Request(0, tokens)] * count
    together, turns = play(plan, requests), play(layer_serial(plan), requests)
    assert max(turns.finished) >= max(together.finished)
    for name in ("visits", "sizes", "served_ps"):
        assert np.array_equal(getattr(turns.tally, name), getattr(together.tally, name))


@settings(max_examples=30)
@given(data=st.data())
def test_a_full_pipeline_serves_a_request_per_layer_time(chip_of, data):
    """Many equal requests at once: as many as one group's turns allow.

    With copies, tokens that come one by one leave some turns partly empty; but a turn serves one
    token at least, so it is never slower than the machine without copies.
    """
    chip, graph, copies, build, tokens = data.draw(cases(chip_of))
    plan = plan_for(chip, graph, copies=copies, tokens=tokens, **build)
    single = plan_for(chip, graph, copies="none", tokens=tokens, **build)
    rate = rates(play(plan, [Request(0, tokens)] * 20).finished)
    assert rate * max(turns_ps(plan, tokens).values()) <= 1.001
    assert rate * max(turns_ps(single, tokens).values()) >= 0.999


@settings(max_examples=30)
@given(data=st.data(), count=st.integers(1, 3))
def test_one_step_has_the_turn(chip_of, data, count):
    """Visits of a group that overlap in time are of one step, and on different lanes."""
    chip, graph, copies, build, tokens = data.draw(cases(chip_of))
    plan = plan_for(chip, graph, copies=copies, tokens=tokens, **build)
    trace = play(plan, [Request(0, tokens)] * count).trace
    where = sequencers(plan)[trace.step]
    planes = np.array([step.planes for step in plan.steps])[trace.step]
    lanes = np.array([len(step.lanes) for step in plan.steps])[trace.step]
    for group in set(where) - {-1}:
        turns = {}
        mine = where == group
        columns = (trace.start, trace.end, trace.step, trace.token // planes % lanes)
        for start, end, step, lane in zip(*(x[mine].tolist() for x in columns), strict=True):
            turn = turns.setdefault(start, (end, step, set()))
            assert turn[:2] == (end, step)
            assert lane not in turn[2]
            turn[2].add(lane)
        ends = [(start, turn[0]) for start, turn in sorted(turns.items())]
        assert all(a[1] <= b[0] for a, b in pairwise(ends))
