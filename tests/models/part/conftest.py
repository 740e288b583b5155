"""Three made-up jets of seven, one and four particles, of which five are read."""

import numpy as np
import pytest

from hyflexsim.models.part.inputs import jet_features
from hyflexsim.models.part.training import JetTensors

COUNTS = (7, 1, 4)


@pytest.fixture
def particles():
    """Columns of so many particles drawn by a seed."""

    def drawn(n, seed):
        draw = np.random.default_rng(seed)
        p = draw.normal(size=(3, n)) * 5 + np.array([60.0, 0, 10])[:, None]
        columns = dict(zip(("px", "py", "pz"), p, strict=True))
        columns["energy"] = np.sqrt((p**2).sum(0) + 0.02)
        columns |= {"charge": draw.integers(-1, 2, n), "pid": draw.integers(0, 5, n)}
        return columns | {"d0": draw.normal(size=n), "dz": draw.normal(size=n)}

    return drawn


@pytest.fixture
def jets(particles):
    made = [jet_features(particles(n, seed)) for seed, n in enumerate(COUNTS)]
    return JetTensors.of(made, np.array([0, 1, 1]), 5)
