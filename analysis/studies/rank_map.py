"""The ranks that methods chose, as a map: a row a method, a column a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from hyflexsim.analysis import style
from hyflexsim.analysis.studies import score_axes
from hyflexsim.analysis.studies.studies import StudyLike, load_study
from hyflexsim.sim.errors import InputError

DENSE = "#A6A6A6"
WIDE = style.PAGE * 72 * 0.76  # points, about the width of the map on a page
CELL = 14.0  # points a column needs for a number


def ranks_plot(study: StudyLike, *, budget: float | None = None, ax: Axes | None = None) -> Axes:
    """Rank over break-even rank of each matrix (columns) for each method and budget (rows).

    Matrices are grouped by kind, within a kind from the first block to the last. 1 is the rank at
    which factors cost as much as the dense matrix; grey is a matrix left dense. Values are means
    over seeds (dense counts as 1 where only some seeds left it dense) and stand in the cells
    where they fit. Shows what SoftLMs' Fig 1 argues: blocks need different ranks.

    Parameters
    ----------
    study
        Directory of a study of ranks, or what :func:`load_study` made of it.
    budget
        One budget; default all of them.
    """
    data = load_study(study, "study")
    table = data.tables["ranks"]
    known = sorted(set(table["budget"]))
    if budget is not None and budget not in known:
        raise InputError(
            f"{data.path / 'ranks.parquet'}: column 'budget' has "
            f"{', '.join(f'{b:g}' for b in known)}; got {budget!r}"
        )
    shares = rank_shares(table if budget is None else table[table["budget"] == budget])
    rows = score_axes.by_budget(shares[["method", "budget"]].drop_duplicates())
    places = score_axes.row_places(rows)
    names, groups = matrix_groups(list(dict.fromkeys(table["matrix"])))
    top = max(float(shares["share"].max(skipna=True)), 1.0)
    colours = colormaps["viridis"].with_extremes(bad=DENSE)
    with style.context():
        if ax is None:
            ax = style.new_axes(style.PAGE, max(1.15 + 0.135 * (places[-1] + 1), 1.8))
        values = shares.pivot_table(
            index=["method", "budget"], columns="matrix", values="share", dropna=False
        )
        for y, key in zip(places, zip(rows["method"], rows["budget"], strict=True), strict=True):
            cells = values.loc[key].reindex(names).to_numpy(float)
            edges = [y - 0.46, y + 0.46]
            image = ax.pcolormesh(
                np.arange(len(names) + 1), edges, cells[None], cmap=colours, vmin=0, vmax=top
            )
            if WIDE / len(names) >= CELL:
                _write(ax, y, cells, top)
        for edge in np.cumsum([count for _, count in groups])[:-1]:
            ax.axvline(float(edge), color="white", linewidth=1.8)
        ax.set_xlim(0, len(names))
        ax.set_ylim(places[-1] + 0.55, -0.6)
        ax.spines["bottom"].set_visible(False)
        score_axes.name_rows(ax, rows, places)
        _name_groups(ax, groups)
        ax.set_xlabel(f"{len(names)} matrices, in each group from the first block to the last")
        bar = score_axes.figure_of(ax).colorbar(image, ax=ax, pad=0.01, fraction=0.025, aspect=14)
        bar.set_label("rank /\nbreak-even rank")
        bar.outline.set_linewidth(0)
        score_axes.title(ax, data, "budget: share of the linears' parameters")
        if shares["share"].isna().any():
            patch = Patch(facecolor=DENSE, label="left dense")
            look: dict[str, Any] = {"borderaxespad": 0, "handlelength": 1, "handleheight": 0.8}
            ax.legend(handles=[patch], loc="lower right", bbox_to_anchor=(1, 1.01), **look)
    return ax


def rank_shares(ranks: pd.DataFrame) -> pd.DataFrame:
    """Mean of rank / break-even over seeds: columns method, budget, matrix, share (nan: dense)."""
    dense = ranks["rank"] == 0
    share = (ranks["rank"] / ranks["full"]).mask(dense, 1.0)
    table = ranks.assign(share=share, dense=dense)
    means = table.groupby(["method", "budget", "matrix"])[["share", "dense"]].mean().reset_index()
    return means.assign(share=means["share"].mask(means["dense"] == 1)).drop(columns="dense")


def matrix_groups(paths: list[str]) -> tuple[list[str], list[tuple[str, int]]]:
    """Matrices by kind, then by block; and each kind with its number.

    A kind is what follows the block's number, as short as tells it from others. What is in no
    block comes last.

    >>> matrix_groups(["h.0.mlp.fc", "h.0.mlp.proj", "h.1.mlp.fc", "h.1.mlp.proj", "head"])[1]
    [('fc', 2), ('proj', 2), ('other', 1)]
    """
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    other: list[str] = []
    for path in paths:
        parts = path.removesuffix(".weight").split(".")
        at = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        if at is None or at == len(parts) - 1:
            other.append(path)
            continue
        key = (".".join(parts[:at]), ".".join(parts[at + 1 :]))
        found.setdefault(key, []).append((int(parts[at]), path))
    names = [path for group in found.values() for _, path in sorted(group)]
    kinds = sorted({kind for _, kind in found})
    stems = {stem for stem, _ in found}
    groups = []
    for (stem, kind), group in found.items():
        label = _telling(kind, kinds)
        label += f" ({stem.split('.')[-1]})" if len(stems) > 1 else ""
        groups.append((label, len(group)))
    return names + other, groups + ([("other", len(other))] if other else [])


def _telling(kind: str, kinds: list[str]) -> str:
    """The shortest end of a dotted name that no other name has."""
    parts = kind.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if sum(f".{other}".endswith(f".{end}") for other in kinds) == 1:
            return end
    return kind


def _write(ax: Axes, y: float, cells: np.ndarray[Any, Any], top: float) -> None:
    look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 5}
    for i, value in enumerate(cells):
        if np.isfinite(value):
            text = f"{value:.2f}".removeprefix("0") if value < 0.995 else f"{value:.1f}"
            ax.text(i + 0.5, y, text, color="black" if value > 0.58 * top else "white", **look)


def _name_groups(ax: Axes, groups: list[tuple[str, int]]) -> None:
    """Names under groups: on one line, else broken at dots, else upright."""
    total = sum(count for _, count in groups)
    ends = np.cumsum([count for _, count in groups])
    texts, upright = [], []
    for name, count in groups:
        room = WIDE * count / total - 3
        broken = name.replace(".", ".\n").replace(" (", "\n(")
        fits = style.text_width(name, 6.5) <= room
        widest = max(style.text_width(line, 6.5) for line in broken.split("\n"))
        texts.append(broken if not fits and widest <= room else name)
        upright.append(not fits and widest > room)
    middles = [float(end) - count / 2 for end, (_, count) in zip(ends, groups, strict=True)]
    ax.set_xticks(middles, texts)
    ax.tick_params(axis="x", length=0)
    for label, turn in zip(ax.get_xticklabels(), upright, strict=True):
        label.set_rotation(90 if turn else 0)
