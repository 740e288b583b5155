"""Ways to use sparse attention: accuracy against the energy of attention and against latency."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.studies.score_axes import panels

NAMES = {
    "": "all keys",
    "scores": "after the scores, exact",
    "bits": "bit by bit, exact",
    "bias": "by U, before",
    "upper bits": "by upper bits, before (SPRINT)",
    "mask": "diagonals, before (ASADI)",
}
COLOURS = dict(zip(NAMES, ("#303030", *style.LABEL_COLOURS), strict=False))


def ways_plot(table: pd.DataFrame) -> Axes:
    """Rows of workloads/sparsity/ways.py; the dashed line is full attention's accuracy.

    Error bars: one standard error of the paired change from full attention.
    """
    full = table[table["by"].isna() | (table["by"] == "")].iloc[0]
    with style.context():
        axes = panels(2, style.PAGE, 3.2, sharey=True)
        for ax, column in zip(axes, ("attention_nj", "p50_us"), strict=True):
            for by, name in NAMES.items():
                rows = table[table["by"].fillna("") == by]
                if rows.empty:
                    continue
                marks: dict[str, Any] = {
                    "color": COLOURS[by],
                    "fmt": "o",
                    "ms": 3.2,
                    "lw": 0.7,
                    "capsize": 1.5,
                }
                across = rows[column] / (1e3 if column == "attention_nj" else 1)
                ax.errorbar(across, rows["accuracy"], rows["change_error"], label=name, **marks)
            ax.axhline(full["accuracy"], color="#606060", lw=0.6, ls="--")
            ax.grid(axis="y")
        axes[0].set_xlabel("energy of attention (µJ a jet)")
        axes[1].set_xlabel("latency of a jet alone, p50 (µs)")
        axes[0].set_ylabel("accuracy")
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1.0), **style.LEGEND}
        axes[0].legend(ncols=2, **above)
    first: Axes = axes[0]
    return first
