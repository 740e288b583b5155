"""The vocabulary of workloads: what a dataflow graph of a model must carry.

A workload is a :class:`networkx.DiGraph`. A node is one operation of the model, an edge
is one tensor that flows between two operations. The graph is **symbolic in the token
count** N: it is made once per model and evaluated for any N, because every quantity
that depends on N does so in one of three ways only:

- how often an op runs: its *axis* (``sequence``: N + extra, ``pair``: N (N + 1) / 2,
  ``single``: 1);
- how much one run costs: a constant, or a constant times the *context* it looks at
  (``all``: N + context_extra tokens, ``prefix``: the n + 1 tokens up to its own);
- what one run waits for: the *firing rule* on the edge.

So there is no formula language, a graph saves to JSON and loads without running code.

Sources: the op classes follow HyFlexPIM §3.1 and §3.3 (what runs on which unit), the
pair axis follows ParT's interaction features (arXiv 2202.03772 §3).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.op_classes import KINDS

FORMAT = "hyflexsim-graph-2"

AXES = ("sequence", "pair", "single")
CONTEXTS = (None, "all", "prefix")
RULES = {
    "stream": "token n needs token n (the only token, when the producer is single)",
    "prefix": "token n needs tokens 0 .. n",
    "all": "every token is needed before the first run",
    "first": "token 0 is needed",
    "last": "the last token is needed",
    "recurrent": "token n needs token n - 1",
    "pair": "pair (i, j) needs particles i and j; the row of query i needs its pairs",
}
"""Firing rules of edges."""

PRODUCTS = (["values", "values"], ["probabilities", "values"])
"""What a product of activations multiplies: how wide these are is the chip's."""

REQUIRED = {
    "input": ("width",),
    "gemv": ("width", "rows", "cols", "weight"),
    "matmul": ("width", "heads", "inner", "multiplies", "context"),
    "softmax": ("width", "elements", "context"),
    "norm": ("width", "elements"),
    "pointwise": ("width", "elements", "function"),
    "lookup": ("width",),
    "scan": ("width", "channels", "state"),
    "output": ("width",),
}
"""Attributes a node of each kind must carry besides ``kind``, ``axis``, ``layer``, ``module``."""

OPTIONAL: dict[str, Any] = {
    "extra": 0,
    "context": None,
    "context_extra": 0,
    "bias": False,
    "rank": None,
    "importance": None,
    "head": False,
    "parameters": 0,
}
"""Attributes with defaults, filled in by :func:`add_op`.

``extra``: tokens on the sequence axis beyond N (ViT's patches: -1).
``rank``: None for a dense matrix, r for W = U diag(s) V^T kept as two factors.
``importance``: one number per rank (per output, where dense), largest = protect first
(HyFlexPIM §4).
``head``: needed only for the tokens that are sampled when text is generated.
``parameters``: trained values outside matrices (norm scales, convolution taps). A lookup may
give as ``stored`` the values of its table, where a tied matrix counts them as parameters.
"""


class GraphError(InputError):
    """A graph that no machine can run; the message names node or edge, key and allowed values."""


def new_graph(name: str, **attributes: Any) -> nx.DiGraph:
    """An empty workload graph; ``attributes`` (plain JSON values) describe the model.

    ``causal=True`` says that tokens see only earlier ones, so it can generate text;
    ``tokens=197`` fixes N, for models whose input length is not free.

    >>> g = new_graph("tiny")
    >>> g.graph["name"]
    'tiny'
    """
    return nx.DiGraph(format=FORMAT, name=name, **attributes)


def add_op(
    graph: nx.DiGraph,
    name: str,
    kind: str,
    *,
    axis: str = "sequence",
    layer: str,
    module: str = "",
    **attributes: Any,
) -> str:
    """Add one op and return its name; raise :class:`GraphError` on a value outside the vocabulary.

    ``layer`` is the unit of placement (a transformer block, ``"blocks.0"``); ``module``
    the path in the torch model. ``width`` is the number of elements of one result token.

    >>> g = new_graph("tiny")
    >>> add_op(g, "in", "input", layer="stem", width=4)
    'in'
    >>> add_op(g, "fc", "gemv", layer="stem", width=2, rows=4, cols=2, weight="fc.weight")
    'fc'
    """
    if name in graph:
        raise GraphError(f"op {name!r} exists already")
    graph.add_node(name, kind=kind, axis=axis, layer=layer, module=module or name)
    graph.nodes[name].update(OPTIONAL | attributes)
    _check_op(graph, name)
    return name


