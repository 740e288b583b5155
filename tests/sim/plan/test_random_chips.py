"""Random chips: presets with some parameters far off, playing random attention blocks.

Both engines give the same answer, the work is the model's, and no run draws more than its peak.
"""

import functools

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hyflexsim.sim import energy, power
from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.load import presets
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.overlap import layer_serial
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip

PRUNED = ("asadi", "hyflexpim-slc", "sprint")


@functools.cache
def parameters(name):
    chip = load_chip(name)
    return chip, sorted(
        key for key, one in chip.parameters.items() if not one.options and not one.counts
    )


@st.composite
def chips(draw):
    """A preset with up to four parameters two to sixteen times off."""
    name = draw(st.sampled_from(presets()))
    chip, keys = parameters(name)
    changes = {}
    for key in draw(st.lists(st.sampled_from(keys), max_size=4, unique=True)):
        one, factor = chip.parameters[key], draw(st.sampled_from([1 / 16, 1 / 2, 2, 16]))
        value = min(max(chip[key] * factor, one.low), one.high)
        value = round(value) if one.whole else value
        bare = one.unit in ("", "bit", "cycle", "B", "nm")
        changes[key] = value if bare else f"{value!r} {one.unit}"
    try:
        return load_chip(name, changes)
    except InputError:
        assume(False)


@st.composite
def blocks(draw):
    """One or two blocks of attention and a matrix, dense or with a rank, causal or not."""
    graph = g.new_graph("random")
    width = draw(st.sampled_from([8, 64, 100]))
    context = draw(st.sampled_from(["all", "prefix"]))
    barrier = {"all": "all", "prefix": "prefix"}[context]
    heads = draw(st.sampled_from([1, 4]))

    def op(name, kind, *edges, **shape):
        g.add_op(graph, name, kind, layer=name.rpartition(".")[0] or "b.0", **shape)
        for source, rule in edges:
            g.connect(graph, source, name, rule)
        return name

    last = op("in", "input", width=width)
    for b in range(draw(st.integers(1, 2))):
        at, square = f"b.{b}.", {"width": width, "rows": width, "cols": width}
        rank = draw(st.sampled_from([None, 5, width]))
        q, k, v = (
            op(at + x, "gemv", (last, "stream"), weight=at + x, rank=rank, **square) for x in "qkv"
        )
        each = {"heads": heads, "inner": width // heads, "context": context}
        qk = op(
            at + "qk",
            "matmul",
            (q, "stream"),
            (k, barrier),
            width=heads,
            multiplies=["values", "values"],
            **each,
        )
        soft = op(at + "s", "softmax", (qk, "stream"), width=heads, elements=heads, context=context)
        pv = op(
            at + "pv",
            "matmul",
            (soft, "stream"),
            (v, barrier),
            width=width,
            multiplies=["probabilities", "values"],
            **each,
        )
        norm = op(at + "n", "norm", (pv, "stream"), width=width, elements=width)
        last = op(at + "fc", "gemv", (norm, "stream"), weight=at + "fc", **square)
    op("b.0.out", "output", (last, "stream"), width=width)
    return graph


@settings(max_examples=60)
@given(
    graph=blocks(),
    chip=chips(),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    serial=st.booleans(),
    rate=st.sampled_from([0.0, 0.4, 1.0]),
    copies=st.sampled_from(["fill", "fill-factors", "even"]),
)
def test_engines_agree_and_work_adds_up(outcome, graph, chip, lengths, serial, rate, copies):
    try:
        placement = place(graph, chip, Options(slc_rate=rate, chips=8, copies=copies))
        placement = apply_copies(graph, placement, 3, "layer-serial" if serial else "pipelined")
        plan = build_plan(graph, placement)
    except InputError:
        assume(False)
    if serial:
        plan = layer_serial(plan)
    requests = [Request(0, tokens) for tokens in lengths]
    simpy = outcome(play, plan, requests)
    assert outcome(compiled.play, plan, requests) == simpy
    played = play(plan, requests)
    if chip.name not in PRUNED:
        wanted = sum(sum(g.macs(graph, tokens).values()) for tokens in lengths)
        assert energy.macs(plan, played) == wanted
    for row in energy.energy_rows(plan, played, chip, "action"):
        assert row["energy_pj"] == row["count"] * row["unit_pj"]
        assert row["count"] >= 0
    for mode in energy.MODES:
        spent = sum(row["energy_pj"] for row in energy.energy_rows(plan, played, chip, mode))
        mean = spent / played.tally.end_ps * power.MW_PER_PJ_A_PS
        assert mean <= power.peak_mw(plan, played, placement, mode) * (1 + 1e-9)
