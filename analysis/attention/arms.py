"""Picture of trainings side by side: how binary attention becomes, and what accuracy does then."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.attention.style import panels

COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#8C8C8C", "#E69F00", "#D55E00", "#CC79A7", "#202020")
MARKERS = "os^DvPX<"


def arms_plot(ends: pd.DataFrame, curves: pd.DataFrame) -> Axes:
    """Left: share of rows above 0.5 by steps; right: accuracy against that share, at the end.

    Tables of workloads/reproduction/binary_studies.py; bars are 95 % intervals.
    """
    with style.context():
        _, axes = panels(1, 2, height=3.0)
        left, right = axes[0]
        looks = zip(ends.iterrows(), COLOURS, MARKERS, strict=False)
        for (_, end), colour, marker in looks:
            curve = curves[curves["arm"] == end["arm"]]
            left.plot(curve["step"], 100 * curve["share_50"], color=colour, lw=1)
            right.errorbar(
                100 * end["share_50"],
                end["accuracy"],
                1.96 * end["accuracy_error"],
                fmt=marker,
                ms=4,
                color=colour,
                label=end["title"],
            )
            left.plot(
                curve["step"].iloc[-1], 100 * curve["share_50"].iloc[-1], marker, ms=4, color=colour
            )
        left.set_xlabel("steps of 128 jets")
        left.set_xlim(left=0)
        left.set_ylim(bottom=0)
        left.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g} k" if x else "0")
        right.set_ylabel("accuracy, other jets")
        right.set_xlabel("rows with largest weight above 0.5 (%)")
        left.set_ylabel("rows with largest weight above 0.5 (%)")
        for ax in (left, right):
            ax.grid(axis="y")
        left.figure.legend(
            *right.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
        )
    first: Axes = left
    return first
