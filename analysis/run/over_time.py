"""What goes on over time: power by kind of component, tokens that wait, how busy rows are.

Counted in bins of time first, so a picture costs the same for a thousand visits and a million.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hyflexsim.analysis import style
from hyflexsim.analysis.run.measures import colours_of, kind_order
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.run.timeline_rows import arrange
from hyflexsim.analysis.run.visits import busy, select
from hyflexsim.analysis.style import kind_name, new_axes
from hyflexsim.sim.errors import InputError

BINS = 400


def edges_of(visits: pd.DataFrame, bins: int = BINS) -> NDArray[np.float64]:
    """Ends of equal bins from the first start to the last end: (bins + 1,), ps."""
    return np.linspace(int(visits["start_ps"].min()), int(visits["end_ps"].max()), bins + 1)


def power_by_kind(
    run: Run, edges: NDArray[np.float64], visits: pd.DataFrame | None = None
) -> pd.DataFrame:
    """mW drawn in each bin, a column a kind of component; of some ``visits`` (default: all).

    The energy of an op is spread over its visits at components of a kind, evenly in time; that of
    kinds without visits, such as shift-and-add, over all visits of the op. Raises InputError where
    the trace has not all visits: what to spread it over is then unknown.
    """
    if len(run.trace) != run.summary["visits"]:
        raise InputError(
            f"{run.path}: power over time needs all visits, and its trace has "
            f"{len(run.trace):,} of {run.summary['visits']:,}"
        )
    ops = [str(op) for op in run.trace["op"].cat.categories]
    kinds = [str(kind) for kind in run.trace["kind"].cat.categories]

    def where(table: pd.DataFrame) -> NDArray[np.int64]:
        """Number of each visit's op and kind."""
        op, kind = (table[name].cat.codes.to_numpy(np.int64) for name in ("op", "kind"))
        found: NDArray[np.int64] = op * len(kinds) + kind
        return found

    visits = run.trace if visits is None else visits
    shape = (len(ops), len(kinds))
    served = (run.trace["end_ps"] - run.trace["start_ps"]).to_numpy(float)
    served = np.bincount(where(run.trace), served, np.prod(shape)).reshape(shape)
    times = busy(
        visits["start_ps"].to_numpy(),
        visits["end_ps"].to_numpy(),
        where(visits),
        served.size,
        edges,
    ).reshape(*shape, -1)
    spent = run.energy.groupby(["kind", "op"])["energy_pj"].sum()
    found = {}
    for kind in kind_order(spent.index.unique("kind")):
        pj = spent.xs(kind, level="kind").reindex(ops, fill_value=0.0).to_numpy()
        # what works in the shadow of others has no visits: their op's are taken
        own = [kinds.index(kind)] if kind in kinds else list(range(len(kinds)))
        took, when = served[:, own].sum(1), times[:, own].sum(1)
        watts = np.divide(pj, took, out=np.zeros_like(pj), where=took > 0)  # pJ/ps
        found[kind] = 1e3 * (watts[:, None] * when).sum(0) / (edges[1] - edges[0])
    return pd.DataFrame(found)


def waiting_by_kind(run: Run, edges: NDArray[np.float64]) -> pd.DataFrame:
    """Mean number of tokens that wait in each bin, a column a kind where any ever does."""
    trace = run.trace
    waits = trace[trace["start_ps"] > trace["arrival_ps"]]
    kinds = kind_order(waits["kind"].unique().tolist())
    key = pd.Index(kinds).get_indexer(pd.Index(waits["kind"].astype(str)))
    span = waits["arrival_ps"].to_numpy(), waits["start_ps"].to_numpy()
    begin, end = (np.clip(times, edges[0], edges[-1]) for times in span)
    length = busy(begin, end, key, len(kinds), edges) / (edges[1] - edges[0])
    return pd.DataFrame(length.T, columns=kinds)


