"""A picture of models that take many chips: how late a further token is, by chips."""

from __future__ import annotations

from itertools import product
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from hyflexsim.analysis import style

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKS = ("o", "s", "^", "D", "v", "P")


def chips_plot(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Latency of a further token (µs) against chips, both logarithmic: a colour a model, a mark for
    chips that share a layer, hollow where cells of one bit hold a share of the outputs.

    ``table``: as ``hyflexsim large --out`` writes it.
    """
    models, ways = list(dict.fromkeys(table["model"])), sorted(set(table["ways"]))
    colours = {model: COLOURS[i % len(COLOURS)] for i, model in enumerate(models)}
    marks = {way: MARKS[i % len(MARKS)] for i, way in enumerate(ways)}
    with style.context():
        ax = style.new_axes(style.PAGE, 3.2) if ax is None else ax
        for model, rate in product(models, sorted(set(table["slc_rate"]))):
            rows = table[(table["model"] == model) & (table["slc_rate"] == rate)]
            colour, fill = colours[model], "none" if rate else colours[model]
            ax.plot(rows["chips"], rows["further_us"], _line(rate), color=colour, lw=0.8, zorder=1)
            for _, row in rows.iterrows():
                at = [row["chips"]], [row["further_us"]]
                ax.plot(*at, marks[row["ways"]], color=colour, mfc=fill, ms=5)
        ax.set_xscale("log")
        ax.set_yscale("log")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(10, (1, 2, 3, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("chips")
        ax.set_ylabel("latency of a further token (µs)")
        ax.legend(handles=_keys(table, colours, marks), loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def _keys(table: pd.DataFrame, colours: dict[str, str], marks: dict[int, str]) -> list[Line2D]:
    keys = [Line2D([], [], color=colour, label=model) for model, colour in colours.items()]
    for way, mark in marks.items():
        name = "pipeline" if way == 1 else f"{way} chips a layer"
        keys.append(Line2D([], [], color="0.3", marker=mark, ls="", label=name))
    for rate in sorted(set(table["slc_rate"])):
        name, fill = f"{100 * rate:g} % SLC", "none" if rate else "0.3"
        keys.append(Line2D([], [], color="0.3", marker="o", ls=_line(rate), mfc=fill, label=name))
    return keys


def _line(rate: float) -> Literal["-", ":"]:
    return ":" if rate else "-"
