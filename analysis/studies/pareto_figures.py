"""Accuracy against cost over parameter budget and SLC rate: the Pareto picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from hyflexsim.analysis import style
from hyflexsim.analysis.studies import score_axes
from hyflexsim.analysis.studies.accuracy import pareto_front
from hyflexsim.analysis.studies.studies import Study, StudyLike, load_study
from hyflexsim.sim.errors import InputError

COSTS = {"latency_ps": ("latency", "s"), "energy_pj": ("energy per request", "J")}

FRONT = "#B2182B"
PLACES = ((-3.5, 3), (0, 4), (-4, 0), (4, -3), (0, -4), (4, 3), (-3.5, -3), (4, 0))
"""Where the name of a point may stand: points to the right and up."""


def pareto_plot(
    study: StudyLike, *, sigma: float | None = None, axes: Sequence[Axes] | None = None
) -> list[Axes]:
    """Score against latency and against energy per request of the simulated chip, two panels.

    Colour is the parameter budget, marker the SLC rate (written beside the points of the front,
    in %, where there is room); whiskers are 95 % intervals. The staircase is the Pareto front: no
    point right of and worse than it is worth building. The dense model without noise is a
    horizontal line. Ours: neither paper has this picture.

    Parameters
    ----------
    study
        Pareto directory, or what :func:`load_study` made of it.
    sigma
        The noise; default the largest.
    axes
        Two Axes; default a figure as wide as a page.
    """
    data = load_study(study, "pareto")
    sigma = _sigma(data, sigma)
    if axes is not None and len(axes) != len(COSTS):
        raise InputError(f"pareto_plot: axes must be {len(COSTS)}; got {len(axes)}")
    table = data.table[data.table["sigma"] == sigma]
    budgets, rates = sorted(set(table["budget"])), sorted(set(table["slc_rate"]))
    shades = colormaps["viridis"](np.linspace(0.05, 0.88, len(budgets)))
    colours = dict(zip(budgets, (to_hex(c) for c in shades), strict=True))
    marks = {rate: score_axes.MARKERS[i % len(score_axes.MARKERS)] for i, rate in enumerate(rates)}
    dense = float(data.info["dense"])
    with style.context():
        own = axes is None
        if axes is None:
            axes = score_axes.panels(len(COSTS), style.PAGE, 3.1, sharey=True)
        units = []
        for ax, column in zip(axes, COSTS, strict=True):
            score_axes.score_axis(ax, data, [*table["score"], dense], table["half_width"])
            units.append(_points(ax, data, table, column, sigma, colours, marks))
            ax.axhline(dense, color=score_axes.GREY, linestyle=(0, (4, 2)), linewidth=0.8)
            ax.lines[-1].set_label("dense")
        handles = _handles(colours, marks)
        if own:
            axes[1].set_ylabel("")
            low, high = int(table["seeds"].min()), int(table["seeds"].max())
            seeds = f"{low} to {high} seeds" if low < high else f"{high} seed{'s'[: high - 1]}"
            score_axes.heading(axes[0], data, f"{score_axes.name_sigma(data, sigma)}, {seeds}")
            score_axes.outside_legend(axes[0], handles, "right upper")
        else:
            axes[1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.2, 1))
        lines = [(f"dense {style.significant(dense)}", dense, score_axes.GREY)]
        lines += score_axes.floor_label(data, axes[1])
        score_axes.name_lines(axes[1], lines, drawn=True)
        for ax, column, unit in zip(axes, COSTS, units, strict=True):
            _name_front(ax, table, pareto_front(data, column, sigma), column, unit)
    return list(axes)


def _sigma(data: Study, sigma: float | None) -> float:
    known = sorted(set(data.table["sigma"].tolist()))
    if sigma is None:
        return float(known[-1])
    if sigma not in known:
        raise InputError(
            f"{data.path / 'pareto.parquet'}: column 'sigma' has "
            f"{', '.join(f'{s:g}' for s in known)}; got {sigma!r}"
        )
    return sigma


def _points(
    ax: Axes,
    data: Study,
    table: pd.DataFrame,
    column: str,
    sigma: float,
    colours: dict[float, str],
    marks: dict[float, str],
) -> float:
    """Points, intervals and front against one cost; base units (ps, pJ) in one of the axis."""
    name, base = COSTS[column]
    unit = style.scale(float(table[column].max()) * 1e-12, base)
    factor = unit.factor * 1e12
    front = pareto_front(data, column, sigma)
    x, y = front[column].to_numpy() / factor, front["score"].to_numpy()
    span = float(table[column].max() - table[column].min()) / factor
    room = 0.07 * span or 0.1 * float(table[column].max()) / factor
    low, high = table[column].min() / factor - room, table[column].max() / factor + room
    look: dict[str, Any] = {"color": FRONT, "linewidth": 0.9, "drawstyle": "steps-post"}
    ax.plot([*x, high], [*y, y[-1]], zorder=1.8, label="Pareto front", **look)
    for _, row in table.iterrows():
        budget, rate = float(row["budget"]), float(row["slc_rate"])
        at = [row[column] / factor]
        colour = colours[budget]
        half = [row["half_width"]]
        score_axes.bands(ax, at, [row["score"]], half, colour, whiskers=True, width=0.5)
        ax.plot(at, [row["score"]], marks[rate], color=colour, markersize=4, markeredgewidth=0)
    ax.set_xlim(low, high)
    ax.set_xlabel(f"{name} ({unit.unit})")
    return factor


def _handles(colours: dict[float, str], marks: dict[float, str]) -> list[Artist]:
    """Entries of a legend: budgets, rates, the front."""
    blank: dict[str, Any] = {"linestyle": "none"}
    dot: dict[str, Any] = blank | {"markersize": 4, "markeredgewidth": 0}
    handles: list[Artist] = [Line2D([], [], label="parameter budget", **blank)]
    for budget, colour in colours.items():
        text = f"{100 * budget:g} %"
        handles.append(Line2D([], [], marker="o", color=colour, label=text, **dot))
    handles.append(Line2D([], [], label="SLC rate", **blank))
    for rate, mark in marks.items():
        text = f"{100 * rate:g} %"
        handles.append(Line2D([], [], marker=mark, color=score_axes.GREY, label=text, **dot))
    handles.append(Line2D([], [], color=FRONT, linewidth=0.9, label="Pareto front"))
    return handles


def _name_front(
    ax: Axes, table: pd.DataFrame, front: pd.DataFrame, column: str, factor: float
) -> None:
    """SLC rates (%) beside points of the front, where no point, whisker, line or name is."""
    scale: float = 72 / score_axes.figure_of(ax).dpi
    x, y = table[column].to_numpy() / factor, table["score"].to_numpy()
    half = table["half_width"].fillna(0).to_numpy()
    low, high = ax.get_ylim()
    ends = [np.clip(y - half, low, high), np.clip(y + half, low, high)]
    bottom, top = (ax.transData.transform(np.column_stack([x, end])) * scale for end in ends)
    middle = ax.transData.transform(np.column_stack([x, y])) * scale
    taken = [(a - 1.5, b, a + 1.5, c) for (a, b), (_, c) in zip(bottom, top, strict=True)]
    taken += [(a - 2.4, b - 2.4, a + 2.4, b + 2.4) for a, b in middle]
    points = np.column_stack([front[column] / factor, front["score"]])
    spots = ax.transData.transform(points) * scale
    taken.append((spots[-1, 0], spots[-1, 1] - 0.5, np.inf, spots[-1, 1] + 0.5))
    for line in ax.lines:
        if line.get_label() == "dense":
            level = float(np.asarray(line.get_ydata())[0])
            level = float(ax.transData.transform((0, level))[1] * scale)
            taken.append((-np.inf, level - 0.5, np.inf, level + 0.5))
    for (x0, y0), (x1, y1) in pairwise(spots):
        taken.append((x0, y0 - 0.5, x1, y0 + 0.5))
        taken.append((x1 - 0.5, min(y0, y1), x1 + 0.5, max(y0, y1)))
    edges = np.array(ax.get_window_extent().extents) * scale
    for (px, py), rate in zip(spots, front["slc_rate"], strict=True):
        text = f"{100 * rate:g}"
        wide, tall = style.text_width(text, 5.5) + 1.5, 6.0
        for dx, dy in PLACES:
            left = px + (dx if dx > 0 else dx - wide if dx < 0 else -wide / 2)
            foot = py + (dy if dy > 0 else dy - tall if dy < 0 else -tall / 2)
            box = (left, foot, left + wide, foot + tall)
            inside = box[0] > edges[0] and box[1] > edges[1] and box[3] < edges[3]
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                x0, y0 = ax.transData.inverted().transform((left / scale, foot / scale))
                ax.text(
                    float(x0),
                    float(y0),
                    text,
                    fontsize=5.5,
                    color="#303030",
                    va="bottom",
                    ha="left",
                )
                break


def _meet(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
