"""How binary attention is, and the sizes behind it, against loops over single jets."""

import math

import numpy as np
import pytest
import torch

from hyflexsim.models.part.inputs import jet_features
from hyflexsim.models.part.sharpness import sharpness_of
from hyflexsim.models.part.training import JetTensors
from hyflexsim.models.part.transformer import PART_CONFIGS, ParticleTransformer


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ParticleTransformer(**PART_CONFIGS["part-small"] | {"num_layers": 2}).eval()


def test_a_model_made_binary(jets, model):
    before = sharpness_of(model, jets)
    for block in model.blocks:
        with torch.no_grad():
            block.attn.in_proj.weight[:64] *= 1000  # q rows: scores a thousand times as far apart
    after = sharpness_of(model, jets, batch=2)
    assert before["share_90"] < 0.3
    assert after["share_90"] > 0.9
    assert after["entropy"] < before["entropy"]
    assert after["keys"] < before["keys"]
    assert 0 <= after["share_95"] <= after["share_90"] <= after["share_50"] <= 1
    assert after["norm_k"] == pytest.approx(before["norm_k"], rel=0.3)
    assert after["norm_q"] > 500 * before["norm_q"]
    assert after["spread"] > 100 * before["spread"]


def test_sizes_are_those_of_single_jets_without_padding(jets, model):
    """Each row counts once: jets of 5, 1 and 4 particles weigh 5, 1 and 4."""
    norms, sizes, spreads, keys = [], [], [], []
    for j in range(3):
        x, v, _ = jets.batch(torch.tensor([j]))
        with torch.no_grad():
            _, records = model(x, v, None, return_attention=True)
        for record in records[:2]:
            scores = record.qk + record.bias  # (1, 4, N, N)
            sizes += record.bias.abs().mean(-1).flatten().tolist()
            spreads += scores.std(-1, correction=0).flatten().tolist()
            keys += torch.special.entr(record.weights).sum(-1).exp().flatten().tolist()
        with torch.no_grad():
            own = model.blocks[0].pre_attn_norm(model.embed(x))
            k = model.blocks[0].attn.in_proj(own)[..., 64:128].unflatten(-1, (4, 16))
        norms += k.norm(dim=-1).flatten().tolist()
    found = sharpness_of(model, jets)
    assert found["size_u"] == pytest.approx(np.mean(sizes), rel=1e-4)
    assert found["spread"] == pytest.approx(np.mean(spreads), rel=1e-4)
    assert found["keys"] == pytest.approx(np.mean(keys), rel=1e-4)
    one = ParticleTransformer(**PART_CONFIGS["part-small"] | {"num_layers": 1})
    one.load_state_dict(model.state_dict(), strict=False)
    assert sharpness_of(one, jets)["norm_k"] == pytest.approx(np.mean(norms), rel=1e-4)


def test_one_particle_attends_to_itself(model, particles):
    made = [jet_features(particles(1, 0))]
    found = sharpness_of(model, JetTensors.of(made, np.array([0]), 5))
    assert found["share_95"] == 1
    assert found["keys"] == pytest.approx(1)
    assert found["spread"] == 0
    assert not math.isnan(found["norm_q"])


def test_a_model_without_pairs_has_no_u(jets):
    torch.manual_seed(0)
    plain = ParticleTransformer(**PART_CONFIGS["part-small"] | {"pair_input_dim": 0})
    assert sharpness_of(plain, jets)["size_u"] == 0
