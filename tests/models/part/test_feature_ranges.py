"""Ranges of a known column, and jets that leave them."""

import numpy as np
import torch

from hyflexsim.models.part.feature_ranges import far_outside, ranges_of
from hyflexsim.models.part.inputs import FEATURES
from hyflexsim.models.part.training import JetTensors


def jets(columns):
    """One jet of as many particles as there are rows; features of "kin"."""
    x = torch.tensor(columns, dtype=torch.float32)
    ends = torch.tensor([0, len(x)])
    return JetTensors(x, torch.zeros(len(x), 4), ends, torch.zeros(1, dtype=torch.int64))


def test_a_thousandth_is_left_out_at_either_end():
    """2,001 whole numbers: two below 2, two above 1,998."""
    found = ranges_of(jets(np.tile(np.arange(2001.0)[:, None], (1, 7))), "kin")
    assert found == dict.fromkeys(FEATURES["kin"], (2.0, 1998.0))


def test_jets_far_outside_are_named_by_feature():
    """Of 1,000 particles 10 are outside, which one in a hundred allows; then 11."""
    ranges = dict.fromkeys(FEATURES["kin"], (-1.0, 1.0))
    columns = np.zeros((1000, 7))
    columns[:10, 0], columns[5:15, 2] = 2.0, -2.0
    assert far_outside(jets(columns), "kin", ranges) == []
    columns[:11, 0] = 2.0
    (line,) = far_outside(jets(columns), "kin", ranges)
    assert line.startswith("log_pt of 1.1% of the particles is outside of -1 to 1, where 99.8 %")
    assert far_outside(jets(columns), "kin", None) == []
