"""Runs beside each other: headline numbers, and their ratio to the first run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from hyflexsim.analysis import style
from hyflexsim.analysis.run.run import Run, read_summary
from hyflexsim.sim.errors import InputError

HEADLINES: tuple[tuple[str, str, str, float], ...] = (
    # name, path in summary.json, base unit, base units in one
    ("latency p50", "latency_ps.p50", "s", 1e-12),
    ("latency p95", "latency_ps.p95", "s", 1e-12),
    ("latency p99", "latency_ps.p99", "s", 1e-12),
    ("makespan", "makespan_ps", "s", 1e-12),
    ("throughput", "throughput_per_s", "1/s", 1.0),
    ("energy per request", "energy_per_request_pj", "J", 1e-12),
    ("energy per token", "energy_per_token_pj", "J", 1e-12),
    ("energy–delay", "energy_delay_pj_s", "J s", 1e-12),
    ("mean power", "power_w.mean", "W", 1.0),
    ("peak power", "power_w.peak", "W", 1.0),
    ("TOPS", "tops.achieved", "", 1.0),
    ("TOPS/W", "tops.per_w", "", 1.0),
    ("TOPS/mm²", "tops.per_mm2", "", 1.0),
    ("area used", "area_mm2.used", "mm²", 1.0),
    ("area of chips", "area_mm2.chip", "mm²", 1.0),
    ("writes per request", "writes_per_request", "cells", 1.0),
    ("visits", "visits", "", 1.0),
    ("multiply-accumulates", "macs", "", 1.0),
)
RunLike = Run | str | Path


def compare(run_dirs: Iterable[RunLike]) -> pd.DataFrame:
    """Headline numbers, a column a run, in units fit for the first; then ratios to the first.

    Rows are named ``latency p50``, … with a column ``unit``; shares of kinds of component follow
    as ``utilisation <kind>`` and ``energy <kind>``. The column ``B / A`` is run B's number
    divided by that of the first run, A.
    """
    names, summaries = _summaries(run_dirs)
    rows: dict[str, list[Any]] = {}
    for name, path, unit, factor in HEADLINES:
        values = [_get(summary, path) * factor for summary in summaries]
        scale = (
            style.scale(values[0], unit) if unit in ("s", "J", "J s") else style.Scale(unit, 1.0)
        )
        rows[name] = [scale.unit, *(v / scale.factor for v in values)]
    kinds = dict.fromkeys(k for s in summaries for k in s["energy_by_kind_pj"])
    unit = rows["energy per request"][0]
    factor = 1e-12 / style.scale(_get(summaries[0], "energy_per_request_pj") * 1e-12, "J").factor
    for kind in kinds:
        values = [float(s["energy_by_kind_pj"].get(kind, 0.0)) * factor for s in summaries]
        rows[f"energy {kind}"] = [unit, *values]
    kinds = dict.fromkeys(k for s in summaries for k in s["utilisation_by_kind"])
    for kind in kinds:
        values = [100 * float(s["utilisation_by_kind"].get(kind, 0.0)) for s in summaries]
        rows[f"utilisation {kind}"] = ["%", *values]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["unit", *names])
    base = table[names[0]].astype(float)
    for name in names[1:]:
        table[f"{name} / {names[0]}"] = table[name] / base.where(base != 0)
    return table


def compare_plot(run_dirs: Iterable[RunLike], *, ax: Axes | None = None) -> Axes:
    """Ratios to the first run, a bar a run in each group of headline numbers, on a log axis."""
    table = compare(run_dirs).iloc[: len(HEADLINES)]
    base, *others = [name for name in table.columns if " / " not in name and name != "unit"]
    if not others:
        raise InputError("compare_plot: at least two run directories are needed")
    table = table[(table[[base, *others]].astype(float) > 0).all(axis=1)]
    ratios = table[others].astype(float).div(table[base].astype(float), axis=0)
    with style.context():
        if ax is None:
            ax = style.new_axes(style.PAGE / 1.35, 0.9 + 0.14 * len(table) * max(len(others), 1.4))
        thick = 0.8 / len(others)
        for i, name in enumerate(others):
            y = np.arange(len(table)) - 0.4 + (i + 0.5) * thick
            colour = list(style.CLASS_COLOURS.values())[i % 7]
            ax.barh(y, ratios[name] - 1, thick * 0.9, left=1, color=colour, label=name)
            for at, value in zip(y, ratios[name], strict=True):
                side = 1 if value >= 1 else -1
                _note(ax, f"{style.significant(value)}×", (value, at), 3 * side)
        ax.axvline(1, color="#404040", linewidth=0.8)
        low, high = min(float(ratios.min().min()), 1 / 1.1), max(float(ratios.max().max()), 1.1)
        base_of_log = 10 if high / low > 100 else 2
        ax.set_xscale("log", base=base_of_log)
        room = (high / low) ** 0.22
        ax.set_xlim(low / room, high * room)
        ax.xaxis.set_major_locator(LogLocator(base_of_log, numticks=8))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:.12f}".rstrip("0").rstrip(".") + "×")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_yticks(range(len(table)), [str(name) for name in table.index])
        ax.set_ylim(len(table) - 0.5, -0.5)
        aside = ax.get_yaxis_transform()
        for at, (value, unit) in enumerate(zip(table[base], table["unit"], strict=True)):
            _note(ax, _plain(float(value), unit), (1, at), 4, aside)
        _note(ax, base, (1, -0.75), 4, aside)
        ax.set_xlabel(f"ratio to {base}")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.01), ncols=3, borderaxespad=0)
    return ax


def _note(
    ax: Axes, text: str, at: tuple[float, float], shift: float, coordinates: Any = "data"
) -> None:
    ax.annotate(
        text,
        at,
        (shift, 0),
        xycoords=coordinates,
        textcoords="offset points",
        ha="left" if shift > 0 else "right",
        va="center",
        fontsize=6,
        color="#303030",
    )


def _plain(value: float, unit: str) -> str:
    """A number with its unit, thousands apart; with a prefix from a million on, below 1/1000."""
    if value >= 1e6 or 0 < value < 1e-3:
        return f"{style.si(value, '')} {unit}".rstrip()
    text = f"{value:,.0f}" if value >= 1000 else style.significant(value)
    return f"{text} {unit}".rstrip()


def _summaries(run_dirs: Iterable[RunLike]) -> tuple[list[str], list[dict[str, Any]]]:
    runs = [run_dirs] if isinstance(run_dirs, str | Path | Run) else list(run_dirs)
    if not runs:
        raise InputError("compare: at least one run directory is needed")
    names: list[str] = []
    summaries = []
    for run in runs:
        path = run.path if isinstance(run, Run) else Path(run)
        if not isinstance(run, Run) and not path.is_dir():
            raise InputError(f"{path}: no such run directory")
        name = path.resolve().name
        if name in names:
            name = next(
                f"{name} ({i})" for i in range(2, len(runs) + 2) if f"{name} ({i})" not in names
            )
        names.append(name)
        summary = run.summary if isinstance(run, Run) else read_summary(path)
        summaries.append(summary)
    return names, summaries


def _get(summary: dict[str, Any], path: str) -> float:
    value: Any = summary
    for key in path.split("."):
        value = value[key]
    return float(value)
