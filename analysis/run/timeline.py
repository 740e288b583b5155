"""The timeline: components down, time across, op classes in colour.

Few visits are drawn one by one, with token numbers in them and, at fidelity ``bit``, a cell for
every bit-plane below the token::

    bank   |==== token 0 ====||==== token 1 ====|
           |0|1|2|3|4|5|6|7 ||0|1|2|3|4|5|6|7 |

Many are counted into bins of time first. A row then shows which share of its components is busy,
stacked by op class and drawn relative to the row's own peak (98 % of its busy bins are no
higher); the mean share stands at its right. In a row of a whole layer every kind of component
counts alike, or its hundred banks would hide its one SFU. So three million visits cost no more
ink than three thousand. A picture of some requests shows the others in grey behind them, and the
share at the right is that of these requests alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hyflexsim.analysis import style
from hyflexsim.analysis.run import timeline_labels
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.run.timeline_labels import BAR, Across
from hyflexsim.analysis.run.timeline_rows import Rows, arrange, rows_of
from hyflexsim.analysis.run.visits import CLASSES, Visits, Window, busy, select, with_others

EXACT = 4000  # visits drawn one by one, at most
STRIP = 0.36  # share of a bar's height that names the token, above its bit-planes


def timeline(
    run: Run,
    *,
    ax: Axes | None = None,
    layer: str | Iterable[str] | None = None,
    request: int | Iterable[int] | None = None,
    tokens: tuple[int, int] | None = None,
    window: Window | None = None,
    components: Iterable[str] | None = None,
    group: str | None = None,
    max_rows: int = 120,
    bins: int = 800,
) -> Axes:
    """Draw who worked on what, when.

    Parameters
    ----------
    run
        What :func:`hyflexsim.analysis.load` returned.
    ax
        Where to draw; None makes a figure of its own (``ax.figure``), as tall as it needs.
    layer, request
        Only these layers (full name, or its end: ``"layer.3"``) or requests; one or several.
    tokens
        Only tokens ``(first, stop)``, stop not included.
    window
        Only this time, ``(start, stop)`` in ps.
    components
        Only components of these names.
    group
        A row per ``component``, per ``kind`` of component in each layer, or per ``layer``.
        None: the finest that gives at most ``max_rows`` rows (60 of single components).
    max_rows, bins
        Limits: rows for ``group=None``; bins of time when visits are too many to draw singly.

    Returns
    -------
    Axes
        With time in ns, µs or ms across.
    """
    visits = select(
        run, layer=layer, request=request, tokens=tokens, window=window, components=components
    )
    rows = arrange(run, visits, group, max_rows)
    exact = rows.group == "component" and len(visits) <= EXACT
    with style.context():
        if ax is None:
            ax = style.new_axes(style.PAGE, timeline_labels.height(rows, exact))
        pitch = timeline_labels.pitch(ax, len(rows))
        first, last = visits.window
        unit = style.time_scale(last - first)
        origin = first if first > 20 * (last - first) else 0
        shift = f" after {style.si(origin * 1e-12, 's', 6)}" if origin else ""
        ax.set_xlim((first - origin) / unit.factor, (last - origin) / unit.factor)
        ax.set_ylim(len(rows), 0)
        ax.set_xlabel(f"time{shift} ({unit.unit})")
        ax.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
        ax.grid(axis="x")

        def across(ps: NDArray[Any]) -> NDArray[np.float64]:
            return np.asarray((ps - origin) / unit.factor)

        shares = None
        drawn = visits if request is None else with_others(run, visits, rows.of >= 0)
        if exact and len(drawn) <= EXACT:
            _draw_visits(ax, drawn, rows, across, pitch)
        elif exact:
            _draw_visits(ax, visits, rows, across, pitch)
        else:
            edges = across(np.linspace(first, last, bins + 1))
            shares = _shares(run, drawn, rows, bins)
            _draw_shares(ax, shares, edges)
        if shares is not None and drawn is visits:
            share = shares.mean(axis=2).sum(axis=1)  # bins are equally wide
        else:
            share = _shares(run, visits, rows, 1)[:, :, 0].sum(axis=1)
        timeline_labels.label_rows(ax, rows, pitch, share, "busy" if drawn is visits else "own")
        timeline_labels.mark_requests(ax, run, visits, rows, across)
        timeline_labels.name_selection(ax, run, layer=layer, request=request, tokens=tokens)
        timeline_labels.legend(ax, drawn, rows, pitch)
    return ax


def _shares(run: Run, visits: Visits, rows: Rows, bins: int) -> NDArray[np.float64]:
    """Share of a row's components that is busy, by (row, op class, bin)."""
    fine = rows_of(run, visits, "kind") if rows.group == "layer" else rows
    first, last = visits.window
    key = fine.of.astype(np.int32)[visits.component]
    key *= len(CLASSES)
    key += visits.op_class
    edges = np.linspace(first, last, bins + 1)
    time = busy(visits.start, visits.end, key, len(fine) * len(CLASSES), edges)
    servers = np.array([row.servers for row in fine.rows], dtype=float)
    width = max((last - first) / bins, 1e-9)
    shares = time.reshape(len(fine), len(CLASSES), bins) / (servers[:, None, None] * width)
    if fine is not rows:  # kinds of a layer are neighbours: their mean
        begin = [start for _, start, _ in fine.bands()]
        sizes = np.diff([*begin, len(fine)])
        shares = np.add.reduceat(shares, begin, axis=0) / sizes[:, None, None]
    return np.asarray(shares)


