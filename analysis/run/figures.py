"""Pictures of a run's numbers: energy, utilisation, latency. Axes in, Axes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hyflexsim.analysis import style
from hyflexsim.analysis.run.measures import (
    colours_of,
    energy_by,
    kind_order,
    latency_quantiles,
    layer_order,
)
from hyflexsim.analysis.run.measures import utilisation as utilisation_of
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.style import (
    LABEL_COLOURS,
    LEGEND,
    PAGE,
    context,
    kind_name,
    new_axes,
)

LABEL_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def energy_breakdown(run: Run, *, ax: Axes | None = None, max_layers: int = 26) -> Axes:
    """Energy per request: a bar for the whole, then one a layer, stacked by kind of component.

    The legend gives each kind's share of the whole. Beyond ``max_layers`` layers the last bars
    are one.
    """
    count = max(len(run.requests), 1)
    table = run.energy.pivot_table(
        index="layer", columns="kind", values="energy_pj", aggfunc="sum", fill_value=0.0
    )
    order = [n for n in ["", *layer_order(run)] if n in table.index]
    order += [n for n in table.index if n not in order]  # an op's layer without weights
    names = [style.short(name, 24) for name in order]
    table = table.loc[order, kind_order(table.columns)] / count
    if len(table) > max_layers:
        rest = table.iloc[max_layers - 1 :].sum().to_frame().T
        names = [*names[: max_layers - 1], f"{len(table) - max_layers + 1} more"]
        table = pd.concat([table.iloc[: max_layers - 1], rest])
    total = table.sum()
    whole = max(float(total.sum()), 1e-300)
    unit = style.scale(whole * 1e-12, "J")
    colours = colours_of(run)
    labels = [f"{kind_name(k)} {style.percent(total[k] / whole)}" for k in table.columns]
    with context():
        if ax is None:
            ax = new_axes(PAGE, 1.15 + 0.135 * (len(table) + 1))
        columns = style.legend_columns(labels, _beside_names(ax, ["all layers", *names]))
        y = np.append(-0.4, np.arange(len(table)) + 1.0)
        left = np.zeros(len(y))
        for kind, label in zip(table.columns, labels, strict=True):
            width = np.append(total[kind], table[kind].to_numpy()) * 1e-12 / unit.factor
            share = total[kind] / whole
            ax.barh(y, width, 0.74, left=left, color=colours[kind], label=label)
            ax.patches[-len(y)].set(y=y[0] - 0.55, height=1.1)
            if share >= 0.06:
                _inside(ax, left[0] + width[0] / 2, y[0], style.percent(share), colours[kind])
            left += width
        for at, width, share in zip(y[1:], left[1:], table.sum(axis=1) / whole, strict=True):
            _after(ax, width, at, style.percent(share))
        ax.set_yticks(y, ["all layers", *names])
        ax.set_ylim(len(table) + 0.6, -1.15)
        ax.set_xlim(0, max(left[0] * 1.02, max(left[1:]) * 1.08))
        ax.set_xlabel(f"energy per request ({unit.unit}), mean of {count}")
        _across(ax)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=columns, **LEGEND)
    return ax


def utilisation_plot(run: Run, *, ax: Axes | None = None) -> Axes:
    """Busy share of the makespan by kind of component: bar = mean, dots = single components."""
    table = utilisation_of(run)
    colours = colours_of(run)
    with context():
        if ax is None:
            ax = new_axes(PAGE / 1.35, 0.65 + 0.21 * len(table))
        rng = np.random.default_rng(0)
        for i, (kind, row) in enumerate(table.iterrows()):
            name = str(kind)
            ax.barh(i, row["mean"], 0.7, color=colours[name], alpha=0.85)
            single = run.components.loc[run.components["kind"] == name, "utilisation"].to_numpy()
            if len(single) > 1:
                jitter = rng.uniform(-0.22, 0.22, len(single))
                strong = min(max(40 / len(single), 0.05), 0.5)
                ax.scatter(single, i + jitter, s=3, color="#202020", alpha=strong, linewidths=0)
            _beside(ax, i, style.percent(row["mean"]))
        _beside(ax, -0.85, "mean")
        counts = table["components"].to_numpy()
        names = [kind_name(str(k)) for k in table.index]
        labels = [f"{n} ×{c}" if c > 1 else n for n, c in zip(names, counts, strict=True)]
        ax.set_yticks(range(len(table)), labels)
        ax.set_ylim(len(table) - 0.4, -0.6)
        top = max(float(table["max"].max()), 1e-6)
        ax.set_xlim(0, min(top * 1.06, 1.02))
        ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
        ax.set_xlabel("busy share of the makespan (bar: mean, dots: components)")
        _across(ax)
    return ax


def latency_cdf(run: Run, *, ax: Axes | None = None) -> Axes:
    """Share of requests answered within a time; p50, p95, p99 marked; a line a label.

    A deadline of the scenario is a vertical line; the legend says which share keeps it.
    Labels (jet classes) get lines of their own where there are at most seven.
    """
    quantiles = latency_quantiles(run)
    unit = style.time_scale(float(run.requests["latency_ps"].max()))
    labels = [str(name) for name in quantiles.index[1:]]
    labels = labels if len(labels) <= len(LABEL_COLOURS) else []
    with context():
        if ax is None:
            ax = new_axes(4.6, 2.7)
        for i, label in enumerate(labels):
            mine = run.requests.loc[run.requests["label"] == label, "latency_ps"]
            line: dict[str, Any] = {
                "color": LABEL_COLOURS[i],
                "linestyle": LABEL_STYLES[i % 5],
                "linewidth": 1.0,
            }
            ax.ecdf(mine.to_numpy() / unit.factor, label=f"{label} ({len(mine)})", **line)
        every = run.requests["latency_ps"].to_numpy() / unit.factor
        ax.ecdf(every, color="black", linewidth=1.6, label=f"all ({len(every)})")
        deadline = run.summary["stream"]["deadline_ps"]
        low, high = float(every.min()), float(every.max())
        if deadline is not None:
            at, kept = (
                deadline / unit.factor,
                float((run.requests["latency_ps"] <= deadline).mean()),
            )
            ax.axvline(at, color="black", linewidth=1.0, linestyle=(0, (1, 1)))
            ax.lines[-1].set_label(f"deadline ({style.percent(kept)} in time)")
            low, high = min(low, at), max(high, at)
        pad = 0.06 * (high - low) or 0.05 * high or 1.0
        start = 0.0 if low < 0.35 * high and high > low else low - pad
        ax.set_xlim(start, high + pad)
        ax.set_ylim(0, 1.005)
        values = quantiles.iloc[0]
        for share, column in ((0.5, "p50_ps"), (0.95, "p95_ps"), (0.99, "p99_ps")):
            x = float(values[column]) / unit.factor
            ax.plot([x, x], [0, share], color="#777777", linewidth=0.7, linestyle=(0, (3, 2)))
            ax.plot([x], [share], "o", color="black", markersize=3)
        lines = [
            f"{name} {style.significant(float(values[f'{name}_ps']) / unit.factor, 4)} {unit.unit}"
            for name in ("p50", "p95", "p99")
        ]
        ax.set_xlabel(f"latency ({unit.unit})")
        ax.set_ylabel("share of requests")
        ax.yaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
        ax.grid(axis="both")
        beside = LEGEND | {"handlelength": 2.2, "loc": "upper left", "alignment": "left"}
        ax.legend(bbox_to_anchor=(1.03, 1), title="\n".join(lines), title_fontsize=6.5, **beside)
    return ax


def latency_vs_tokens(run: Run, *, ax: Axes | None = None) -> Axes:
    """Latency of each request against its tokens, a colour a label."""
    table = run.requests
    unit = style.time_scale(float(table["latency_ps"].max()))
    labels = sorted(set(table["label"]))
    with context():
        if ax is None:
            ax = new_axes(4.6, 2.7)
        for i, label in enumerate(labels):
            mine = table[table["label"] == label]
            colour = LABEL_COLOURS[i % len(LABEL_COLOURS)]
            x, y = mine["tokens"], mine["latency_ps"] / unit.factor
            ax.scatter(x, y, s=9, color=colour, alpha=0.75, linewidths=0, label=label or None)
        ax.set_xlabel("tokens")
        ax.set_ylabel(f"latency ({unit.unit})")
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(axis="both")
        if len(labels) > 1:
            ax.legend(loc="upper left", bbox_to_anchor=(1.03, 1), **LEGEND)
    return ax


def energy_plot(run: Run, by: str = "action", *, ax: Axes | None = None, top: int = 20) -> Axes:
    """Energy of the run by any key of :func:`energy_by`, the ``top`` largest."""
    table = energy_by(run, by).head(top)
    colour: Callable[[str], str] = {
        "kind": colours_of(run).__getitem__,
        "class": style.class_colour,
    }.get(by, lambda _: "#3F7FC4")
    unit = style.scale(float(table["energy_pj"].max()) * 1e-12, "J")
    with context():
        if ax is None:
            ax = new_axes(PAGE / 1.35, 0.65 + 0.17 * len(table))
        width = table["energy_pj"].to_numpy() * 1e-12 / unit.factor
        ax.barh(range(len(table)), width, 0.74, color=[colour(str(k)) for k in table.index])
        for i, share in enumerate(table["share"]):
            _after(ax, width[i], i, style.percent(share))
        ax.set_yticks(range(len(table)), [str(k) for k in table.index])
        ax.set_ylim(len(table) - 0.4, -0.6)
        ax.set_xlim(0, max(width) * 1.1)
        ax.set_xlabel(f"energy of the run ({unit.unit}) by {by}")
        _across(ax)
    return ax


def _beside_names(ax: Axes, names: list[str]) -> float:
    """Points that a figure leaves right of the names of its rows."""
    figure = ax.figure.get_figure(root=True)
    assert isinstance(figure, Figure)
    widest = max(style.text_width(name, 6.5) for name in names)
    return float(figure.get_figwidth()) * 72 - widest - 14


def _after(ax: Axes, x: float, y: float, text: str) -> None:
    ax.annotate(text, (x, y), (3, 0), textcoords="offset points", va="center", fontsize=6)


def _beside(ax: Axes, y: float, text: str) -> None:
    at: Any = ax.get_yaxis_transform()
    ax.annotate(
        text, (1, y), (4, 0), xycoords=at, textcoords="offset points", va="center", fontsize=6
    )


def _inside(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=6, color=style.ink(colour))


def _across(ax: Axes) -> None:
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
