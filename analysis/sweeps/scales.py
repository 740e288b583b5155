"""Columns of a sweep as axes of a picture: numbers in a telling unit, texts as places in a row."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from hyflexsim.analysis import style

_UNITS = {"ps": ("s", 1e-12), "pj": ("J", 1e-12), "w": ("W", 1.0), "mw": ("W", 1e-3)}
_MEASURE = r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*(\D.*?)\s*"
WIDE = 20.0
"""Numbers whose largest is more than so many times the smallest stand on a logarithmic axis, unless
the column is known to be linear."""


class Scale(NamedTuple):
    """A column on an axis: its values there, its name, and its texts, if it has such."""

    values: NDArray[np.float64]
    label: str
    words: tuple[str, ...] = ()
    whole: bool = False
    linear: bool = False

    @property
    def log(self) -> bool:
        """Whether the axis is logarithmic."""
        low, high = float(np.nanmin(self.values)), float(np.nanmax(self.values))
        return not (self.words or self.linear) and low > 0 and high > WIDE * low

    def shares(self) -> NDArray[np.float64]:
        """The values from 0 (least) to 1 (largest), as far along as they are on the axis."""
        along = np.log(self.values) if self.log else self.values
        low, high = float(along.min()), float(along.max())
        found: NDArray[np.float64] = (along - low) / (high - low or 1.0)
        return found

    def show(self, axis: Axis, ticks: int = 4) -> None:
        """Put ticks with the right names on an axis; few of them."""
        if self.words:
            axis.set_major_locator(FixedLocator(list(range(len(self.words)))))
            axis.set_major_formatter(FuncFormatter(lambda at, _: self.words[round(at)]))
            axis.axes.set(**{f"{_which(axis)}lim": (-0.5, len(self.words) - 0.5)})
        elif self.log:
            axis.axes.set(**{f"{_which(axis)}scale": "log"})
            span = float(np.nanmax(self.values) / np.nanmin(self.values))
            subs = (1.0,) if span > 300 else (1.0, 3.0)
            axis.set_major_locator(LogLocator(subs=subs, numticks=ticks + 3))
            axis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
        else:
            axis.set_major_locator(MaxNLocator(ticks, integer=self.whole, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:.6g}"))
        axis.set_minor_locator(NullLocator())


def scale(column: pd.Series, name: str) -> Scale:
    """An axis for a column.

    >>> scale(pd.Series([2.5e7, 5e7]), "latency_ps.p99")[:2]
    (array([25., 50.]), 'latency p99 (µs)')
    >>> scale(pd.Series([2.5e7, 5e7]), "models.mlp.latency_ps.p99").label
    'models mlp latency p99 (µs)'
    >>> scale(pd.Series(["50 ns", "100 ns"]), "analog.read_cycle")[:2]
    (array([ 50., 100.]), 'analog.read_cycle (ns)')
    >>> scale(pd.Series(["b", "a", "b"]), "kind")[:3:2]
    (array([0., 1., 0.]), ('b', 'a'))
    """
    if pd.api.types.is_bool_dtype(column):
        return _words(column.map({True: "true", False: "false"}), name)
    if not pd.api.types.is_numeric_dtype(column):
        texts = column.astype(str)
        measured = texts.str.extract(f"^{_MEASURE}$", flags=re.ASCII)
        if measured[1].notna().all() and len(set(measured[1])) == 1:
            return Scale(measured[0].to_numpy(float), f"{name} ({measured[1].iloc[0]})")
        return _words(texts, name)
    values = column.to_numpy(float)
    pieces = name.split(".")
    for at, piece in enumerate(pieces):
        word, _, unit = piece.rpartition("_")
        if word and unit in _UNITS:
            base, factor = _UNITS[unit]
            best = style.scale(float(np.nanmax(np.abs(values))) * factor, base)
            shown = " ".join((*pieces[:at], _spoken(word), *pieces[at + 1 :]))
            return Scale(values * factor / best.factor, f"{shown} ({best.unit})")
    return Scale(values, _spoken(name), whole=bool((values == np.round(values)).all()))


def _which(axis: Axis) -> str:
    return "x" if isinstance(axis, XAxis) else "y"


def _words(texts: pd.Series, name: str) -> Scale:
    words = tuple(dict.fromkeys(texts))
    return Scale(texts.map({word: i for i, word in enumerate(words)}).to_numpy(float), name, words)


def _spoken(name: str) -> str:
    """An answer as one would say it; settings keep the name that one writes."""
    known = {"throughput_per_s": "requests/s", "area_mm2.used": "area used (mm²)"}
    return known.get(name, name if "." in name else name.replace("_", " "))
