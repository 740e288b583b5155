"""The roofline of a run (S. Williams, A. Waterman, D. Patterson, CACM 52(4), 2009).

A chip that computes in memory has many roofs: each kind of unit bounds the rate of
multiply-accumulates, each kind of link the rate of bytes. A roof is the rate at which the busiest
component of a kind would never rest, all else being free: the rate that was reached, over that
component's utilisation. So roofs hold for this model, placement and chip.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.run.measures import colours_of
from hyflexsim.analysis.run.run import Run
from hyflexsim.sim.errors import InputError

BITS = "_bit"
"""End of the name of an action that moves a bit."""


def roofs(run: Run) -> pd.DataFrame:
    """A row a kind of component that was busy at all, lowest roof first.

    Columns: ``macs_per_s`` (the roof: multiply-accumulates a second with the busiest one of the
    kind always busy), ``utilisation`` (of that one, 0 to 1), ``bytes`` (moved by the kind in the
    run; NaN for kinds that compute), ``macs_per_byte``.

    Raises InputError for a run without multiply-accumulates.
    """
    macs, seconds = run.summary["macs"], run.summary["makespan_ps"] * 1e-12
    if not macs or not seconds:
        raise InputError(f"{run.path}: a roofline needs multiply-accumulates; the run has none")
    busiest = run.components.groupby("kind")["utilisation"].max()
    busiest = busiest[busiest > 0]
    table = pd.DataFrame({"macs_per_s": macs / seconds / busiest, "utilisation": busiest})
    moved = run.energy[run.energy["action"].str.endswith(BITS)].groupby("kind")["count"].sum() / 8
    table["bytes"] = moved.reindex(table.index).astype(float)
    table["macs_per_byte"] = macs / table["bytes"]
    return table.sort_values("macs_per_s", kind="stable")


def roofline_plot(runs: Run | Iterable[Run], *, ax: Axes | None = None) -> Axes:
    """Reached MACs a second against MACs a byte, below the roofs of the first run.

    Links are slanted lines, with a point where the run's own bytes put it; units are level lines,
    the lowest roof first. Roofs far above all others are left out. Of several runs, each has its
    points.
    """
    every = [runs] if isinstance(runs, Run) else list(runs)
    tables = [roofs(run) for run in every]
    first = tables[0]
    reached = [run.summary["macs"] / (run.summary["makespan_ps"] * 1e-12) for run in every]
    bytes_ = pd.concat(tables)["macs_per_byte"].dropna()
    low, high = (bytes_.min() / 30, bytes_.max() * 30) if len(bytes_) else (1.0, 100.0)
    colours = colours_of(every[0])
    with style.context():
        if ax is None:
            ax = style.new_axes(style.PAGE, 3.4)
        x = np.geomspace(low, high, 200)
        top = max(first["macs_per_s"].iloc[0] * 30, max(reached) * 10)
        for kind in first.index[first["macs_per_s"] < top]:
            row = first.loc[kind]
            slanted = not np.isnan(row["bytes"])
            y = row["macs_per_s"] * (x / row["macs_per_byte"] if slanted else np.ones_like(x))
            used = style.percent(float(row["utilisation"]))
            ax.plot(
                x,
                y,
                color=colours[kind],
                linestyle="--" if slanted else _in_turn(first, str(kind)),
                label=f"{style.kind_name(kind)}: {_rate(row)}, {used} of it reached",
            )
        for i, (run, table, rate) in enumerate(zip(every, tables, reached, strict=True)):
            links = table.dropna(subset="bytes")
            marker: Any = "osD^v"[i % 5]
            colour = [colours[str(kind)] for kind in links.index]
            ax.scatter(
                links["macs_per_byte"],
                np.full(len(links), rate),
                c=colour,
                marker=marker,
                s=26,
                edgecolors="black",
                linewidths=0.6,
                zorder=3,
            )
            said = f"{run.name}: {style.si(rate, 'MAC/s')}"
            ax.axhline(rate, color="black", linewidth=0.7, linestyle=(0, (1, 2)), label=said)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(low, high)
        ax.set_ylim(min(reached) / 3, top)
        ax.set_xlabel("multiply-accumulates a byte over a kind of link")
        ax.set_ylabel("multiply-accumulates a second")
        ax.grid(which="major")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    return ax


def _in_turn(table: pd.DataFrame, kind: str) -> Any:
    """Line style of a level roof: a line, or dashes in turn with those of its height."""
    level = table.loc[table["bytes"].isna(), "macs_per_s"]
    same = [name for name in level.index if np.isclose(level[name], level[kind])]
    if len(same) == 1:
        return "-"
    return (6 * same.index(kind), (6, 6 * (len(same) - 1)))


def _rate(row: pd.Series) -> str:
    if np.isnan(row["bytes"]):
        return style.si(row["macs_per_s"], "MAC/s")
    return style.si(row["macs_per_s"] / row["macs_per_byte"], "B/s")
