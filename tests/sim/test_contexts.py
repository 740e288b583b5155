"""Windows and the tokens of an encoder: counted in closed form, waited for, and kept no longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.engine import engine
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.placement.memory import request_bytes
from hyflexsim.sim.plan.plan import size_of
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.units.catalogue import load_chip


def attention(axis="sequence", extra=0, **context):
    """A graph of one product of queries and keys; ``context`` as an op has it."""
    graph = g.new_graph("t", causal=False)
    at = {"layer": "blocks.0", "axis": axis, "extra": extra}
    g.add_op(graph, "in", "input", width=8, **at)
    for name in ("q", "k"):
        g.add_op(graph, name, "gemv", width=8, rows=8, cols=8, weight=name, **at)
        g.connect(graph, "in", name)
    product = {"heads": 2, "inner": 4, "multiplies": ["values", "values"]}
    g.add_op(graph, "qk", "matmul", width=2, **product, **context, **at)
    g.connect(graph, "q", "qk")
    rule = context["context"] if context["context"] in ("window", "square") else "all"
    g.connect(graph, "k", "qk", rule)
    return graph


@given(st.integers(1, 40), st.integers(0, 50), st.integers(0, 50))
def test_a_window_is_what_it_reaches(tokens, behind, ahead):
    op = {"axis": "sequence", "extra": 0, "context": "window", "behind": behind, "ahead": ahead}
    seen = [range(max(0, n - behind), min(tokens, n + ahead + 1)) for n in range(tokens)]
    assert g.context_sum(op, tokens) == sum(map(len, seen))


@given(st.integers(1, 40), st.integers(1, 50))
def test_a_causal_window_is_the_closed_form(tokens, width):
    op = {"axis": "sequence", "extra": 0, "context": "window", "behind": width - 1, "ahead": 0}
    assert g.context_sum(op, tokens) == sum(min(n + 1, width) for n in range(tokens))


@pytest.mark.parametrize(("behind", "ahead"), [(3, 0), (2, 4), (50, 50)])
def test_steps_are_sized_and_wait_as_the_window(behind, ahead):
    graph = attention(context="window", behind=behind, ahead=ahead)
    plan = build_plan(graph, place(graph, load_chip("hyflexpim"), Options()))
    index = next(i for i, step in enumerate(plan.steps) if step.name == "qk")
    step, shape = plan.steps[index], shape_of(plan, 9)
    sizes = [int(size_of(step, n, 9, 9)) for n in range(9)]
    assert sizes == [min(n, behind) + 1 + min(ahead, 8 - n) for n in range(9)]
    assert shape.sizes[index] == g.context_sum(graph.nodes["qk"], 9)
    keys = next(i for i, each in enumerate(plan.steps) if each.name == "k.write")
    needs = [out for out in shape.outputs[keys] if out[1] == index]
    assert needs[0][2] == [min(n + 1 + ahead, 9) for n in range(9)]


def table(rows=12, turned=False):
    """Keys of a table of distances, multiplied with every query; ``turned``: gathered by column."""
    graph = attention(context="all")
    at = {"layer": "blocks.0", "axis": "table", "extra": rows}
    g.add_op(graph, "rows", "lookup", width=8, parameters=8 * rows, **at)
    g.connect(graph, "in", "rows", "first")
    g.add_op(graph, "k@table", "gemv", width=8, rows=8, cols=8, weight="k", **at)
    g.connect(graph, "rows", "k@table")
    at = {"layer": "blocks.0", "context": "table", "context_extra": rows}
    product = {"heads": 2, "inner": 4, "multiplies": ["values", "values"]}
    g.add_op(graph, "distances", "matmul", width=2, **product, **at)
    g.connect(graph, "q", "distances")
    g.connect(graph, "k@table", "distances", "all")
    at = {"layer": "blocks.0", "context": "all", "elements": 2, "function": "add"}
    g.add_op(graph, "add", "pointwise", width=2, **at)
    g.connect(graph, "qk", "add")
    g.connect(graph, "distances", "add", "all" if turned else "stream")
    g.add_op(graph, "out", "output", layer="out", width=2)
    g.connect(graph, "add", "out")
    return graph


@given(st.integers(1, 40), st.integers(1, 50))
def test_a_table_is_read_whole_whatever_the_length(tokens, rows):
    graph = table(rows)
    assert g.token_count(graph.nodes["k@table"], tokens) == rows
    assert g.macs(graph, tokens)["k@table"] == rows * 8 * 8
    assert g.macs(graph, tokens)["distances"] == tokens * rows * 8
    assert g.parameters(graph) == 2 * 8 * 8 + 8 * rows  # its projection is that of the keys


@pytest.mark.parametrize("turned", [False, True])
def test_both_engines_play_a_table(outcome, turned):
    graph = table(turned=turned)
    plan = build_plan(graph, place(graph, load_chip("hyflexpim"), Options()))
    requests = [Request(0, 7), Request(1000, 3)]
    assert outcome(compiled.play, plan, requests) == outcome(engine.play, plan, requests)
    shape = shape_of(plan, 7)
    index = {step.name: i for i, step in enumerate(plan.steps)}
    add = [out for out in shape.outputs[index["distances"]] if out[1] == index["add"]]
    assert shape.sizes[index["distances"]] == 7 * 12
    assert (add[0][2] == [7] * 7) if turned else add


def test_scores_that_other_tokens_read_wait():
    """Of 100 tokens those of 12 rows and 2 heads, a byte each; a row of one's own does not wait."""
    chip = load_chip("hyflexpim")
    kept = [
        request_bytes(x, place(x, chip, Options()), 100)["blocks.0"]
        for x in (table(), table(turned=True))
    ]
    assert kept[1] - kept[0] == 100 * 12 * 2


