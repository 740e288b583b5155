"""The vocabulary: what it refuses, what it counts, and that a file gives back what was saved."""

import json

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.graph import GraphError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.vocabulary import check_length, check_positions, least_tokens

FC = {"layer": "l", "width": 2, "rows": 4, "cols": 2, "weight": "w"}
QK = {
    "layer": "l",
    "width": 2,
    "heads": 2,
    "inner": 8,
    "multiplies": ["values", "values"],
    "context": "all",
}


RANK = "op 'x': rank must be None or a positive integer up to 2, of rows and cols the smaller"


def refused(call, *arguments, **keywords):
    with pytest.raises(GraphError) as error:
        call(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


def block(causal=False):
    """One attention block of width 16 with 2 heads, a residual, and a classifier on the mean."""
    graph = g.new_graph("block", causal=causal)
    rule = context = "prefix" if causal else "all"
    g.add_op(graph, "in", "input", layer="l", width=16)
    for name in "qkv":
        g.add_op(graph, name, "gemv", layer="l", width=16, rows=16, cols=16, weight=name, bias=True)
        g.connect(graph, "in", name)
    bits = {"heads": 2, "inner": 8, "context": context}
    g.add_op(graph, "qk", "matmul", layer="l", width=2, multiplies=["values", "values"], **bits)
    g.add_op(graph, "soft", "softmax", layer="l", width=2, elements=2, context=context)
    g.add_op(
        graph, "pv", "matmul", layer="l", width=16, multiplies=["probabilities", "values"], **bits
    )
    g.add_op(graph, "o", "gemv", layer="l", width=16, rows=16, cols=16, weight="o", rank=8)
    g.add_op(graph, "add", "pointwise", layer="l", width=16, elements=16, function="add")
    g.add_op(graph, "norm", "norm", layer="l", width=16, elements=16, parameters=32)
    cls = {"rows": 16, "cols": 3, "weight": "cls", "importance": None}
    g.add_op(graph, "cls", "gemv", layer="head", axis="single", width=3, **cls)
    g.add_op(graph, "out", "output", layer="head", axis="single", width=3)
    g.connect(graph, "k", "qk", rule)
    g.connect(graph, "q", "qk")
    g.connect(graph, "qk", "soft")
    g.connect(graph, "v", "pv", rule)
    g.connect(graph, "soft", "pv")
    g.connect(graph, "pv", "o")
    g.connect(graph, "o", "add")  # before the residual, which comes from an earlier op
    g.connect(graph, "in", "add")
    g.connect(graph, "add", "norm")
    g.connect(graph, "norm", "cls", "all")
    g.connect(graph, "cls", "out")
    return graph


# ---- ops and edges


def test_defaults_are_filled_in():
    graph = g.new_graph("tiny", causal=True, tokens=197)
    assert graph.graph == {"format": g.FORMAT, "name": "tiny", "causal": True, "tokens": 197}
    assert g.add_op(graph, "fc", "gemv", **FC) == "fc"
    assert graph.nodes["fc"] == g.OPTIONAL | FC | {
        "kind": "gemv",
        "axis": "sequence",
        "module": "fc",
    }


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (
            "conv",
            {},
            "op 'x': kind must be one of input, gemv, matmul, softmax, norm, pointwise, lookup, "
            "scan, output; got 'conv'",
        ),
        (
            "gemv",
            {"axis": "row"},
            "op 'x': axis must be one of sequence, pair, single, source, table; got 'row'",
        ),
        (
            "gemv",
            {"context": "some"},
            "op 'x': context must be one of None, all, prefix, window, source, table, square; "
            "got 'some'",
        ),
        ("gemv", {"rows": 0}, "op 'x': rows must be a positive integer; got 0"),
        ("gemv", {"cols": -1}, "op 'x': cols must be a positive integer; got -1"),
        ("gemv", {"width": 2.0}, "op 'x': width must be a positive integer; got 2.0"),
        ("gemv", {"width": True}, "op 'x': width must be a positive integer; got True"),
        ("gemv", {"rank": 0}, f"{RANK}; got 0"),
        ("gemv", {"rank": "4"}, f"{RANK}; got '4'"),
        ("gemv", {"extra": 0.5}, "op 'x': extra must be an integer; got 0.5"),
        ("gemv", {"weight": None}, "op 'x' (gemv): weight is missing"),
        ("gemv", {"weight": ["w"]}, "op 'x': weight must be a text; got ['w']"),
        ("gemv", {"layer": 3}, "op 'x': layer must be a text; got 3"),
        (
            "gemv",
            {"rank": 2, "importance": [1.0]},
            "op 'x': importance must be a list of one value per rank (2); got 1 values",
        ),
        (
            "gemv",
            {"rank": 2, "importance": 5},
            "op 'x': importance must be a list of one value per rank (2); got 5",
        ),
        (
            "gemv",
            {"importance": [1.0]},
            "op 'x': importance must be a list of one value per output (2); got 1 values",
        ),
    ],
)
def test_op_refused(kind, change, message):
    assert refused(g.add_op, g.new_graph("t"), "x", kind, **FC | change) == message