def power_plot(run: Run, *, ax: Axes | None = None, bins: int = BINS) -> Axes:
    """Power over time, stacked by kind of component; the mean as a line."""
    edges = edges_of(run.trace, bins)
    table = power_by_kind(run, edges) * 1e-3
    colours, unit = colours_of(run), style.time_scale(float(edges[-1] - edges[0]))
    with style.context():
        if ax is None:
            ax = new_axes(style.PAGE, 2.6)
        kinds = table.sum().sort_values(ascending=False).index
        ax.stackplot(
            edges[:-1] / unit.factor,
            table[kinds].to_numpy().T,
            colors=[colours[kind] for kind in kinds],
            labels=[kind_name(kind) for kind in kinds],
            step="post",
        )
        mean = float(table.to_numpy().sum(1).mean())
        ax.axhline(mean, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
        _frame(ax, edges, unit, f"power (W), mean {style.si(mean, 'W')}")
    return ax


def waiting_plot(run: Run, *, ax: Axes | None = None, bins: int = BINS) -> Axes:
    """Tokens that wait before components over time, a line a kind."""
    edges = edges_of(run.trace, bins)
    table = waiting_by_kind(run, edges)
    colours, unit = colours_of(run), style.time_scale(float(edges[-1] - edges[0]))
    with style.context():
        if ax is None:
            ax = new_axes(style.PAGE, 2.6)
        for kind in table.columns:
            line = table[kind].to_numpy()
            ax.step(
                edges[:-1] / unit.factor,
                line,
                where="post",
                color=colours[kind],
                label=f"{kind_name(kind)} (most {line.max():.3g})",
            )
        if table.empty:
            ax.plot(edges[[0, -1]] / unit.factor, [0, 0], color="black", label="nobody waits")
        _frame(ax, edges, unit, "tokens that wait, mean of a bin", 4)
    return ax


def busy_map(run: Run, *, ax: Axes | None = None, bins: int = BINS) -> Axes:
    """Busy share of components by time: a row a kind of component in a layer, dark is busy."""
    visits = select(run)
    rows = arrange(run, visits, None, 120)
    edges = np.linspace(*visits.window, bins + 1)
    times = busy(visits.start, visits.end, rows.of[visits.component], len(rows), edges)
    servers = np.array([row.servers for row in rows.rows])
    share = times / (servers[:, None] * (edges[1] - edges[0]))
    unit = style.time_scale(float(edges[-1] - edges[0]))
    with style.context():
        if ax is None:
            ax = new_axes(style.PAGE, max(0.9 + 0.09 * len(rows), 1.8))
        extent = (edges[0] / unit.factor, edges[-1] / unit.factor, len(rows), 0)
        image = ax.imshow(
            share,
            aspect="auto",
            extent=extent,
            cmap="Blues",
            vmin=0,
            vmax=max(float(share.max()), 1e-9),
            interpolation="nearest",
        )
        bands = rows.bands()
        ax.set_yticks(
            [(first + last) / 2 + 1e-3 for _, first, last in bands],  # beside those of rows
            [style.short(layer, 24) for layer, _, _ in bands],
        )
        ax.set_yticks(
            [i + 0.5 for i in range(len(rows))], [row.label for row in rows.rows], minor=True
        )
        ax.tick_params(axis="y", which="minor", labelsize=4.5, length=0, pad=2)
        ax.tick_params(axis="y", length=0, pad=62 if rows.group == "kind" else 75)
        for _, first, _ in bands[1:]:
            ax.axhline(first, color="#606060", linewidth=0.4)
        ax.set_xlabel(f"time ({unit.unit})")
        figure = ax.figure
        bar = figure.colorbar(image, ax=ax, pad=0.01, aspect=40)
        bar.set_label("busy share")
        bar.ax.yaxis.set_major_formatter(lambda y, _: style.percent(y))
        bar.outline.set_linewidth(0.4)
    return ax


def _frame(
    ax: Axes, edges: NDArray[np.float64], unit: style.Scale, what: str, ncols: int = 6
) -> None:
    ax.set_xlim(edges[0] / unit.factor, edges[-1] / unit.factor)
    ax.set_ylim(bottom=0)
    ax.grid(axis="y")
    ax.set_xlabel(f"time ({unit.unit})")
    ax.set_ylabel(what)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=ncols, borderaxespad=0)
