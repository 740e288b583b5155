"""Fidelity bit and token, waves and single pairs, and any order of building: one answer."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim import energy
from hyflexsim.sim import graph as g
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement import memory
from hyflexsim.sim.placement.mapping import DEALS, Options, place
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.overlap import layer_serial
from hyflexsim.sim.plan.plan import Group
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.units.catalogue import load_chip

ANALOG = ("bank", "adc", "shift_add")


@st.composite
def graphs(draw):
    """Random small models: gemvs (dense or factorised), SFU ops, attention, a pair network."""
    width = draw(st.sampled_from([3, 16, 64, 130]))
    graph = g.new_graph("random")
    g.add_op(graph, "in", "input", layer="blocks.0", width=width)
    last = "in"
    for b in range(draw(st.integers(1, 3))):
        layer = f"blocks.{b}"
        last = _block(draw, graph, layer, last, width)
    g.connect(graph, last, g.add_op(graph, "out", "output", layer="blocks.0", width=width))
    g.validate(graph)
    return graph


def _gemv(draw, graph, name, layer, source, rows, cols, axis="sequence"):
    rank = draw(st.sampled_from([None, None, 5, 70]))
    g.add_op(
        graph,
        name,
        "gemv",
        layer=layer,
        axis=axis,
        rows=rows,
        cols=cols,
        width=cols,
        weight=name,
        rank=rank and min(rank, rows, cols),
    )
    g.connect(graph, source, name)
    return name


def _block(draw, graph, layer, last, width):
    kind = draw(st.sampled_from(["ffn", "attention", "pairs"]))
    if kind == "ffn":
        inner = draw(st.sampled_from([8, 200]))
        up = _gemv(draw, graph, f"{layer}.up", layer, last, width, inner)
        act = g.add_op(
            graph,
            f"{layer}.gelu",
            "pointwise",
            layer=layer,
            width=inner,
            elements=inner,
            function="gelu",
        )
        g.connect(graph, up, act)
        down = _gemv(draw, graph, f"{layer}.down", layer, act, inner, width)
        add = g.add_op(
            graph,
            f"{layer}.add",
            "pointwise",
            layer=layer,
            width=width,
            elements=width,
            function="add",
        )
        g.connect(graph, down, add)
        g.connect(graph, last, add)
        return add
    q, k, v = (_gemv(draw, graph, f"{layer}.{x}", layer, last, width, width) for x in "qkv")
    rule = draw(st.sampled_from(["all", "prefix"])) if kind == "attention" else "all"
    common = {"layer": layer, "context": rule}
    qk = g.add_op(
        graph,
        f"{layer}.qk",
        "matmul",
        width=1,
        heads=1,
        inner=width,
        multiplies=["values", "values"],
        **common,
    )
    g.connect(graph, q, qk)
    g.connect(graph, k, qk, rule)
    if kind == "pairs":
        qk = _pairs(draw, graph, layer, qk)
    soft = g.add_op(graph, f"{layer}.softmax", "softmax", width=1, elements=1, **common)
    g.connect(graph, qk, soft)
    pv = g.add_op(
        graph,
        f"{layer}.pv",
        "matmul",
        width=width,
        heads=1,
        inner=width,
        multiplies=["probabilities", "values"],
        **common,
    )
    g.connect(graph, soft, pv)
    g.connect(graph, v, pv, rule)
    return _gemv(draw, graph, f"{layer}.o", layer, pv, width, width)


def _pairs(draw, graph, layer, qk):
    home = draw(st.sampled_from([layer, "pairs"]))
    first = g.add_op(
        graph,
        f"{layer}.features",
        "pointwise",
        layer=home,
        axis="pair",
        width=4,
        elements=8,
        function="pair_features",
    )
    g.connect(graph, "in", first, "pair")
    inner = _gemv(draw, graph, f"{layer}.pair1", home, first, 4, 20, "pair")
    outer = _gemv(draw, graph, f"{layer}.pair2", home, inner, 20, 1, "pair")
    add = g.add_op(
        graph,
        f"{layer}.bias",
        "pointwise",
        layer=layer,
        width=1,
        elements=1,
        function="add",
        context="all",
    )
    g.connect(graph, qk, add)
    g.connect(graph, outer, add, "pair")
    return add


@st.composite
def chips(draw):
    """The reference chip with small buffers, slow buses or ADCs, in several modes."""
    overrides = {
        "digital.registers.input_bytes": draw(st.sampled_from([1, 25, 1024])),
        "digital.registers.output_bytes": draw(st.sampled_from([1, 25, 1024])),
        "pu_bus.bandwidth": draw(st.sampled_from(["1 GB/s", "3 GB/s", "1000 GB/s"])),
        "adc.rate": draw(st.sampled_from(["1.28 GS/s", "0.7 GS/s"])),
    }
    options = Options(
        slc_rate=draw(st.sampled_from([0.0, 0.3, 1.0])),
        copies=draw(st.sampled_from(["none", "fill", "fill-factors", "even", 2, 3])),
        pus_per_layer=draw(st.sampled_from(["auto", 2, 1.5])),
        deal=draw(st.sampled_from(DEALS)),
    )
    return load_chip("hyflexpim", overrides), options


requests_strategy = st.lists(
    st.tuples(st.integers(0, 3_000_000), st.integers(1, 6)), min_size=1, max_size=3
).map(lambda pairs: [Request(a, n) for a, n in sorted(pairs)])


def prepare(graph, chip, **build):
    hw, options = chip
    return build_plan(graph, apply_copies(graph, place(graph, hw, options), 4), **build)


def whole_tokens(plan, played, kinds=None):
    """Arrival, start and end of every visit outside the analog arrays, by step name."""
    trace = played.trace
    columns = zip(*(column.tolist() for column in trace.columns()), strict=True)
    return sorted(
        (plan.steps[step].name, *rest)
        for step, *rest in columns
        if plan.steps[step].kind not in ANALOG
    )


def analog_spans(plan, played):
    """When each vector occupied its bank, when its first plane was converted, when it was ready."""
    spans = {}
    trace = played.trace
    for step, request, token, _, start, end in zip(
        *(column.tolist() for column in trace.columns()), strict=True
    ):
        row = plan.steps[step]
        key = (row.name.rpartition(".")[0], request, token // row.parts)
        if row.kind == "bank":
            spans.setdefault((*key, "read"), []).extend((start, end))
        elif row.kind == "adc":
            spans.setdefault((*key, "converted"), []).append(start - row.lead_ps)
        if row.kind == "shift_add" or (row.kind == "adc" and row.planes == 1):
            spans.setdefault((*key, "ready"), []).append(end)
    return {
        key: {"read": (min(t), max(t)), "converted": min(t), "ready": max(t)}[key[-1]]
        for key, t in spans.items()
    }


def busy_by_kind(plan, played):
    busy = {}
    for row in energy.components(plan, played):
        if "buffer" not in row["kind"]:
            key = (row["kind"], row["layer"])
            busy[key] = busy.get(key, 0) + row["busy_ps"]
    return busy


def by_op(rows):
    return sorted(rows, key=lambda row: (row["op"], row["action"]))


@settings(max_examples=25, deadline=None)
@given(graph=graphs(), chip=chips(), requests=requests_strategy, data=st.data())
def test_bit_and_token_agree_to_the_picosecond_and_the_count(graph, chip, requests, data):
    """Eight planes through bank, ADC and shift-and-add, or one visit: same times and counts."""
    split = data.draw(st.booleans())
    token = prepare(graph, chip)
    bit = prepare(graph, chip, fidelity="bit", split_pairs=split)
    a, b = play(token, requests), play(bit, requests)
    assert whole_tokens(token, a) == whole_tokens(bit, b)
    assert a.finished == b.finished
    assert by_op(energy.ledger(token, a, chip[0])) == by_op(energy.ledger(bit, b, chip[0]))
    assert energy.macs(token, a) == energy.macs(bit, b)
    assert analog_spans(token, a) == analog_spans(bit, b)
    if not split:  # a gang of copies is one component, the copies by themselves are many
        assert busy_by_kind(token, a) == busy_by_kind(bit, b)


@settings(max_examples=25, deadline=None)
@given(
    graph=graphs(),
    chip=chips(),
    requests=requests_strategy,
    build=st.fixed_dictionaries(
        {"fidelity": st.sampled_from(["token", "bit"]), "split_pairs": st.booleans()}
    ),
    serial=st.booleans(),
)
def test_both_engines_give_the_same_answer(outcome, graph, chip, requests, build, serial):
    """Trace, sums, queue peaks, whatever the fidelity and the overlap."""
    plan = prepare(graph, chip, **build)
    if serial:
        plan = layer_serial(plan)
    assert outcome(compiled.play, plan, requests) == outcome(play, plan, requests)


@settings(max_examples=15, deadline=None)
@given(graph=graphs(), chip=chips(), requests=requests_strategy)
def test_waves_and_single_pairs_agree(graph, chip, requests):
    """A wave of pairs on copies in step, or every pair on its copy: same times and counts."""
    waves, pairs = prepare(graph, chip), prepare(graph, chip, split_pairs=True)
    a, b = play(waves, requests), play(pairs, requests)
    assert whole_tokens(waves, a) == whole_tokens(pairs, b)
    assert by_op(energy.ledger(waves, a, chip[0])) == by_op(energy.ledger(pairs, b, chip[0]))


@settings(max_examples=15, deadline=None)
@given(graph=graphs(), chip=chips(), requests=requests_strategy, seed=st.integers(0, 999))
def test_building_order_does_not_matter(graph, chip, requests, seed):
    plan = prepare(graph, chip)
    order = list(range(len(plan.components)))
    random.Random(seed).shuffle(order)
    a, b = play(plan, requests), play(plan, requests, construction=order)
    for left, right in zip(a.trace.columns(), b.trace.columns(), strict=True):
        assert np.array_equal(left, right)


@settings(max_examples=25, deadline=None)
@given(graph=graphs(), chip=chips(), requests=requests_strategy, serial=st.booleans())
def test_conservation(graph, chip, requests, serial):
    """MACs of the hardware = MACs of the graph; conversions = planes x columns x row tiles; bits
    sent = bits received; tokens in = tokens out; energy of all requests = energy of the ledger."""
    hw, options = chip
    placement = apply_copies(graph, place(graph, hw, options), 4)
    plan = build_plan(graph, placement)
    if serial:
        plan = layer_serial(plan)
    played = play(plan, requests)
    rows = energy.ledger(plan, played, hw)

    assert energy.macs(plan, played) == sum(sum(g.macs(graph, r.tokens).values()) for r in requests)
    for weight in placement.weights.values():
        (op,) = weight.ops
        runs = sum(g.token_count(graph.nodes[op], r.tokens) for r in requests)
        columns = sum(factor.conversions for factor in weight.parts)
        conversions = sum(
            row["count"]
            for row in rows
            if row["op"] == op and row["action"].startswith("adc_conversion")
        )
        assert conversions == 8 * columns * runs
        added = sum(r["count"] for r in rows if r["op"] == op and r["action"] == "shift_add")
        assert added == conversions
    bits = {k: sum(r["count"] for r in rows if r["action"] == k) for k in ("host_port_bit",)}
    width = graph.nodes["in"]["width"]
    assert bits["host_port_bit"] == 2 * 8 * width * sum(r.tokens for r in requests)
    visits, _ = energy.totals(played)
    for reader, step in zip(visits, plan.steps, strict=True):
        for edge in step.inputs:
            if isinstance(edge, Group) and plan.steps[edge.source].unit in hw.links:
                # every token that a bus has sent is received once by each of its readers
                assert reader * edge.every == visits[edge.source] * edge.spread
    entered = {s.name: i for i, s in enumerate(plan.steps)}
    for name in ("in", "out"):
        assert (played.trace.step == entered[name]).sum() == sum(r.tokens for r in requests)
    for mode in energy.MODES:
        total = sum(row["energy_pj"] for row in energy.energy_rows(plan, played, hw, mode))
        each = [
            energy.request_energy_pj(plan, shape_of(plan, r.tokens), hw, mode) for r in requests
        ]
        assert sum(each) == pytest.approx(total, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(graph=graphs(), chip=chips(), requests=requests_strategy)
def test_window_of_one_runs_requests_alone(graph, chip, requests):
    """With one request at a time each takes as long as on an empty chip."""
    hw, options = chip
    plan = prepare(graph, chip)
    memory.requests_at_once(graph, place(graph, hw, options), 6)
    played = play(plan, requests, window=1)
    for request, entered, finished in zip(requests, played.entered, played.finished, strict=True):
        alone = play(plan, [Request(0, request.tokens)])
        assert finished - entered == alone.finished[0]