@pytest.mark.parametrize("kind", g.KINDS)
def test_every_required_attribute_is_asked_for(kind):
    values = {
        "context": "all",
        "multiplies": ["values", "values"],
        "weight": "w",
        "function": "gelu",
    }
    full = {key: values.get(key, 4) for key in g.REQUIRED[kind]}
    g.add_op(g.new_graph("t"), "x", kind, layer="l", **full)
    for key in full:
        less = {k: v for k, v in full.items() if k != key}
        message = refused(g.add_op, g.new_graph("t"), "x", kind, layer="l", **less)
        assert message == f"op 'x' ({kind}): {key} is missing"


def test_a_name_is_given_once():
    graph = block()
    assert refused(g.add_op, graph, "q", "gemv", **FC) == "op 'q' exists already"


def test_edges_refused():
    graph = block()
    assert refused(g.connect, graph, "q", "nil") == "edge 'q' -> 'nil': no op 'nil'"
    assert refused(g.connect, graph, "nil", "q") == "edge 'nil' -> 'q': no op 'nil'"
    assert refused(g.connect, graph, "q", "o", "some") == (
        "edge 'q' -> 'o': rule must be one of stream, prefix, window, square, all, first, last, "
        "recurrent, pair; got 'some'"
    )
    assert not graph.has_edge("q", "o")


# ---- whole graphs


def test_cycles():
    """Only a recurrent edge may close one: its token n needs token n - 1."""
    graph = g.new_graph("t")
    g.add_op(graph, "in", "input", layer="l", width=1)
    for name in "abc":
        g.add_op(graph, name, "pointwise", layer="l", width=1, elements=1, function="add")
    g.connect(graph, "in", "a")
    g.connect(graph, "a", "b")
    g.connect(graph, "b", "c")
    g.connect(graph, "c", "a", "recurrent")
    g.connect(graph, "b", "b", "recurrent")
    g.validate(graph)
    assert g.order(graph) == ["in", "a", "b", "c"]
    graph.edges["c", "a"]["rule"] = "stream"
    assert refused(g.validate, graph) == "cycle without a recurrent edge: a -> b -> c -> a"
    graph.edges["c", "a"]["rule"] = "recurrent"
    graph.edges["b", "b"]["rule"] = "all"
    assert refused(g.validate, graph) == "cycle without a recurrent edge: b -> b"


def test_whole_graph_refused():
    graph = block()
    graph.graph["format"] = "other"
    assert refused(g.validate, graph) == "format must be 'hyflexsim-graph-2'; got 'other'"
    graph = block()
    del graph.graph["name"]
    assert refused(g.validate, graph) == "name must be a text; got None"
    graph = block()
    graph.nodes["q"]["weight"] = "cls"
    assert refused(g.validate, graph) == "op 'cls': weight 'cls' has two shapes"
    graph = block()
    graph.edges["q", "qk"]["rule"] = "later"
    assert refused(g.validate, graph) == (
        f"edge 'q' -> 'qk': rule must be one of {', '.join(g.RULES)}; got 'later'"
    )
    graph = block()
    del graph.nodes["norm"]["extra"]
    assert refused(g.validate, graph) == "op 'norm' (norm): extra is missing"


