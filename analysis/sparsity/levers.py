"""What each lever does to latency, energy, pace and accuracy: a row a lever, a panel a quantity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.studies.score_axes import beside, figure_of, panels

PANELS = {
    "latency_us": ("latency", 60.0),
    "energy_uj": ("energy", 60.0),
    "pace_per_s": ("pace", 80.0),
}
"""Columns, each with its name and the change (%) up to which it is drawn."""
MOST_POINTS = 10.0
HEIGHT = 0.2  # inches a row: the numbers of two models, one above the other
TOGETHER = "together"


def levers_plot(table: pd.DataFrame) -> Axes:
    """Rows of workloads/sparsity/lever_study.py: changes from the first row of each model.

    Below the line levers are pulled together, each beside those above it. What is further away
    than a panel reaches stands at its edge with its number.
    """
    labels = _labels(table)
    places = {label: len(labels) - 1 - i for i, label in enumerate(labels)}
    with style.context():
        axes = panels(4, style.PAGE, 0.8 + HEIGHT * len(labels), sharey=True)
        for ax, (column, (name, most)) in zip(axes, PANELS.items(), strict=False):
            for shift, colour, title, rows in _models(table):
                change = 100 * (rows[column] / rows[column].iloc[0] - 1)
                _marks(ax, change, _heights(rows, places) + shift, most, colour, title)
            ax.set_xlabel(f"{name} (change, %)")
            ax.set_xlim(-1.3 * most, 1.3 * most)
        _accuracy(axes[3], table, places)
        together = sum(label[0] for label in labels)
        for ax in axes:
            ax.axvline(0, color="#606060", lw=0.6)
            if together:
                ax.axhline(together - 0.5, color="#606060", lw=0.6, ls="--")
            ax.grid(axis="y", lw=0.3)
        axes[0].set_yticks(list(places.values()), [label[1] for label in labels])
        axes[0].tick_params(axis="y", labelsize=style.SMALL)
        axes[0].set_ylim(-0.7, len(labels) - 0.3)
        handles = axes[0].get_legend_handles_labels()
        figure_of(axes[0]).legend(*handles, loc="outside upper left", ncols=2, **style.LEGEND)
    first: Axes = axes[0]
    return first


def _labels(table: pd.DataFrame) -> list[tuple[bool, str]]:
    """Rows of the picture, kind by kind: whether levers are together there, and the name."""
    kinds = list(dict.fromkeys(table["kind"].fillna("")))
    own = table[table["lever"] != table["lever"].iloc[0]]
    rows = sorted(zip(own["kind"], own["lever"], strict=True), key=lambda r: kinds.index(r[0]))
    return list(dict.fromkeys((kind == TOGETHER, lever) for kind, lever in rows))


def _models(table: pd.DataFrame) -> list[tuple[float, str, str, pd.DataFrame]]:
    """Where in its row, colour, name and rows of each model."""
    names = list(dict.fromkeys(table["model"]))
    shifts = np.linspace(0.22, -0.22, len(names)) if len(names) > 1 else [0.0]
    return [
        (float(shift), style.LABEL_COLOURS[i], name, table[table["model"] == name])
        for i, (shift, name) in enumerate(zip(shifts, names, strict=True))
    ]


def _heights(rows: pd.DataFrame, places: dict[tuple[bool, str], int]) -> pd.Series:
    keys = zip(rows["kind"] == TOGETHER, rows["lever"], strict=True)
    return pd.Series([places.get(key, np.nan) for key in keys], index=rows.index, dtype=float)


def _marks(
    ax: Axes, change: pd.Series, heights: pd.Series, most: float, colour: str, title: str | None
) -> None:
    drawn = heights.notna() & change.notna()
    change, heights = change[drawn], heights[drawn]
    near = change.abs() <= most
    mark: dict[str, Any] = {"color": colour, "ms": 2.8, "lw": 0}
    ax.plot(change[near], heights[near], "o", label=title, **mark)
    for value, height in zip(change[~near], heights[~near], strict=True):
        right = value > 0
        edge = most if right else -most
        ax.plot([edge], [height], ">" if right else "<", **mark)
        beside(ax, f"{value:+.0f}", (edge, height), colour, left=right)


def _accuracy(ax: Axes, table: pd.DataFrame, places: dict[tuple[bool, str], int]) -> None:
    """Points of accuracy, with one standard error of the paired change."""
    for shift, colour, _, rows in _models(table):
        known = rows[rows["change"].notna()]
        change, heights = 100 * known["change"], _heights(known, places) + shift
        _marks(ax, change, heights, MOST_POINTS, colour, None)
        near = (change.abs() <= MOST_POINTS) & heights.notna()
        error = 100 * known["change_error"]
        bars: dict[str, Any] = {"color": colour, "lw": 0.6, "capsize": 1}
        ax.errorbar(change[near], heights[near], xerr=error[near], fmt="none", **bars)
    ax.set_xlabel("accuracy (points)")
    ax.set_xlim(-1.25 * MOST_POINTS, 0.5 * MOST_POINTS)
