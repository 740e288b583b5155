"""Where energy goes, as a Sankey diagram: from op classes to kinds of component to layers.

A band's width is its energy; each of the three columns adds up to the whole. What is too thin to
be named is one node, "others".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from hyflexsim.analysis import style
from hyflexsim.analysis.run.measures import colours_of, kind_order, layer_order
from hyflexsim.analysis.run.run import Run

COLUMNS = ("class", "kind", "layer")
NODE = 0.018  # width of a node, of the distance between columns
THIN = 0.015  # share of the whole below which a node has no name of its own
NAME = 8.8  # points from one name to the next, at least
OTHERS = "others"


class Node(NamedTuple):
    """A bar of one column: from ``low`` to ``high``, as shares of the whole and gaps."""

    name: str
    low: float
    high: float


def energy_flow(run: Run) -> pd.DataFrame:
    """Energy by op class, kind of component and layer; thin ones of each column as "others".

    Columns: ``class``, ``kind``, ``layer`` ("" where the whole chip shares it), ``energy_pj``.
    """
    table = run.energy.assign(**{"class": run.energy["op"].map(run.classes).fillna("other")})
    whole = float(table["energy_pj"].sum())
    for column in COLUMNS:
        sums = table.groupby(column)["energy_pj"].sum()
        thin = sums.index[sums < THIN * whole]
        if len(thin) > 1:
            table[column] = table[column].where(~table[column].isin(thin), OTHERS)
    return table.groupby(list(COLUMNS))["energy_pj"].sum().reset_index()


def sankey_plot(run: Run, *, ax: Axes | None = None) -> Axes:
    """Energy from op classes (left) to kinds of component to layers (right), mean of a request."""
    flow = energy_flow(run)
    whole = max(float(flow["energy_pj"].sum()), 1e-300)
    flow["share"] = flow["energy_pj"] / whole
    kinds = colours_of(run) | {OTHERS: style.CLASS_COLOURS["other"]}
    orders = {
        "class": _by_size(flow, "class"),
        "kind": [*kind_order([k for k in flow["kind"].unique() if k != OTHERS])],
        "layer": ["", *layer_order(run)],
    }
    most = max(flow[name].nunique() for name in COLUMNS)
    with style.context():
        if ax is None:
            ax = style.new_axes(style.PAGE, max(0.9 + 0.16 * most, 2.6))
        tall = ax.bbox.height / ax.figure.dpi * 72  # points
        gap = NAME / tall
        columns = [_stack(flow, name, orders[name], gap) for name in COLUMNS]
        for side in (0, 1):
            _bands(ax, flow, columns, side, kinds)
        for at, nodes in enumerate(columns):
            for node in nodes:
                _name(ax, at, node, kinds, whole / max(len(run.requests), 1))
        ax.set_xlim(-0.42, 2.42)
        ax.set_ylim(max(nodes[-1].high for nodes in columns) + gap, -3 * gap)
        ax.set_axis_off()
        for at, title in enumerate(("op class", "kind of component", "layer")):
            ax.text(at, -2 * gap, title, ha="center", fontweight="bold", fontsize=7)
    return ax


def _by_size(flow: pd.DataFrame, column: str) -> list[str]:
    sums = flow.groupby(column)["energy_pj"].sum().sort_values(ascending=False, kind="stable")
    return [str(name) for name in sums.index if name != OTHERS]


def _stack(flow: pd.DataFrame, column: str, order: Sequence[str], gap: float) -> list[Node]:
    """Nodes of a column from above, in an order; "others" last, a gap or more between middles."""
    sums = flow.groupby(column)["share"].sum()
    nodes: list[Node] = []
    top = 0.0
    for name in dict.fromkeys([*order, *sorted(sums.index.difference([*order, OTHERS])), OTHERS]):
        if name in sums.index:
            nodes.append(Node(name, top, top + float(sums[name])))
            top += float(sums[name]) + gap
    return nodes


def _bands(
    ax: Axes, flow: pd.DataFrame, columns: list[list[Node]], side: int, colours: dict[str, str]
) -> None:
    """Bands between two columns, in the order of both ends so that few cross."""
    left, right = COLUMNS[side : side + 2]
    sums = flow.groupby([left, right])["share"].sum()
    from_, to = ({node.name: node.low for node in columns[side + k]} for k in (0, 1))
    for one in columns[side]:
        for other in columns[side + 1]:
            share = float(sums.get((one.name, other.name), 0.0))
            if not share:
                continue
            ends = from_[one.name], to[other.name]
            colour = colours[one.name if left == "kind" else other.name]
            ax.add_patch(_band(side, ends, share, colour))
            from_[one.name] += share
            to[other.name] += share


def _band(side: int, ends: tuple[float, float], share: float, colour: str) -> PathPatch:
    x = side + NODE / 2, side + 0.5, side + 1 - NODE / 2
    above = [(x[0], ends[0]), (x[1], ends[0]), (x[1], ends[1]), (x[2], ends[1])]
    below = [(px, py + share) for px, py in reversed(above)]
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    path = Path(np.array([*above, *below, above[0]]), codes)
    return PathPatch(path, facecolor=colour, alpha=0.45, linewidth=0)


def _name(ax: Axes, at: int, node: Node, kinds: dict[str, str], pj: float) -> None:
    """A node's bar, and beside it name, energy and share."""
    share = node.high - node.low
    if at == 0:
        colour, text = style.class_colour(node.name), node.name
    elif at == 1:
        colour, text = kinds[node.name], style.kind_name(node.name)
    else:
        colour, text = "#606060", node.name if node.name == OTHERS else style.short(node.name, 24)
    ax.add_patch(Rectangle((at - NODE / 2, node.low), NODE, share, color=colour, linewidth=0))
    label = f"{text}  {style.si(share * pj * 1e-12, 'J')}  {style.percent(share)}"
    middle = (node.low + node.high) / 2
    if at == 0:
        ax.text(at - 0.02, middle, label, ha="right", va="center", fontsize=style.SMALL)
    else:
        ax.text(at + 0.02, middle, label, ha="left", va="center", fontsize=style.SMALL)