def test_order_breaks_ties_by_insertion():
    assert g.order(block()) == ["in", *"qkv", "qk", "soft", "pv", "o", "add", "norm", "cls", "out"]


@given(st.permutations(range(8)), st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7))))
def test_order_is_topological_and_ignores_the_order_of_edges(names, pairs):
    edges = [(a, b) for a, b in pairs if a < b]
    orders = []
    for listed in (edges, edges[::-1]):
        graph = g.new_graph("t")
        for i in names:
            g.add_op(graph, str(i), "norm", layer="l", width=1, elements=1)
        for a, b in listed:
            g.connect(graph, str(a), str(b))
        orders.append(g.order(graph))
    assert orders[0] == orders[1]
    assert all(orders[0].index(str(a)) < orders[0].index(str(b)) for a, b in edges)


def spoiled(change):
    """The block of above as a file would hold it, after a change."""
    data = json.loads(g.dumps(block()))
    nodes = {node["id"]: node for node in data["nodes"]}
    edges = {(edge["source"], edge["target"]): edge for edge in data["edges"]}
    change(data, nodes, edges)
    return json.dumps(data).encode()


def every_stream_recurrent(data, nodes, edges):
    for edge in edges.values():
        if edge["rule"] == "stream":
            edge["rule"] = "recurrent"


NOT_FROM_INPUT = "must follow from an op of kind input, by edges that are not recurrent"

MEANINGLESS = {
    "no edges": (
        lambda d, n, e: d.update(edges=[]),
        f"op 'q' (gemv): {NOT_FROM_INPUT}",
    ),
    "nothing waits": (
        every_stream_recurrent,
        "edge 'in' -> 'q': rule recurrent joins sequence ops and leads to a scan or pointwise op, "
        "which keeps a token for the next; got a sequence op and a sequence op of kind gemv",
    ),
    "one part hangs in the air": (
        lambda d, n, e: d["edges"].remove(e["norm", "cls"]),
        f"op 'cls' (gemv): {NOT_FROM_INPUT}",
    ),
    "rank": (
        lambda d, n, e: n["o"].update(rank=2**63),
        f"op 'o': rank must be None or a positive integer up to 16, of rows and cols the smaller; "
        f"got {2**63}",
    ),
    "rank of no matrix": (
        lambda d, n, e: n["norm"].update(rank=4),
        "op 'norm': rank must be None for kind norm; got 4",
    ),
    "parameters": (
        lambda d, n, e: n["norm"].update(parameters=-(10**9)),
        "op 'norm': parameters must be an integer from 0; got -1000000000",
    ),
    "stored": (
        lambda d, n, e: n["norm"].update(stored="x"),
        "op 'norm': stored must be an integer from 0; got 'x'",
    ),
    "bias": (
        lambda d, n, e: n["q"].update(bias=[1]),
        "op 'q': bias must be true or false; got [1]",
    ),
    "head": (
        lambda d, n, e: n["q"].update(head={}),
        "op 'q': head must be true or false; got {}",
    ),
    "extra of one truth": (
        lambda d, n, e: n["q"].update(extra=True),
        "op 'q': extra must be an integer; got True",
    ),
    "bits": (
        lambda d, n, e: n["q"].update(bits=8_000_000),
        "op 'q': bits must be a positive integer, at most 64; got 8000000",
    ),
    "size": (
        lambda d, n, e: n["q"].update(width=2**40),
        f"op 'q': width must be a positive integer, at most {2**31}; got {2**40}",
    ),
    "importance": (
        lambda d, n, e: n["o"].update(importance=[1.0] * 7 + [float("nan")]),
        "op 'o': importance must be a list of one value per rank (8), all finite numbers; got nan",
    ),
    "unknown key": (
        lambda d, n, e: n["norm"].update(widht=3),
        "op 'norm' (norm): unknown key 'widht'; known: kind, axis, layer, module, width, elements, "
        "extra, context, context_extra, bias, rank, importance, head, parameters, bits, stored, "
        "routed",
    ),
    "unknown key of an edge": (
        lambda d, n, e: e["in", "q"].update(lag=3),
        "edge 'in' -> 'q': unknown key 'lag'; known: rule",
    ),
    "an op twice": (
        lambda d, n, e: d["nodes"].append(n["q"] | {"width": 8}),
        "op 'q' must be there once; got it 2 times",
    ),
    "an edge twice": (
        lambda d, n, e: d["edges"].append(e["in", "q"] | {"rule": "all"}),
        "edge 'in' -> 'q' must be there once; got it 2 times",
    ),
    "an end that is no op": (
        lambda d, n, e: e["in", "q"].update(target="nil"),
        "edge 'in' -> 'nil': no op 'nil'",
    ),
    "into an input": (
        lambda d, n, e: d["edges"].append({"source": "in", "target": "in", "rule": "all"}),
        "cycle without a recurrent edge: in -> in",
    ),
    "out of an output": (
        lambda d, n, e: (
            d["nodes"].append(n["out"] | {"id": "more"})
            or d["edges"].append({"source": "out", "target": "more", "rule": "stream"})
        ),
        "op 'out' (output): must have no edge from it",
    ),
    "pair": (
        lambda d, n, e: e["in", "q"].update(rule="pair"),
        "edge 'in' -> 'q': rule pair joins pair ops and sequence ops; got a sequence op and a "
        "sequence op",
    ),
    "no ops": (
        lambda d, n, e: d.update(nodes=[], edges=[]),
        "nodes must hold ops that compute; got none",
    ),
    "too few tokens": (
        lambda d, n, e: d["graph"].update(tokens=197) or n["q"].update(extra=-1000),
        "op 'q': extra must be at least -196 for 197 tokens; got -1000",
    ),
    "tokens": (
        lambda d, n, e: d["graph"].update(tokens="N"),
        "tokens must be a positive integer; got 'N'",
    ),
    "causal": (
        lambda d, n, e: d["graph"].update(causal=1),
        "causal must be true or false; got 1",
    ),
}


