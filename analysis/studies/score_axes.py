"""What pictures of scores have in common: panels, score axes, floors, labelled lines, legends."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from hyflexsim.analysis import style
from hyflexsim.analysis.notebook import Picture
from hyflexsim.analysis.studies.studies import Study

MARKERS = "os^DvPX<>*"
METHOD_COLOURS = (*style.LABEL_COLOURS, "#202020", "#AA4499", "#999933")
METHODS = (
    *("tanh", "shrinkage", "sigmoid", "uniform", "energy", "global", "fwsvd"),
    *("asvd", "svd-llm"),
)
SELECT_COLOURS = {
    "gradient": "#0072B2",
    "gradient-last": "#56B4E9",
    "rank": "#D55E00",
    "magnitude": "#009E73",
}
ROUNDED = " rounded"
GREY = "#606060"

PROPER = {"spearman": "Spearman's ρ", "matthews": "Matthews correlation", "f1": "F1"}
"""Metrics that are called after somebody, or by a letter; others are words."""


def panels(
    count: int, width: float, height: float, widths: Sequence[float] | None = None, **share: Any
) -> list[Axes]:
    """Axes side by side on a figure of their own (inches), outside pyplot."""
    figure = Picture(figsize=(width, height), dpi=style.DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return list(figure.subplots(1, count, squeeze=False, width_ratios=widths, **share)[0])


def beside(
    ax: Axes, text: str, at: tuple[float, float], colour: str, *, left: bool = False
) -> None:
    """A small word right of a mark, or left of it, in the mark's colour."""
    ax.annotate(
        text,
        at,
        (-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=style.SMALL,
        color=colour,
    )


def figure_of(ax: Axes) -> Figure:
    """The whole figure that axes are on."""
    figure = ax.figure.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def select_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each way of selecting ranks, the same in every picture."""
    names = [*SELECT_COLOURS, *sorted(set(names) - set(SELECT_COLOURS))]
    free = ("#CC79A7", "#E69F00", "#8C6D31")
    colours = [*SELECT_COLOURS.values(), *(free[i % 3] for i in range(len(names)))]
    return dict(zip(names, colours, strict=False))


def method_order(names: Iterable[str]) -> list[str]:
    """Methods as :data:`METHODS` has them, then others by name; rounded ones after their own."""
    found = set(names)
    bases = sorted({name.removesuffix(ROUNDED) for name in found} - set(METHODS))
    order = [name + end for name in [*METHODS, *bases] for end in ("", ROUNDED)]
    return [name for name in order if name in found]


def method_look(name: str, names: Iterable[str]) -> dict[str, Any]:
    """Colour, marker and line of a method: rounded ones hollow and dashed."""
    bases = sorted({n.removesuffix(ROUNDED) for n in names} - set(METHODS))
    index = [*METHODS, *bases].index(name.removesuffix(ROUNDED))
    rounded = name.endswith(ROUNDED)
    colour = METHOD_COLOURS[index % len(METHOD_COLOURS)]
    return {
        "color": colour,
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": (0, (3, 1.5)) if rounded else "-",
        "markerfacecolor": "white" if rounded else colour,
        "markersize": 3.6,
        "markeredgewidth": 0.8,
        "linewidth": 1.0,
    }


def score_axis(
    ax: Axes, study: Study, values: Iterable[float], halves: Iterable[float] = ()
) -> None:
    """Scale, limits, grid and name of a y axis for these scores; the floor shaded.

    Logarithmic where less is better and the largest score is more than ten times the smallest.
    ``halves``: intervals of the first scores; one reaches at most as far again as all scores do.
    A floor more than half the range away stays out of view and is named below the axis.
    """
    scores = np.fromiter(values, float)
    half = np.nan_to_num(np.fromiter(halves, float))
    low, high = float(scores.min()), float(scores.max())
    log = not study.higher and low > 0 and high > 10 * low
    span = high - low or 0.1 * abs(high) or 0.1
    below = max(float(np.min(scores[: len(half)] - half, initial=low)), low - span)
    above = min(float(np.max(scores[: len(half)] + half, initial=high)), high + span)
    metric = study.info["metric"]
    floor = metric["floor"]
    seen = floor is not None and below - 0.5 * span <= floor <= above + 0.5 * span
    if log:
        seen = floor is not None and low / 2 <= floor <= high * 2
        below, above = max(below, low / 1.5), min(above, high * 1.5)
    if seen:
        below, above = min(below, floor), max(above, floor)
    if log:
        ax.set_yscale("log")
        room = (above / below) ** 0.06
        ax.set_ylim(below / room, above * room)
        log_ticks(ax.yaxis, above / below)
    else:
        room = 0.06 * (above - below or span)
        ax.set_ylim(below - room, above + room)
    ax.grid(axis="y")
    name = PROPER.get(metric["name"], metric["name"])
    name += "" if study.higher else " (lower is better)"
    if seen:
        ends = ax.get_ylim()
        ax.axhspan(*((ends[0], floor) if study.higher else (floor, ends[1])), color="#EFEFEF")
        ax.patches[-1].set(zorder=0)
    elif floor is not None:
        side = "below" if floor < low else "above"
        name += f"\n(floor {style.significant(floor)}: {side} this axis)"
    ax.set_ylabel(name)


def log_ticks(axis: Axis, ratio: float) -> None:
    """Plain numbers at 1, 2, 5 of each decade; over a wide `ratio` of the ends only at 1."""
    steps = (1.0,) if ratio > 2000 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(10, subs=steps, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}" if v < 1e6 else f"{v:g}"))
    axis.set_minor_locator(NullLocator())


def floor_label(study: Study, ax: Axes) -> list[tuple[str, float, str]]:
    """The floor as an entry of :func:`name_lines`, where it is in view."""
    floor = study.info["metric"]["floor"]
    low, high = ax.get_ylim()
    if floor is None or not low <= floor <= high:
        return []
    return [(f"floor {style.significant(floor)}", float(floor), "#8C8C8C")]


def name_lines(ax: Axes, lines: Iterable[tuple[str, float, str]], *, drawn: bool = False) -> None:
    """Horizontal lines, named at the right end, names kept apart: (text, y, colour).

    To be called last: limits and legend decide how far apart names are.
    """
    known = sorted(lines, key=lambda line: line[1])
    for i, (_, y, colour) in enumerate(known):
        if not drawn:
            look: dict[str, Any] = {"linestyle": _dashes(i), "linewidth": 0.8, "zorder": 1.5}
            ax.axhline(y, color=colour, **look)
    if not known:
        return
    figure_of(ax).draw_without_rendering()
    at = ax.transData.transform([(0, y) for _, y, _ in known])[:, 1]
    points = 72 / figure_of(ax).dpi
    wanted = at * points
    placed = spread(wanted, 7.6)
    for (text, y, colour), here, there in zip(known, wanted, placed, strict=True):
        ax.annotate(
            text,
            (1, y),
            (9, float(there - here)),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL,
            color="#303030",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "shrinkA": 0,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _dashes(index: int) -> Any:
    """A pattern of dashes for the horizontal line of that number, unlike its neighbours'."""
    return ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (2, 1)))[index % 4]


