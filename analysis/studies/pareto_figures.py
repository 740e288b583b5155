"""Accuracy against cost of one chip, over parameter budget and SLC rate: the Pareto picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
from hyflexsim.analysis.studies.front_labels import name_front
from hyflexsim.analysis.studies.pareto_axes import (
    FRONT,
    check_axes,
    cost_axis,
    front_line,
    name_noise,
    name_seeds,
    of_noise,
    own_chip,
    reference_line,
)
from hyflexsim.analysis.studies.studies import Study, StudyLike

COSTS = ("latency_ps", "energy_pj")
"""One chip has one area."""


def pareto_plot(
    study: StudyLike, *, noise: str | None = None, axes: Sequence[Axes] | None = None
) -> list[Axes]:
    """Score against latency and against energy per request of the study's own chip, two panels.

    Colour is the parameter budget, marker the SLC rate (written beside the points of the front,
    in %, where there is room); whiskers are 95 % intervals. The staircase is the Pareto front: no
    point right of and worse than it is worth building. The model without cells is a
    horizontal line. Ours: neither paper has this picture. Several chips: :func:`chips_plot`.

    Parameters
    ----------
    study
        Pareto directory, or what :func:`load_study` made of it.
    noise
        What the study was asked for; default the first.
    axes
        Two Axes; default a figure as wide as a page.
    """
    check_axes(axes, len(COSTS), "pareto_plot")
    data = of_noise(study, noise)
    table = data.table[data.table["chip"] == own_chip(data)]
    data = replace(data, tables={"pareto": table})
    budgets, rates = sorted(set(table["budget"])), sorted(set(table["slc_rate"]))
    shades = colormaps["viridis"](np.linspace(0.05, 0.88, len(budgets)))
    colours = dict(zip(budgets, (to_hex(c) for c in shades), strict=True))
    marks = {rate: score_axes.MARKERS[i % len(score_axes.MARKERS)] for i, rate in enumerate(rates)}
    name, level = data.info["reference"]["name"], float(data.info["reference"]["score"])
    with style.context():
        own = axes is None
        if axes is None:
            axes = score_axes.panels(len(COSTS), style.PAGE, 3.1, sharey=True)
        units = []
        for ax, column in zip(axes, COSTS, strict=True):
            score_axes.score_axis(ax, data, [*table["score"], level], table["half_width"])
            units.append(_points(ax, data, table, column, colours, marks))
            reference_line(ax, level)
        handles = _handles(colours, marks)
        if own:
            axes[1].set_ylabel("")
            score_axes.heading(axes[0], data, f"{name_noise(table)}, {name_seeds(table)}")
            score_axes.outside_legend(axes[0], handles, "right upper")
        else:
            axes[1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.2, 1))
        lines = [(f"{name} {style.significant(level)}", level, score_axes.GREY)]
        lines += score_axes.floor_label(data, axes[1])
        score_axes.name_lines(axes[1], lines, drawn=True)
        for ax, column, unit in zip(axes, COSTS, units, strict=True):
            front = pareto_front(data, column)
            name_front(ax, table, front, column, unit, [f"{100 * r:g}" for r in front["slc_rate"]])
    return list(axes)


def _points(
    ax: Axes,
    data: Study,
    table: pd.DataFrame,
    column: str,
    colours: dict[float, str],
    marks: dict[float, str],
) -> float:
    """Points, intervals and front against one cost; units of the table in one of the axis."""
    factor = cost_axis(ax, column, table[column])
    front_line(ax, pareto_front(data, column), column, factor)
    for _, row in table.iterrows():
        budget, rate = float(row["budget"]), float(row["slc_rate"])
        at = [row[column] / factor]
        colour = colours[budget]
        half = [row["half_width"]]
        score_axes.bands(ax, at, [row["score"]], half, colour, whiskers=True, width=0.5)
        ax.plot(at, [row["score"]], marks[rate], color=colour, markersize=4, markeredgewidth=0)
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
