"""Keys chosen by values: what stands where, what is counted by head; all keys kept is full."""

import numpy as np
import pytest

from hyflexsim.sim import energy
from hyflexsim.sim import graph as g
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.work import Work
from hyflexsim.sim.units.catalogue import load_chip

HEADS, TOKENS = 4, 7


def attention(bias=True, early=True):
    """A block of four heads of 16 with pairs' bias: in, u, q, k, v, qk, add, soft, pv, out."""
    graph, size = g.new_graph("attention"), {"layer": "b.0"}
    row = {"width": HEADS, "elements": HEADS} | size
    g.add_op(graph, "x", "input", width=64, **size)
    if bias and early:
        g.add_op(graph, "u", "pointwise", axis="pair", function="dr", **row)
        g.connect(graph, "x", "u", "pair")
    for name in "qkv":
        g.add_op(graph, name, "gemv", width=64, rows=64, cols=64, weight=name, **size)
        g.connect(graph, "x", name)
    each = {"heads": HEADS, "inner": 16, "context": "all"} | size
    g.add_op(graph, "qk", "matmul", width=HEADS, multiplies=["values", "values"], **each)
    g.connect(graph, "q", "qk")
    g.connect(graph, "k", "qk", "all")
    last = "qk"
    if bias and not early:
        g.add_op(graph, "u", "pointwise", axis="pair", function="dr", **row)
        g.connect(graph, "x", "u", "pair")
    if bias:
        g.add_op(graph, "add", "pointwise", context="all", function="add", **row)
        g.connect(graph, "qk", "add")
        g.connect(graph, "u", "add", "pair")
        last = "add"
    g.add_op(graph, "soft", "softmax", context="all", **row)
    g.connect(graph, last, "soft")
    g.add_op(graph, "pv", "matmul", width=64, multiplies=["probabilities", "values"], **each)
    g.connect(graph, "soft", "pv")
    g.connect(graph, "v", "pv", "all")
    g.add_op(graph, "out", "output", width=64, **size)
    g.connect(graph, "pv", "out")
    return graph


def planned(chip, bias=True, early=True):
    graph = attention(bias, early)
    return build_plan(graph, place(graph, chip, Options(copies="none")))


def chip_by(by):
    return load_chip("hyflexpim-topk", {"selector.by": by})


def staged(plan):
    """Step -> (counted each, name of its work), of the attention."""
    names = ("qk", "add", "soft", "pv")
    return {
        s.name: (s.each, s.work)
        for s in plan.steps
        if s.op in names and s.kind in ("digital_pim", "sfu", "selector")
    }


@pytest.mark.parametrize(
    ("by", "steps"),
    [
        (
            "scores",
            {"qk": (1, ""), "add": (1, ""), "soft.choose": (4, ""), "soft": (4, "soft")}
            | {"pv": (4, "pv")},
        ),
        (
            "bits",
            {"qk": (32, "qk"), "add": (1, ""), "soft.choose": (32, "qk"), "soft": (4, "soft")}
            | {"pv": (4, "pv")},
        ),
        (
            "bias",
            {"qk.choose": (4, ""), "qk": (4, "qk"), "add": (4, "add"), "soft": (4, "soft")}
            | {"pv": (4, "pv")},
        ),
    ],
)
def test_who_looks_where(by, steps):
    assert staged(planned(chip_by(by))) == steps


def test_the_choice_by_bias_waits_for_the_pairs_of_its_row():
    plan = planned(chip_by("bias"))
    step = next(s for s in plan.steps if s.name == "qk.choose")
    waits = {plan.steps[e.source].name: getattr(e, "rule", "stream") for e in step.inputs}
    assert waits == {"q.write": "stream", "k.write": "all", "u": "row"}


def test_without_a_bias_nothing_is_chosen_by_it():
    found = staged(planned(chip_by("bias"), bias=False))
    assert found == {"qk": (1, ""), "soft": (1, ""), "pv": (1, "")}


def test_a_bias_that_comes_later_is_refused():
    with pytest.raises(InputError, match=r"^keys of qk cannot be chosen by u, computed after it$"):
        planned(chip_by("bias"), early=False)


