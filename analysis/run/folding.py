"""Repeated layers of a workload graph, folded into one that says how often it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import networkx as nx

from hyflexsim.sim.graph import order


@dataclass(frozen=True, eq=False)
class Folded:
    """``graph``: what is left; ``repeats[layer]``: how many layers that one stands for."""

    graph: nx.DiGraph
    repeats: dict[str, int]


def fold(graph: nx.DiGraph) -> Folded:
    """Keep the first of all layers with the same ops in the same order, wired the same way.

    Edges between folded layers (from one block to the next) vanish with them; edges from and to
    the rest end at the layer that stays.

    >>> from hyflexsim.sim.graph import add_op, connect, new_graph
    >>> g = new_graph("three")
    >>> for i in range(3):
    ...     _ = add_op(g, f"fc.{i}", "norm", layer=f"block.{i}", width=4, elements=4)
    >>> connect(g, "fc.0", "fc.1"); connect(g, "fc.1", "fc.2")
    >>> folded = fold(g)
    >>> list(folded.graph), folded.repeats
    (['fc.0'], {'block.0': 3})
    """
    layers: dict[str, list[str]] = {}
    for name in order(graph):
        layers.setdefault(graph.nodes[name]["layer"], []).append(name)
    first: dict[tuple[Any, ...], str] = {}
    stands_for: dict[str, str] = {}
    repeats: dict[str, int] = {}
    for layer, ops in layers.items():
        keep = first.setdefault(_signature(graph, ops), layer)
        repeats[keep] = repeats.get(keep, 0) + 1
        stands_for |= dict(zip(ops, layers[keep], strict=True))
    small = nx.DiGraph(**graph.graph)
    for layer in repeats:
        small.add_nodes_from((name, graph.nodes[name]) for name in layers[layer])
    for u, v, rule in graph.edges(data="rule"):
        a, b = stands_for[u], stands_for[v]
        apart = graph.nodes[u]["layer"] != graph.nodes[v]["layer"]
        if apart and graph.nodes[a]["layer"] == graph.nodes[b]["layer"]:
            continue  # from one of the folded layers to the next
        if not small.has_edge(a, b):
            small.add_edge(a, b, rule=rule)
    _break_cycles(small)
    return Folded(small, repeats)


def _signature(graph: nx.DiGraph, ops: list[str]) -> tuple[Any, ...]:
    keys = ("kind", "axis", "width", "rows", "cols", "heads", "inner", "context", "function")
    nodes = tuple(tuple(str(graph.nodes[n].get(k)) for k in keys) for n in ops)
    number = {name: i for i, name in enumerate(ops)}
    wires = sorted(
        (number[u], number[v], graph.edges[u, v]["rule"])
        for v in ops
        for u in graph.predecessors(v)
        if u in number
    )
    return nodes, tuple(wires)


def _break_cycles(graph: nx.DiGraph) -> None:
    """Mark edges that close a circle (recurrent, or made by folding), so that ranks exist."""
    position = {name: i for i, name in enumerate(graph)}
    for u, v, data in graph.edges(data=True):
        data["back"] = data["rule"] == "recurrent" or u == v
    while True:
        forward = nx.DiGraph((u, v) for u, v, back in graph.edges(data="back") if not back)
        try:
            circle = nx.find_cycle(forward)
        except nx.NetworkXNoCycle:
            return
        u, v = max(((e[0], e[1]) for e in circle), key=lambda e: position[e[0]] - position[e[1]])
        graph.edges[u, v]["back"] = True
