"""Which points no other is better than: the front of any number of things that are to be small."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

PLACES = 3
"""Significant places to which costs are compared, as tables print them."""


def on_front(costs: ArrayLike, losses: ArrayLike) -> NDArray[np.bool_]:
    """Which of n points no other beats in its costs (n, d) and its loss (n,): a mask (n,).

    Costs are compared to :data:`PLACES` significant places, losses as they are.

    >>> on_front([[71.86], [71.91], [60.0]], [0.2, 0.1, 0.3]).tolist()
    [False, True, True]
    """
    values = np.asarray(costs, float)
    rounded = np.array([float(f"{v:.{PLACES - 1}e}") for v in values.flat]).reshape(values.shape)
    return non_dominated(np.column_stack([rounded, np.asarray(losses, float)]))


def non_dominated(points: ArrayLike) -> NDArray[np.bool_]:
    """Which of n points are on the front: a mask (n,).

    `points` (n, d), each column the less the better. A point is off the front if another is at most
    as large in every column and smaller in one; of equal points all are on it or none.

    >>> non_dominated([[1, 3], [2, 2], [3, 3], [2, 2]]).tolist()
    [True, True, False, True]
    """
    values: NDArray[Any] = np.asarray(points, float)
    return np.array([not _beaten(values, point) for point in values], bool)


def _beaten(values: NDArray[Any], point: NDArray[Any]) -> bool:
    return bool(((values <= point).all(axis=1) & (values < point).any(axis=1)).any())
