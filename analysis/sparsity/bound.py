"""What sparse attention could save at most: shares of energy, of time to an answer, of pace."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.studies.score_axes import panels

COLOURS = {
    "QKᵀ": "#0072B2",
    "softmax": "#CC79A7",
    "PV": "#56B4E9",
    "operand writes": "#E69F00",
    "pairs": "#009E73",
}
GROUPS = {"after the scores": ("o", "#56B4E9"), "attention": ("s", "#0072B2")}
GROUPS["pairs"] = ("^", COLOURS["pairs"])


def bound_plot(table: pd.DataFrame) -> Axes:
    """Rows of workloads/sparsity/bound.py: energy stacked by part, time by what costs nothing.

    Parts of the energy add up; savings of time do not, and may be below nothing.
    """
    cases = list(dict.fromkeys(zip(table["model"], table["tokens"], table["decode"], strict=True)))
    places = {case: len(cases) - 1 - i for i, case in enumerate(cases)}
    names = [f"{model}, {n:,}{' (text)' if text else ''}" for model, n, text in cases]
    with style.context():
        axes = panels(3, style.PAGE, 0.6 + 0.24 * len(cases), sharey=True)
        left, middle, right = axes
        reached = dict.fromkeys(cases, 0.0)
        for part, colour in COLOURS.items():
            rows = table[table["what"] == part]
            keys = list(zip(rows["model"], rows["tokens"], rows["decode"], strict=True))
            width = 100 * rows["energy"].to_numpy()
            left.barh(
                [places[key] for key in keys],
                width,
                left=[reached[key] for key in keys],
                color=colour,
                label=part,
                height=0.7,
            )
            for key, value in zip(keys, width, strict=True):
                reached[key] += value
        for ax, column in ((middle, "answer"), (right, "pace")):
            for shift, (group, (marker, colour)) in enumerate(GROUPS.items()):
                rows = table[(table["what"] == group) & table[column].notna()]
                keys = list(zip(rows["model"], rows["tokens"], rows["decode"], strict=True))
                heights = [places[key] + 0.2 * (1 - shift) for key in keys]
                ax.plot(100 * rows[column], heights, marker, color=colour, ms=3.2, label=group)
            ax.axvline(0, color="#606060", lw=0.6)
        left.set_yticks(list(places.values()), names)
        left.set_ylim(-0.6, len(cases) - 0.4)
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), **style.LEGEND}
        left.legend(ncols=3, **above)
        middle.legend(ncols=2, **above)
        left.set_xlabel("share of energy (%)")
        middle.set_xlabel("sooner answered, alone (%)")
        right.set_xlabel("less time of the busiest part (%)")
        for ax in axes:
            ax.grid(axis="x")
    first: Axes = left
    return first
