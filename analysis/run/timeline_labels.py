"""Words on a timeline: names of rows and layers, numbers in bars, request marks, legend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from hyflexsim.analysis import style
from hyflexsim.analysis.run.measures import kind_order
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.run.timeline_rows import Rows
from hyflexsim.analysis.run.visits import CHUNK, CLASSES, Visits, requests_of, seen

Across = Callable[[Any], NDArray[np.float64]]
BAR = 0.86  # height of a bar, in rows
MARGINS = 62.0  # points above and below the axes: request marks, time, legend
ROOMY = 6.4  # points a row needs for a name of its own
MANY = 40  # requests that can be told apart by lines
NEVER = np.iinfo(np.int64).max
LABELS = 1500  # numbers written into visits, at most


def height(rows: Rows, exact: bool) -> float:
    """Inches a figure needs."""
    count = len(rows)
    pitch = (18.0 if count <= 16 else 10.0) if exact else (9.0 if count <= 60 else 5.0)
    pitch = max(pitch, min(30.0, 90.0 / count))
    return min(max((count * pitch + MARGINS) / 72, 1.6), 8.8)


def pitch(ax: Axes, rows: int) -> float:
    """Points from row to row, before layout has made room for text."""
    figure = ax.figure.get_figure(root=True)
    assert isinstance(figure, Figure)
    tall: float = ax.get_position().height * figure.get_figheight() * 72
    if figure.get_layout_engine() is not None and len(figure.axes) == 1:
        tall = figure.get_figheight() * 72 - MARGINS
    return max(tall, 1.0) / rows


def _aside(ax: Axes, x: float, y: float = 0.0) -> Any:
    """Transform with x a share of the axes and y in rows, moved by so many points."""
    return ax.get_yaxis_transform() + ScaledTranslation(x / 72, y / 72, ax.figure.dpi_scale_trans)


def label_rows(ax: Axes, rows: Rows, pitch: float, share: NDArray[np.float64], head: str) -> None:
    """Names of rows where they fit, of layers beside them; at the right shares under a head."""
    bands = rows.bands()
    for i, (_, first, last) in enumerate(bands):
        if i % 2:
            ax.axhspan(first, last, color="#F4F4F4", zorder=0, linewidth=0)
        if first and rows.group != "layer":
            ax.axhline(first, color="#C4C4C4", linewidth=0.5, zorder=1)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=3)
    if pitch < ROOMY:
        _name_thin_rows(ax, rows, bands, pitch)
        return
    size = min(6.5, pitch * 0.92)
    ax.set_yticks(np.arange(len(rows)) + 0.5, [row.label for row in rows.rows], fontsize=size)
    note: dict[str, Any] = {"fontsize": min(6.0, size), "color": "#505050"}
    for i, value in enumerate(share):
        ax.text(
            1, i + 0.5, style.percent(value), transform=_aside(ax, 4), va="center_baseline", **note
        )
    ax.text(1, 0, head, transform=_aside(ax, 4, 2), va="bottom", **note)
    if rows.group != "layer" and len(bands) > 1:
        widest = max(style.text_width(row.label, size) for row in rows.rows)
        _name_bands(ax, bands, pitch, widest + 10)


def _name_bands(ax: Axes, bands: list[tuple[str, int, int]], pitch: float, offset: float) -> None:
    """Layer names left of the row names: upright where all fit so, else level."""
    names = [style.short(layer) for layer, _, _ in bands]
    upright = all(
        style.text_width(name, 6.5) < (last - first) * pitch - 2
        for name, (_, first, last) in zip(names, bands, strict=True)
    )
    for name, (_, first, last) in zip(names, bands, strict=True):
        ax.text(
            0,
            (first + last) / 2,
            name,
            transform=_aside(ax, -offset),
            rotation=90 if upright else 0,
            ha="right",
            va="center",
            fontsize=6.5,
            fontweight="bold",
        )


def _name_thin_rows(ax: Axes, rows: Rows, bands: list[tuple[str, int, int]], pitch: float) -> None:
    """Only layers are named; a strip beside the rows says which kind of component each is."""
    ticks: list[float] = []
    names: list[str] = []
    for layer, first, last in bands:
        middle = (first + last) / 2
        if not ticks or (middle - ticks[-1]) * pitch >= 6.5:  # else it would touch its neighbour
            ticks.append(middle)
            names.append(style.short(layer))
    ax.set_yticks(ticks, names, fontsize=6.5)
    if rows.group == "layer":
        return
    ax.tick_params(axis="y", pad=8)
    for i, row in enumerate(rows.rows):
        strip = Rectangle((-0.011, i), 0.009, 1, transform=ax.get_yaxis_transform())
        strip.set(facecolor=rows.colours[row.kind], linewidth=0, clip_on=False)
        ax.add_artist(strip)


def write(
    ax: Axes,
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    middle: NDArray[np.float64],
    numbers: NDArray[Any],
    room: float,
    colour: Any,
    word: str = "",
) -> None:
    """Numbers into boxes wide enough, ``room`` points high; ``word`` before, if it fits all."""
    size = min(6.0, room)
    if size < 4:
        return
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    low, high = ax.get_xlim()
    points = ax.get_position().width * figure.get_size_inches()[0] * 72 / (high - low)
    wide = (right - left) * points
    colours = np.broadcast_to(np.asarray(colour), numbers.shape)
    digits = np.array([style.text_width("8" * n, size) for n in range(12)])
    length = digits[[len(str(n)) for n in numbers.tolist()]]
    inside = (left < high) & (right > low)
    fits = np.flatnonzero((length + 1.5 < wide) & inside)
    extra = style.text_width(word, size)
    long = bool(len(fits)) and bool((length[fits] + extra + 2 < wide[fits]).all())
    for i in fits[:LABELS]:
        text = f"{word if long else ''}{numbers[i]}"
        x = (max(left[i], low) + min(right[i], high)) / 2
        ax.text(x, middle[i], text, ha="center", va="center_baseline", fontsize=size, zorder=4)
        ax.texts[-1].set(color=str(colours[i]), clip_on=True)


def mark_requests(ax: Axes, run: Run, visits: Visits, rows: Rows, across: Across) -> None:
    """Where each request enters each layer, numbered above; where they are many, their arrivals."""
    table = run.requests.set_index("request")
    present = requests_of(visits)
    first, last = visits.window
    above = ax.get_xaxis_transform()
    if len(present) > MANY:
        arrivals = table["arrival_ps"].reindex(present).to_numpy()
        arrivals = across(arrivals[(arrivals >= first) & (arrivals <= last)])
        ticks = LineCollection([[(x, 1.004), (x, 1.018)] for x in arrivals], transform=above)
        ticks.set(color="#303030", linewidth=0.4, clip_on=False, label="arrivals")
        ax.add_collection(ticks, autolim=False)
        _above(ax, 0, f"{len(arrivals)} arrivals", "right", shift=-4)
        return
    bands = [band for band in rows.bands() if band[0]] or rows.bands()
    lines: list[list[tuple[float, float]]] = []
    starts: dict[int, float] = {}
    begin = _first_starts(visits, rows, [(top, bottom) for _, top, bottom in bands], present)
    for (_, top, bottom), row in zip(bands, begin, strict=True):
        here = np.flatnonzero(row < NEVER)
        for request, x in zip(present[here].tolist(), across(row[here]), strict=True):
            starts.setdefault(request, float(x))
            if len(present) > 1:
                lines.append([(x, top), (x, bottom)])
    marks = LineCollection(lines, color="black", linewidth=0.7, zorder=3, label="request enters")
    ax.add_collection(marks, autolim=False)
    if len(present) > 1:
        _number(ax, starts)
        return
    request = table.loc[int(present[0])]
    for key, word in (("arrival_ps", "arrives"), ("finish_ps", "done")):
        if first <= request[key] <= last:
            x = float(across(request[key]))
            ax.axvline(x, color="black", linewidth=0.7, linestyle=(0, (3, 2)), zorder=3)
            _above(ax, x, word, "left" if key == "arrival_ps" else "right", data=True)


def _first_starts(
    visits: Visits, rows: Rows, bands: list[tuple[int, int]], present: NDArray[np.int64]
) -> NDArray[np.int64]:
    """When each request's first visit in each band of rows starts, ps; NEVER where it has none."""
    band_of = np.full(len(rows) + 1, -1)  # row -1, of components without one, is the last
    for number, (top, bottom) in enumerate(bands):
        band_of[top:bottom] = number
    band_of[-1] = -1
    place = np.zeros(int(present.max()) + 1, dtype=np.int64)
    place[present] = np.arange(len(present))
    begin = np.full((len(bands), len(present)), NEVER)
    for at in range(0, len(visits), CHUNK):
        some = slice(at, at + CHUNK)
        band = band_of[rows.of[visits.component[some]]]
        inside = band >= 0
        where = band[inside] * len(present) + place[visits.request[some][inside]]
        np.minimum.at(begin.reshape(-1), where, visits.start[some][inside])
    return begin