def spread(wanted: Sequence[float] | np.ndarray[Any, Any], gap: float) -> np.ndarray[Any, Any]:
    """Places at least ``gap`` apart, in the order given, nearest to the wanted (least squares).

    >>> spread([0, 10, 10], 4).tolist()
    [0.0, 8.0, 12.0]
    """
    blocks: list[list[float]] = []  # sum and number of (wanted - i gap) that share a place
    for i, y in enumerate(wanted):
        blocks.append([float(y) - i * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    base = np.repeat([s / n for s, n in blocks], [int(n) for _, n in blocks])
    places: np.ndarray[Any, Any] = base + gap * np.arange(len(base))
    return places


def rate_ticks(ax: Axes, rates: Iterable[float]) -> None:
    """A tick at each SLC rate, in %, named wherever there is room."""
    ticks = sorted({100 * rate for rate in rates})
    low, high = min(ticks), max(ticks)
    room = 0.03 * (high - low) or 1.0
    ax.set_xlim(low - room, high + room)
    wide = figure_of(ax).get_figwidth() * 72 * 0.6  # about what is left beside labels
    names: list[str] = []
    free = -np.inf
    for tick in ticks:
        middle = (tick - low) / max(high - low, 1e-9) * wide
        half = style.text_width(f"{tick:g}", 6.5) / 2 + 1
        fits = middle - half >= free
        names.append(f"{tick:g}" if fits else "")
        free = middle + half if fits else free
    ax.set_xticks(ticks, names)


def bands(
    ax: Axes, x: Any, y: Any, half: Any, colour: str, *, whiskers: bool = False, width: float = 0.7
) -> None:
    """Intervals around means: a band, or whiskers; none where the half width is nan."""
    x, y, half = (np.asarray(v, float) for v in (x, y, half))
    known = np.isfinite(half)
    if whiskers:
        x, y, half = x[known], y[known], half[known]
        ax.errorbar(
            x, y, half, fmt="none", ecolor=colour, elinewidth=width, capsize=1.4, capthick=width
        )
    elif known.any():
        half = np.where(known, half, 0.0)
        ax.fill_between(x, y - half, y + half, color=colour, alpha=0.16, linewidth=0)


def legend_below(
    ax: Axes, handles: Sequence[Artist], columns: int, points: float = 27, handle: float = 2.0
) -> None:
    """A legend that many points below the axes, outside them."""
    below = ScaledTranslation(0, -points / 72, ax.figure.dpi_scale_trans)
    place: dict[str, Any] = style.LEGEND | {
        "loc": "upper left",
        "borderpad": 0,
        "handlelength": 2.0,
    }
    ax.legend(
        handles=list(handles),
        ncols=columns,
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + below,
        **place,
    )


def columns_for(labels: Iterable[str], width: float, extra: float = 26.0) -> int:
    """How many columns of a legend with these labels fit into so many points."""
    widest = max(style.text_width(label, 6.5) for label in labels) + extra
    return max(int(width // widest), 1)


def name_sigma(study: Study, sigma: float, *, report: bool = False) -> str:
    """A noise in words: its σ, its name, and with ``report`` the error rate.

    That is the share of the model's own cells where it was recorded; else what the study's text
    says of cells in general.
    """
    known = {float(n["sigma"]): n for n in study.info.get("noise", [])}
    if sigma == 0:
        return "no noise"
    entry = known.get(float(sigma))
    text = f"σ = {sigma:.4g}"
    if entry is None:
        return text
    text += f" ({entry['name']})" if entry["name"] not in ("", "given") else ""
    own = entry.get("own_wrong_cells")
    if report and own is not None:
        return f"{text}: {100 * own:.2g} % of this model's cells read wrong"
    return f"{text}: {entry['report']}" if report and entry["report"] else text


def title(ax: Axes, study: Study, extra: str = "") -> None:
    """The study's title, left above the axes, and under it what the picture is a part of."""
    text = _wrapped(study, figure_of(ax).get_figwidth() * 0.8)
    ax.set_title(f"{text}\n{extra}" if extra else text, loc="left", fontsize=7, linespacing=1.4)


def heading(ax: Axes, study: Study, extra: str = "") -> None:
    """The same above all panels of a figure."""
    figure = figure_of(ax)
    text = _wrapped(study, figure.get_figwidth() * 0.8)
    text = f"{text}\n{extra}" if extra else text
    figure.suptitle(text, x=0.01, ha="left", fontsize=7, linespacing=1.4)


def _wrapped(study: Study, inches: float) -> str:
    return textwrap.fill(str(study.info["title"]), max(int(inches * 72 / 3.9), 20))


def outside_legend(ax: Axes, handles: Sequence[Artist], place: str, columns: int = 1) -> None:
    """A legend of a whole figure, outside all its panels."""
    look: dict[str, Any] = style.LEGEND | {"loc": f"outside {place}", "borderaxespad": 0.3}
    look |= {"handlelength": 2.0, "ncols": columns}
    figure_of(ax).legend(handles=list(handles), **look)


def by_budget(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by budget, then by method in the order of every picture."""
    order = method_order(table["method"])
    places = [order.index(name) for name in table["method"]]
    return table.assign(_=places).sort_values(["budget", "_"]).drop(columns="_")


def row_places(rows: pd.DataFrame) -> list[float]:
    """Places of rows downwards; each budget has one more row above it, for its name."""
    new = (rows["budget"] != rows["budget"].shift()).to_numpy()
    heads = np.cumsum(new * 1.1)
    return [float(y) for y in np.arange(len(rows)) + heads - 0.1]


def name_rows(ax: Axes, rows: pd.DataFrame, places: Sequence[float]) -> None:
    """Methods at the left of their rows, budgets in bold above them."""
    names = list(rows["method"])
    new = (rows["budget"] != rows["budget"].shift()).to_numpy()
    heads = [
        (y - 1, f"budget {100 * b:g} %")
        for y, b, n in zip(places, rows["budget"], new, strict=True)
        if n
    ]
    no_ticks(ax)
    ax.set_yticks([*places, *(y for y, _ in heads)], [*names, *(text for _, text in heads)])
    for label in ax.get_yticklabels()[len(names) :]:
        label.set_fontweight("bold")


def no_ticks(ax: Axes) -> None:
    """Rows without tick marks and line at the left."""
    ax.set_yticks([])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
