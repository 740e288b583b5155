"""Main effects: what an answer is on average at each value of a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVELS = 6
"""Classes into which many different values of a setting are put."""


class Effect(NamedTuple):
    """``at``: values of a setting (of classes, their means); ``percent``: the answer's mean there,
    less its mean over all points, in per cent of that.
    """

    at: Floats
    percent: Floats


def effect(setting: Floats, answer: Floats) -> Effect:
    """The main effect of a setting (n,) on an answer (n,).

    >>> effect(np.array([1.0, 1.0, 2.0, 2.0]), np.array([1.0, 3.0, 5.0, 7.0]))
    Effect(at=array([1., 2.]), percent=array([-50.,  50.]))
    """
    levels = classes(setting)
    whole = float(answer.mean())
    at = np.array([setting[levels == level].mean() for level in np.unique(levels)])
    means = np.array([answer[levels == level].mean() for level in np.unique(levels)])
    return Effect(at, 100 * (means - whole) / (abs(whole) or 1.0))


def classes(setting: Floats) -> NDArray[np.intp]:
    """The class (n,) of each value: values themselves, or :data:`LEVELS` of about equal number."""
    values, places = np.unique(setting, return_inverse=True)
    if len(values) <= 2 * LEVELS:
        return np.asarray(places, np.intp)
    order = np.argsort(np.argsort(setting, kind="stable"), kind="stable")
    return np.asarray(order * LEVELS // len(setting), np.intp)


def largest(setting: Floats, answers: Sequence[Floats]) -> float:
    """The widest span of a setting's effects on any answer, per cent."""
    return max(float(np.ptp(effect(setting, answer).percent)) for answer in answers)
