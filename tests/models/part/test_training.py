"""Ragged jets as batches, reflections, sharpness; against one jet at a time."""

import math

import numpy as np
import pytest
import torch

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.attention import AttentionRecord
from hyflexsim.models.part.inputs import FEATURES, jet_features
from hyflexsim.models.part.training import (
    JetTensors,
    entropy_of,
    mirrored,
    scores_of,
)
from hyflexsim.models.part.transformer import PART_CONFIGS, ParticleTransformer


def test_a_batch_is_padded_with_zeros(jets):
    assert jets.offsets.tolist() == [0, 5, 6, 10]  # the first jet is cut to five
    x, v, mask = jets.batch(torch.tensor([2, 1]))
    assert x.shape == (2, 17, 4)
    assert v.shape == (2, 4, 4)
    assert mask[:, 0].sum(-1).tolist() == [4, 1]
    assert (x[1, :, 1:] == 0).all()
    assert (v[1, :, 1:] == 0).all()
    assert torch.equal(x[0].T, jets.x[6:10])
    with pytest.raises(ModelError, match=r"one length, at least 1; got 0, 0$"):
        JetTensors.of([], np.array([], dtype=np.int64), 5)


def test_some_jets_are_those_jets(jets):
    some = jets.take(torch.tensor([2, 0]))
    assert some.offsets.tolist() == [0, 4, 9]
    assert some.target.tolist() == [1, 0]
    both = zip(some.batch(torch.tensor([0, 1])), jets.batch(torch.tensor([2, 0])), strict=True)
    assert all(torch.equal(a, b) for a, b in both)


def test_scores_do_not_depend_on_the_batch(jets):
    torch.manual_seed(0)
    model = ParticleTransformer(**PART_CONFIGS["part-small"] | {"num_layers": 1})
    together = scores_of(model, jets)
    one_by_one = scores_of(model, jets, batch=1)
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-12)
    assert model.training  # as it was


def test_a_mirrored_jet_is_the_jet_reflected(particles):
    """Reflect py and the sign of d0 about the jet's axis in the plane py = 0: by hand."""
    own = particles(6, 9)
    axis = (300.0, 0.0, 40.0, 310.0)
    x, _ = jet_features(own, "full", axis)
    other, _ = jet_features(own | {"py": -own["py"], "d0": -own["d0"]}, "full", axis)
    flipped = mirrored(torch.from_numpy(x)[None], "full", torch.tensor([True]))[0]
    np.testing.assert_allclose(flipped.numpy(), other, atol=1e-6)
    kept = mirrored(torch.from_numpy(x)[None], "full", torch.tensor([False]))[0]
    assert torch.equal(kept, torch.from_numpy(x))
    changed = {FEATURES["full"][k] for k in np.flatnonzero((flipped.numpy() != x).any(1))}
    assert changed == {"dphi", "d0"}


def test_entropy_by_hand():
    """One jet of two real particles: a one-hot row and a uniform one over two keys."""
    weights = torch.tensor([[[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.3, 0.3, 0.4]]]])
    mask = torch.tensor([[[True, True, False]]])
    record = AttentionRecord("blocks.0", weights, None, weights)
    skipped = AttentionRecord("cls_blocks.0", weights, None, weights)
    found = entropy_of([record, skipped], mask)
    assert float(found) == pytest.approx(math.log(2) / 2, abs=1e-6)
