"""Importance by hand on one layer, quotas against the simulator's, the whole procedure on a toy."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from transformers.pytorch_utils import Conv1D

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import compress, low_rank_layers
from hyflexsim.models.lowrank.layers import LowRankLinear
from hyflexsim.models.lowrank.redistribution import (
    GradientMeter,
    magnitude_scores,
    mass_share,
    measure,
    quota,
    rank_scores,
    redistribute,
    select,
)
from hyflexsim.sim.units.tiling import protected


def toy_data(batches=6, width=16):
    g = torch.Generator().manual_seed(5)
    x = torch.randn(batches * 8, width, generator=g)
    y = x * torch.linspace(0.5, 2, width)
    return DataLoader(TensorDataset(x, y), batch_size=8)


@pytest.fixture
def toy(new_toy):
    torch.manual_seed(0)
    return new_toy(16, 2, 1.0)


@given(st.integers(1, 5000), st.integers(0, 100))
def test_the_quota_is_the_simulators(count, percent):
    assert quota(count, percent / 100) == protected(count, percent / 100) == count * percent // 100


def test_gradient_of_sigma_by_hand():
    """y = sum_i u_i sigma_i (v_i x), so dy/dsigma_i = u_i v_i x, summed over the outputs."""
    model = nn.Module()
    u, v = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    model.one = LowRankLinear(u, torch.tensor([1.0, 1.0]), v)
    meter = GradientMeter(model)
    for x in (1.0, 2.0):
        model.zero_grad()
        model.one(torch.tensor([x])).sum().backward()
        meter.observe()
    found = meter.importance()
    assert found.batches == 2
    assert found.last["one"].tolist() == [6.0, 4.0]  # |u v x| at x = 2
    assert found.mean["one"].tolist() == [4.5, 3.0]  # mean of x = 1 and x = 2


def test_gradients_before_the_svd_are_per_output():
    torch.manual_seed(1)
    x = torch.randn(3, 4)
    model = nn.Module()
    conv, linear = Conv1D(5, 4), nn.Linear(4, 5)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.T)
        linear.bias.copy_(conv.bias)
    model.blocks = nn.ModuleList([conv, linear])
    meter = GradientMeter(model, "outputs")
    for layer in model.blocks:
        layer(x).square().sum().backward()
    meter.observe()
    conv_score, linear_score = meter.importance().last.values()
    assert torch.allclose(conv_score, linear_score)
    assert torch.allclose(linear_score, linear.weight.grad.abs().sum(1))


def test_selection_takes_the_largest_of_each_matrix():
    scores = {"a": torch.tensor([1.0, 9.0, 5.0, 7.0]), "b": torch.tensor([100.0, 100.0, 0.0])}
    assert select(scores, 0.5)["a"].tolist() == [False, True, False, True]
    assert select(scores, 0.5)["b"].tolist() == [True, False, False]  # floor(1.5), first of equals
    assert not select(scores, 0)["a"].any()
    assert select(scores, 1)["b"].all()


def test_scores_by_singular_value_and_by_magnitude(toy):
    norms = {path: layer.weight.detach().norm(dim=1) for path, layer in toy.blocks.named_children()}
    before = magnitude_scores(toy)
    assert all(torch.equal(before[f"blocks.{k}"], v) for k, v in norms.items())
    s = torch.linalg.svdvals(toy.blocks[0].weight)
    compress(toy, 6)
    assert torch.allclose(rank_scores(toy)["blocks.0"], s[:6], rtol=1e-5)
    folded = nn.Module()
    folded.one = toy.blocks[0].folded()
    assert torch.allclose(rank_scores(folded)["one"], s[:6], rtol=1e-5)
    assert magnitude_scores(toy)["blocks.0"].shape == (16,)


def test_mass_share_by_hand():
    scores = {"a": torch.tensor([8.0] + [1.0] * 9), "b": torch.full((10,), 0.5)}
    assert mass_share(scores, (0.05, 0.1, 1)) == pytest.approx({0.05: 0.0, 0.1: 8.5 / 22, 1: 1.0})
    assert mass_share({"a": torch.zeros(3)}) == {0.05: 0.0, 0.1: 0.0, 0.2: 0.0}


def test_the_whole_procedure(toy, loss):
    data = toy_data()
    result = redistribute(toy, data, loss, epochs=12, lr=1e-2, probe=2)
    assert result.losses[-1] < 0.3 * result.losses[0]
    assert {p: len(s) for p, s in result.after.mean.items()} == {"blocks.0": 8, "blocks.1": 8}
    assert (result.before.batches, result.after.batches) == (2, 6)
    assert all(layer.sigma.grad is None for layer in low_rank_layers(toy).values())
    share = mass_share(result.after.mean, (0.125, 0.25, 0.5, 1))
    assert 0.125 < share[0.125] < share[0.25] < share[0.5] < share[1] == 1


def test_measuring_changes_nothing(toy, loss):
    compress(toy.train(), 6)
    before = {k: v.clone() for k, v in toy.state_dict().items()}
    a, b = measure(toy, toy_data(), loss), measure(toy, toy_data(), loss)
    assert toy.training
    assert all(torch.equal(v, before[k]) for k, v in toy.state_dict().items())
    assert all(torch.equal(a.mean[p], b.mean[p]) for p in a.mean)


def test_refusals(toy, new_toy, loss):
    for act, message in (
        (lambda: quota(8, 1.1), "SLC rate must be from 0 to 1; got 1.1"),
        (lambda: quota(8, -0.1), "SLC rate must be from 0 to 1; got -0.1"),
        (lambda: quota(8, float("nan")), "SLC rate must be from 0 to 1; got nan"),
        (lambda: GradientMeter(toy), "Toy has no layers with sigma to measure"),
        (lambda: GradientMeter(toy, "all"), "of must be 'sigma' or 'outputs'; got 'all'"),
        (lambda: rank_scores(toy), "Toy has no factorised layers; compress it first"),
        (
            lambda: measure(compress(new_toy(16, 2), 4), [], loss),
            "no gradient was observed: the data must hold at least one batch",
        ),
        (
            lambda: select({"w": torch.tensor([float("nan")])}, 0.5),
            "w: scores must be finite, one a rank",
        ),
        (
            lambda: select({"w": torch.ones(2, 2)}, 0.5),
            "w: scores must be finite, one a rank",
        ),
        (
            lambda: select({"w": torch.ones(2)}, 30),
            "SLC rate must be from 0 to 1; got 30",
        ),
    ):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == message
