"""Where each layer sits: the processing units (PUs) of each chip, filled with its arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Patch, Rectangle

from hyflexsim.analysis import style
from hyflexsim.analysis.run.run import COLUMNS, Run
from hyflexsim.sim.errors import InputError

ARRAYS_PER_PU = 12_288  # HyFlexPIM §3.1: 24 modules of 512 arrays
PUS_PER_CHIP = 24
ROOM = 0.88  # of a cell's side
HEAD = 0.24  # cells, for a chip's name
Segment = tuple[float, str, str]  # arrays, layer, mode


def placement_map(
    placement: Run | pd.DataFrame,
    *,
    ax: Axes | None = None,
    arrays_per_pu: int = ARRAYS_PER_PU,
    pus_per_chip: int = PUS_PER_CHIP,
    across: int = 8,
) -> Axes:
    """Draw chips as grids of PUs, each filled from below with its layers' arrays.

    A layer has one colour; SLC arrays are solid, MLC arrays lighter, copies hatched, free ones
    white. The name of the layer stands under its PU.

    Parameters
    ----------
    placement
        A run, or a frame with the columns of placement.parquet.
    arrays_per_pu, pus_per_chip
        The chip, for others than HyFlexPIM.
    across
        PUs in a row of the picture.
    """
    table = placement.placement if isinstance(placement, Run) else placement
    missing = [name for name in COLUMNS["placement"] if name not in table]
    if missing:
        raise InputError(f"placement: column {missing[0]!r} is missing")
    if table.empty:
        raise InputError("placement: no weights in it")
    layers = list(dict.fromkeys(table["layer"]))
    colours = _colours(layers)
    chips = max(int(table["chip"].max()), int(table["pu"].max()) // pus_per_chip) + 1
    across = min(across, pus_per_chip)
    deep = -(-pus_per_chip // across)
    with style.context():
        if ax is None:
            side = min(style.PAGE / across, 0.85)
            tall = side * (deep + HEAD) * chips + 0.3
            ax = style.new_axes(side * across + 0.1, min(tall, 11.0))
        for chip in range(chips):
            top = chip * (deep + HEAD)
            ax.text(
                0.07,
                top + HEAD / 2 - 0.02,
                f"chip {chip}",
                fontsize=7,
                fontweight="bold",
                va="center",
            )
            for i in range(pus_per_chip):
                corner = i % across + 0.07, top + i // across + HEAD
                pu = chip * pus_per_chip + i
                _draw_pu(ax, corner, pu, _segments(table, pu, chip, i), arrays_per_pu, colours)
        ax.set_xlim(0, across)
        ax.set_ylim(chips * (deep + HEAD), -0.05)
        ax.set_axis_off()
        grey = "#777777"
        entries = [
            Patch(facecolor=grey, label="SLC"),
            Patch(facecolor=style.lighter(grey), label="MLC"),
            Patch(facecolor="white", edgecolor=grey, hatch="//////", label="copies"),
            Patch(facecolor="white", edgecolor=grey, label="free"),
        ]
        ax.legend(
            handles=entries, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, borderaxespad=0.3
        )
    return ax


def shares(placement: pd.DataFrame, arrays_per_pu: int = ARRAYS_PER_PU) -> pd.DataFrame:
    """Share of each PU's arrays by use. Index ``chip``, ``pu``; columns slc, mlc, copies, free."""
    table = placement.assign(
        copied=placement["arrays_total"] - placement["arrays_slc"] - placement["arrays_mlc"]
    )
    columns = {"arrays_slc": "slc", "arrays_mlc": "mlc", "copied": "copies"}
    sums = table.groupby(["chip", "pu"])[list(columns)].sum().rename(columns=columns)
    result = sums / arrays_per_pu
    result["free"] = 1 - result.sum(axis=1)
    return result


def _segments(table: pd.DataFrame, pu: int, chip: int, index: int) -> list[Segment]:
    """Arrays in a PU, layer by layer; PUs may be numbered through the chips or within each."""
    here = table[(table["chip"] == chip) & table["pu"].isin([pu, index])]
    found: list[Segment] = []
    for layer, mine in here.groupby("layer", sort=False):
        slc, mlc = int(mine["arrays_slc"].sum()), int(mine["arrays_mlc"].sum())
        copies = int(mine["arrays_total"].sum()) - slc - mlc
        found += [(slc, str(layer), "slc"), (mlc, str(layer), "mlc")]
        found.append((copies, str(layer), "copies"))
    return [segment for segment in found if segment[0] > 0]


def _draw_pu(
    ax: Axes,
    corner: tuple[float, float],
    pu: int,
    segments: list[Segment],
    capacity: int,
    colours: dict[str, str],
) -> None:
    x, y = corner
    tall = ROOM * 0.92
    bottom = y + tall
    for arrays, layer, mode in segments:
        height = min(arrays / capacity * tall, bottom - y)
        colour = colours[layer]
        look: dict[str, Any] = {"facecolor": colour if mode == "slc" else style.lighter(colour)}
        if mode == "copies":
            look = {"facecolor": "white", "hatch": "//////", "edgecolor": colour}
        part = Rectangle((x, bottom - height), ROOM, height, linewidth=0, **look)
        ax.add_patch(part)
        bottom -= height
    outline = "#404040" if segments else "#C8C8C8"
    ax.add_patch(Rectangle((x, y), ROOM, tall, fill=False, edgecolor=outline, linewidth=0.6))
    names = list(dict.fromkeys(layer for _, layer, _ in segments))
    text = " + ".join(style.short(name) for name in names)
    side = ax.figure.get_figure(root=True)
    assert side is not None
    points = side.get_size_inches()[0] * 72 * ROOM / max(ax.get_xlim()[1], 8)
    if style.text_width(text, 5.5) > points and len(names) > 1:
        text = f"{style.short(names[0])} + {len(names) - 1}"
    while style.text_width(text, 5.5) > points and len(text) > 4:
        text = text[:-2] + "…"
    ax.text(x + ROOM / 2, y + tall + 0.02, text, ha="center", va="top", fontsize=5.5)
    box: dict[str, Any] = {"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 0.8}
    ax.text(x + 0.04, y + 0.05, str(pu), fontsize=5.5, color=outline, va="top", bbox=box)


def _colours(layers: list[str]) -> dict[str, str]:
    """Twice through a map that all colour vision can follow, so that neighbours differ."""
    blocks = colormaps["viridis"](np.linspace(0.05, 0.9, max(len(layers), 2)))
    order = [*range(0, len(layers), 2), *range(1, len(layers), 2)]
    return {layer: to_hex(blocks[k]) for layer, k in zip(layers, order, strict=True)}
