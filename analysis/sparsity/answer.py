"""What each of a family of models scores, against how late it answers at a trigger's rates."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine

from hyflexsim.analysis import style
from hyflexsim.analysis.sparsity.trigger import BUDGETS
from hyflexsim.analysis.studies.score_axes import GREY, figure_of, panels

COLOUR = "#0072B2"


def answer_plot(trigger: pd.DataFrame, scores: pd.DataFrame) -> Axes:
    """A panel a rate, on the most chips of the table: accuracy against p99.9, numbers for models.

    Rows of workloads/sparsity/trigger.py and of designs.scores_in; hollow marks lose jets, bars
    are 95 % intervals, dashed lines the budgets.
    """
    chips = trigger["chips"].max()
    both = trigger[trigger["chips"] == chips].merge(
        scores[["design", "accuracy", "accuracy_error"]], on="design"
    )
    titles = list(dict.fromkeys(both["design"]))
    rates = sorted(set(both["rate_per_s"]))
    low, high = 0.88 * both["p999_us"].min(), 1.2 * both["p999_us"].max()
    with style.context():
        axes = panels(len(rates), style.PAGE, 3.4, sharey=True)
        for ax, rate in zip(axes, rates, strict=True):
            for _, row in both[both["rate_per_s"] == rate].iterrows():
                _mark(ax, row, 1 + titles.index(row["design"]))
            for budget in BUDGETS:
                ax.axvline(budget, color=GREY, lw=0.6, ls="--")
            ax.set_xscale("log")
            ax.set_xlim(low, high)
            ticks = [tick for tick in (12.5, 25, 50, 100, 200) if low < tick < high]
            ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            ax.minorticks_off()
            ax.set_title(f"{rate / 1000:g} k jets/s, {chips} chips", fontsize=style.SMALL)
            ax.set_xlabel("latency, p99.9 (µs)")
        axes[0].set_ylabel("accuracy")
        listed = [f"{number}  {title}" for number, title in enumerate(titles, 1)]
        columns = 3
        rows = -(-len(listed) // columns)
        below = 0.046 * rows + 0.02  # share of the height that the list takes
        texts = ["\n".join(listed[i * rows : (i + 1) * rows]) for i in range(columns)]
        figure = figure_of(axes[0])
        engine = figure.get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine)
        engine.set(rect=(0, below, 1, 1 - below))
        for i, text in enumerate(texts):
            figure.text(0.02 + i / columns, below - 0.02, text, va="top", fontsize=style.SMALL)
    return axes[0]


def _mark(ax: Axes, row: pd.Series, number: int) -> None:
    """A disc with the model's number in it, so that neighbours can be told apart."""
    lossy = row["lost"] > 0
    at = (row["p999_us"], row["accuracy"])
    ax.errorbar(*at, 1.96 * row["accuracy_error"], fmt="none", ecolor=COLOUR, elinewidth=0.8)
    ax.plot(*at, "o", ms=8, color=COLOUR, mfc="white" if lossy else COLOUR)
    ax.annotate(
        str(number),
        at,
        ha="center",
        va="center",
        fontsize=style.SMALL - 1,
        color=COLOUR if lossy else "white",
    )
