"""Pictures of attention's statistics. Frames in (rows.py, received.py), Axes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from hyflexsim.analysis import style
from hyflexsim.analysis.attention.rows import DECADES, over_rows
from hyflexsim.analysis.attention.style import (
    WITHOUT_U,
    colour_of,
    decay,
    hide,
    panels,
    per_layer,
)

PUBLISHED_ROWS = {
    "JetClass, t→bqq′": {"share_50": 1.0, "share_95": 0.984},
    "quark–gluon": {"share_50": 0.85, "share_95": 0.44},
    "top landscape": {"share_50": 0.034, "share_95": 0.001},
}
"""Rows with largest weight above 0.5 and 0.95 in 2512.00210's figures, padded rows included."""

PUBLISHED_DECADES = {
    "JetClass (published)": (0.003, 0.031, 0.26, 0.46, 0.10, 0.049, 0.033, 0.061),
    "top landscape (published)": (0.58, 0.25, 0.089, 0.007, 0.006, 0.028, 0.032, 0.006),
}
"""Shares of |QK^T| / |U| per decade in 2512.00210's figures."""

SET_NAMES = {
    "lepton": "electrons, muons",
    "b_subjet": "b-subjet",
    "hardest": "hardest particle",
    "hardest_subjet": "hardest subjet",
}


def binary_plot(rows: pd.DataFrame) -> Axes:
    """How binary: shares beside the published ones; share > 0.5 and effective keys by layer."""
    with style.context():
        _, axes = panels(1, 3, height=2.5, width_ratios=[1.25, 1, 1])
        _against_published(axes[0, 0], rows)
        for view, model, colour, name in _series(rows):
            mine = rows[(rows["view"] == view) & (rows["model"] == model)]
            table = over_rows(mine, ["layer", "head"])
            shift = {"trained": -0.12, "trained without U": 0.0}.get(name, 0.12)
            layer = table["layer"].to_numpy()
            per_layer(axes[0, 1], layer, table["share_50"].to_numpy(), colour, shift, name)
            keys = table["effective_keys"].to_numpy()
            per_layer(axes[0, 2], layer, keys, colour, shift, name)
        axes[0, 1].set_ylabel("share of rows with largest weight > 0.5")
        axes[0, 2].set_ylabel("effective keys, exp(entropy)")
        axes[0, 2].axhline(_mean_keys(rows), color="#B0B0B0", linewidth=0.7, linestyle=":")
        axes[0, 2].set_ylim(bottom=0)
        top = axes[0, 1].get_ylim()[1]
        axes[0, 1].set_ylim(-0.02 * top, 1.3 * top)  # room for the legend
        for ax in axes[0, 1:]:
            ax.set_xlabel("layer (dots: heads, line: mean)")
            ax.grid(axis="y")
        axes[0, 1].legend(loc="upper center")
    first: Axes = axes[0, 0]
    return first