@pytest.mark.parametrize("case", MEANINGLESS)
def test_a_graph_that_means_nothing_is_refused(case):
    change, message = MEANINGLESS[case]
    assert refused(g.loads, spoiled(change), "g.json") == f"g.json: {message}"


def test_long_values_are_shortened():
    message = refused(g.loads, spoiled(lambda d, n, e: n["q"].update(kind="x" * 10**5)), "g.json")
    assert len(message) < 300


def test_a_long_cycle_is_told_by_its_ends():
    graph = g.new_graph("t")
    g.add_op(graph, "in", "input", layer="l", width=1)
    for i in range(100):
        g.add_op(graph, str(i), "norm", layer="l", width=1, elements=1)
        g.connect(graph, str(i - 1) if i else "in", str(i))
    g.connect(graph, "99", "0")
    assert refused(g.validate, graph) == (
        "cycle without a recurrent edge: 0 -> 1 -> 2 -> 3 -> 4 -> … -> 98 -> 99 -> 0"
    )


def test_the_shortest_input_of_a_graph():
    graph = block()
    assert least_tokens(graph) == 1
    graph.nodes["q"]["extra"] = -1000
    graph.nodes["qk"]["context_extra"] = -3
    assert least_tokens(graph) == 1001
    check_length(graph, 1001)
    assert refused(check_length, graph, 1000) == (
        "op 'q': extra must be at least -999 for 1000 tokens; got -1000"
    )


def test_the_longest_input_of_a_graph():
    graph = block()
    check_positions(graph, 10**6)
    graph.graph["positions"] = 64
    check_positions(g.loads(g.dumps(graph).encode(), "g.json"), 64)
    assert refused(check_positions, graph, 65).startswith("block: tokens must be at most 64, the")
    graph.graph["positions"] = 0
    assert refused(g.validate, graph) == "positions must be a positive integer; got 0"


