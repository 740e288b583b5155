"""Heat maps of attention: one jet, every layer and head, before or after softmax.

Rows are queries, columns keys, particles in descending pT, the hardest at the origin (as in
arXiv 2412.03673). All panels of a picture share one scale, so heads can be compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm

from hyflexsim.analysis import style
from hyflexsim.analysis.attention.directory import AttentionRun, JetMaps
from hyflexsim.analysis.attention.style import decay, panels
from hyflexsim.sim.errors import InputError

WHAT = ("weights", "scores", "qk", "u")


def heat_maps(run: AttentionRun, jet: int, what: str = "weights", model: str = "trained") -> Axes:
    """A panel a layer (rows) and head (columns); returns the first panel.

    `what`: "weights" after softmax, "scores" QK^T + U before it, "qk" or "u" alone (U is the
    same in every layer: one row). Raises InputError for another word.
    """
    if what not in WHAT:
        raise InputError(f"what must be one of {', '.join(WHAT)}; got {what!r}")
    arrays, title = _arrays(run.maps(jet, model), what)
    layers, heads = arrays.shape[:2]
    norm, colours, extend = _scale(arrays, what)
    with style.context():
        side = min((style.PAGE - 0.9) / heads, 1.5)
        figure, axes = panels(layers, heads, height=0.75 + layers * (side + 0.06))
        image: Any = None
        for (layer, head), ax in np.ndenumerate(axes):
            image = ax.imshow(
                arrays[layer, head], origin="lower", cmap=colours, norm=norm, interpolation="none"
            )
            _ticks(ax, arrays.shape[-1], first=head == 0, last=layer == layers - 1)
            if layer == 0:
                ax.set_title(f"head {head + 1}", fontsize=7)
            if head == 0:
                ax.set_ylabel("all layers" if what == "u" else f"layer {layer + 1}\nquery")
            if layer == layers - 1:
                ax.set_xlabel("key")
        bar = figure.colorbar(image, ax=list(axes.ravel()), pad=0.01, aspect=40, extend=extend)
        bar.set_label(title)
        label = str(run.jets["label"].iloc[jet])
        figure.suptitle(f"{decay(label)}, jet {jet}, {model}", fontsize=8)
    first: Axes = axes[0, 0]
    return first


def _arrays(maps: JetMaps, what: str) -> tuple[Any, str]:
    return {
        "weights": (maps.weights, "attention weight, after softmax"),
        "scores": (maps.qk + maps.u, "score QKᵀ/√d + U, before softmax"),
        "qk": (maps.qk, "QKᵀ/√d"),
        "u": (maps.u[None], "U"),
    }[what]


def _scale(arrays: Any, what: str) -> tuple[Normalize, str, str]:
    if what == "weights":  # the root shows weights of 0.01 beside one of 1
        return PowerNorm(0.5, 0, max(float(arrays.max()), 1e-9)), "viridis", "neither"
    size = max(float(np.quantile(np.abs(arrays), 0.995)), 1e-9)
    return Normalize(-size, size), "RdBu_r", "both"


def _ticks(ax: Axes, n: int, *, first: bool, last: bool) -> None:
    step = next(s for s in (5, 10, 20, 40) if n / s <= 4 or s == 40)
    at = np.arange(0, n, step)
    ax.set_xticks(at, [str(i) for i in at] if last else [""] * len(at))
    ax.set_yticks(at, [str(i) for i in at] if first else [""] * len(at))
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
