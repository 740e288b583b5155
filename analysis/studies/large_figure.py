"""A picture of models that take many chips: how late a further token is, by chips."""

from __future__ import annotations

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
        for (model, rate), rows in table.groupby(["model", "slc_rate"], sort=False):
            line = {"color": colours[model], "lw": 0.8, "ls": ":" if rate else "-"}
            ax.plot(rows["chips"], rows["further_us"], **line, zorder=1)
            for row in rows.itertuples():
                fill = "none" if rate else colours[model]
                style_ = {"color": colours[model], "mfc": fill, "ms": 5, "ls": ""}
                ax.plot(row.chips, row.further_us, marks[row.ways], **style_)
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
        line = {"color": "0.3", "marker": "o", "ls": ":" if rate else "-"}
        keys.append(
            Line2D([], [], mfc="none" if rate else "0.3", **line, label=f"{100 * rate:g} % SLC")
        )
    return keys
