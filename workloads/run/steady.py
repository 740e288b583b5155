"""What a run of finite length says of a stream without end: warm-up, batch means, intervals.

The first requests find an empty chip: MSER-5 says how many to cut (White, Simulation 69, 1997;
White, Cobb, Spratt, WSC 2000): in means of five, those after whose removal the standard error of
the mean of the rest is least. If that lies in the second half the run is too short to know.

The rest is cut into 20 batches (Schmeiser, Operations Research 30, 1982: 10 to 30); their means, or
quantiles, are nearly independent if they are long compared to how long a queue remembers, and give
a 95 % interval by Student's distribution. In a short run close to saturation they are not, and it
is too narrow: of M/D/1 at a load of 0.7 it holds the mean in 91 % of runs of 10,000 requests.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BATCHES = 20
STUDENT = 2.093
"""97.5 % quantile of Student's distribution with 19 degrees of freedom."""

LEAST = 10
"""Values of a batch, at least; and of a quantile p, so many that 1 / (1 - p) fit."""


class Estimate(NamedTuple):
    """A number, and half the width of its 95 % interval, None where there are too few values."""

    value: float
    half_width: float | None


def warm_up(values: np.ndarray, mean_of: int = 5) -> int | None:
    """How many of the first values to cut; None if the run is too short to know.

    >>> warm_up(np.array([9.0] * 20 + [1.0, 2.0] * 90))
    20
    >>> warm_up(np.arange(100.0)) is None
    True
    """
    means = values[: len(values) // mean_of * mean_of].reshape(-1, mean_of).mean(axis=1)
    count = len(means)
    if count < 4:
        return None
    centred = means - means.mean()  # sums of squares of differences stay small
    left = np.arange(count, 0, -1)
    total = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    error = (squares - total**2 / left) / left**2
    cut = int(np.argmin(error[: count - 3]))  # the error of next to no values says nothing
    return None if cut > count // 2 else cut * mean_of


def mean(values: np.ndarray) -> Estimate:
    """Mean, by batch means.

    >>> mean(np.arange(5.0))
    Estimate(value=2.0, half_width=None)
    """
    if len(values) < BATCHES * LEAST:
        return Estimate(float(values.mean()), None)
    return Estimate(float(values.mean()), _half_width(_batches(values).mean(axis=1)))


def quantile(values: np.ndarray, share: float) -> Estimate:
    """The value that so large a share stays below, by quantiles of batches."""
    value = float(np.quantile(values, share))
    if len(values) < BATCHES * max(LEAST, 1 / (1 - share)):
        return Estimate(value, None)
    return Estimate(value, _half_width(np.quantile(_batches(values), share, axis=1)))


def _batches(values: np.ndarray) -> np.ndarray:
    """Equal batches; what is left over at the start belongs to none."""
    size = len(values) // BATCHES
    return values[len(values) - size * BATCHES :].reshape(BATCHES, size)


def _half_width(each: np.ndarray) -> float:
    return float(STUDENT * each.std(ddof=1) / np.sqrt(BATCHES))
