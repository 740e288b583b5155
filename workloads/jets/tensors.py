"""Jets as a ParT reads them, some thousand at a time, since numpy costs by call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from hyflexsim.models.part.inputs import particle_features
from hyflexsim.models.part.training import JetTensors
from hyflexsim.workloads.jets.jets import Jets

AT_ONCE = 5000  # jets


def jet_tensors(
    jets: Jets,
    target: NDArray[np.int64],
    features: str,
    particles: int,
    report: Callable[[int], None] = lambda _: None,
) -> JetTensors:
    """The leading `particles` of all jets with a set of FEATURES; classes `target` (J,).

    `report` is told jets done. Equal to :func:`~hyflexsim.models.part.inputs.jet_features` of
    each jet, and raises what that raises.
    """
    counts = np.diff(jets.offsets)
    x, v = [], []
    for first in range(0, len(jets), AT_ONCE):
        last = min(first + AT_ONCE, len(jets))
        own = counts[first:last]
        axes = [np.repeat(axis, own) for axis in jets.axes(first, last)]
        singles, momenta = particle_features(jets.inputs_of(first, last), features, axes)
        place = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
        read = place < particles
        x.append(singles[:, read].T)
        v.append(momenta[:, read].T)
        report(last)
    offsets = np.concatenate([[0], np.cumsum(np.minimum(counts, particles))])
    parts = (np.concatenate(x), np.concatenate(v), offsets.astype(np.int64), target)
    return JetTensors(*map(torch.from_numpy, parts))
