"""What pictures of Pareto points have in common: noises, axes of costs, fronts, the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.studies import score_axes
from hyflexsim.analysis.studies.studies import Study, StudyLike, load_study
from hyflexsim.sim.errors import InputError

FRONT = "#B2182B"
COSTS = {
    "energy_pj": ("energy per request", "J"),
    "latency_ps": ("latency", "s"),
    "area_mm2": ("area", "mm²"),
}
"""Names of costs, and the unit of their axis, with a prefix where the table has pico-units."""


def noise_of(data: Study, noise: str | None) -> str:
    """A noise of a study; None: its first. Raises InputError for one that it does not have."""
    known = list(dict.fromkeys(data.table["noise"]))
    if noise is None:
        return str(known[0])
    if noise not in known:
        raise InputError(
            f"{data.path / 'pareto.parquet'}: column 'noise' has {', '.join(known)}; got {noise!r}"
        )
    return noise


def of_noise(study: StudyLike, noise: str | None) -> Study:
    """A Pareto study with the rows of one noise alone (None: its first).

    Raises InputError for another kind of study, and for a noise that it does not have.
    """
    data = load_study(study, "pareto")
    table = data.table[data.table["noise"] == noise_of(data, noise)]
    return replace(data, tables={"pareto": table})


def check_axes(axes: Sequence[Axes] | None, count: int, picture: str) -> None:
    """Raise InputError unless a picture gets as many axes as it fills; None: it makes them."""
    if axes is not None and len(axes) != count:
        raise InputError(f"{picture}: axes must be {count}; got {len(axes)}")


def own_chip(data: Study) -> str:
    """Name of the chip that the others are compared with."""
    return str(next(iter(data.info["chips"])))


def name_noise(table: pd.DataFrame) -> str:
    """The noise of rows in words: its σ, which may differ by chip, and its name."""
    low, high = table["sigma"].min(), table["sigma"].max()
    sigma = f"{low:.4g}" if low == high else f"{low:.3g} to {high:.3g}, by chip"
    name = table["noise"].iloc[0]
    if high == 0:
        return "no noise"
    return f"σ = {sigma}" + ("" if name == f"{low:g}" else f" ({name})")


def reference_line(ax: Axes, level: float) -> None:
    """The score without cells, across the axes."""
    ax.axhline(level, color=score_axes.GREY, linestyle=(0, (4, 2)), linewidth=0.8)
    ax.lines[-1].set_label("reference")


def name_seeds(table: pd.DataFrame) -> str:
    """How many chips were programmed for each point."""
    low, high = int(table["seeds"].min()), int(table["seeds"].max())
    return f"{low} to {high} seeds" if low < high else f"{high} seed{'s'[: high - 1]}"


def cost_axis(ax: Axes, column: str, values: pd.Series[Any]) -> float:
    """Name and ends of the axis of a cost; how much of the table is one of the axis.

    Logarithmic where the largest is more than five times the smallest.
    """
    name, base = COSTS[column]
    unit, factor = base, 1.0
    if not column.endswith("mm2"):
        unit, scale = style.scale(float(values.max()) * 1e-12, base)
        factor = scale * 1e12
    low, high = float(values.min()) / factor, float(values.max()) / factor
    room = 0.07 * (high - low) or 0.1 * high
    if high > 5 * low:
        ax.set_xscale("log")
        ax.set_xlim(low / 1.15, high * 1.15)
        score_axes.log_ticks(ax.xaxis, high / low)
    else:
        ax.set_xlim(low - room, high + room)
    ax.set_xlabel(f"{name} ({unit})")
    return factor


def front_line(ax: Axes, front: pd.DataFrame, column: str, factor: float) -> None:
    """The staircase along a front, to the end of the axis."""
    x, y = front[column].to_numpy() / factor, front["score"].to_numpy()
    look: dict[str, Any] = {"color": FRONT, "linewidth": 0.9, "drawstyle": "steps-post"}
    ax.plot([*x, ax.get_xlim()[1]], [*y, y[-1]], zorder=1.8, label="Pareto front", **look)
