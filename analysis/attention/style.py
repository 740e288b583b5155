"""Words, colours and panels that the pictures of attention share."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hyflexsim.analysis.attention.directory import AttentionRun
from hyflexsim.analysis.notebook import Picture
from hyflexsim.analysis.style import DPI, PAGE

DECAYS = {
    "QCD": "QCD",
    "Hbb": "H→bb̄",
    "Hcc": "H→cc̄",
    "Hgg": "H→gg",
    "H4q": "H→4q",
    "Hqql": "H→ℓνqq′",
    "Zqq": "Z→qq̄",
    "Wqq": "W→qq′",
    "Tbqq": "t→bqq′",
    "Tbl": "t→bℓν",
}
"""Labels of JetClass as decays."""

MODEL_COLOURS = {"trained": "#0072B2", "untrained": "#8C8C8C"}
WITHOUT_U = "#D55E00"
SUBJET_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

KIND_MARKERS = {0: "^", 1: "v", 2: "o", 3: "P", 4: "X"}
KIND_NAMES = {
    0: "charged hadron",
    1: "neutral hadron",
    2: "photon",
    3: "electron",
    4: "muon",
}
"""Marker and name of each particle type (part_pid), as in the papers' pictures."""


def panels(
    rows: int, columns: int, *, width: float = PAGE, height: float = 2.4, **keywords: Any
) -> tuple[Figure, NDArray[Any]]:
    """A figure of its own with a grid of axes (rows, columns); inches; `keywords` of subplots."""
    figure = Picture(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes: NDArray[Any] = figure.subplots(rows, columns, squeeze=False, **keywords)
    return figure, axes


def decay(label: str) -> str:
    """A label as a decay, or as it is."""
    return DECAYS.get(label, label)


def colour_of(model: str) -> str:
    """Colour of a model's marks."""
    return MODEL_COLOURS.get(model, "#CC79A7")


def typical_jet(run: AttentionRun, label: str) -> int:
    """The jet that stands for a class: rightly classified, median number of particles."""
    mine = run.jets[run.jets["label"] == label]
    if "predicted_trained" in mine:
        right = mine[mine["predicted_trained"] == label]
        mine = right if len(right) else mine
    order = mine.sort_values(["particles", "jet"], kind="stable")
    return int(order["jet"].iloc[(len(order) - 1) // 2])


def labels_of(run: AttentionRun) -> list[str]:
    """Classes in the directory, in the order of the jets."""
    return list(dict.fromkeys(run.jets["label"]))


def hide(axes: NDArray[Any], used: int) -> None:
    """Take away the panels that are not needed."""
    for ax in axes.ravel()[used:]:
        ax.set_axis_off()


def per_layer(
    ax: Axes, layer: NDArray[Any], value: NDArray[Any], colour: str, shift: float, label: str
) -> None:
    """Dots of single heads and a line through the mean of each layer."""
    layers = np.unique(layer)
    means = [np.nanmean(value[layer == one]) for one in layers]
    ax.scatter(layer + shift, value, s=5, color=colour, alpha=0.45, linewidths=0)
    ax.plot(layers + shift, means, "-o", color=colour, markersize=3, linewidth=1, label=label)
    ax.set_xticks(layers)