def _number(ax: Axes, starts: dict[int, float]) -> None:
    """Request numbers above the places where they start, as many as fit."""
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    low, high = ax.get_xlim()
    points = ax.get_position().width * figure.get_size_inches()[0] * 72 / (high - low)
    _above(ax, 0, "request", "right", shift=-4)
    free = -np.inf
    for request, x in sorted(starts.items(), key=lambda item: (item[1], item[0])):
        if low <= x <= high and x * points >= free:
            _above(ax, x, str(request), "left", data=True)
            free = x * points + style.text_width(str(request), 6) + 4


def _above(
    ax: Axes, x: float, text: str, side: str, *, data: bool = False, shift: float = 0
) -> None:
    """A note above the axes, at data x or at a share of the axes."""
    base = ax.get_xaxis_transform() if data else ax.transAxes
    move = base + ScaledTranslation(shift / 72, 2 / 72, ax.figure.dpi_scale_trans)
    ax.text(x, 1, text, transform=move, ha=side, va="bottom", fontsize=6, color="#303030")


def name_selection(
    ax: Axes,
    run: Run,
    *,
    layer: str | Iterable[str] | None,
    request: int | Iterable[int] | None,
    tokens: tuple[int, int] | None,
) -> None:
    """A title that says what the picture is a part of, if it is."""
    words = []
    if isinstance(layer, str):
        words.append(style.short(layer))
    if isinstance(request, int):
        row = run.requests.set_index("request").loc[request].to_dict()
        label = f" ({row['label']})" if row["label"] else ""
        latency = style.si(float(row["latency_ps"]) * 1e-12, "s")
        words.append(f"request {request}{label}, {row['tokens']} tokens, latency {latency}")
    if tokens is not None:
        words.append(f"token {tokens[0]} to {tokens[1] - 1}")
    if words:
        ax.set_title(" · ".join(words), fontsize=7, pad=11, loc="left")


def legend(ax: Axes, visits: Visits, rows: Rows, pitch: float) -> None:
    """Op classes below the axes, and kinds of component where a strip stands for their names."""
    present = seen(visits.op_class, len(CLASSES))
    entries = [
        Patch(facecolor=style.class_colour(name), label=name)
        for name, used in zip(CLASSES, present, strict=True)
        if used
    ]
    below = ScaledTranslation(0, -27 / 72, ax.figure.dpi_scale_trans)
    place: dict[str, Any] = {"loc": "upper left", "borderaxespad": 0, "borderpad": 0}
    place |= {"handlelength": 1, "handleheight": 0.8, "columnspacing": 1.1, "handletextpad": 0.4}
    ops = ax.legend(
        handles=entries,
        ncols=len(entries),
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + below,
        **place,
    )
    if rows.group != "kind" or pitch >= ROOMY:
        return
    ax.add_artist(ops)
    kinds = kind_order([row.kind for row in rows.rows])
    strips = [Patch(facecolor=rows.colours[k], label=style.kind_name(k)) for k in kinds]
    further = ScaledTranslation(0, -38 / 72, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=strips,
        ncols=len(strips),
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + further,
        **place,
    )
