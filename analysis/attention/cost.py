"""Picture of what sparse attention costs: accuracy against k, and which head minds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from hyflexsim.analysis import style
from hyflexsim.analysis.attention.style import panels
from hyflexsim.sim.errors import InputError

COLOURS = {"plain": "#0072B2", "tuned": "#D55E00"}


def load_cost(folder: str | Path) -> dict[str, pd.DataFrame]:
    """accuracy, heads and keys of a folder that `hyflexsim attention-cost` wrote."""
    tables = {}
    for name in ("accuracy", "heads", "keys"):
        file = Path(folder) / f"{name}.parquet"
        if not file.is_file():
            raise InputError(f"{file}: no such file; hyflexsim attention-cost writes it")
        tables[name] = pd.read_parquet(file)
    return tables


def cost_plot(tables: dict[str, pd.DataFrame]) -> Axes:
    """Accuracy against keys kept; divergence of each head cut to one key; keys chosen."""
    accuracy, heads, keys = (tables[name] for name in ("accuracy", "heads", "keys"))
    with style.context():
        _, axes = panels(1, 3, height=2.5, width_ratios=[1.3, 1, 1])
        _against_keys(axes[0, 0], accuracy)
        one = heads[heads["keys"] == 1].pivot_table(
            index="layer", columns="head", values="divergence"
        )
        _grid(
            axes[0, 1], one, "one head cut to its best key:\ndivergence (nats a jet)", 4, log=True
        )
        chosen = keys.pivot_table(index="layer", columns="head", values="keys")
        _grid(axes[0, 2], chosen, "keys kept per layer and head\n(128: all)", 0, log=True)
    first: Axes = axes[0, 0]
    return first


def _against_keys(ax: Axes, accuracy: pd.DataFrame) -> None:
    full = accuracy[(accuracy["how"] == "plain")].sort_values("keys")
    at = {k: i for i, k in enumerate(full["keys"])}
    for how, colour in COLOURS.items():
        mine = accuracy[accuracy["how"] == how].sort_values("keys")
        if len(mine):
            name = "as trained" if how == "plain" else "after fine-tuning with top-k"
            ax.errorbar([at[k] for k in mine["keys"]], mine["accuracy"], mine["accuracy_error"],
                        fmt="-o", color=colour, markersize=3, capsize=2, label=name)  # fmt: skip
    ax.axhline(full["accuracy"].iloc[-1], color="black", linewidth=0.7, linestyle=":")
    bare = accuracy[accuracy["how"] == "without U"]
    if len(bare):
        ax.axhline(float(bare["accuracy"].iloc[0]), color="#8C8C8C", linewidth=0.9,
                   linestyle="--", label="all keys, U left out")  # fmt: skip
    ax.set_xticks(range(len(at)), [str(k) if k < 128 else "all" for k in at])
    ax.set_xlabel("keys a query keeps")
    ax.set_ylabel("accuracy")
    ax.grid(axis="y")
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.35 * (high - low), high)  # room for the legend
    ax.legend(loc="lower right")


def _grid(ax: Axes, table: pd.DataFrame, title: str, digits: int, *, log: bool) -> None:
    values = table.to_numpy(dtype=float)
    low = max(float(values[values > 0].min()) if (values > 0).any() else 1e-6, 1e-9)
    norm = LogNorm(low * 0.7, max(float(values.max()) * 1.5, low * 2)) if log else None
    image = ax.imshow(np.maximum(values, low), cmap="Purples", norm=norm, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if values.shape[1] <= 8:
            colour = style.cell_ink(image, max(value, low))
            ax.text(
                j, i, f"{value:.{digits}f}", ha="center", va="center", fontsize=5.5, color=colour
            )
    ax.set_xticks(range(values.shape[1]), [str(h + 1) for h in range(values.shape[1])])
    ax.set_yticks(range(len(table)), [f"layer {i + 1}" for i in range(len(table))])
    ax.set_xlabel("head")
    ax.set_title(title, fontsize=7)
    ax.tick_params(length=0)
