"""Which points a sweep has: all combinations, random ones, or a Latin hypercube.

A Latin hypercube of n points cuts each axis into n parts of equal length and has one point in each
part of each axis, so that few points see the whole of every axis (McKay, Beckman and Conover 1979).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.sweeping.axes import Axis

Settings = dict[str, Any]

MOST_POINTS = 10**5
"""Their answers are held in memory, some kilobytes each."""

_CHEAP = (
    "workload.arrivals",
    "host.queue",
    "host.deadline",
    "host.dispatch",
    "run.seed",
    "run.window",
    "run.precision",
    "run.engine",
    "run.energy",
    "accuracy",
)
"""Keys that leave the plan as it is."""


def check_grid(source: str, axes: Sequence[Axis]) -> None:
    """Raise InputError for a continuous axis, and for too many points, with their number."""
    for axis in axes:
        if axis.choices is None:
            raise InputError(f"{source}: {axis.key}.steps must be given for a grid; got nothing")
    count = math.prod(len(axis.choices or ()) for axis in axes)
    if count > MOST_POINTS:
        raise InputError(f"{source}: a sweep has at most {MOST_POINTS:,} points; got {count:,}")


def plan_of(settings: Mapping[str, Any]) -> str:
    """What points have in common that need the same plan, most of the time.

    >>> plan_of({"run.seed": 1, "models.tagger.workload.arrivals.seed": 2, "chip.chips": 4})
    '{"chip.chips": 4}'
    """
    return json.dumps({key: value for key, value in settings.items() if not _cheap(key)})


def _cheap(key: str) -> bool:
    return any(f".{cheap}" in f".{key}" for cheap in _CHEAP)  # also of one of several models


def grid(axes: Sequence[Axis]) -> list[Settings]:
    """All combinations.

    >>> grid([Axis("a", [1, 2]), Axis("b", ["x"])])
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    keys = [axis.key for axis in axes]
    found = itertools.product(*(axis.choices or () for axis in axes))
    return [dict(zip(keys, values, strict=True)) for values in found]


def random(axes: Sequence[Axis], points: int, seed: int) -> list[Settings]:
    """Independent points; of equal ones the first, so there may be fewer."""
    shares = np.random.default_rng(seed).random((points, len(axes)))
    return _points(axes, shares)


def latin(axes: Sequence[Axis], points: int, seed: int) -> list[Settings]:
    """A Latin hypercube; of equal points, which short lists can bring, the first."""
    return _points(axes, latin_shares(points, len(axes), seed))


def latin_shares(points: int, axes: int, seed: int) -> NDArray[np.float64]:
    """Coordinates (points, axes) from 0 to below 1: one point in each part of each axis."""
    random_numbers = np.random.default_rng(seed)
    columns = [random_numbers.permutation(points) for _ in range(axes)]
    inside = random_numbers.random((points, axes))
    shares: NDArray[np.float64] = (np.column_stack(columns) + inside) / points
    return np.minimum(shares, np.nextafter(1, 0))


def _points(axes: Sequence[Axis], shares: NDArray[np.float64]) -> list[Settings]:
    found: dict[str, Settings] = {}
    for row in shares.tolist():
        point = {axis.key: axis.at(share) for axis, share in zip(axes, row, strict=True)}
        found.setdefault(json.dumps(point), point)
    return list(found.values())
