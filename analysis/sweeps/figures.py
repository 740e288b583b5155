"""Pictures of a sweep: the front, every answer over every setting, effects, parallel coordinates.

Points that another beats in all objectives are grey everywhere, those of the front red.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hyflexsim.analysis import style
from hyflexsim.analysis.notebook import Picture
from hyflexsim.analysis.sweeps.effects import effect, largest
from hyflexsim.analysis.sweeps.scales import Scale, scale
from hyflexsim.analysis.sweeps.swept import Swept, load_sweep
from hyflexsim.sim.errors import InputError

FRONT, BEATEN = "#B2182B", "#B4B4B4"
MOST_SETTINGS, MOST_ANSWERS = 6, 4
LINES = 500
"""Grey lines of parallel coordinates; of more points, so many are drawn."""


def front_plot(sweep: Swept | str) -> list[Axes]:
    """Each pair of the first three objectives: all points, and the front with their numbers.

    With two objectives the front is joined by steps: right of and above them nothing is worth
    building (left and below, where more is better).
    """
    swept = _with_points(sweep)
    good, front = swept.good, swept.front()
    names = list(swept.objectives)[:3]
    scales = {name: _scale(swept, name) for name in names}
    pairs = list(combinations(names, 2)) or [(names[0], names[0])]
    with style.context():
        width = style.COLUMN if len(pairs) == 1 else style.PAGE
        axes = _panels(1, len(pairs), width, 2.7)[0]
        for ax, (x, y) in zip(axes, pairs, strict=True):
            across, up = scales[x].values, scales[y].values
            ax.plot(across[~front], up[~front], "o", color=BEATEN, markersize=2.6, mew=0)
            if len(names) == 2:
                _steps(ax, swept, across[front], up[front])
            ax.plot(across[front], up[front], "o", color=FRONT, markersize=3.6, mew=0)
            ax.margins(0.08)
            for name, axis in ((x, ax.xaxis), (y, ax.yaxis)):
                scales[name].show(axis, 5)
                axis.set_label_text(f"{scales[name].label}{_better(swept, name)}")
        _heading(axes[0], swept, "numbers are those of the table", _handles(front))
        for ax, (x, y) in zip(axes, pairs, strict=True):  # when nothing moves any more
            _numbers(ax, good["point"].to_numpy(), front, scales[x].values, scales[y].values)
    return axes


def multiples_plot(sweep: Swept | str) -> list[list[Axes]]:
    """Small multiples: answers (rows) over settings (columns), a dot a point."""
    swept = _with_points(sweep)
    front = swept.front()
    settings, answers = shown_settings(swept), shown_answers(swept)
    with style.context():
        height = 0.5 + 1.25 * len(answers)
        axes = _panels(len(answers), len(settings), _width(len(settings)), height, sharey="row")
        for row, answer in zip(axes, answers, strict=True):
            up = _scale(swept, answer)
            for ax, setting in zip(row, settings, strict=True):
                across = _scale(swept, setting)
                ax.plot(across.values[~front], up.values[~front], "o", color=BEATEN, ms=2.2, mew=0)
                ax.plot(across.values[front], up.values[front], "o", color=FRONT, ms=2.6, mew=0)
                across.show(ax.xaxis, 3)
                up.show(ax.yaxis)
                ax.grid(axis="y")
            row[0].set_ylabel(_folded(up.label))
        _name_columns(swept, axes, settings)
        _heading(axes[0][0], swept, _left_out(swept), _handles(front))
    return axes


def effects_plot(sweep: Swept | str) -> list[list[Axes]]:
    """Main effects: the mean of each answer at each value of a setting, over all other settings.

    In per cent of the mean over all points. Of a continuous setting the points are put into
    :data:`~hyflexsim.analysis.sweeps.effects.LEVELS` classes of equal number.
    """
    swept = _with_points(sweep)
    good = swept.good
    settings, answers = shown_settings(swept), shown_answers(swept)
    with style.context():
        height = 0.5 + 1.15 * len(answers)
        axes = _panels(len(answers), len(settings), _width(len(settings)), height, sharey="row")
        for row, answer in zip(axes, answers, strict=True):
            values = good[answer].to_numpy(float)
            for ax, setting in zip(row, settings, strict=True):
                across = _scale(swept, setting)
                levels = effect(across.values, values)
                look: dict[str, Any] = {"color": style.LABEL_COLOURS[0], "ms": 3, "mew": 0}
                ax.plot(levels.at, levels.percent, "o" if across.words else "o-", **look)
                ax.axhline(0, color="#606060", linewidth=0.6, zorder=0)
                across.show(ax.xaxis, 3)
                ax.margins(y=0.15)
            row[0].set_ylabel(f"{_folded(_scale(swept, answer).label, unit=False)}\n(%)")
        _name_columns(swept, axes, settings)
        what = "mean at each value, less the mean of all points"
        _heading(axes[0][0], swept, "; ".join(filter(None, (what, _left_out(swept)))))
    return axes


def parallel_plot(sweep: Swept | str) -> Axes:
    """Parallel coordinates: a line a point, across its settings and then its objectives."""
    swept = _with_points(sweep)
    front = swept.front()
    names = [*shown_settings(swept), *swept.objectives]
    scales = [_scale(swept, name) for name in names]
    heights = np.column_stack([each.shares() for each in scales])
    with style.context():
        wide = min(style.PAGE, 1.0 + 1.05 * len(names))
        ax = style.new_axes(max(style.COLUMN, wide), 2.9)
        grey = np.flatnonzero(~front)
        grey = grey[:: -(-len(grey) // LINES) or 1]
        for rows, colour, width in ((grey, BEATEN, 0.4), (np.flatnonzero(front), FRONT, 0.9)):
            lines = [list(enumerate(heights[row].tolist())) for row in rows]
            ax.add_collection(LineCollection(lines, colors=colour, linewidths=width))
        for place, each in enumerate(scales):
            _upright(ax, place, each)
        ax.set_xlim(-0.2, len(names) - 0.55)
        ax.set_ylim(-0.02, 1.02)
        labels = [_folded(each.label) for each in scales]
        ax.set_xticks(range(len(names)), labels)
        ax.xaxis.set_tick_params(length=0, pad=6)
        ax.set_yticks([])
        ax.spines[["left", "bottom"]].set_visible(False)
        _heading(ax, swept, _left_out(swept), _handles(front, "-"))
    return ax


def shown_settings(swept: Swept) -> list[str]:
    """Settings with more than one value; of many, those with the largest effect on an objective."""
    good = swept.good
    varied = _varied(swept)
    if len(varied) <= MOST_SETTINGS:
        return varied
    places = {name: _scale(swept, name).values for name in varied}
    goals = [good[name].to_numpy(float) for name in swept.objectives]
    kept = sorted(varied, key=lambda name: -largest(places[name], goals))[:MOST_SETTINGS]
    return [name for name in varied if name in kept]


def shown_answers(swept: Swept) -> list[str]:
    """Objectives, then other answers of the table that are numbers and differ."""
    good = swept.good
    others = [name for name in swept.answers if name in good.columns]
    wanted = list(dict.fromkeys([*swept.objectives, *others]))
    numbers = [name for name in wanted if pd.api.types.is_numeric_dtype(good[name])]
    differing = [name for name in numbers if _differs(good[name])]
    return (differing or numbers)[:MOST_ANSWERS]


def _varied(swept: Swept) -> list[str]:
    good = swept.good
    return [name for name in swept.settings if _differs(good[name])] or [swept.settings[0]]


def _left_out(swept: Swept) -> str:
    """Words where not all settings are shown."""
    shown, varied = len(shown_settings(swept)), len(_varied(swept))
    return "" if shown == varied else f"the {shown} of {varied} settings with the largest effect"


def _differs(column: pd.Series) -> bool:
    return bool((column != column.iloc[0]).any())


# --- help ----------------------------------------------------------------------------------------


def _scale(swept: Swept, name: str) -> Scale:
    return scale(swept.good[name], name)._replace(linear=name in swept.linear)


def _with_points(sweep: Swept | str) -> Swept:
    swept = load_sweep(sweep)
    if swept.good.empty:
        errors = "; ".join(swept.errors()) or "no objective has a number"
        raise InputError(f"{swept.path}: no point has answers to draw: {errors}")
    return swept


def _panels(rows: int, columns: int, width: float, height: float, **share: Any) -> list[list[Axes]]:
    figure = Picture(figsize=(width, height), dpi=style.DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return [list(row) for row in figure.subplots(rows, columns, squeeze=False, **share)]


def _width(columns: int) -> float:
    return max(style.COLUMN, min(style.PAGE, 1.0 + 1.55 * columns))


def _better(swept: Swept, name: str) -> str:
    return "" if swept.objectives[name] == "min" else ", more is better"


def _steps(ax: Axes, swept: Swept, across: Any, up: Any) -> None:
    """The border between what is on or behind the front and what nothing reaches."""
    x_aim, _ = swept.objectives.values()
    order = np.lexsort((up, across))
    where = "steps-post" if x_aim == "min" else "steps-pre"
    ax.plot(across[order], up[order], color=FRONT, linewidth=0.8, drawstyle=where, zorder=1.5)


def _numbers(ax: Axes, points: Any, front: Any, across: Any, up: Any) -> None:
    """Numbers of the front's points, right above them, where they meet no point and no number."""
    figure = ax.figure.get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    scaled = 72 / figure.dpi
    spots = ax.transData.transform(np.column_stack([across, up])) * scaled
    inside = np.array(ax.get_window_extent().extents) * scaled
    taken = [(x - 1.8, y - 1.8, x + 1.8, y + 1.8) for x, y in spots]
    for place in np.flatnonzero(front):
        text = str(points[place])
        wide = style.text_width(text, 5.5) + 1
        x, y = spots[place]
        for left, foot in ((x + 2.2, y + 1), (x - wide - 2.2, y - 6.6), (x + 2.6, y - 6.6)):
            box = (left, foot, left + wide, foot + 5.6)
            held = left > inside[0] and box[2] < inside[2] and foot > inside[1]
            if held and box[3] < inside[3] and not any(_meet(box, other) for other in taken):
                taken.append(box)
                at = ax.transData.inverted().transform((left / scaled, foot / scaled))
                look: dict[str, Any] = {"fontsize": 5.5, "color": "#303030", "va": "bottom"}
                ax.text(float(at[0]), float(at[1]), text, **look)
                break


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _handles(front: Any, look: str = "o") -> list[Line2D]:
    plain: dict[str, Any] = {"linestyle": "-"} if look == "-" else {"linestyle": "none"}
    dot: dict[str, Any] = {} if look == "-" else {"marker": "o", "markersize": 3.4, "mew": 0}
    count = int(front.sum())
    named = [(FRONT, f"Pareto front: {count}"), (BEATEN, f"dominated: {len(front) - count}")]
    return [Line2D([], [], color=colour, label=text, **plain, **dot) for colour, text in named]


