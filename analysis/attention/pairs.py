"""Pairs of particles on the eta-phi plane: who attends to whom in one jet, head by head.

A particle is a marker: shape for its type, area for pT, colour for its exclusive kT subjet.
A line joins two particles: the larger of A_ij and A_ji is its width (the same scale in all
panels) and, relative to the panel's largest, its darkness; solid inside a subjet, dashed
between two. After the pictures of arXiv 2412.03673; other than
there the weights are those the model uses (with U), and lines below 5 % of the strongest are
left out, since a line for every pair hides all of them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hyflexsim.analysis import style
from hyflexsim.analysis.attention.directory import AttentionRun
from hyflexsim.analysis.attention.style import (
    KIND_MARKERS,
    KIND_NAMES,
    SUBJET_COLOURS,
    decay,
    hide,
    panels,
)
from hyflexsim.sim.errors import InputError

LEAST = 0.05  # of the strongest pair of the panel
MOST = 150  # lines a panel


def pair_graphs(
    run: AttentionRun, jet: int, layer: int | None = None, model: str = "trained"
) -> Axes:
    """A panel a head of one layer (from 1; default: the last); returns the first panel."""
    layers = int(run.manifest["layers"])
    layer = layers if layer is None else layer
    if not 1 <= layer <= layers:
        raise InputError(f"layer must be 1 ... {layers}; got {layer}")
    weights, particles = run.maps(jet, model).weights[layer - 1], run.of_jet(jet)
    heads = len(weights)
    columns = min(heads, 4)
    rows = -(-heads // columns)
    with style.context():
        figure, axes = panels(rows, columns, height=1.95 * rows + 0.65, sharex=True, sharey=True)
        for head, ax in enumerate(axes.ravel()[:heads]):
            strongest = _lines(ax, particles, weights[head])
            _markers(ax, particles)
            ax.set_title(f"head {head + 1} (largest {strongest:.2f})", fontsize=7)
            ax.set_aspect("equal", adjustable="box")
        hide(axes, heads)
        _square(axes[0, 0], particles)
        for ax in axes[-1]:
            ax.set_xlabel("Δη")
        for ax in axes[:, 0]:
            ax.set_ylabel("Δφ (rad)")
        handles = _legend(particles)
        columns = len(handles) if len(handles) <= 5 else -(-len(handles) // 2)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.4)
        label = str(run.jets["label"].iloc[jet])
        figure.suptitle(f"{decay(label)}, jet {jet}, layer {layer}, {model}", fontsize=8)
    first: Axes = axes[0, 0]
    return first


def edges(weights: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pairs (E, 2) worth a line and their weight (E,), weakest first; never i with itself.

    >>> pairs, strength = edges(np.array([[0.0, 0.9, 0.1], [0.5, 0, 0.5], [1, 0, 0]], np.float32))
    >>> pairs.tolist(), strength.round(1).tolist()
    ([[1, 2], [0, 1], [0, 2]], [0.5, 0.8999999761581421, 1.0])
    """
    i, j = np.triu_indices(len(weights), 1)
    strength = np.maximum(weights[i, j], weights[j, i])
    if len(strength) == 0:
        return np.zeros((0, 2), np.int64), strength
    order = np.argsort(strength, kind="stable")[-MOST:]
    order = order[strength[order] > LEAST * strength.max()]
    return np.stack([i, j], 1)[order], strength[order]


def _lines(ax: Axes, particles: pd.DataFrame, weights: NDArray[np.float32]) -> float:
    pairs, strength = edges(weights)
    if len(pairs) == 0:
        return 0.0
    place = particles[["deta", "dphi"]].to_numpy()
    subjet = particles["subjet"].to_numpy()
    inside = subjet[pairs[:, 0]] == subjet[pairs[:, 1]]
    top = float(strength.max())
    for own, dashes in ((inside, "solid"), (~inside, (0, (2, 2)))):
        relative = strength[own] / top
        colours = np.zeros((len(relative), 4))
        colours[:, 3] = 0.06 + 0.8 * relative
        ax.add_collection(
            LineCollection(
                list(place[pairs[own]]),
                colors=colours,
                linewidths=list(0.25 + 1.6 * strength[own]),
                linestyles=dashes,
                zorder=1,
            )
        )
    return top


def _square(ax: Axes, particles: pd.DataFrame) -> None:
    """One square window for all panels that holds every particle."""
    low, high = (getattr(particles[["deta", "dphi"]], m)().to_numpy() for m in ("min", "max"))
    middle, half = (low + high) / 2, 0.55 * float((high - low).max()) + 0.02
    ax.set_xlim(middle[0] - half, middle[0] + half)
    ax.set_ylim(middle[1] - half, middle[1] + half)


def _markers(ax: Axes, particles: pd.DataFrame) -> None:
    size = 4 + 70 * particles["pt"] / particles["pt"].max()
    for kind, marker in KIND_MARKERS.items():
        own = (particles["pid"] == kind).to_numpy()
        if own.any():
            mine = particles[own]
            colours = [SUBJET_COLOURS[int(s) % len(SUBJET_COLOURS)] for s in mine["subjet"]]
            ax.scatter(
                mine["deta"],
                mine["dphi"],
                s=size[own].to_numpy(),
                c=colours,
                marker=marker,
                alpha=0.85,
                linewidths=0.3,
                edgecolors="white",
                zorder=2,
            )


def _legend(particles: pd.DataFrame) -> list[Line2D]:
    grey = {"color": "#505050", "linestyle": "", "markersize": 4.5}
    handles = [
        Line2D([], [], marker=KIND_MARKERS[kind], label=KIND_NAMES[kind], **grey)  # type: ignore[arg-type]
        for kind in sorted(set(particles["pid"]))
    ]
    subjets = sorted(set(particles["subjet"]))
    for k in subjets if len(subjets) > 1 else []:
        colour = SUBJET_COLOURS[int(k) % len(SUBJET_COLOURS)]
        name = f"subjet {int(k) + 1}"
        name += " (b)" if particles.loc[particles["subjet"] == k, "b_subjet"].any() else ""
        handles.append(Line2D([], [], marker="s", color=colour, linestyle="", label=name))
    handles.append(Line2D([], [], color="black", linewidth=1, label="inside a subjet"))
    if len(subjets) > 1:
        dashed = (0, (2, 2))
        handles.append(Line2D([], [], color="black", linestyle=dashed, label="between subjets"))
    return handles
