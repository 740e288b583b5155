"""Places for the ops of a graph: rows from top to bottom, columns with few crossings.

Layers are laid out one by one, then set below the layers they need; layers that need nothing of
each other stand side by side. So no two frames around layers overlap.
"""

from __future__ import annotations

import networkx as nx

from hyflexsim.analysis.run.folding import Folded

GAP = 0.9  # columns between layers side by side, besides the width of an op
Places = tuple[dict[str, float], dict[str, float]]


def layout(folded: Folded) -> Places:
    """Column and row of each op. Layers that need each other in a circle are laid out as one."""
    graph = folded.graph
    layer_of = dict(graph.nodes(data="layer"))
    needs = nx.DiGraph()
    needs.add_nodes_from(dict.fromkeys(layer_of.values()))
    for u, v, back in graph.edges(data="back"):
        if not back and layer_of[u] != layer_of[v]:
            needs.add_edge(layer_of[u], layer_of[v])
    if not nx.is_directed_acyclic_graph(needs):
        rank = ranks(graph)
        return columns(graph, rank), {name: float(r) for name, r in rank.items()}
    inner = {}
    for layer in needs:
        part = graph.subgraph([n for n in graph if layer_of[n] == layer]).copy()
        rank = ranks(part, sink=False)
        inner[layer] = columns(part, rank), rank
    top: dict[str, float] = {}
    bottom: dict[str, float] = {}
    order = list(nx.topological_sort(needs))
    for layer in order:
        top[layer] = max((bottom[p] for p in needs.predecessors(layer)), default=0.0)
        bottom[layer] = top[layer] + max(inner[layer][1].values()) + 1.15
    for layer in reversed(order):  # what nothing holds up sinks to where it is needed
        if not needs.in_degree(layer) and needs.out_degree(layer):
            shift = min(top[s] for s in needs.successors(layer)) - bottom[layer]
            top[layer], bottom[layer] = top[layer] + shift, bottom[layer] + shift
    x: dict[str, float] = {}
    y: dict[str, float] = {}
    for group in _side_by_side(order, top, bottom):
        width = {k: max(inner[k][0].values()) - min(inner[k][0].values()) for k in group}
        left = -(sum(width.values()) + (1 + GAP) * (len(group) - 1)) / 2
        for layer in group:
            shift = left - min(inner[layer][0].values())
            for name, column in inner[layer][0].items():
                x[name] = column + shift
                y[name] = inner[layer][1][name] + top[layer]
            left += width[layer] + 1 + GAP
    return x, y


def _side_by_side(
    order: list[str], top: dict[str, float], bottom: dict[str, float]
) -> list[list[str]]:
    """Layers in groups whose rows overlap."""
    groups: list[list[str]] = []
    end = float("-inf")
    for layer in sorted(order, key=lambda k: (top[k], order.index(k))):
        if top[layer] < end - 1e-9:
            groups[-1].append(layer)
        else:
            groups.append([layer])
        end = max(end, bottom[layer])
    return groups


def ranks(graph: nx.DiGraph, *, sink: bool = True) -> dict[str, int]:
    """Row of each op: the longest way to it; lone inputs may ``sink`` to where they are needed."""
    forward = nx.DiGraph()
    forward.add_nodes_from(graph)
    forward.add_edges_from((u, v) for u, v, back in graph.edges(data="back") if not back)
    rank: dict[str, int] = {}
    for name in nx.topological_sort(forward):
        rank[name] = max((rank[p] + 1 for p in forward.predecessors(name)), default=0)
    for name in rank if sink else ():
        after = list(forward.successors(name))
        if after and not forward.in_degree(name):
            rank[name] = min(rank[s] for s in after) - 1
    lowest = min(rank.values(), default=0)
    return {name: r - lowest for name, r in rank.items()}


def columns(graph: nx.DiGraph, rank: dict[str, int]) -> dict[str, float]:
    """Place across of each op: sweeps of barycentres, at least 1 apart within a row."""
    rows: dict[int, list[str]] = {}
    for name in graph:
        rows.setdefault(rank[name], []).append(name)
    x = {n: i - (len(row) - 1) / 2 for row in rows.values() for i, n in enumerate(row)}
    edges = [(u, v) for u, v, back in graph.edges(data="back") if not back]
    near: dict[str, list[str]] = {name: [] for name in graph}
    for u, v in edges:
        near[u].append(v)
        near[v].append(u)
    first = {name: i for i, name in enumerate(graph)}
    for sweep in range(24):
        down = sweep % 2 == 0
        for r in sorted(rows, reverse=not down):
            row = rows[r]
            goal = {}
            for name in row:
                side = [m for m in near[name] if (rank[m] < r) == down] or near[name]
                goal[name] = sum(x[m] for m in side) / len(side) if side else x[name]
            row.sort(key=lambda n: (goal[n], first[n]))
            _spread(row, goal, x)
    return x


def _spread(row: list[str], goal: dict[str, float], x: dict[str, float]) -> None:
    """Ops in order, 1 apart or more, with the mean of their goals kept."""
    last = float("-inf")
    for name in row:
        last = max(goal[name], last + 1)
        x[name] = last
    shift = sum(goal[n] - x[n] for n in row) / max(len(row), 1)
    for name in row:
        x[name] += shift
