"""Many jets at once are each jet by itself."""

import numpy as np
import pytest
import torch

from hyflexsim.models.part.inputs import jet_features
from hyflexsim.models.part.training import JetTensors
from hyflexsim.workloads.jets import tensors
from hyflexsim.workloads.jets.jets import load_jets


@pytest.mark.parametrize(("features", "particles"), [("full", 30), ("kin", 128)])
def test_as_one_by_one(features, particles, monkeypatch):
    monkeypatch.setattr(tensors, "AT_ONCE", 7)
    jets = load_jets(limit=20)
    target = np.arange(20)
    told = []
    found = tensors.jet_tensors(jets, target, features, particles, told.append)
    each = [jet_features(jets.inputs(j), features, jets.axis(j)) for j in range(20)]
    wanted = JetTensors.of(each, target, particles)
    for ours, theirs in zip(vars(found).values(), vars(wanted).values(), strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    assert told == [7, 14, 20]
