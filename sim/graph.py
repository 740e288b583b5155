"""Workload graphs: built op by op, counted, kept in files.

What a graph may say is in ``vocabulary.py``.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import networkx as nx

from hyflexsim.sim.op_classes import KINDS
from hyflexsim.sim.regular_file import regular
from hyflexsim.sim.routing import frozen, taken
from hyflexsim.sim.vocabulary import (
    FIXED,
    FORMAT,
    OPTIONAL,
    REQUIRED,
    RULES,
    GraphError,
    check_edge,
    check_op,
    validate,
)

__all__ = [
    "FORMAT",
    "KINDS",
    "OPTIONAL",
    "REQUIRED",
    "RULES",
    "GraphError",
    "add_op",
    "connect",
    "context_sum",
    "dumps",
    "load",
    "loads",
    "macs",
    "new_graph",
    "order",
    "parameters",
    "save",
    "token_count",
    "unit_macs",
    "validate",
    "with_source",
]


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
    check_op(name, graph.nodes[name])
    return name


def connect(graph: nx.DiGraph, source: str, target: str, rule: str = "stream") -> None:
    """Add the tensor from ``source`` to ``target``, waited for by ``rule`` (see :data:`RULES`)."""
    for end in (source, target):
        if end not in graph:
            raise GraphError(f"edge {source!r} -> {target!r}: no op {end!r}")
    check_edge(graph, source, target, rule)
    graph.add_edge(source, target, rule=rule)


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
    if op["axis"] in FIXED:
        return int(op["extra"])
    if op.get("routed") is not None:
        return len(taken(frozen(op["routed"]), tokens))
    return 1 if op["axis"] == "single" else tokens + int(op["extra"])


def context_sum(op: dict[str, Any], tokens: int) -> int:
    """Tokens looked at, summed over all runs of an op; its run count where it has no context."""
    runs = token_count(op, tokens)
    if op["context"] == "all":
        return runs * (tokens + int(op["context_extra"]))
    if op["context"] == "prefix":
        return runs * (runs + 1) // 2 + runs * int(op["context_extra"])
    if op["context"] in FIXED:
        return runs * int(op["context_extra"])
    if op["context"] == "window":
        return runs + _reached(runs, op["behind"]) + _reached(runs, op["ahead"])
    return runs


def _reached(runs: int, most: int) -> int:
    """Sum of min(n, most) over the tokens n = 0 .. runs - 1."""
    near = min(runs, most + 1)
    return near * (near - 1) // 2 + (runs - near) * most


def with_source(graph: nx.DiGraph, tokens: int) -> nx.DiGraph:
    """A copy of the graph of an encoder and a decoder for so many tokens of the encoder's input.

    Raises :class:`GraphError` for a graph without such an input, or whose length is not free.

    >>> g = new_graph("tiny", source=128)
    >>> _ = add_op(g, "in", "input", axis="source", layer="stem", width=4, extra=128)
    >>> _ = add_op(g, "n", "norm", axis="source", layer="stem", width=4, elements=4, extra=128)
    >>> connect(g, "in", "n")
    >>> with_source(g, 50).nodes["in"]["extra"]
    50
    """
    before = graph.graph.get("source")
    if before is None:
        raise GraphError(f"{graph.graph['name']} has no encoder beside a decoder")
    if graph.graph.get("source_fixed") and tokens != before:
        raise GraphError(f"{graph.graph['name']}: source must be {before}; got {tokens}")
    most = graph.graph.get("source_positions")
    if not isinstance(tokens, int) or tokens < 1 or (most and tokens > most):
        allowed = f"from 1 to {most}, the encoder's positions" if most else "from 1"
        raise GraphError(f"source must be an integer {allowed}; got {tokens!r}")
    result: nx.DiGraph = graph.copy()
    result.graph["source"] = tokens
    for _, op in result.nodes(data=True):
        if op["axis"] == "source":
            op["extra"] += tokens - before
        if op["context"] == "source":
            op["context_extra"] += tokens - before
    validate(result)
    return result


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
        content = regular(Path(path)).read_bytes()
    except OSError as error:
        raise GraphError(f"{path}: {error.strerror}") from error
    return loads(content, path)


def loads(content: bytes, file: str | Path) -> nx.DiGraph:
    """The graph of a file's content; ``file`` is named in what is refused."""
    try:
        data = json.loads(content.decode("utf-8-sig"))
        _check_single(data)
        graph = nx.node_link_graph(data, directed=True, multigraph=False, edges="edges")
        if not isinstance(graph.graph, dict) or not graph.is_directed() or graph.is_multigraph():
            raise GraphError("not a graph file (must be directed, one edge per pair of ops)")
        validate(graph)
    except GraphError as error:
        raise GraphError(f"{file}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, nx.NetworkXError) as e:
        raise GraphError(f"{file}: not a graph file ({e})") from e
    return graph


def _check_single(data: Any) -> None:
    """Ops and edges stand once, before networkx merges those that stand twice."""
    ops = Counter(node["id"] for node in data["nodes"])
    edges = Counter((edge["source"], edge["target"]) for edge in data["edges"])
    for name, count in ops.items():
        if count > 1:
            raise GraphError(f"op {name!r} must be there once; got it {count} times")
    for (source, target), count in edges.items():
        if count > 1:
            raise GraphError(
                f"edge {source!r} -> {target!r} must be there once; got it {count} times"
            )
        for end in (source, target):
            if end not in ops:
                raise GraphError(f"edge {source!r} -> {target!r}: no op {end!r}")