def _heading(ax: Axes, swept: Swept, extra: str = "", handles: list[Line2D] | None = None) -> None:
    figure = ax.figure.get_figure(root=True)
    assert isinstance(figure, Figure)
    failed = len(swept.points) - len(swept.good)
    count = f"{len(swept.good)} points" + (f", {failed} failed" if failed else "")
    room = figure.get_figwidth() * 72 - 20
    title = swept.title
    while style.text_width(title, 8) > room and len(title) > 8:
        title = title[:-2].rstrip("… ") + "…"
    figure.suptitle(f"{title}\n{count}{f': {extra}' if extra else ''}", x=0.02, ha="left", size=8)
    if handles:
        style_of = {**style.LEGEND, "fontsize": 6.5, "ncols": len(handles)}
        figure.legend(handles=handles, loc="outside lower center", **style_of)


def _name_columns(swept: Swept, axes: list[list[Axes]], settings: list[str]) -> None:
    """Names of settings under the last row; ticks elsewhere without numbers."""
    for row in axes[:-1]:
        for ax in row:
            ax.tick_params(labelbottom=False)
    for ax, setting in zip(axes[-1], settings, strict=True):
        across = _scale(swept, setting)
        ax.set_xlabel(_folded(across.label))
        if across.words and sum(style.text_width(word, 6.5) + 6 for word in across.words) > 70:
            ax.tick_params(axis="x", rotation=90)


