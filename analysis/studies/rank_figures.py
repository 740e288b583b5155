"""Pictures of a study of ranks: quality against parameters, speed-up on the simulated chip.

Axes in, Axes out. Numbers are means over the seeds of a method, with 95 % intervals (Student's t).
Rounded methods (ranks rounded to the chip's tiles) are hollow, dashed or hatched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from hyflexsim.analysis import style
from hyflexsim.analysis.studies import score_axes
from hyflexsim.analysis.studies.accuracy import GAINS, rank_table
from hyflexsim.analysis.studies.studies import Study, StudyLike, load_study
from hyflexsim.sim.errors import InputError

READINGS = {
    "linears_share": "parameters of the block linears (% of dense)",
    "total_share": "all parameters (% of dense)",
}
GAIN_NAMES = {
    "latency": "latency gain (×)",
    "throughput": "throughput gain (×)",
    "energy": "energy gain (×)",
    "arrays": "gain in arrays (×)",
}
PAPER_COLOURS = ("#E4E4E4", "#F3E3C3", "#D8E6F2")


def quality_plot(study: StudyLike, *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Score after recovery against parameters achieved (% of dense), a line per method.

    Two panels for the two readings of "50 %" (softlms.md §5): of the linears of the blocks, and of
    all parameters. Whiskers are 95 % intervals over seeds; the dense model is a horizontal line.
    Not a figure of SoftLMs, whose curve is not public: the quality side of its headline.

    Parameters
    ----------
    study
        Directory of a study of ranks, or what :func:`load_study` made of it.
    axes
        Two Axes; default a figure as wide as a page.
    """
    data = load_study(study, "study")
    table = rank_table(data)
    methods = score_axes.method_order(table["method"])
    dense = float(data.info["dense"])
    axes = _count("quality_plot", axes, 2)
    with style.context():
        own = axes is None
        columns = score_axes.columns_for(methods, 480)
        if axes is None:
            rows = -(-len(methods) // columns)
            axes = score_axes.panels(2, style.PAGE, 2.7 + 0.13 * rows, sharey=True)
        for ax, (column, label) in zip(axes, READINGS.items(), strict=True):
            score_axes.score_axis(ax, data, [*table["after"], dense], table["after_half"])
            for method in methods:
                mine = table[table["method"] == method].sort_values(column)
                look = score_axes.method_look(method, methods)
                x, y = 100 * mine[column], mine["after"]
                score_axes.bands(ax, x, y, mine["after_half"], look["color"], whiskers=True)
                ax.plot(x, y, label=method, **look)
            low, high = 100 * table[column].min(), 100 * table[column].max()
            room = max(0.05 * (high - low), 2.0)  # points; of one budget there is no range
            ax.set_xlim(low - room, high + room)
            ax.set_xlabel(label)
        handles = [line for line in axes[0].lines if line.get_label() in methods]
        if own:
            axes[1].set_ylabel("")
            score_axes.heading(axes[0], data, f"after recovery, mean over {_seeds(table)}")
            score_axes.outside_legend(axes[0], handles, "lower left", columns)
        else:
            score_axes.legend_below(axes[0], handles, columns)
        name = [(f"dense {style.significant(dense)}", dense, score_axes.GREY)]
        for ax in axes:
            ax.axhline(dense, color=score_axes.GREY, linestyle=(0, (4, 2)), linewidth=0.8)
        lines = [*name, *score_axes.floor_label(data, axes[1])]
        score_axes.name_lines(axes[1], lines, drawn=True)
    return list(axes)


def recovery_plot(study: StudyLike, *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Scores before and after recovery, a row per method and budget; the dense model is a line.

    What :func:`quality_plot` cannot show of one budget, where all its points have one abscissa.
    Whiskers are 95 % intervals over seeds; a baseline's ranks do not depend on the seed, so most
    have none before recovery.

    Parameters
    ----------
    study
        Directory of a study of ranks, or what :func:`load_study` made of it.
    axes
        Two Axes; default a figure as wide as a page.
    """
    data, table, methods, places = _in_rows(study)
    dense, metric = float(data.info["dense"]), data.info["metric"]["name"]
    axes = _count("recovery_plot", axes, 2)
    with style.context():
        own = axes is None
        if axes is None:
            axes = score_axes.panels(2, style.PAGE, 1.0 + 0.13 * (places[-1] + 1))
        for ax, state in zip(axes, ("before", "after"), strict=True):
            values, halves = table[state], np.nan_to_num(table[f"{state}_half"])
            for y, method, value, half in zip(places, table["method"], values, halves, strict=True):
                look = score_axes.method_look(method, methods)
                ax.errorbar(value, y, xerr=half, elinewidth=0.8, capsize=1.5, **look)
                _write(ax, y, style.significant(value))
            ax.axvline(dense, color=score_axes.GREY, linestyle=(0, (4, 2)), linewidth=0.8)
            ratio = max(values) / min(*values, dense) if not data.higher else 1
            if ratio > 10:
                ax.set_xscale("log")
                score_axes.log_ticks(ax.xaxis, ratio)
            ax.set_ylim(places[-1] + 0.7, -1.0)
            ax.set_xlabel(f"{metric} {state} recovery (dashed: dense {style.significant(dense)})")
            ax.grid(axis="x")
            score_axes.no_ticks(ax)
        score_axes.name_rows(axes[0], table, places)
        if own:
            about = f"mean over {_seeds(table)}; budget: share of the linears' parameters"
            score_axes.heading(axes[0], data, about)
    return list(axes)


def speedup_plot(study: StudyLike, *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Gains of the simulated chip over its dense model (times), a bar per method and budget.

    Four panels: latency, throughput (of the makespan), energy, arrays; above 1 is better. Whiskers
    are 95 % intervals over seeds. The published range (SoftLMs: 1.33–1.72×) is a band in the
    panels of time; its hardware is not ours.

    Parameters
    ----------
    study
        Directory of a study of ranks, or what :func:`load_study` made of it.
    axes
        Four Axes; default a figure as wide as a page.
    """
    data, table, methods, places = _in_rows(study)
    axes = _count("speedup_plot", axes, len(GAINS))
    with style.context():
        own = axes is None
        if axes is None:
            tall = 1.15 + 0.115 * (places[-1] + 1) + 0.13 * len(data.info["paper"])
            axes = score_axes.panels(len(GAINS), style.PAGE, tall)
        paper: list[Artist] = []
        for ax, gain in zip(axes, GAINS, strict=True):
            values, halves = table[gain].to_numpy(), table[f"{gain}_half"].to_numpy()
            ends = [1.0, *values, *(values + np.nan_to_num(halves))]
            if gain in ("latency", "throughput"):
                paper = _paper(ax, data.info["paper"])
                ends += [float(e) for p in data.info["paper"] for e in (p["low"], p["high"])]
            for y, method, value, half in zip(places, table["method"], values, halves, strict=True):
                look = score_axes.method_look(method, methods)
                rounded = method.endswith(score_axes.ROUNDED)
                fill: dict[str, Any] = {"facecolor": look["color"]}
                if rounded:
                    fill = {"facecolor": style.lighter(look["color"], 0.35), "hatch": "//////"}
                    fill |= {"edgecolor": look["color"], "linewidth": 0}
                ax.barh(y, value - 1, 0.74, left=1, zorder=2, **fill)
                if np.isfinite(half):
                    ax.errorbar(value, y, xerr=half, fmt="none", ecolor="#202020", elinewidth=0.6)
                _write(ax, y, f"{value:.2f}")
            ax.axvline(1, color="#404040", linewidth=0.8, zorder=3)
            low, high = min(ends), max(ends)
            room = 0.04 * (high - low) or 0.1
            ax.set_xlim(low - room * (low < 1), high + room)
            ax.set_ylim(places[-1] + 0.7, -0.6)
            ax.set_xlabel(GAIN_NAMES[gain])
            ax.grid(axis="x")
            score_axes.no_ticks(ax)
        score_axes.name_rows(axes[0], table, places)
        if own:
            about = f"simulated chip, dense model = 1, mean over {_seeds(table)}; "
            about += "budget: share of the linears' parameters"
            score_axes.heading(axes[0], data, about)
        if paper and own:
            score_axes.outside_legend(axes[0], paper, "lower left")
        elif paper:
            score_axes.legend_below(axes[0], paper, 1)
    return list(axes)


def _in_rows(study: StudyLike) -> tuple[Study, pd.DataFrame, list[str], list[float]]:
    """A study with its table by budget, its methods in order, and a place for each row."""
    data = load_study(study, "study")
    table = score_axes.by_budget(rank_table(data))
    return data, table, score_axes.method_order(table["method"]), score_axes.row_places(table)


def _write(ax: Axes, y: float, text: str) -> None:
    """A value at the right end of its row."""
    at: Any = ax.get_yaxis_transform()
    ax.text(1.01, y, text, transform=at, va="center", fontsize=5.5, color="#303030")


def _count(name: str, axes: Sequence[Axes] | None, wanted: int) -> Sequence[Axes] | None:
    if axes is not None and len(axes) != wanted:
        raise InputError(f"{name}: axes must be {wanted}; got {len(axes)}")
    return axes


def _seeds(table: pd.DataFrame) -> str:
    low, high = int(table["n"].min()), int(table["n"].max())
    if low != high:
        return f"{low} to {high} seeds"
    return f"{high} seed{'s' if high > 1 else ''}"


def _paper(ax: Axes, paper: Sequence[dict[str, Any]]) -> list[Artist]:
    """Published ranges as bands of grey; entries of a legend that name them."""
    handles: list[Artist] = []
    for entry, colour in zip(paper, PAPER_COLOURS * len(paper), strict=False):
        low, high = float(entry["low"]), float(entry["high"])
        edge: dict[str, Any] = {"facecolor": colour, "edgecolor": "#707070", "linewidth": 0.5}
        ax.axvspan(low, high, zorder=0.5, **edge)
        values = f"{low:g}×" if low == high else f"{low:g}–{high:g}×"
        handles.append(Patch(label=f"published: {entry['what']}, {values}", **edge))
    return handles
