"""Times of whole ops on the reference chip, by hand; ``==`` throughout (picoseconds)."""

import itertools

import pytest

from hyflexsim.sim import energy
from hyflexsim.sim import graph as g
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.plan import Threshold
from hyflexsim.sim.plan.planner import build_plan, matrix_names
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.units.catalogue import load_chip

NS = 1000


def linear_graph(*shapes, name="linear", ranks=None):
    """input -> gemv of each (rows, cols) -> output, all in one layer."""
    graph = g.new_graph(name)
    last = g.add_op(graph, "in", "input", layer="blocks.0", width=shapes[0][0])
    for i, (rows, cols) in enumerate(shapes):
        rank = ranks[i] if ranks else None
        op = g.add_op(
            graph,
            f"fc{i}",
            "gemv",
            layer="blocks.0",
            rows=rows,
            cols=cols,
            width=cols,
            weight=f"w{i}",
            rank=rank,
        )
        g.connect(graph, last, op)
        last = op
    g.connect(graph, last, g.add_op(graph, "out", "output", layer="blocks.0", width=shapes[-1][1]))
    return graph


def attention_graph(causal=False, width=64, heads=1, layers=1):
    """Transformer blocks without FFN: q, k, v -> qk -> softmax -> pv -> projection -> norm."""
    graph = g.new_graph("attention", causal=causal)
    x = g.add_op(graph, "in", "input", layer="blocks.0", width=width)
    rule, context = ("prefix", "prefix") if causal else ("all", "all")
    for b in range(layers):
        layer = f"blocks.{b}"

        def op(name, kind, layer=layer, **more):
            return g.add_op(graph, f"{layer}.{name}", kind, layer=layer, **more)

        def gemv(name, op=op, layer=layer):
            return op(name, "gemv", rows=width, cols=width, width=width, weight=f"{layer}.{name}")

        q, k, v = gemv("q"), gemv("k"), gemv("v")
        for target in (q, k, v):
            g.connect(graph, x, target)
        inner = width // heads
        qk = op(
            "qk",
            "matmul",
            width=heads,
            heads=heads,
            inner=inner,
            multiplies=["values", "values"],
            context=context,
        )
        g.connect(graph, q, qk)
        g.connect(graph, k, qk, rule)
        soft = op("softmax", "softmax", width=heads, elements=heads, context=context)
        g.connect(graph, qk, soft)
        pv = op(
            "pv",
            "matmul",
            width=width,
            heads=heads,
            inner=inner,
            multiplies=["probabilities", "values"],
            context=context,
        )
        g.connect(graph, soft, pv)
        g.connect(graph, v, pv, rule)
        o = gemv("o")
        g.connect(graph, pv, o)
        x = op("norm", "norm", width=width, elements=width)
        g.connect(graph, o, x)
    out = g.add_op(graph, "out", "output", layer=f"blocks.{layers - 1}", width=width, head=causal)
    g.connect(graph, x, out)
    return graph


def run(graph, hw, requests, *, options=None, **build):
    placement = place(graph, hw, options or Options(copies="none"))
    placement = apply_copies(graph, placement, requests[0].tokens)
    plan = build_plan(graph, placement, **build)
    return plan, play(plan, requests)


def column(plan, played, name, field):
    """Times of the step called ``name``, in token order."""
    index = next(i for i, step in enumerate(plan.steps) if step.name == name)
    trace = played.trace
    rows = sorted(
        zip(
            trace.token[trace.step == index],
            getattr(trace, field)[trace.step == index],
            strict=True,
        )
    )
    return [int(time) for _, time in rows]


@pytest.mark.parametrize("slc_rate", [1.0, 0.0])
@pytest.mark.parametrize("fidelity", ["token", "bit"])
def test_one_gemv(hw, slc_rate, fidelity):
    """First result 900 ns after its vector, then one every 800 ns (HyFlexPIM §5.4), SLC and MLC.

    64 x 32: SLC fills two arrays of 128 columns, MLC exactly one.
    """
    plan, played = run(
        linear_graph((64, 32)),
        hw,
        [Request(0, 3)],
        options=Options(copies="none", slc_rate=slc_rate),
        fidelity=fidelity,
    )
    vector = column(plan, played, "fc0.in", "end")
    result = column(plan, played, "fc0.W.out", "arrival")
    assert result[0] == vector[0] + 900 * NS
    assert [b - a for a, b in itertools.pairwise(result)] == [800 * NS] * 2