def _draw_shares(ax: Axes, shares: NDArray[np.float64], edges: NDArray[np.float64]) -> None:
    """Stacked steps in each row, as one polygon per row and op class, tallest drawn first."""
    total = shares.sum(axis=1)
    peak = np.array([np.quantile(t[t > 0], 0.98) if (t > 0).any() else 1.0 for t in total])
    relative = np.minimum(total / peak[:, None], 1.0)
    seen = np.where(total > 0, np.maximum(relative, 0.15), 0.0)  # a short visit leaves a mark
    stacked = np.cumsum(shares, axis=1)
    stacked *= (seen / np.where(total > 0, total, 1.0))[:, None, :] * BAR
    for number in range(len(CLASSES) - 1, -1, -1):
        polygons = []
        for row in np.flatnonzero(shares[:, number].any(axis=1)):
            # only where this class is: what lies below it is painted over afterwards
            height = np.where(shares[row, number] > 0, stacked[row, number], 0.0)
            polygons.append(_steps(edges, height, row + 1 - (1 - BAR) / 2))
        if polygons:
            bars = PolyCollection(polygons, facecolors=style.class_colour(CLASSES[number]))
            bars.set(linewidth=0, zorder=2 + 0.01 * (len(CLASSES) - number))
            bars.set_label(CLASSES[number])
            ax.add_collection(bars, autolim=False)


def _steps(
    edges: NDArray[np.float64], height: NDArray[np.float64], base: float
) -> NDArray[np.float64]:
    """Outline of a step curve standing on ``base`` (y grows downwards), corners only."""
    change = np.flatnonzero(np.diff(height, prepend=0.0, append=0.0))
    after = np.append(height, 0.0)[change]
    before = np.append(0.0, after[:-1])
    y = np.column_stack([before, after]).ravel()
    return np.column_stack([np.repeat(edges[change], 2), base - y])


def _draw_visits(ax: Axes, visits: Visits, rows: Rows, across: Across, pitch: float) -> None:
    """A rectangle per visit; where there are bit-planes, a cell per plane under its token."""
    left, right = across(visits.start), across(visits.end)
    span = np.diff(ax.get_xlim())[0]
    right = np.maximum(right, left + span * 6e-4)  # half a pixel, or it would not be seen
    top = rows.of[visits.component] + (1 - BAR) / 2
    planes = int(visits.plane.max()) + 1
    cut = np.isin(visits.component, np.unique(visits.component[visits.plane > 0]))
    upper = np.where(cut, top + STRIP * BAR, top)
    wide = (right - left > span * 2.5e-3)[:, None]  # thinner ones would be all edge
    for number, name in enumerate(CLASSES):
        mine = visits.op_class == number
        if not mine.any():
            continue
        strength = np.where(cut[mine], 0.3 + 0.5 * visits.plane[mine] / max(planes - 1, 1), 1.0)
        colours = 1 - strength[:, None] * (1 - np.array(to_rgb(style.class_colour(name))))
        boxes = _boxes(left[mine], right[mine], upper[mine], top[mine] + BAR)
        edges = np.where(wide[mine], 1.0, colours)
        cells = PolyCollection(boxes, facecolors=colours, edgecolors=edges)
        cells.set(linewidth=np.where(wide[mine, 0], 0.4, 0.0), zorder=2)
        cells.set_label(name)
        ax.add_collection(cells, autolim=False)
        if (mine & cut).any():
            where, tokens = _whole_tokens(visits, mine & cut, left, right)
            strips = _boxes(where[0], where[1], top[tokens], top[tokens] + STRIP * BAR)
            band = PolyCollection(strips, facecolors=style.class_colour(name), edgecolors="white")
            band.set(linewidth=0.4, zorder=2.1)
            ax.add_collection(band, autolim=False)
            middle = top[tokens] + STRIP * BAR / 2
            numbers = visits.token[tokens]
            timeline_labels.write(
                ax, *where, middle, numbers, pitch * STRIP * 0.9, "white", "token "
            )
    own = visits.op_class != CLASSES.index("other requests")
    middle = (upper + top + BAR) / 2
    numbers = np.where(cut, visits.plane, visits.token)
    ink = np.where(cut & (visits.plane < planes / 2), "#202020", "white")
    room = pitch * BAR * 0.8 * (1 - STRIP if cut.any() else 1)
    timeline_labels.write(ax, left[own], right[own], middle[own], numbers[own], room, ink[own])


def _whole_tokens(
    visits: Visits, mine: NDArray[np.bool_], left: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], NDArray[np.int64]]:
    """Where each token's planes begin and end on each component, and one visit of each."""
    index = np.flatnonzero(mine)
    keys = np.stack([visits.component[index], visits.request[index], visits.token[index]])
    _, one, which = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    begin = np.full(len(one), np.inf)
    end = np.full(len(one), -np.inf)
    np.minimum.at(begin, which.ravel(), left[index])
    np.maximum.at(end, which.ravel(), right[index])
    return (begin, end), index[one]


def _boxes(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
) -> Any:  # an array, which PolyCollection takes though it does not say so
    return np.stack(
        [np.column_stack(c) for c in ((left, top), (left, bottom), (right, bottom), (right, top))],
        axis=1,
    )
