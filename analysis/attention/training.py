"""Pictures of a training: accuracy and binary attention against jets seen and sample size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from hyflexsim.analysis import style
from hyflexsim.analysis.attention.style import panels
from hyflexsim.sim.errors import InputError

TRAINING, HELD_OUT, TREES = "#8C8C8C", "#0072B2", "#D55E00"


def training_plot(folder: str | Path) -> Axes:
    """Accuracy, and share of attention rows with largest weight > 0.5 and > 0.9, by jets seen."""
    curve = _table(Path(folder) / "curve.parquet")
    with style.context():
        _, axes = panels(1, 2, height=2.3)
        left, right = axes[0]
        left.plot(curve["jets"], curve["accuracy"], color=TRAINING, label="training")
        name = "validation"
        left.plot(curve["jets"], curve["validation_accuracy"], color=HELD_OUT, label=name)
        left.set_ylabel("accuracy")
        for column, dashes, limit in (("share_50", "-", "> 0.5"), ("share_90", "--", "> 0.9")):
            right.plot(curve["jets"], 100 * curve[column], dashes, color=HELD_OUT, label=limit)
        right.set_ylabel("rows with largest weight above (%)")
        for ax in (left, right):
            ax.set_xlabel("jets seen in training")
            ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g} k" if x else "0")
            ax.set_xlim(left=0)
            ax.set_ylim(bottom=0)
            ax.grid(axis="y")
            ax.legend(loc="best")
    first: Axes = left
    return first


def learning_curve_plot(folder: str | Path) -> Axes:
    """Accuracy on held-out jets and binary rows against the jets of a class trained on."""
    table = _table(Path(folder) / "learning_curve.parquet").sort_values("train_jets")
    with style.context():
        _, axes = panels(1, 2, height=2.3)
        left, right = axes[0]
        for column, colour, name in (("accuracy", HELD_OUT, "ParT"), ("trees", TREES, "trees")):
            if column in table and table[column].notna().any():
                error = table[f"{column}_error"]
                style_ = {"fmt": "-o", "color": colour, "markersize": 3, "capsize": 2}
                left.errorbar(table["train_jets"], table[column], error, label=name, **style_)
        left.set_ylabel("accuracy, held-out jets")
        for column, dashes, limit in (("share_50", "-o", "> 0.5"), ("share_90", "--s", "> 0.9")):
            right.plot(table["train_jets"], 100 * table[column], dashes, color=HELD_OUT,
                       markersize=3, label=limit)  # fmt: skip
        right.set_ylabel("rows with largest weight above (%)")
        right.set_ylim(bottom=0)
        for ax in (left, right):
            ax.set_xscale("log")
            ax.set_xticks(table["train_jets"], [f"{n:,}" for n in table["train_jets"]])
            ax.minorticks_off()
            ax.set_xlabel("training jets of each class")
            ax.grid(axis="y")
            ax.legend(loc="best")
    first: Axes = left
    return first


def _table(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise InputError(f"{file}: no such file; hyflexsim train-part writes it")
    frame: pd.DataFrame = pd.read_parquet(file)
    return frame