def test_a_narrow_array_is_converted_sooner(hw):
    """4 outputs in SLC use 32 columns: the last plane takes 32 x 781.25 ps = 25 ns, not 100."""
    plan, played = run(linear_graph((64, 4)), hw, [Request(0, 1)])
    vector = column(plan, played, "fc0.in", "end")
    assert column(plan, played, "fc0.W.out", "arrival") == [vector[0] + 825 * NS]


def test_two_stage_bit_pipeline(hw):
    """Bit-planes: read p at 100 p, converted 100 ns later, added one conversion slot after that."""
    plan, played = run(linear_graph((64, 16)), hw, [Request(0, 1)], fidelity="bit")
    start = column(plan, played, "fc0.in", "end")[0]
    bank = column(plan, played, "fc0.W.bank", "start")
    adc = column(plan, played, "fc0.W.adc", "start")
    add = column(plan, played, "fc0.W.shift_add", "end")
    assert bank == [start + 100 * NS * p for p in range(8)]
    assert adc == [start + 100 * NS * (p + 1) for p in range(8)]
    assert add == [start + 100 * NS * (p + 2) for p in range(8)]


def test_a_slow_adc_sets_the_beat(hw):
    """At 0.64 GS/s 128 columns take 200 ns: a vector every 1600 ns, in both fidelities."""
    slow = load_chip("hyflexpim", {"adc.rate": "0.64 GS/s"})
    for fidelity in ("token", "bit"):
        plan, played = run(linear_graph((64, 16)), slow, [Request(0, 2)], fidelity=fidelity)
        vector = column(plan, played, "fc0.in", "end")[0]
        first, second = column(plan, played, "fc0.W.out", "arrival")
        assert (first - vector, second - first) == (1800 * NS, 1600 * NS)


def test_two_factors_are_two_gemvs(hw):
    """rank 64 of 128 x 128: V (2 row tiles) and U (1): 900 ns each and the way between them.

    Between: 2 x 64 partial sums of 22 bits = 352 B over 1000 GB/s = 352 ps, 64 additions in one
    cycle of 1 ns, 64 B to the second array = 64 ps.
    """
    plan, played = run(linear_graph((128, 128), ranks=[64]), hw, [Request(0, 1)])
    vector = column(plan, played, "fc0.in", "end")[0]
    wait = 352 + 1 * NS + 64
    assert column(plan, played, "fc0.U.out", "arrival") == [vector + 2 * 900 * NS + wait]


def test_two_layers_in_a_row_pipeline(hw):
    """n vectors through two matrices: makespan = fill + (n - 1) x 800 ns."""
    one = run(linear_graph((64, 64), (64, 64)), hw, [Request(0, 1)])[1].finished[0]
    many = run(linear_graph((64, 64), (64, 64)), hw, [Request(0, 10)])[1].finished[0]
    assert many == one + 9 * 800 * NS


def test_copies_halve_the_interval(hw):
    """Two copies: results in pairs, 800 ns apart."""
    plan, played = run(linear_graph((64, 16)), hw, [Request(0, 6)], options=Options(copies=2))
    results = column(plan, played, "fc0.W.out", "arrival")
    assert results[2] - results[0] == results[4] - results[2] == 800 * NS
    assert column(plan, played, "fc0.W.bank", "start")[1] < results[0]


def test_query_key_value_fork_and_join(hw):
    """One transfer feeds three matrices; QK starts when Q and every K are written.

    Three results of 64 outputs x 22 bit = 176 B follow each other on the bus (176 ps each), and
    are written one after the other (4 ns each): Q, then K.
    """
    plan, played = run(attention_graph(), hw, [Request(0, 1)])
    vector = column(plan, played, "blocks.0.q.in", "end")
    assert len(vector) == 1  # the same transfer serves k and v
    results = {x: column(plan, played, f"blocks.0.{x}.W.out", "end")[0] for x in "qkv"}
    assert results == {x: vector[0] + 900 * NS + 176 * (i + 1) for i, x in enumerate("qkv")}
    assert column(plan, played, "blocks.0.k.write", "end") == [results["q"] + 8 * NS]
    # V is written before the product starts: it has arrived earlier
    assert column(plan, played, "blocks.0.qk", "start") == [results["q"] + 12 * NS]


def test_attention_barrier(hw):
    """Bidirectional: no query before the last key is written; causal: query n after key n."""
    for causal in (False, True):
        plan, played = run(attention_graph(causal), hw, [Request(0, 6)])
        keys = column(plan, played, "blocks.0.k.write", "end")
        queries = column(plan, played, "blocks.0.qk", "arrival")
        if causal:
            assert all(q >= k for q, k in zip(queries, keys, strict=True))
            assert queries[0] < keys[-1]
        else:
            assert queries == [keys[-1]] * 6


