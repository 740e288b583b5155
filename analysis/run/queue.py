"""The picture of a stream: how many requests there are over time, and how late their answers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hyflexsim.analysis import style
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.style import LEGEND, context, new_axes

BINS = 400
"""Of time: less than what a column of a page shows."""

COLOURS = {"in all": "#0072B2", "at the host": "#D55E00"}


def queue_plot(run: Run, *, ax: Axes | None = None) -> Axes:
    """Requests that have come and are not answered, and those that wait at the host, over time.

    Each line is the mean over a four-hundredth of the run; requests that were lost are in none. The
    second line is dashed, and absent where nobody ever waits at the host.
    """
    table = run.requests
    span = int(run.summary["makespan_ps"])
    unit = style.time_scale(float(span))
    edges = np.linspace(0, span, BINS + 1)
    with context():
        if ax is None:
            ax = new_axes(4.6, 2.4)
        for name, until in (("in all", "finish_ps"), ("at the host", "start_ps")):
            mean = mean_present(table["arrival_ps"].to_numpy(), table[until].to_numpy(), edges)
            colour, whole = COLOURS[name], name == "in all"
            if not (whole or mean.any()):
                continue
            dashes = "-" if whole else "--"
            at = edges / unit.factor
            ax.stairs(mean, at, label=name, color=colour, linewidth=1.2, linestyle=dashes)
            if whole:
                ax.stairs(mean, at, fill=True, color=colour, alpha=0.15)
        found, notes = run.summary["stream"], []
        if found["served_at_most_per_s"] is not None:
            come, most = found["offered_per_s"], found["served_at_most_per_s"]
            notes = ["grows without bound:", f"{style.si(come, '/s')} come,"]
            notes += [f"{style.si(most, '/s')} are served"]
        lost = run.summary["lost_by"]["queue"]
        notes += [f"{lost} found the queue full"] if lost else []
        ax.set_xlim(0, span / unit.factor)
        ax.set_ylim(bottom=0)
        ax.set_xlabel(f"time ({unit.unit})")
        ax.set_ylabel("requests")
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis="both")
        beside = LEGEND | {"loc": "upper left", "alignment": "left", "title_fontsize": 6.5}
        ax.legend(bbox_to_anchor=(1.03, 1), title="\n".join(notes) or None, **beside)
    return ax


def mean_present(since: np.ndarray, until: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many are there from ``since`` until ``until``, on average between neighbouring edges.

    >>> mean_present(np.array([0, 2]), np.array([4, 3]), np.array([0.0, 2.0, 4.0]))
    array([1. , 1.5])
    """
    passed = [np.sort(times) for times in (since, until)]
    # the time that all of them have spent so far: of n that came at t, n x edge - their sum
    spent = np.zeros(len(edges))
    for sign, times in zip((1, -1), passed, strict=True):
        count = np.searchsorted(times, edges)
        sums = np.concatenate([[0.0], np.cumsum(times, dtype=np.float64)])
        spent += sign * (count * edges - sums[count])
    return np.diff(spent) / np.diff(edges)
