"""Pair features are finite for every physical momentum, also along the beam."""

import itertools
import math

import pytest
import torch

from hyflexsim.models.part.pairs import pair_features

MOMENTA = [
    (0.0, 0.0, -1.0, 1.0),  # massless, backward: E + pz is 0
    (0.0, 0.0, 1.0, 1.0),  # massless, forward: E - pz is 0
    (1e-3, 0.0, -1000.0, 1000.0),  # nearly: the same in single precision
    (1.0, 0.0, 2.0, 2.5),
    (0.0, 0.0, 0.0, 0.0),  # padding
]


def pair(i, j):
    return pair_features(*(torch.tensor(v).view(1, 4, 1) for v in (i, j))).flatten()


@pytest.mark.parametrize(("i", "j"), [*itertools.product(MOMENTA, MOMENTA)])
def test_all_are_finite(i, j):
    assert torch.isfinite(pair(i, j)).all()


def test_two_particles_on_paper():
    """Across the beam, 90 degrees apart: Delta = pi / 2, kT = pi / 2, z = 1 / 4, m2 = 16 - 10."""
    found = pair((1.0, 0.0, 0.0, 1.0), (0.0, 3.0, 0.0, 3.0))
    wanted = [math.log(x) for x in (math.pi / 2, 1 / 4, math.pi / 2, 6)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-6)