def test_qk_takes_paper_s_products_per_cycle(hw):
    """N = 128 keys of 1024: 131072 products, 8 x 273 a cycle: 61 cycles; V at 8 x 182: 91."""
    graph = attention_graph(width=1024, heads=16)
    plan = build_plan(graph, place(graph, hw, Options(copies="none")))
    shape = shape_of(plan, 128)
    times = dict(zip([s.name for s in plan.steps], shape.durations, strict=True))
    assert times["blocks.0.qk"] == 61 * NS
    assert times["blocks.0.pv"] == 91 * NS
    assert times["blocks.0.softmax"] == 1 * NS  # 16 x 128 elements, 8 x 256 a cycle


def chain_graph():
    """A causal model without parallel branches: the latency of a token is the sum of its steps."""
    graph = g.new_graph("chain", causal=True)
    names = []

    def op(name, kind, **more):
        names.append(g.add_op(graph, name, kind, layer="blocks.0", **more))

    op("in", "input", width=64)
    op("kv", "gemv", rows=64, cols=64, width=64, weight="kv")
    op(
        "qk",
        "matmul",
        width=1,
        heads=1,
        inner=64,
        multiplies=["values", "values"],
        context="prefix",
    )
    op("softmax", "softmax", width=1, elements=1, context="prefix")
    op("o", "gemv", rows=64, cols=64, width=64, weight="o")
    op("out", "output", width=64, head=True)
    for a, b in itertools.pairwise(names):
        g.connect(graph, a, b)
    g.connect(graph, "kv", "qk", "prefix")
    return graph


def test_decoding_is_the_sum_of_single_token_latencies(hw):
    """Token by token: each waits for the last; the context grows, so QK and softmax grow."""
    graph = chain_graph()
    # 64 keys of 64 products and more take several cycles: make the growth visible
    prefill, tokens = 200, 230
    plan, played = run(graph, hw, [Request(0, tokens, prefill)], generate=True)
    shape = shape_of(plan, tokens, prefill)

    def latency(n):
        total = 0
        for step, duration in zip(plan.steps, shape.durations, strict=True):
            index = n - (prefill - 1) if step.head else n
            total += duration[index] if isinstance(duration, list) else duration
        return total

    answers = column(plan, played, "out", "end")
    assert len(answers) == tokens - prefill + 1
    gaps = [b - a for a, b in itertools.pairwise(answers)]
    assert gaps == [latency(n) for n in range(prefill, tokens)]
    assert latency(tokens - 1) > latency(prefill)


@pytest.mark.parametrize("fidelity", ["token", "bit"])
def test_a_chunk_enters_when_the_one_before_has_passed_the_last_layer(hw, fidelity):
    request = [Request(0, 12, 10)]
    plan, played = run(chain_graph(), hw, request, generate=True, chunk=4, fidelity=fidelity)
    entry = next(step for step in plan.steps if step.name == "in")
    last = next(edge.source for edge in entry.inputs if isinstance(edge, Threshold))
    assert (plan.steps[last].op, plan.steps[last].head) == ("o", False)
    ends = sorted(played.trace.end[played.trace.step == last].tolist())
    parts = plan.steps[last].parts
    starts = column(plan, played, "in", "start")
    assert [starts[4], starts[8]] == [ends[4 * parts - 1], ends[8 * parts - 1]]
    assert starts[3] < ends[0]
    whole = run(chain_graph(), hw, request, generate=True, chunk=10, fidelity=fidelity)[1]
    stream = run(chain_graph(), hw, request, generate=True, fidelity=fidelity)[1]
    assert whole.finished == stream.finished < played.finished


def test_generation_needs_a_causal_graph_with_a_head(hw):
    graph = attention_graph(causal=False)
    with pytest.raises(InputError, match=r"^attention is not causal: it cannot generate text$"):
        run(graph, hw, [Request(0, 4, 2)], generate=True)
    headless = attention_graph(causal=True)
    headless.nodes["out"]["head"] = False
    with pytest.raises(InputError, match=r"^attention has no op marked head to sample from$"):
        run(headless, hw, [Request(0, 4, 2)], generate=True)


def test_unknown_fidelity(hw):
    with pytest.raises(InputError, match=r"^fidelity must be one of token, bit; got 'cycle'$"):
        run(linear_graph((4, 4)), hw, [Request(0, 1)], fidelity="cycle")