def image(side, wide, high):
    """Windows of an image of so many tokens, and the patch merging behind them."""
    graph = attention(context="square", context_extra=side**2, side=side, wide=wide)
    graph.graph["tokens"] = wide * high
    at = {"layer": "blocks.0", "extra": wide * high // side**2 - wide * high}
    g.add_op(graph, "merged", "norm", width=8, elements=8, side=side, wide=wide, **at)
    g.connect(graph, "q", "merged", "square")
    g.add_op(graph, "out", "output", width=8, layer="out", extra=at["extra"])
    g.connect(graph, "merged", "out")
    return graph


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_squares_are_counted_and_waited_for(side, across, down):
    """A token waits for the last of its square, and none is served before those before it."""
    wide, high = side * across, side * down
    graph, N = image(side, wide, high), wide * high
    assert g.context_sum(graph.nodes["qk"], N) == N * side**2
    squares = {}
    for n in range(N):
        squares.setdefault((n // wide // side, n % wide // side), []).append(n)
    plan = build_plan(graph, place(graph, load_chip("hyflexpim"), Options()))
    shape, index = shape_of(plan, N), {step.name: i for i, step in enumerate(plan.steps)}
    own = [max(squares[n // wide // side, n % wide // side]) + 1 for n in range(N)]
    (keys,) = [out for out in shape.outputs[index["k.write"]] if out[1] == index["qk"]]
    assert keys[2] == [max(own[: n + 1]) for n in range(N)]
    made = [max(squares[square]) + 1 for square in sorted(squares)]
    reads = [out for outs in shape.outputs for out in outs if out[1:2] == (index["merged"],)]
    assert [out[2] for out in reads] == [[max(made[: n + 1]) for n in range(across * down)]]


def test_both_engines_play_squares(outcome):
    graph = image(2, 6, 4)
    plan = build_plan(graph, place(graph, load_chip("hyflexpim"), Options()))
    requests = [Request(0, 24), Request(1000, 24)]
    assert outcome(compiled.play, plan, requests) == outcome(engine.play, plan, requests)


def test_keys_outside_the_window_are_not_kept():
    chip = load_chip("hyflexpim")
    wide = attention(context="all")
    narrow = attention(context="window", behind=3, ahead=2)
    kept = [request_bytes(x, place(x, chip, Options()), 100)["blocks.0"] for x in (wide, narrow)]
    both = 2 * 100 * 8  # the input, and queries, which meet the keys
    assert kept == [both + 100 * 8, both + 6 * 8]
    assert request_bytes(narrow, place(narrow, chip, Options()), 4)["blocks.0"] == 3 * 4 * 8


def test_the_encoders_tokens_are_its_own():
    graph = attention("source", 20, context="source", context_extra=20)
    graph.graph["source"] = 20
    assert [g.token_count(graph.nodes["q"], tokens) for tokens in (1, 99)] == [20, 20]
    assert g.macs(graph, 7)["qk"] == 20 * 20 * 8
    other = g.with_source(graph, 6)
    assert g.macs(other, 7) == g.macs(other, 99)
    assert g.macs(other, 7)["qk"] == 6 * 6 * 8
    assert g.loads(g.dumps(other).encode(), "f").graph["source"] == 6


@pytest.mark.parametrize(
    ("header", "tokens", "message"),
    [
        ({}, 5, "t has no encoder beside a decoder"),
        ({"source": 9, "source_fixed": True}, 5, "t: source must be 9; got 5"),
        (
            {"source": 9, "source_positions": 16},
            17,
            "source must be an integer from 1 to 16, the encoder's positions; got 17",
        ),
        ({"source": 9}, 0, "source must be an integer from 1; got 0"),
    ],
)
def test_a_length_of_the_encoder_that_is_none(header, tokens, message):
    graph = g.new_graph("t", **header)
    with pytest.raises(g.GraphError) as caught:
        g.with_source(graph, tokens)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": "window"}, "op 'x' (gemv): behind is missing"),
        (
            {"context": "window", "behind": -1, "ahead": 0},
            "op 'x': behind must be an integer from 0; got -1",
        ),
        (
            {"context": "window", "behind": 1, "ahead": 0, "context_extra": 1},
            "op 'x': context_extra must be 0 with context window; got 1",
        ),
        (
            {"context": "source"},
            "op 'x': context_extra must be a positive integer with context source; got 0",
        ),
        ({"axis": "source"}, "op 'x': extra must be a positive integer with axis source; got 0"),
        ({"behind": 3}, "op 'x' (gemv): unknown key 'behind'; known: kind, axis, layer, module"),
        (
            {"context": "table"},
            "op 'x': context_extra must be a positive integer with context table; got 0",
        ),
        ({"context": "square", "context_extra": 4}, "op 'x' (gemv): side is missing"),
        ({"side": 2}, "op 'x' (gemv): wide is missing"),
        ({"side": 2, "wide": 7}, "op 'x': wide must be a multiple of side (2); got 7"),
        (
            {"context": "square", "context_extra": 5, "side": 2, "wide": 8},
            "op 'x': context_extra must be side * side (4) with context square; got 5",
        ),
    ],
)
def test_ops_refused(change, message):
    op = {"layer": "l", "width": 4, "rows": 4, "cols": 4, "weight": "w"}
    with pytest.raises(g.GraphError) as caught:
        g.add_op(g.new_graph("t"), "x", "gemv", **op | change)
    assert str(caught.value).startswith(message)


def test_edges_refused():
    graph = attention("source", 20, context="source", context_extra=20)
    g.add_op(graph, "late", "norm", layer="l", width=8, elements=8)
    with pytest.raises(g.GraphError) as caught:
        g.connect(graph, "q", "late")
    assert str(caught.value) == (
        "edge 'q' -> 'late': rule stream cannot join a source op to a sequence op; use all, first "
        "or last"
    )
    with pytest.raises(g.GraphError) as caught:
        g.connect(graph, "q", "k", "window")
    assert str(caught.value) == (
        "edge 'q' -> 'k': rule window leads to an op of context window; got None"
    )
    with pytest.raises(g.GraphError) as caught:
        g.connect(image(2, 4, 4), "q", "k", "square")
    assert str(caught.value) == (
        "edge 'q' -> 'k': rule square joins sequence ops and leads to one with side and wide; got "
        "a sequence op and a sequence op with context None"
    )
