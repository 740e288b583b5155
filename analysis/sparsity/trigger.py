"""A family of models in a trigger: tail latency by rate, against the budgets."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.studies.score_axes import beside, panels

BUDGETS = (12.5, 50.0)  # µs
COLOURS = ("#56B4E9", "#0072B2", "#D55E00")


def trigger_plot(table: pd.DataFrame) -> Axes:
    """Rows of workloads/sparsity/trigger.py: a line a design, marks by rate, chips beside them.

    Hollow marks lose jets.
    """
    designs = list(dict.fromkeys(table["design"]))
    places = {name: len(designs) - 1 - i for i, name in enumerate(designs)}
    with style.context():
        (ax,) = panels(1, style.PAGE, 0.7 + 0.42 * len(designs))
        for rate, colour in zip(sorted(set(table["rate_per_s"])), COLOURS, strict=False):
            rows = table[table["rate_per_s"] == rate]
            shift = 0.3 * (1 - COLOURS.index(colour))
            for label, lossy in (("", True), (f"{rate / 1000:g} k jets/s", False)):
                mine = rows[(rows["lost"] > 0) == lossy]
                heights = [places[name] + shift for name in mine["design"]]
                face = "white" if lossy else colour
                mark: dict[str, Any] = {
                    "color": colour,
                    "mfc": face,
                    "ms": 3.5,
                    "label": label or None,
                }
                ax.plot(mine["p999_us"], heights, "o", **mark)
            for _, row in rows.iterrows():
                left = row["chips"] == table["chips"].max()  # of two marks, the one further left
                at = (row["p999_us"], places[row["design"]] + shift)
                beside(ax, f"{row['chips']}", at, colour, left=left)
        for budget in BUDGETS:
            ax.axvline(budget, color="#606060", lw=0.6, ls="--")
        ax.set_xscale("log")
        low, high = 0.9 * table["p999_us"].min(), 1.15 * table["p999_us"].max()
        ticks = [tick for tick in (5, 10, 12.5, 20, 30, 50, 100, 200, 500) if low < tick < high]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_xlim(low, high)
        ax.minorticks_off()
        ax.set_yticks(list(places.values()), list(places))
        ax.set_ylim(-0.6, len(designs) - 0.4)
        ax.set_xlabel("latency, p99.9 (µs); numbers: chips; hollow: jets are lost")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, **style.LEGEND)
    return ax