# ---- counts


@given(st.integers(1, 40), st.integers(-1, 3), st.integers(0, 2))
def test_runs_and_contexts_by_counting(tokens, extra, joined):
    """Runs one by one, and the tokens that each looks at."""
    op = {"axis": "sequence", "extra": extra, "context": None, "context_extra": joined}
    runs = range(tokens + extra)
    assert g.token_count(op, tokens) == len(runs)
    assert g.context_sum(op, tokens) == len(runs)
    assert g.context_sum(op | {"context": "all"}, tokens) == sum(tokens + joined for _ in runs)
    assert g.context_sum(op | {"context": "prefix"}, tokens) == sum(n + 1 + joined for n in runs)
    pair = [(i, j) for i in range(tokens) for j in range(i, tokens)]
    assert g.token_count({"axis": "pair", "extra": 0}, tokens) == len(pair)
    single = {"axis": "single", "extra": extra, "context": "all", "context_extra": joined}
    assert (g.token_count(single, tokens), g.context_sum(single, tokens)) == (1, tokens + joined)


@pytest.mark.parametrize(
    ("op", "work"),
    [
        ({"kind": "gemv", "rows": 5, "cols": 7, "rank": None}, 35),
        ({"kind": "gemv", "rows": 5, "cols": 7, "rank": 2}, 2 * (5 + 7)),
        ({"kind": "matmul", "heads": 12, "inner": 64}, 768),
        ({"kind": "scan", "channels": 1536, "state": 16}, 3 * 1536 * 16),
        ({"kind": "norm", "elements": 9}, 0),
    ],
)
def test_work_of_one_run(op, work):
    assert g.unit_macs(op) == work


