"""Where each layer sits: the processing units (PUs) in use, filled with arrays or bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Patch, Rectangle

from hyflexsim.analysis import style
from hyflexsim.analysis.run.pu_grid import MOST, PUS_PER_CHIP, ROOM, pu_grid
from hyflexsim.analysis.run.run import COLUMNS, Run
from hyflexsim.sim.errors import InputError

ARRAYS_PER_PU = 12_288  # HyFlexPIM §3.1: 24 modules of 512 arrays
FLAT = 0.02  # share of a PU below which a filling is no more than its outline
Segment = tuple[float, str, str]  # arrays or bytes, layer, mode


def placement_map(
    placement: Run | pd.DataFrame,
    *,
    ax: Axes | None = None,
    arrays_per_pu: int = ARRAYS_PER_PU,
    pus_per_chip: int = PUS_PER_CHIP,
    across: int = 8,
    most: int = MOST,
) -> Axes:
    """Draw the PUs in use of every chip, each filled from below with its layers' arrays or bytes.

    A layer has one colour; SLC arrays (and bytes in memory) are solid, MLC arrays lighter, copies
    hatched, free ones white. The name of the layer stands under its PU. How many PUs a chip has
    beside those that are drawn stands beside its name.

    Parameters
    ----------
    placement
        A run, or a frame with the columns of placement.parquet.
    arrays_per_pu, pus_per_chip
        The chip, for others than HyFlexPIM; bytes where weights lie in memory.
    across
        PUs in a row of the picture.
    most
        PUs to draw at all.
    """
    table = placement.placement if isinstance(placement, Run) else placement
    missing = [name for name in COLUMNS["placement"] if name not in table]
    if missing:
        raise InputError(f"placement: column {missing[0]!r} is missing")
    if table.empty:
        raise InputError("placement: no weights in it")
    colours = _colours(list(dict.fromkeys(table["layer"])))

    def draw(ax: Axes, corner: tuple[float, float], chip: int, pu: int) -> None:
        _draw_pu(ax, corner, pu, _segments(table, pu, chip), arrays_per_pu, colours)

    pus = list(table[["chip", "pu"]].itertuples(index=False, name=None))
    with style.context():
        ax = pu_grid(pus, draw, ax=ax, pus_per_chip=pus_per_chip, across=across, most=most)
        _legend(ax, table)
    return ax


def _legend(ax: Axes, table: pd.DataFrame) -> None:
    """What solid, lighter and hatched parts are, of those that there are."""
    grey = "#777777"
    solid = "weights" if _bytes(table).any() else "SLC"
    entries = [Patch(facecolor=grey, label=solid)]
    if table["arrays_mlc"].any():
        entries.append(Patch(facecolor=style.lighter(grey), label="MLC"))
    if (table["arrays_total"] > table["arrays_slc"] + table["arrays_mlc"]).any():
        entries.append(Patch(facecolor="white", edgecolor=grey, hatch="//////", label="copies"))
    entries.append(Patch(facecolor="white", edgecolor=grey, label="free"))
    ax.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        ncols=len(entries),
        borderaxespad=0.3,
    )


def _bytes(table: pd.DataFrame) -> pd.Series:
    """Bytes of weights in memory; run directories of 0.3 have none."""
    return table.get("bytes", pd.Series(0, index=table.index))


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


def _segments(table: pd.DataFrame, pu: int, chip: int) -> list[Segment]:
    """Arrays or bytes in a PU, layer by layer."""
    here = table[(table["chip"] == chip) & (table["pu"] == pu)]
    here = here.assign(bytes=_bytes(here))
    found: list[Segment] = []
    for layer, mine in here.groupby("layer", sort=False):
        slc, mlc = int(mine["arrays_slc"].sum()), int(mine["arrays_mlc"].sum())
        copies = int(mine["arrays_total"].sum()) - slc - mlc
        found += [(slc, str(layer), "slc"), (int(mine["bytes"].sum()), str(layer), "slc")]
        found += [(mlc, str(layer), "mlc"), (copies, str(layer), "copies")]
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
    outline = "#404040"
    ax.add_patch(Rectangle((x, y), ROOM, tall, fill=False, edgecolor=outline, linewidth=0.6))
    share = sum(count for count, _, _ in segments) / capacity
    if share < FLAT:
        text = f"{style.percent(share)} in use"
        ax.text(x + ROOM / 2, y + tall / 2, text, ha="center", va="center", fontsize=5.5)
    names = list(dict.fromkeys(layer for _, layer, _ in segments))
    text = style.short("+".join(names)) if names else ""
    side = ax.figure.get_figure(root=True)
    assert side is not None
    points = side.get_size_inches()[0] * 72 * ROOM / ax.get_xlim()[1]
    if style.text_width(text, 5.5) > points and len(names) > 1:
        text = f"{len(names)} layers"
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
