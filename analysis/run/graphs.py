"""A workload graph drawn from top to bottom, ops in the colours of their classes."""

from __future__ import annotations

from typing import Any

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle

from hyflexsim.analysis import style
from hyflexsim.analysis.run.folding import Folded, fold
from hyflexsim.analysis.run.layout import columns, layout, ranks
from hyflexsim.sim.errors import InputError

WIDE, TALL = 0.92, 0.56  # of a box, in columns and rows
RULE_COLOURS = {
    "stream": "#8A8A8A",
    "prefix": "#0072B2",
    "all": "#D55E00",
    "first": "#009E73",
    "last": "#009E73",
    "recurrent": "#CC79A7",
    "pair": "#B08A00",
}


def draw_graph(graph: nx.DiGraph, *, ax: Axes | None = None, layer: str | None = None) -> Axes:
    """Draw ops as boxes and tensors as arrows with their firing rule (none written: stream).

    Parameters
    ----------
    graph
        A workload graph (:mod:`hyflexsim.sim.graph`).
    ax
        Where to draw; None makes a figure of its own, as large as the graph needs.
    layer
        Only this layer and what it touches. None: everything, with equal layers drawn once in a
        frame that says how many they are.
    """
    folded = fold(graph) if layer is None else _one(graph, layer)
    small = folded.graph
    if layer is None:
        place, rank = layout(folded)
    else:
        rows = ranks(small)
        place, rank = columns(small, rows), {name: float(r) for name, r in rows.items()}
    deep = max(rank.values()) + 1
    left, right = min(place.values()) - 0.95, max(place.values()) + 1.1
    with style.context():
        if ax is None:
            across = max((right - left) * 0.82, 3.0)
            ax = style.new_axes(min(across, 11.0), min(deep * 0.37 + 0.5, 22.0))
        ax.set_xlim(left, right)
        ax.set_ylim(deep - 0.35, -0.75)
        ax.set_axis_off()
        _frames(ax, folded, rank, place)
        for u, v, data in small.edges(data=True):
            _arrow(ax, u, v, data, rank, place)
        for name, op in small.nodes(data=True):
            _box(ax, name, op, place[name], rank[name], faint=op["layer"] not in folded.repeats)
        _legend(ax, small)
        count = sum(folded.repeats.values())
        ops = f"{len(graph)} ops, {count} layers" if layer is None else f"layer {layer}"
        ax.set_title(f"{graph.graph.get('name', 'graph')}: {ops}", fontsize=8)
    return ax


def _one(graph: nx.DiGraph, layer: str) -> Folded:
    names = list(dict.fromkeys(nx.get_node_attributes(graph, "layer").values()))
    if layer not in names:
        some = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise InputError(f"layer must be of {some}; got {layer!r}")
    mine = [n for n, at in graph.nodes(data="layer") if at == layer]
    around = {m for n in mine for m in (*graph.predecessors(n), *graph.successors(n))}
    part = nx.DiGraph(**graph.graph)
    part.add_nodes_from((n, graph.nodes[n]) for n in graph if n in around or n in set(mine))
    inside = set(mine)
    part.add_edges_from(
        (u, v, dict(d)) for u, v, d in graph.edges(data=True) if u in inside or v in inside
    )
    for *_, data in part.edges(data=True):
        data["back"] = data["rule"] == "recurrent"
    return Folded(part, {layer: 1})