def test_layers_on_two_chips_cross_a_link(hw):
    """One PU a chip: the second block's input crosses a link of 128 GB/s: 64 B in 500 ps."""
    small = load_chip("hyflexpim", {"chip.pus": 1})
    options = Options(copies="none", chips=2)
    plan, played = run(attention_graph(layers=2), small, [Request(0, 1)], options=options)
    link = "blocks.0.norm.chip_link0-1"
    assert column(plan, played, link, "arrival") == column(plan, played, "blocks.0.norm", "end")
    assert took(plan, played, link) == 500


def test_two_pus_a_layer_move_what_is_smaller(hw):
    """Attention's result lies in shards: gathering 64 B takes 500 ps, 176 B of partial sums more.

    From 200 to 8 it is the other way round: 8 partial sums of 22 bits are 22 B, 171.9 -> 172 ps.
    """
    options = Options(copies="none", pus_per_layer=2)
    plan, played = run(attention_graph(), hw, [Request(0, 1)], options=options)
    assert took(plan, played, "blocks.0.o.gather") == 500
    plan, played = run(linear_graph((16, 200), (200, 8)), hw, [Request(0, 1)], options=options)
    assert took(plan, played, "fc1.W.reduce") == 172
    moves = [s.name for s in plan.steps if s.kind == "global_bus"]
    assert moves == ["in.global_bus0", "fc1.W.reduce", "fc1.global_bus0"]


def took(plan, played, name):
    return column(plan, played, name, "end")[0] - column(plan, played, name, "start")[0]


def test_layers_on_one_pu_have_arrays_of_their_own(hw):
    """Six blocks on one PU take as long as on six: no matrix waits behind another layer's."""
    alone, apart = (load_chip("hyflexpim", {"chip.pus": pus}) for pus in (1, 6))
    graph, options = attention_graph(layers=6, width=64), Options(copies="none")
    (one, six), (played, spread) = zip(
        *(run(graph, chip, [Request(0, 1)], options=options) for chip in (alone, apart)),
        strict=True,
    )
    banks = [c for c in one.components if c.kind == "bank"]
    assert [c.layer for c in banks] == [f"blocks.{b}" for b in range(6) for _ in "qkvo"]
    assert len({c.name for c in banks}) == 24
    assert banks[4].name == "pu00.blocks.1.q.W.bank"
    assert [c.name for c in six.components if c.kind == "bank"][4] == "pu01.q.W.bank"
    # only the way from PU to PU is longer: 64 B over the global bus
    assert spread.finished[0] - played.finished[0] == 5 * 500


def test_matrices_that_are_called_alike_keep_their_layer():
    graph = attention_graph(layers=2)
    shared = place(graph, load_chip("hyflexpim", {"chip.pus": 1}), Options())
    assert matrix_names(shared)["blocks.1.o"] == "blocks.1.o"
    apart = place(graph, load_chip("hyflexpim"), Options())
    assert matrix_names(apart)["blocks.1.o"] == "o"


MACS = """extends = "hyflexpim"
[units.macs]
kind = "mac_array"
where = "pu"
count = { value = 1, status = "assumed", source = "test" }
lanes = { value = 64, status = "assumed", source = "test" }
sharing = { value = 1, status = "assumed", source = "test" }
clock_period = { value = 1, unit = "ns", status = "assumed", source = "test" }
energy.mac_int8 = { value = 1, unit = "pJ", status = "assumed", source = "test" }
energy.mac_int12 = { value = 2, unit = "pJ", status = "assumed", source = "test" }
power.lanes = { value = 1, unit = "mW", status = "assumed", source = "test" }
area.lanes = { value = 1, unit = "mm2", status = "assumed", source = "test" }
[serves]
matmul = { unit = "macs", format = "int8" }
"""


def test_a_mac_array_beside_digital_pim_reads_its_operands_there(tmp_path):
    """Queries, keys and values are written to the cells, and read for every product."""
    (tmp_path / "macs.toml").write_text(MACS)
    chip = load_chip(tmp_path / "macs.toml")
    plan, played = run(attention_graph(), chip, [Request(0, 3)], options=Options(copies="none"))
    counts = {}
    for row in energy.energy_rows(plan, played, chip, "action"):
        counts[row["action"]] = counts.get(row["action"], 0) + row["count"]
    assert counts["cell_write"] == 3 * 3 * 64 * 8
    assert counts["cell_read"] == 2 * 3 * 3 * 64 * 8
    assert (counts["mac_int8"], counts["mac_int12"]) == (576, 576)