@pytest.mark.parametrize("by", ["scores", "bits", "bias"])
def test_products_of_distances_are_made_whole(by):
    """They are terms of a bias, which every key has: no key is left out of them or of their sum."""
    graph = attention()
    graph.remove_node("u")
    size = {"layer": "b.0"}
    g.add_op(graph, "rows", "lookup", axis="table", extra=5, width=64, **size)
    g.connect(graph, "x", "rows", "first")
    each = {"heads": HEADS, "inner": 16, "context": "table", "context_extra": 5} | size
    for name, source in (("c2p", "q"), ("p2c", "k")):
        g.add_op(graph, name, "matmul", width=HEADS, multiplies=["values", "positions"], **each)
        g.connect(graph, source, name)
        g.connect(graph, "rows", name, "all")
    row = {"width": HEADS, "elements": HEADS, "function": "add"} | size
    g.add_op(graph, "terms", "pointwise", context="all", **row)
    g.connect(graph, "c2p", "terms")
    g.connect(graph, "p2c", "terms", "all")
    g.connect(graph, "terms", "add")
    ordered = g.loads(g.dumps(in_order(graph)).encode(), "f")
    plan = build_plan(ordered, place(ordered, chip_by(by), Options(copies="none")))
    found = {s.name: (s.each, s.work) for s in plan.steps if s.op in ("c2p", "p2c", "terms")}
    assert {found[name] for name in ("c2p", "p2c", "terms")} == {(1, "")}
    assert staged(plan) == staged(planned(chip_by(by)))


def in_order(graph):
    """The same ops, none before what it reads: the terms of a bias stand before the products."""
    names = g.order(graph)
    names.remove("qk")
    names.insert(names.index("terms") + 1, "qk")
    made = g.new_graph("attention")
    made.add_nodes_from((name, graph.nodes[name]) for name in names)
    made.add_edges_from((u, v, graph.edges[u, v]) for v in names for u in graph.predecessors(v))
    return made


def counts_of(plan, chip, work=None, engine="simpy"):
    played = engines.play(plan, [Request(0, TOKENS, work=work)], engine=engine)
    return energy.counted(plan, played, chip), energy.macs(plan, played), played.finished


def table(**each):
    return Work({name: np.full(TOKENS, size, dtype=np.int64) for name, size in each.items()})


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize("by", ["scores", "bits", "bias"])
def test_all_keys_are_full_attention(by, engine):
    """k = N: counts and multiply-accumulates of the chip without a selector, plus comparisons."""
    chip, full = chip_by(by), load_chip("hyflexpim")
    plan = planned(chip)
    every = HEADS * TOKENS
    bits = 8 if by == "bits" else 1
    work = table(qk=every * bits, add=every, soft=every, pv=every)
    counts, macs, finished = counts_of(plan, chip, work, engine)
    assert (counts, macs, finished) == counts_of(plan, chip)
    compared = counts.pop(("selector", "comparison"))
    assert compared == TOKENS * every * bits
    wanted, full_macs, _ = counts_of(planned(full), full)
    assert counts == wanted
    assert macs == full_macs == sum(g.macs(attention(), TOKENS).values())


def test_what_is_saved_is_the_work_not_done():
    """Two keys a head of seven: 5 x 4 of 28 products of a row less, in NOR steps and elements."""
    chip = chip_by("scores")
    plan = planned(chip)
    full, macs, _ = counts_of(plan, chip)
    counts, fewer, _ = counts_of(plan, chip, table(soft=2 * HEADS, pv=2 * HEADS))
    gone = TOKENS * (TOKENS - 2) * HEADS
    assert macs - fewer == gone * 16
    assert full["digital", "nor"] - counts["digital", "nor"] == gone * 16 * 8 * 12
    assert full["sfu", "sfu_element"] - counts["sfu", "sfu_element"] == gone
    same = {k for k in full if full[k] == counts[k]}
    assert set(full) - same == {("digital", "nor"), ("sfu", "sfu_element")}


def test_keys_that_drop_out_early_cost_their_first_bits():
    """Of a row's 28 keys all but four drop after 3 of 8 bits: 4 x 8 + 24 x 3 = 104 of 224."""
    chip = chip_by("bits")
    plan = planned(chip)
    full, macs, _ = counts_of(plan, chip)
    counts, fewer, _ = counts_of(plan, chip, table(qk=104))
    gone = TOKENS * (224 - 104)
    assert full["digital", "nor"] - counts["digital", "nor"] == gone * 16 * 8
    assert macs - fewer == gone * 16 // 8
    assert full["selector", "comparison"] - counts["selector", "comparison"] == gone


def test_a_unit_of_whole_products_cannot_stop_at_a_bit(tmp_path):
    file = tmp_path / "chip.toml"
    told = 'value = 1, status = "assumed", source = "test"'
    file.write_text(
        'extends = "non-pim"\n[units.selector]\nkind = "selector"\nwhere = "pu"\n'
        'by = { value = "bits", status = "assumed", source = "test" }\n'
        f"count = {{ {told} }}\nlanes = {{ {told} }}\npasses = {{ {told} }}\n"
        f'clock_period = {{ {told}, unit = "ns" }}\n'
        f'energy.comparison = {{ {told}, unit = "pJ" }}\narea.lanes = {{ {told}, unit = "mm2" }}\n'
        '[serves]\n"matmul" = { unit = "macs", format = "int8", keys = "selector" }\n'
    )
    with pytest.raises(InputError, match=r"^keys cannot be chosen bit by bit: macs makes whole pr"):
        planned(load_chip(file))