def _upright(ax: Axes, place: int, each: Scale) -> None:
    """An axis of parallel coordinates with the values at its ends, or all of few."""
    ax.axvline(place, color="#404040", linewidth=0.7, zorder=3)
    shares = dict(zip(each.values.tolist(), each.shares().tolist(), strict=True))
    levels = sorted(shares)
    if not each.words and len(levels) > 6:
        levels = [levels[0], levels[-1]]
    named: list[float] = []
    for level in (levels[0], levels[-1], *levels[1:-1]):
        if any(abs(shares[level] - other) < 0.06 for other in named):
            continue
        named.append(shares[level])
        word = each.words[int(level)] if each.words else _short(level)
        box: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "pad": 0.6, "linewidth": 0}
        word = word if len(word) <= 14 else f"{word[:13]}…"
        ax.text(place + 0.03, shares[level], word, size=6, va="center", bbox=box, zorder=4)


def _short(number: float) -> str:
    return f"{number:.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"


def _folded(label: str, unit: bool = True) -> str:
    """A long name in two lines, broken at its last dot or before its unit."""
    name, bracket, rest = label.partition(" (")
    if len(name) > 16 and "." in name:
        head, _, tail = name.rpartition(".")
        name = f"{head}.\n{tail}"
    elif len(name) > 12 and " " in name:
        head, _, tail = name.rpartition(" ")
        name = f"{head}\n{tail}"
    return f"{name}{bracket}{rest}" if unit else name