def connect(graph: nx.DiGraph, source: str, target: str, rule: str = "stream") -> None:
    """Add the tensor from ``source`` to ``target``, waited for by ``rule`` (see :data:`RULES`)."""
    for end in (source, target):
        if end not in graph:
            raise GraphError(f"edge {source!r} -> {target!r}: no op {end!r}")
    if rule not in RULES:
        raise GraphError(
            f"edge {source!r} -> {target!r}: rule must be one of {', '.join(RULES)}; got {rule!r}"
        )
    graph.add_edge(source, target, rule=rule)


def _check_op(graph: nx.DiGraph, name: str) -> None:
    op = graph.nodes[name]
    if not isinstance(name, str):
        raise GraphError(f"op names must be texts; got {name!r}")
    _one_of(name, "kind", op.get("kind"), tuple(KINDS))
    _one_of(name, "axis", op.get("axis"), AXES)
    _one_of(name, "context", op.get("context"), CONTEXTS)
    required = ("layer", "module", *REQUIRED[op["kind"]])
    for key in (*required, *OPTIONAL):
        if key not in op or (key in required and op[key] is None):
            raise GraphError(f"op {name!r} ({op['kind']}): {key} is missing")
    for key in ("layer", "module", "weight", "function"):
        if key in op and not isinstance(op[key], str):
            raise GraphError(f"op {name!r}: {key} must be a text; got {op[key]!r}")
    for key in ("width", "rows", "cols", "elements", "heads", "inner", "channels", "state"):
        if key in op and not _positive(op[key]):
            raise GraphError(f"op {name!r}: {key} must be a positive integer; got {op[key]!r}")
    if op["kind"] == "matmul" and op["multiplies"] not in PRODUCTS:
        raise GraphError(
            f"op {name!r}: multiplies must be one of {', '.join(map(str, PRODUCTS))}; "
            f"got {op['multiplies']!r}"
        )
    for key in ("extra", "context_extra", "parameters"):
        if not isinstance(op[key], int):
            raise GraphError(f"op {name!r}: {key} must be an integer; got {op[key]!r}")
    rank = op["rank"]
    if rank is not None and not _positive(rank):
        raise GraphError(f"op {name!r}: rank must be None or a positive integer; got {rank!r}")
    importance, size = op["importance"], op.get("cols") if rank is None else rank
    if importance is not None and not (isinstance(importance, list) and len(importance) == size):
        given = f"{len(importance)} values" if isinstance(importance, list) else repr(importance)
        of = "output" if rank is None else "rank"
        raise GraphError(
            f"op {name!r}: importance must be a list of one value per {of} ({size}); got {given}"
        )


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _one_of(name: str, key: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        names = ", ".join(map(str, allowed))
        raise GraphError(f"op {name!r}: {key} must be one of {names}; got {value!r}")


def validate(graph: nx.DiGraph) -> None:
    """Raise :class:`GraphError` unless every op and edge is in the vocabulary and work can start.

    A cycle must contain an edge with rule ``recurrent``: any other cycle waits for itself.
    """
    if graph.graph.get("format") != FORMAT:
        raise GraphError(f"format must be {FORMAT!r}; got {graph.graph.get('format')!r}")
    if not isinstance(graph.graph.get("name"), str):
        raise GraphError(f"name must be a text; got {graph.graph.get('name')!r}")
    for name in graph:
        _check_op(graph, name)
    for source, target, rule in graph.edges(data="rule"):
        if rule not in tuple(RULES):
            raise GraphError(f"edge {source!r} -> {target!r}: unknown rule {rule!r}")
    forward = nx.DiGraph((u, v) for u, v, rule in graph.edges(data="rule") if rule != "recurrent")
    try:
        cycle = [edge[0] for edge in nx.find_cycle(forward)] if forward else []
    except nx.NetworkXNoCycle:
        cycle = []
    if cycle:
        raise GraphError(f"cycle without a recurrent edge: {' -> '.join([*cycle, cycle[0]])}")
    weights: dict[str, tuple[int, int, int | None]] = {}
    for name, op in graph.nodes(data=True):
        if op["kind"] == "gemv":
            shape = (op["rows"], op["cols"], op["rank"])
            if weights.setdefault(op["weight"], shape) != shape:
                raise GraphError(f"op {name!r}: weight {op['weight']!r} has two shapes")


def order(graph: nx.DiGraph) -> list[str]:
    """Op names in a fixed topological order (recurrent edges left out), ties in insertion order."""
    forward = nx.DiGraph()
    forward.add_nodes_from(graph)
    forward.add_edges_from((u, v) for u, v, rule in graph.edges(data="rule") if rule != "recurrent")
    rank = {name: i for i, name in enumerate(graph)}
    return list(nx.lexicographical_topological_sort(forward, key=rank.__getitem__))


def token_count(op: dict[str, Any], tokens: int) -> int:
    """How often an op runs for an input of N ``tokens``.

    >>> token_count({"axis": "pair", "extra": 0}, 3)     # (0,0) (0,1) (0,2) (1,1) (1,2) (2,2)
    6
    """
    if op["axis"] == "pair":
        return tokens * (tokens + 1) // 2
    return 1 if op["axis"] == "single" else tokens + int(op["extra"])


def context_sum(op: dict[str, Any], tokens: int) -> int:
    """Tokens looked at, summed over all runs of an op; its run count where it has no context."""
    runs = token_count(op, tokens)
    if op["context"] == "all":
        return runs * (tokens + int(op["context_extra"]))
    if op["context"] == "prefix":
        return runs * (runs + 1) // 2 + runs * int(op["context_extra"])
    return runs


def unit_macs(op: dict[str, Any]) -> int:
    """Multiply-accumulates of one run of an op, or per token of context where it has one.

    A scan updates ``channels * state`` states (one product with the decay, one with the
    input) and reads them out with a third product (Mamba, arXiv 2312.00752 Alg. 2).
    """
    kind = op["kind"]
    if kind == "gemv":
        rank = op["rank"]
        return int(op["rows"] * op["cols"] if rank is None else rank * (op["rows"] + op["cols"]))
    if kind == "matmul":
        return int(op["heads"] * op["inner"])
    if kind == "scan":
        return int(3 * op["channels"] * op["state"])
    return 0


def macs(graph: nx.DiGraph, tokens: int) -> dict[str, int]:
    """Multiply-accumulates of every op for one input of N ``tokens``; the sum is the model's.

    >>> g = new_graph("tiny")
    >>> _ = add_op(g, "fc", "gemv", layer="a", width=2, rows=4, cols=2, weight="fc.weight")
    >>> macs(g, 10)
    {'fc': 80}
    """
    if not isinstance(tokens, int) or tokens < 1:
        raise GraphError(f"tokens must be a positive integer; got {tokens!r}")
    return {name: unit_macs(op) * context_sum(op, tokens) for name, op in graph.nodes(data=True)}


def parameters(graph: nx.DiGraph) -> int:
    """Trained values of the model: every matrix once, however many ops share it; biases; rest."""
    total = sum(op["parameters"] for _, op in graph.nodes(data=True))
    seen = set()
    for _, op in graph.nodes(data=True):
        if op["kind"] == "gemv" and op["weight"] not in seen:
            seen.add(op["weight"])
            total += unit_macs(op) + (op["cols"] if op["bias"] else 0)
    return int(total)


def save(graph: nx.DiGraph, path: str | Path) -> None:
    """Write a validated graph as JSON (networkx node-link form), an op's inputs in their order."""
    Path(path).write_text(dumps(graph), encoding="utf-8")


def dumps(graph: nx.DiGraph) -> str:
    """The text that :func:`save` writes."""
    validate(graph)
    data = nx.node_link_data(graph, edges="edges")
    # by target: a plan lists its steps in the order in which an op's inputs were connected
    data["edges"] = [{"source": u, "target": v, **edge} for u, v, edge in graph.in_edges(data=True)]
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def load(path: str | Path) -> nx.DiGraph:
    """Read a graph written by :func:`save`; raise :class:`GraphError` for anything else."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise GraphError(f"{path}: {error.strerror}") from error
    return loads(content, path)


def loads(content: bytes, file: str | Path) -> nx.DiGraph:
    """The graph of a file's content; ``file`` is named in what is refused."""
    try:
        data = json.loads(content.decode())
        graph = nx.node_link_graph(data, directed=True, multigraph=False, edges="edges")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, nx.NetworkXError) as e:
        raise GraphError(f"{file}: not a graph file ({e})") from e
    if not isinstance(graph.graph, dict) or not graph.is_directed() or graph.is_multigraph():
        raise GraphError(f"{file}: not a graph file (must be directed, one edge per pair of ops)")
    try:
        validate(graph)
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error
    return graph
