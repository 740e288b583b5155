"""One layer: factors against the SVD, Conv1D against Linear, ranks by hand."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.layers import Energy, LowRankLinear, SplitLinear, factorise, rank_of


def test_truncation_is_the_best_of_its_rank():
    torch.manual_seed(1)
    layer = nn.Linear(24, 16)
    s = torch.linalg.svdvals(layer.weight)
    error = (factorise(layer, 5).weight - layer.weight).norm()
    assert torch.isclose(error, s[5:].norm(), rtol=1e-5)
    assert torch.allclose(factorise(layer, 5).sigma, s[:5], rtol=1e-5)


def test_conv1d_is_the_transposed_linear():
    torch.manual_seed(2)
    conv, linear = Conv1D(12, 20), nn.Linear(20, 12)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.T)
        linear.bias.copy_(conv.bias)
    a, b = factorise(conv, 6), factorise(linear, 6)
    assert torch.allclose(a.weight, b.weight, atol=1e-6)
    assert (a.in_features, a.out_features) == (20, 12)
    assert isinstance(a.dense(), Conv1D)
    assert isinstance(b.dense(), nn.Linear)


def test_energy_by_hand():
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([3.0, 2.0, 1.0, 1.0])))  # energy 9, 4, 1, 1
    assert [factorise(layer, Energy(f)).rank for f in (0.1, 0.6, 0.61, 13 / 15, 0.9, 1.0)] == [
        1,
        1,
        2,
        2,
        3,
        4,
    ]


def test_a_share_is_of_the_break_even_rank():
    """768 · 3072 / 3840 = 614.4; a share of it keeps about that share of the values."""
    values = torch.ones(768)
    shares = (0.5, 1.0, 1e-9)
    assert [rank_of(values, 768, 3072, share) for share in shares] == [307, 614, 1]


def test_row_weights_minimise_the_weighted_error():
    torch.manual_seed(3)
    layer, w = nn.Linear(10, 8), torch.rand(10) + 0.1

    def error(factors):
        return ((factors.weight - layer.weight) * w).norm()

    weighted = factorise(layer, 3, row_weights=w)
    assert error(weighted) < error(factorise(layer, 3))
    tail = torch.linalg.svdvals(layer.weight * w)[3:].norm()
    assert torch.isclose(error(weighted), tail, rtol=1e-4)


def test_a_frozen_weight_leaves_its_bias_trainable():
    layer = nn.Linear(6, 4)
    layer.weight.requires_grad_(False)
    made = factorise(layer, 2)
    for each in (made, made.folded(), made.dense()):
        trains = {name: p.requires_grad for name, p in each.named_parameters()}
        assert trains.pop("bias")
        assert not any(trains.values())


def test_dense_forms_are_copies_and_draw_nothing():
    conv = Conv1D(12, 20)
    made = factorise(conv, 6)
    split = SplitLinear({"a": nn.Linear(20, 5), "b": nn.Linear(20, 7)}, transposed=True)
    before = torch.get_rng_state()
    for each in (made, split):
        dense = each.dense()
        assert isinstance(dense, Conv1D)
        x = torch.linspace(-1, 1, 20)
        assert torch.allclose(dense(x), each(x), atol=1e-5)
        assert not {p.data_ptr() for p in dense.parameters()} & {
            p.data_ptr() for p in each.parameters()
        }
    assert torch.equal(torch.get_rng_state(), before)


def nan_layer():
    layer = nn.Linear(4, 4)
    nn.init.constant_(layer.weight, float("nan"))
    return layer


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: factorise(nn.Linear(4, 6), 0), "rank of layer must be from 1 to 4; got 0"),
        (lambda: factorise(nn.Linear(4, 6), 5), "rank of layer must be from 1 to 4; got 5"),
        (
            lambda: factorise(nn.Linear(4, 6), 1.5),
            "rank of layer must be an integer from 1 to 4, 'hard-threshold', a share (float) of "
            "the break-even rank, above 0 and at most 1, or an Energy of such a share; got 1.5",
        ),
        (lambda: factorise(nan_layer(), 2), "layer must be finite; it holds NaN or infinity"),
        (
            lambda: factorise(nn.ReLU(), 2),
            "layer must be a Linear or Conv1D layer; got ReLU",
        ),
        (
            lambda: factorise(nn.Linear(4, 6), 2, row_weights=torch.zeros(4)),
            "row_weights of layer must be 4 positive finite numbers",
        ),
        (
            lambda: LowRankLinear(torch.ones(3, 2), None, torch.ones(4, 1)),
            "LowRankLinear needs u (n, r), sigma (r,), v (m, r), bias (n,) of one rank r of at "
            "least 1; got u (3, 2), v (4, 1)",
        ),
        (
            lambda: LowRankLinear(torch.ones(3, 1), torch.ones(2, 1), torch.ones(4, 1)),
            "LowRankLinear needs u (n, r), sigma (r,), v (m, r), bias (n,) of one rank r of at "
            "least 1; got u (3, 1), v (4, 1), sigma (2, 1)",
        ),
        (
            lambda: LowRankLinear(torch.ones(3, 1), None, torch.ones(4, 1), torch.ones(4)),
            "LowRankLinear needs u (n, r), sigma (r,), v (m, r), bias (n,) of one rank r of at "
            "least 1; got u (3, 1), v (4, 1), bias (4,)",
        ),
    ],
)
def test_refusals(act, message):
    with pytest.raises(ModelError) as caught:
        act()
    assert str(caught.value) == message
