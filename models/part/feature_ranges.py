"""What a ParT was trained on, feature by feature, and whether other jets are like it.

A range holds all but one in a thousand particles at either end. Jets of the same kind leave it as
rarely; where five times as many particles do, a model is asked what it has not seen, and its scores
are a guess.
"""

from __future__ import annotations

import numpy as np

from hyflexsim.models.part.inputs import FEATURES
from hyflexsim.models.part.training import JetTensors

TAIL = 0.001
"""Share of the particles beyond each end of a range (assumed)."""
FAR = 0.01
"""Share of the particles from which on jets are far outside: five times that of both tails."""

Ranges = dict[str, tuple[float, float]]


def ranges_of(jets: JetTensors, features: str) -> Ranges:
    """Range of each standardised feature of a set of FEATURES over all particles of the jets."""
    low, high = np.quantile(jets.x.cpu().numpy(), (TAIL, 1 - TAIL), axis=0, method="nearest")
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(FEATURES[features])}


def far_outside(jets: JetTensors, features: str, ranges: Ranges | None) -> list[str]:
    """A line for each feature that the jets have far outside of the range; none without ranges."""
    said = []
    for i, name in enumerate(FEATURES[features] if ranges else ()):
        low, high = (ranges or {})[name]
        column = jets.x[:, i]
        share = float(((column < low) | (column > high)).double().mean())
        if share > FAR:
            said.append(
                f"{name} of {share:.1%} of the particles is outside of {low:.3g} to {high:.3g}, "
                f"where 99.8 % of those lie that the weights were trained on: scores are a guess"
            )
    return said