def test_macs_of_a_block():
    """N = 10, width 16: q, k, v 256 each; o 8 (16 + 16) = 256; QK^T and PV 16 a key; head 48."""
    counts = g.macs(block(), 10)
    assert {name: n for name, n in counts.items() if n} == {
        "q": 2560,
        "k": 2560,
        "v": 2560,
        "qk": 10 * 10 * 16,
        "pv": 10 * 10 * 16,
        "o": 2560,
        "cls": 48,
    }
    causal = g.macs(block(causal=True), 10)
    assert causal["qk"] == causal["pv"] == 16 * (10 * 11 // 2)  # 1 + 2 + ... + 10 keys
    for wrong in (0, -1, 2.5, None):
        expected = f"tokens must be a positive integer; got {wrong!r}"
        assert refused(g.macs, block(), wrong) == expected


def test_parameters_of_a_block():
    """q, k, v 3 (256 + bias 16) + o 256 as factors + head 48 + norm 32; a shared matrix once."""
    graph = block()
    assert g.parameters(graph) == 3 * (256 + 16) + 256 + 48 + 32
    g.add_op(graph, "q2", "gemv", layer="l", width=16, rows=16, cols=16, weight="q", bias=True)
    assert g.parameters(graph) == 3 * (256 + 16) + 256 + 48 + 32


# ---- files


def test_file_gives_back_what_was_saved(tmp_path):
    graph = block(causal=True)
    graph.nodes["o"]["importance"] = [0.5 * i for i in range(8)]
    g.save(graph, tmp_path / "a.json")
    loaded = g.load(tmp_path / "a.json")
    assert nx.utils.graphs_equal(graph, loaded)
    assert loaded.graph == graph.graph
    assert list(loaded) == list(graph)
    assert {n: list(loaded.pred[n]) for n in loaded} == {n: list(graph.pred[n]) for n in graph}
    g.save(loaded, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_plan_of_a_saved_graph_is_the_same(tmp_path, hw):
    """An op's inputs keep their order, on which the order of steps depends."""
    graph = block()
    g.save(graph, tmp_path / "graph.json")
    plans = [
        build_plan(model, place(model, hw, Options(copies="none")))
        for model in (graph, g.load(tmp_path / "graph.json"))
    ]
    assert plans[0] == plans[1]


def test_save_refuses_what_load_would(tmp_path):
    graph = block()
    graph.nodes["o"]["rows"] = 0
    assert (
        refused(g.save, graph, tmp_path / "x") == "op 'o': rows must be a positive integer; got 0"
    )
    assert not (tmp_path / "x").exists()


HEADER = {"format": g.FORMAT, "name": "t"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"not json",
        b"[" * 100_000,
        b"[]",
        b"3",
        b'"text"',
        b"null",
        b"{}",
        b'{"nodes": 3, "edges": []}',
        b'{"nodes": [], "edges": [{}]}',
        b'{"nodes": [{}], "edges": []}',
        b'{"graph": [], "nodes": [], "edges": []}',
        json.dumps({"graph": HEADER | {"format": 1}, "nodes": [], "edges": []}).encode(),
        json.dumps({"graph": {"format": g.FORMAT}, "nodes": [], "edges": []}).encode(),
        json.dumps({"graph": HEADER, "nodes": [{"id": [1, 2]}], "edges": []}).encode(),
        json.dumps({"graph": HEADER, "nodes": [{"id": 1, "kind": "norm"}], "edges": []}).encode(),
        json.dumps({"graph": HEADER, "nodes": [{"id": "a", "kind": []}], "edges": []}).encode(),
        json.dumps({"directed": False, "graph": HEADER, "nodes": [], "edges": []}).encode(),
        json.dumps({"multigraph": True, "graph": HEADER, "nodes": [], "edges": []}).encode(),
    ],
)
def test_load_refuses_garbage_in_one_line(tmp_path, content):
    path = tmp_path / "graph.json"
    path.write_bytes(content)
    assert refused(g.load, path).startswith(f"{path}: ")


@pytest.mark.parametrize("key", ["kind", "axis", "layer", "module", "width", "rank", "head"])
def test_load_refuses_a_file_with_something_missing(tmp_path, key):
    path = tmp_path / "graph.json"
    g.save(block(), path)
    data = json.loads(path.read_text())
    del data["nodes"][1][key]
    path.write_text(json.dumps(data))
    assert refused(g.load, path).startswith(f"{path}: op 'q'")


@pytest.mark.parametrize("rule", [None, "later", ["all"], {}])
def test_load_refuses_a_rule_it_does_not_know(tmp_path, rule):
    path = tmp_path / "graph.json"
    g.save(block(), path)
    data = json.loads(path.read_text())
    data["edges"][0]["rule"] = rule
    path.write_text(json.dumps(data))
    assert refused(g.load, path) == (
        f"{path}: edge 'in' -> 'q': rule must be one of {', '.join(g.RULES)}; got {rule!r}"
    )


def test_load_refuses_a_missing_file(tmp_path):
    path = tmp_path / "none.json"
    assert refused(g.load, path) == f"{path}: No such file or directory"
    assert refused(g.load, tmp_path) == f"{tmp_path}: Is a directory"
    assert issubclass(GraphError, InputError)


def test_a_file_is_the_same_in_whatever_order_attributes_are_given():
    """A key a line, in alphabetical order."""
    size = {"width": 4, "elements": 4, "function": "gelu"}
    texts = []
    for options in (size, dict(reversed(size.items()))):
        graph = g.new_graph("t")
        g.add_op(graph, "in", "input", layer="l", width=4)
        g.add_op(graph, "x", "pointwise", layer="l", **options)
        g.connect(graph, "in", "x")
        texts.append(g.dumps(graph))
    assert texts[0] == texts[1]
    assert texts[0].startswith('{\n "directed": true,\n "edges": [\n  {\n   "rule": "stream",')


def test_a_file_need_not_say_that_it_is_directed(tmp_path):
    graph = g.new_graph("t")
    g.add_op(graph, "in", "input", layer="l", width=4)
    g.add_op(graph, "x", "pointwise", layer="l", width=4, elements=4, function="gelu")
    g.connect(graph, "in", "x")
    content = json.loads(g.dumps(graph))
    del content["directed"]
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(content))
    assert len(g.load(path)) == 2
