"""A point that is over: answers, or the one line that says why there are none."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hyflexsim.models.errors import ModelError
from hyflexsim.sim.errors import DeadlockError, InputError

Answers = dict[str, Any]
"""Plain values by key."""

PointFunction = Callable[[Mapping[str, Any]], Answers]
"""What a sweep computes: from the settings of a point, plain values by key, to its answers."""


class Done(NamedTuple):
    """Point number ``point``; ``seconds`` that it took; ``peak_mb``: most that its process had."""

    point: int
    answers: Answers
    error: str | None
    seconds: float
    peak_mb: float


def attempt(function: PointFunction, point: int, settings: Mapping[str, Any]) -> Done:
    """Compute a point; whatever it raises, but for an interrupt, becomes its error.

    >>> attempt(lambda settings: {"double": 2 * settings["n"]}, 0, {"n": 4}).answers
    {'double': 8}
    >>> attempt(lambda settings: {}[settings["n"]], 0, {"n": 4}).error
    'KeyError: 4'
    """
    start = time.perf_counter()
    answers: Answers = {}
    error = None
    try:
        answers = dict(function(settings))
    except Exception as refused:
        words = " ".join(str(refused).split())
        expected = isinstance(refused, InputError | ModelError | DeadlockError)
        error = words if expected else f"{type(refused).__name__}: {words}".removesuffix(": ")
    return Done(point, answers, error, time.perf_counter() - start, peak_mb())


def peak_mb() -> float:
    """Most memory that this process has had, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