def _series(rows: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    every = [
        ("with U", "trained", colour_of("trained"), "trained"),
        ("without U", "trained", WITHOUT_U, "trained without U"),
        ("with U", "untrained", colour_of("untrained"), "untrained"),
    ]
    there = set(zip(rows["view"], rows["model"], strict=True))
    return [series for series in every if series[:2] in there]


def _mean_keys(rows: pd.DataFrame) -> float:
    """Keys that uniform attention would have, over rows: mean n, a jet counted n times."""
    jets = rows.drop_duplicates("jet")["rows"].to_numpy(dtype=float)
    return float((jets**2).sum() / jets.sum())


def _against_published(ax: Axes, rows: pd.DataFrame) -> None:
    names = ("share_50", "share_90", "share_95")
    series = _series(rows)
    width = 0.8 / len(series)
    for i, (view, model, colour, name) in enumerate(series):
        mine = rows[(rows["view"] == view) & (rows["model"] == model)]
        table = over_rows(mine.assign(all=0), ["all"]).iloc[0]
        at = np.arange(3) + (i - (len(series) - 1) / 2) * width
        values = [max(float(table[k]), 1e-5) for k in names]
        ax.bar(at, values, width * 0.92, color=colour, label=name)
        for x, value in zip(at, [float(table[k]) for k in names], strict=True):
            text = style.percent(value).replace(" %", "")
            ax.annotate(text, (x, max(value, 1e-5)), (0, 1.5), textcoords="offset points",
                        ha="center", fontsize=5.5)  # fmt: skip
    for marker, (name, shares) in zip("Ds*", PUBLISHED_ROWS.items(), strict=True):
        x = [names.index(k) + 0.47 for k in shares]
        ax.plot(x, list(shares.values()), marker, color="black", markersize=4, linestyle="",
                fillstyle="none", markeredgewidth=0.8, label=f"{name} (publ.)")  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylim(1e-5, 60)
    ax.set_yticks([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1], ["0", "0.01", "0.1", "1", "10", "100"])
    ax.minorticks_off()
    ax.set_ylabel("share of rows (%)")
    ax.set_xticks(range(3), ["> 0.5", "> 0.9", "> 0.95"])
    ax.set_xlim(-0.55, 2.65)
    ax.set_xlabel("largest weight of a row")
    ax.legend(loc="upper center", ncols=2, fontsize=5.5, columnspacing=0.8, handlelength=1.2)


def by_class_plot(rows: pd.DataFrame, model: str = "trained") -> Axes:
    """Share of rows above 0.5 and share of all keys that hold 90 %: class by layer."""
    mine = rows[(rows["view"] == "with U") & (rows["model"] == model)]
    mine = mine.assign(keys_share=mine["keys_90"] / mine["rows"])
    table = over_rows(mine, ["label", "layer"])
    weighted = mine.assign(x=mine["keys_share"] * mine["rows"]).groupby(["label", "layer"])
    table = table.merge(
        (weighted["x"].sum() / weighted["rows"].sum()).rename("keys_share").reset_index(),
        on=["label", "layer"],
    )
    labels = list(dict.fromkeys(mine["label"]))
    layers = sorted(set(table["layer"]))
    with style.context():
        figure, axes = panels(1, 3, height=0.8 + 0.21 * len(labels))
        for ax, name, title in (
            (axes[0, 0], "share_50", "rows with largest weight > 0.5 (%)"),
            (axes[0, 1], "keys_share", "keys that hold 90 %, of all keys (%)"),
            (axes[0, 2], "entropy", "entropy of a row (nats)"),
        ):
            grid = table.pivot_table(index="label", columns="layer", values=name).loc[labels]
            factor = 1 if name == "entropy" else 100
            _annotated(ax, grid.to_numpy() * factor, [decay(x) for x in labels], layers)
            ax.set_title(title, fontsize=7)
            ax.set_xlabel("layer")
            if ax is not axes[0, 0]:
                ax.set_yticklabels([])
        figure.suptitle(f"by decay, {model}", fontsize=8)
    first: Axes = axes[0, 0]
    return first


def _annotated(ax: Axes, grid: NDArray[Any], rows: list[str], columns: list[int]) -> None:
    top = max(float(np.nanmax(grid)), 1e-9)
    image = ax.imshow(grid, aspect="auto", cmap="Blues", vmin=0, vmax=top * 1.2)
    digits = 1 if top >= 10 else 2
    for (i, j), value in np.ndenumerate(grid):
        if len(columns) <= 8:
            _cell(ax, image, i, j, value, f"{value:.{digits}f}")
    ax.set_xticks(range(len(columns)), [str(c) for c in columns])
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _cell(ax: Axes, image: AxesImage, i: int, j: int, value: float, text: str) -> None:
    """A number on a cell, black or white, whichever is legible."""
    if np.isnan(value):
        ax.text(j, i, "–", ha="center", va="center", fontsize=6)
        return
    colour = style.cell_ink(image, value)
    ax.text(j, i, text, ha="center", va="center", fontsize=6, color=colour)


def decades_plot(decades: pd.DataFrame) -> Axes:
    """Share of entries per decade of |QK^T| / |U|, all heads together, and by layer."""
    kinds = len(DECADES) - 1
    names = ["<1", *(f"10{'⁰¹²³⁴⁵'[k]}–10{'¹²³⁴⁵⁶'[k]}" for k in range(6)), ">10⁶"]
    with style.context():
        _, axes = panels(1, 2, height=2.6, sharey=True)
        for i, model in enumerate(dict.fromkeys(decades["model"])):
            mine = decades[decades["model"] == model]
            share = mine.groupby("from")["entries"].sum() / mine["entries"].sum()
            at = np.arange(kinds) + (i - 0.5) * 0.38
            colour = colour_of(model)
            axes[0, 0].bar(at, share.to_numpy(), 0.36, color=colour, label=model)
        for marker, (name, values) in zip("Ds", PUBLISHED_DECADES.items(), strict=True):
            axes[0, 0].plot(range(kinds), values, marker, color="black", fillstyle="none",
                            markersize=3.5, markeredgewidth=0.8, ls="", label=name)  # fmt: skip
        mine = decades[decades["model"] == "trained"]
        layers = sorted(set(mine["layer"]))
        for k, layer in enumerate(layers):
            own = mine[mine["layer"] == layer].groupby("from")["entries"].sum()
            tone = style.lighter("#0072B2", 0.3 + 0.7 * (k + 1) / len(layers))
            axes[0, 1].plot(range(kinds), (own / own.sum()).to_numpy(), "-o", color=tone,
                            markersize=3, label=f"layer {layer}")  # fmt: skip
        for ax, title in zip(axes[0], ("all layers", "trained, by layer"), strict=True):
            ax.set_xticks(range(kinds), names, rotation=40, ha="right", rotation_mode="anchor")
            ax.set_xlabel("|QKᵀ/√d| / |U|, element by element, before softmax")
            ax.set_title(title)
            ax.grid(axis="y")
            ax.legend(loc="upper right")
        axes[0, 0].set_ylabel("share of entries")
        axes[0, 0].yaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    first: Axes = axes[0, 0]
    return first


def inter_subjet_plot(received: pd.DataFrame) -> Axes:
    """Histogram of the inter-subjet share over jets, layers and heads; a panel a decay."""
    known = received[received["inter_subjet"].notna()]
    labels = list(dict.fromkeys(known["label"]))
    columns = min(max(len(labels), 1), 5)
    rows = -(-max(len(labels), 1) // columns)
    bins = np.linspace(0, 1, 41)
    with style.context():
        figure, axes = panels(rows, columns, height=1.35 * rows + 0.55, sharex=True)
        for ax, label in zip(axes.ravel(), labels, strict=False):
            own = known[known["label"] == label]
            for model in dict.fromkeys(own["model"]):
                mine = own[own["model"] == model]
                share = np.full(len(mine), 1 / max(len(mine), 1))
                filled = model == "trained"
                ax.hist(mine["inter_subjet"], bins, weights=share, color=colour_of(model),
                        histtype="stepfilled" if filled else "step", label=model,
                        alpha=0.6 if filled else 1, linewidth=1)  # fmt: skip
            expected = float(own["expected_inter_subjet"].mean())
            ax.axvline(expected, color="black", linewidth=0.7, linestyle=":", label="uniform")
            ax.set_title(decay(label), fontsize=7.5)
            ax.set_yticks([])
            ax.set_xlim(0, 1)
        hide(axes, len(labels))
        spare = axes.ravel()[len(labels) :]
        figure.supxlabel("share of attention between subjets (i ≠ j)", fontsize=7)
        figure.supylabel("jets × layers × heads (normalised)", fontsize=7)
        handles, names = axes[0, 0].get_legend_handles_labels()
        if len(spare):
            spare[0].legend(handles, names, loc="center")
        else:
            figure.legend(handles, names, loc="outside upper center", ncols=3)
    first: Axes = axes[0, 0]
    return first


def received_plot(received: pd.DataFrame) -> Axes:
    """Attention received over what uniform attention gives, by layer; dots are heads."""
    with style.context():
        figure, axes = panels(1, 4, height=2.3)
        for ax, (name, title) in zip(axes[0], SET_NAMES.items(), strict=True):
            known = received[received[f"expected_{name}"].notna()]
            for model in dict.fromkeys(received["model"]):
                mine = known[known["model"] == model].groupby(["layer", "head"])
                gain = mine[f"received_{name}"].mean() / mine[f"expected_{name}"].mean()
                table = gain.rename("gain").reset_index()
                if len(table):
                    shift = -0.1 if model == "trained" else 0.1
                    per_layer(ax, table["layer"].to_numpy(), table["gain"].to_numpy(),
                              colour_of(model), shift, model)  # fmt: skip
            jets = known["jet"].nunique()
            ax.axhline(1, color="black", linewidth=0.7, linestyle=":")
            ax.set_title(f"{title}\n{jets} jets", fontsize=7)
            ax.set_xlabel("layer")
            ax.set_ylim(bottom=0)
            ax.grid(axis="y")
        axes[0, 0].set_ylabel("attention received / uniform")
        handles, names = axes[0, 2].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
    first: Axes = axes[0, 0]
    return first


def received_by_class_plot(received: pd.DataFrame) -> Axes:
    """Largest gain of a head per decay: who is found in which decay (columns: sets)."""
    models = list(dict.fromkeys(received["model"]))
    labels = list(dict.fromkeys(received["label"]))
    with style.context():
        _, axes = panels(1, len(models), height=0.9 + 0.21 * len(labels))
        for ax, model in zip(axes[0], models, strict=True):
            grid = np.full((len(labels), len(SET_NAMES)), np.nan)
            for i, label in enumerate(labels):
                own = received[(received["model"] == model) & (received["label"] == label)]
                for k, name in enumerate(SET_NAMES):
                    mine = own[own[f"expected_{name}"].notna()].groupby(["layer", "head"])
                    gain = mine[f"received_{name}"].mean() / mine[f"expected_{name}"].mean()
                    grid[i, k] = gain.max() if len(gain) else np.nan
            image = ax.imshow(grid, aspect="auto", cmap="Oranges", norm=LogNorm(0.7, 40))
            for (i, k), value in np.ndenumerate(grid):
                _cell(ax, image, i, k, value, f"{value:.1f}")
            words = [name.replace(" ", "\n", 1) for name in SET_NAMES.values()]
            ax.set_xticks(range(len(SET_NAMES)), words)
            ax.set_yticks(range(len(labels)), [decay(x) for x in labels])
            ax.tick_params(length=0)
            ax.set_title(f"{model}: best head, attention / uniform", fontsize=7)
    first: Axes = axes[0, 0]
    return first