def _frames(ax: Axes, folded: Folded, rank: dict[str, float], place: dict[str, float]) -> None:
    """A frame behind each layer, its name upright at its left."""
    nodes = folded.graph.nodes
    for layer, times in folded.repeats.items():
        mine = [n for n in nodes if nodes[n]["layer"] == layer]
        if len(mine) < 2:
            continue
        x0, x1 = min(place[n] for n in mine) - 0.58, max(place[n] for n in mine) + 0.58
        y0, y1 = min(rank[n] for n in mine) - 0.42, max(rank[n] for n in mine) + 0.42
        look: dict[str, Any] = {
            "facecolor": "#F3F3F3",
            "edgecolor": "#BDBDBD",
            "linewidth": 0.6,
            "zorder": 0,
        }
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **look))
        text = style.short(layer) + (f"  ×{times}" if times > 1 else "")
        ax.annotate(
            text,
            (x0, (y0 + y1) / 2),
            (-3, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            rotation=90,
            fontsize=6.5,
            fontweight="bold" if times > 1 else "normal",
            color="#404040",
        )


def _box(
    ax: Axes, name: str, op: dict[str, Any], x: float, y: float, *, faint: bool = False
) -> None:
    colour = style.class_colour(op["kind"])
    if faint:  # of another layer
        colour = style.lighter(colour)
    corner = (x - WIDE / 2, y - TALL / 2)
    look = "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch(corner, WIDE, TALL, look, facecolor=colour, linewidth=0, zorder=3))
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    low, high = ax.get_xlim()
    points = figure.get_size_inches()[0] * 72 / (high - low) * WIDE - 4
    ink = style.ink(colour)
    lines = [_tail(name, op["layer"], points, 6.0), _tail(_size(op), "", points, 5.0)]
    for text, size, shift in zip(lines, (6.0, 5.0), (-0.1, 0.14), strict=True):
        at = y + (shift if lines[1] else 0)
        ax.text(x, at, text, ha="center", va="center", fontsize=size, color=ink, zorder=4)


def _size(op: dict[str, Any]) -> str:
    if op["kind"] == "gemv":
        rank = f", r {op['rank']}" if op.get("rank") else ""
        return f"{op['rows']}×{op['cols']}{rank}"
    if op["kind"] == "matmul":
        return f"{op['heads']}×{op['inner']} · {op['context'] or 'one'}"
    if op["kind"] == "pointwise":
        return str(op["function"])
    return str(op["width"])


def _tail(name: str, layer: str, points: float, size: float) -> str:
    """The end of a name that fits, whole parts where possible."""
    text = name.removeprefix(f"{layer}.") if layer else name
    while style.text_width(text, size) > points and len(text) > 2:
        text = text.partition(".")[2] if "." in text else "…" + text.lstrip("…")[1:]
    return text


def _arrow(
    ax: Axes,
    u: str,
    v: str,
    data: dict[str, Any],
    rank: dict[str, float],
    place: dict[str, float],
) -> None:
    rule = data["rule"]
    colour = RULE_COLOURS.get(rule, "#8A8A8A")
    start, end = (place[u], rank[u] + TALL / 2), (place[v], rank[v] - TALL / 2)
    bend = 0.0
    if u == v:
        start, end = (place[u] + WIDE / 2, rank[u] - 0.16), (place[u] + WIDE / 2, rank[u] + 0.16)
        bend = -1.7
    elif data["back"]:
        start, end = (place[u] + WIDE / 2, rank[u]), (place[v] + WIDE / 2, rank[v])
        bend = 0.6
    elif rank[v] - rank[u] > 1 and _blocked(u, v, rank, place):
        middle = min(place.values()) + max(place.values())
        side = 1 if place[u] + place[v] >= middle - 0.01 else -1
        start = (place[u] + side * WIDE / 2, float(rank[u]))
        end = (place[v] + side * WIDE / 2, float(rank[v]))
        reach = (rank[v] - rank[u]) * _steepness(ax)
        bend = -side * min(0.35, 4.6 / reach)  # never further out than 2.3 columns
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=5,
        connectionstyle=f"arc3,rad={bend}",
        color=colour,
        linewidth=0.8,
        linestyle=(0, (3, 2)) if data["back"] else "-",
        shrinkA=0,
        shrinkB=0,
        clip_on=False,
        zorder=2,
    )
    ax.add_patch(arrow)
    if rule != "stream":
        at = 0.5 if bend else 0.35
        x, y = start[0] + at * (end[0] - start[0]), start[1] + at * (end[1] - start[1])
        x += bend / 2 * (start[1] - end[1]) * _steepness(ax)  # the middle of the arc
        align = "center" if u != v else "left"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.9}
        ax.text(x, y, rule, fontsize=5, color=colour, ha=align, va="center", bbox=box, zorder=5)


def _steepness(ax: Axes) -> float:
    """Height of a row in widths of a column."""
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    wide, tall = figure.get_size_inches()
    return float(tall / abs(high - low) / (wide / (right - left)))


def _blocked(u: str, v: str, rank: dict[str, float], place: dict[str, float]) -> bool:
    """Whether a straight line would cross another op's box."""
    for name, r in rank.items():
        if rank[u] < r < rank[v]:
            share = (r - rank[u]) / (rank[v] - rank[u])
            if abs(place[u] + share * (place[v] - place[u]) - place[name]) < WIDE / 2 + 0.04:
                return True
    return False


def _legend(ax: Axes, graph: nx.DiGraph) -> None:
    seen = {op["kind"] for _, op in graph.nodes(data=True)}
    kinds = [name for name in style.CLASS_COLOURS if name in seen]
    ax.legend(
        handles=[Patch(facecolor=style.class_colour(k), label=k) for k in kinds],
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncols=min(len(kinds), 4),
        handlelength=1,
        handleheight=0.8,
        columnspacing=1.0,
        handletextpad=0.4,
        borderaxespad=0.2,
    )
