"""Accuracy against energy, latency and area of several chips: which of them are worth building."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from hyflexsim.analysis import style
from hyflexsim.analysis.studies import score_axes
from hyflexsim.analysis.studies.accuracy import pareto_front
from hyflexsim.analysis.studies.chip_axes import ChipAxis, chip_axes
from hyflexsim.analysis.studies.front_labels import name_front
from hyflexsim.analysis.studies.pareto_axes import (
    COSTS,
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

FEW = 1 + len(style.LABEL_COLOURS)
"""So many chips have a colour and a marker each; of more, colour and marker say two parameters."""

OWN, BEATEN = "#202020", "#D4D4D4"
MOST_ROWS = 9
"""Of a legend whose parts are columns."""


class _Looks(NamedTuple):
    """Colour and marker of each chip, and the parts of the legend that explain them."""

    colours: Mapping[str, str]
    marks: Mapping[str, str]
    parts: Sequence[Sequence[Line2D]]


def chips_plot(
    study: StudyLike, *, noise: str | None = None, axes: Sequence[Axes] | None = None
) -> list[Axes]:
    """Score against energy, latency and area, a panel each; costs that do not vary are named.

    Dark points are those that no other beats in score and all costs at once; the rest is pale. The
    staircase is the front of a panel's own cost, with SLC rates (%) where there is room. Rings are
    the study's own chip. Up to :data:`FEW` chips have a colour and a marker each, and whiskers, 95
    % intervals; of more, colour is the parameter that was varied first, marker the second. The
    model without cells is a horizontal line. Ours.

    Parameters
    ----------
    study
        Pareto directory, or what :func:`load_study` made of it.
    noise
        What the study was asked for; default the first.
    axes
        Three Axes; default a figure as wide as a page.
    """
    check_axes(axes, len(COSTS), "chips_plot")
    data = of_noise(study, noise)
    table = data.table
    columns = list(COSTS) if axes is not None else _varying(table)
    with style.context():
        own = axes is None
        looks = _looks(data, chip_axes(data.info["chips"]))
        handles, deep = _legend([_own_part(data), *looks.parts])
        if axes is None:
            height = 2.7 + 0.13 * -(-len(handles) // deep)
            axes = score_axes.panels(len(columns), style.PAGE, height, sharey=True)
        name, level = data.info["reference"]["name"], float(data.info["reference"]["score"])
        factors = []
        for ax, column in zip(axes, columns, strict=True):
            score_axes.score_axis(ax, data, [*table["score"], level])
            factors.append(_points(ax, data, column, looks))
            reference_line(ax, level)
        if own:
            for ax in axes[1:]:
                ax.set_ylabel("")
            score_axes.heading(axes[0], data, _about(data, columns))
            score_axes.outside_legend(axes[0], handles, "lower left", deep)
        else:
            axes[-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.2, 1))
        lines = [(f"{name} {style.significant(level)}", level, score_axes.GREY)]
        score_axes.name_lines(axes[-1], lines + score_axes.floor_label(data, axes[-1]), drawn=True)
        for ax, column, factor in zip(axes, columns, factors, strict=True):
            front = pareto_front(data, column)
            name_front(ax, table, front, column, factor, _names(front, table))
    return list(axes)


def _varying(table: pd.DataFrame) -> list[str]:
    """Costs that differ by a hundredth at least; all three if none does."""
    low, high = table[list(COSTS)].min(), table[list(COSTS)].max()
    return [column for column in COSTS if high[column] > 1.01 * low[column]] or list(COSTS)


def _about(data: Study, columns: Sequence[str]) -> str:
    """Noise and seeds, costs that have no panel, and which point the own chip is."""
    table, own = data.table, own_chip(data)
    text = f"{name_noise(table)}, {name_seeds(table)}"
    for column in COSTS:
        if column not in columns:
            name, unit = COSTS[column]
            mean = float(table[column].mean())
            value = f"{mean:,.0f} {unit}" if unit == "mm²" else style.si(mean * 1e-12, unit)
            text += f"; {name}: {value} everywhere"
    point = ", ".join(f"{axis.name} {axis.of[own]}" for axis in chip_axes(data.info["chips"]))
    return f"{text}\n{textwrap.fill(f'{own}: {point}', 125)}" if point else text


def _looks(data: Study, differing: list[ChipAxis]) -> _Looks:
    chips = list(data.info["chips"])
    if len(chips) > FEW:
        return _by_parameter(chips, differing)
    colours = dict(zip(chips, (OWN, *style.LABEL_COLOURS), strict=False))
    marks = dict(zip(chips, score_axes.MARKERS, strict=False))
    return _Looks(colours, marks, [[_dot(colours[chip], marks[chip], chip) for chip in chips[1:]]])


def _by_parameter(chips: Sequence[str], differing: list[ChipAxis]) -> _Looks:
    first = differing[0]
    shades = colormaps["viridis"](np.linspace(0.05, 0.88, len(first.values)))
    colour = dict(zip(first.values, map(to_hex, shades), strict=True))
    colours = {chip: colour[first.of[chip]] for chip in chips}
    parts = [[_word(first.name), *(_dot(colour[value], "o", value) for value in first.values)]]
    marks = dict.fromkeys(chips, "o")
    if len(differing) > 1:
        second, shapes = differing[1], score_axes.MARKERS
        shape = {value: shapes[i % len(shapes)] for i, value in enumerate(second.values)}
        dots = (_dot(score_axes.GREY, shape[value], value) for value in second.values)
        parts.append([_word(second.name), *dots])
        marks = {chip: shape[second.of[chip]] for chip in chips}
    return _Looks(colours, marks, parts)


def _points(ax: Axes, data: Study, column: str, looks: _Looks) -> float:
    """Points, intervals of the front's, rings and staircase; units of the table in one of the
    axis."""
    table = data.table
    factor = cost_axis(ax, column, table[column])
    front_line(ax, pareto_front(data, column), column, factor)
    for (chip, front), mine in table.groupby(["chip", "front"], sort=False):
        x, y = mine[column].to_numpy() / factor, mine["score"].to_numpy()
        colour, mark = looks.colours[str(chip)], looks.marks[str(chip)]
        look: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0}
        few = len(data.info["chips"]) <= FEW
        if front:
            if few:
                score_axes.bands(ax, x, y, mine["half_width"], colour, whiskers=True, width=0.5)
            ax.plot(x, y, mark, color=colour, markersize=4, zorder=2.4, **look)
        else:
            pale = style.lighter(colour, 0.35) if few else BEATEN
            ax.plot(x, y, mark, color=pale, markersize=3, zorder=1.6, **look)
    mine = table[table["chip"] == own_chip(data)]
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": OWN}
    ax.plot(mine[column] / factor, mine["score"], "o", markersize=7.5, zorder=2.6, **ring)
    ax.lines[-1].set(markeredgewidth=0.8, label="own chip")
    return factor


def _own_part(data: Study) -> list[Line2D]:
    """The first part of a legend: the own chip, and what is the same for any number of chips."""
    few = len(data.info["chips"]) <= FEW
    ring = Line2D([], [], linestyle="none", marker="o", markersize=7, markeredgecolor=OWN)
    ring.set(markerfacecolor=OWN if few else "none", markeredgewidth=0.8, label=own_chip(data))
    ring.set(fillstyle="bottom" if few else "full", markerfacecoloralt="none")
    beaten = _dot(BEATEN, "o", "beaten in score and all costs")
    several = len(set(data.table["slc_rate"])) > 1
    front = "front of a panel" + (", SLC rate (%)" if several else "")
    return [ring, beaten, Line2D([], [], color=FRONT, linewidth=0.9, label=front)]


def _names(front: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """SLC rates of points, where rates differ."""
    if len(set(table["slc_rate"])) == 1:
        return [""] * len(front)
    return [f"{100 * rate:g}" for rate in front["slc_rate"]]


def _dot(colour: str, mark: str, text: str) -> Line2D:
    look: dict[str, Any] = {"linestyle": "none", "markersize": 4, "markeredgewidth": 0}
    return Line2D([], [], marker=mark, color=colour, label=text, **look)


def _word(text: str) -> Line2D:
    return Line2D([], [], linestyle="none", label=text)


def _legend(parts: Sequence[Sequence[Line2D]]) -> tuple[list[Line2D], int]:
    """Handles and columns: a column a part where all fit beside each other, else as they come."""
    longest = max(map(len, parts))
    handles = [handle for part in parts for handle in part]
    wide = sum(max(style.text_width(str(h.get_label()), 6.5) for h in p) + 30 for p in parts)
    if longest <= MOST_ROWS and wide <= style.PAGE * 72 - 10:
        blank = [[_word("") for _ in range(longest - len(part))] for part in parts]
        padded = [[*part, *more] for part, more in zip(parts, blank, strict=True)]
        return [handle for part in padded for handle in part], len(parts)
    labels = [str(handle.get_label()) for handle in handles]
    return handles, min(score_axes.columns_for(labels, style.PAGE * 72 - 10), len(labels))
