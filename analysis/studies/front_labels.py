"""Names beside the points of a front, where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.studies import score_axes

PLACES = ((-3.5, 3), (0, 4), (-4, 0), (4, -3), (0, -4), (4, 3), (-3.5, -3), (4, 0))
"""Where the name of a point may stand: points to the right and up."""


def name_front(
    ax: Axes,
    table: pd.DataFrame,
    front: pd.DataFrame,
    column: str,
    factor: float,
    texts: Sequence[str],
) -> None:
    """A text beside each point of the front, where no point, whisker, line or text is.

    ``table``: all points of the axes. ``column``: their costs, ``factor`` of which are one of the
    axis.
    """
    scale: float = 72 / score_axes.figure_of(ax).dpi
    x, y = table[column].to_numpy() / factor, table["score"].to_numpy()
    half = table["half_width"].fillna(0).to_numpy()
    low, high = ax.get_ylim()
    ends = [np.clip(y - half, low, high), np.clip(y + half, low, high)]
    bottom, top = (ax.transData.transform(np.column_stack([x, end])) * scale for end in ends)
    middle = ax.transData.transform(np.column_stack([x, y])) * scale
    taken = [(a - 1.5, b, a + 1.5, c) for (a, b), (_, c) in zip(bottom, top, strict=True)]
    taken += [(a - 2.4, b - 2.4, a + 2.4, b + 2.4) for a, b in middle]
    points = np.column_stack([front[column] / factor, front["score"]])
    spots = ax.transData.transform(points) * scale
    taken.append((spots[-1, 0], spots[-1, 1] - 0.5, np.inf, spots[-1, 1] + 0.5))
    for line in ax.lines:
        if line.get_label() == "reference":
            level = float(np.asarray(line.get_ydata())[0])
            level = float(ax.transData.transform((0, level))[1] * scale)
            taken.append((-np.inf, level - 0.5, np.inf, level + 0.5))
    for (x0, y0), (x1, y1) in pairwise(spots):
        taken.append((x0, y0 - 0.5, x1, y0 + 0.5))
        taken.append((x1 - 0.5, min(y0, y1), x1 + 0.5, max(y0, y1)))
    edges = np.array(ax.get_window_extent().extents) * scale
    for (px, py), text in zip(spots, texts, strict=True):
        wide, tall = style.text_width(text, 5.5) + 1.5, 6.0
        for dx, dy in PLACES:
            left = px + (dx if dx > 0 else dx - wide if dx < 0 else -wide / 2)
            foot = py + (dy if dy > 0 else dy - tall if dy < 0 else -tall / 2)
            box = (left, foot, left + wide, foot + tall)
            inside = box[0] > edges[0] and box[1] > edges[1] and box[3] < edges[3]
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                x0, y0 = ax.transData.inverted().transform((left / scale, foot / scale))
                ax.text(
                    float(x0),
                    float(y0),
                    text,
                    fontsize=5.5,
                    color="#303030",
                    va="bottom",
                    ha="left",
                )
                break


def _meet(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
