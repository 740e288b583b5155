"""Forms against closed forms and finite differences; the layer's counts and masked gradients."""

import pytest
import torch
from torch import nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.layers import factorise
from hyflexsim.models.lowrank.rank_learning import freeze, soft_counts
from hyflexsim.models.lowrank.soft_threshold import (
    SoftThresholdLinear,
    cut_below,
    set_rank,
    soft_threshold,
)

FORMS = ("tanh", "shrinkage", "sigmoid")


def test_published_values_of_the_tanh_form():
    """STAR-KV, alpha 1, sharpness 50: S and dS/dalpha just above the threshold."""
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    s = 1 + torch.tensor([0.01, 0.02, 0.05, 0.10], dtype=torch.float64)
    assert soft_threshold(s, a).tolist() == pytest.approx([0.467, 0.777, 1.036, 1.100], abs=5e-4)
    slopes = [torch.autograd.grad(soft_threshold(x, a), a)[0].item() for x in s]
    assert slopes[0] == pytest.approx(-39.7, abs=0.05)
    assert slopes[2] == pytest.approx(-1.4, abs=0.05)
    assert slopes[3] == pytest.approx(-0.01, abs=0.005)


@pytest.mark.parametrize("c", [0.0, 2.0])
def test_gradients_of_the_tanh_form_in_closed_form(c):
    k = 20.0
    s = torch.tensor([0.1, 0.29, 0.31, 0.5], dtype=torch.float64, requires_grad=True)
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    ds = torch.autograd.grad(soft_threshold(s, a, "tanh", k, c).sum(), s)[0]
    t = torch.tanh(k * (s - a))
    above = t + k * s * (1 - t**2)
    assert torch.allclose(ds, torch.where(s > a, above, -c * k * (1 - t**2)))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_agree_with_finite_differences(form):
    s = torch.tensor([0.1, 0.25, 0.35, 0.9], dtype=torch.float64, requires_grad=True)
    a = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, a: soft_threshold(s, a, form, 20.0, 0.5), (s, a))


def test_only_shrinkage_biases_large_values():
    s, a = torch.tensor([1.0]), torch.tensor(0.3)
    assert [round(float(soft_threshold(s, a, form)), 6) for form in FORMS] == [1.0, 0.7, 1.0]


def test_threshold_between_singular_values():
    s = torch.tensor([4.0, 2.0, 2.0, 1.0, 0.0])
    for r in (1, 3, 4, 5):
        assert int((s > cut_below(s, r)).sum()) == r
    assert int((s > cut_below(s, 2)).sum()) == 3  # equals stay


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_floor_holds_at_every_precision(dtype):
    """Neighbours that are equal, or 0, once rounded: the rank-th must still be above the cut."""
    for values in ([1.0, 0.5, 0.5, 0.25], [1.0, 0.502, 0.501, 0.5], [1.0, 0.0, 0.0, 0.0]):
        s = torch.tensor(values, dtype=dtype)
        for rank in range(1, 5):
            assert int((s > cut_below(s, rank)).sum()) >= rank


@pytest.mark.parametrize("form", FORMS)
def test_counts_by_hand(form):
    """12 x 6: break-even at 4. Soft counts gates, hard what ships."""
    torch.manual_seed(0)
    layer = SoftThresholdLinear(factorise(nn.Linear(12, 6), 6), form, sharpness=1000.0)
    with torch.no_grad():
        layer.sigma.copy_(torch.tensor([2.0, 1.6, -1.2, 0.8, 0.4, 0.2]))
        layer.sigma_1.fill_(2.0)
    model = nn.ModuleList([layer])
    for alpha, rank, hard in ((0.05, 6, 72), (0.3, 4, 72), (0.5, 3, 54), (0.7, 2, 36)):
        layer.alpha.data.fill_(alpha)
        assert layer.rank == rank
        found = soft_counts(model)
        assert (found.hard, found.dense) == (hard, 72)
        assert found.soft.item() == pytest.approx(rank * 18, rel=1e-3)
    freeze(model)
    assert layer.diagonal()[2:].abs().sum() == 0
    assert torch.all(layer.diagonal()[:2] > 0)


def test_sign_of_sigma_is_kept():
    layer = SoftThresholdLinear(factorise(nn.Linear(4, 4), 4))
    with torch.no_grad():
        layer.sigma.copy_(torch.tensor([1.0, -0.9, 0.1, 0.1]))
        layer.sigma_1.fill_(1.0)
        layer.alpha.fill_(0.5)
    assert layer.diagonal().tolist() == pytest.approx([1.0, -0.9, 0, 0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_are_masked_below_the_threshold(form, frozen):
    """A rank that is cut to zero gets no gradient in U, sigma and V; the others do."""
    torch.manual_seed(0)
    layer = SoftThresholdLinear(factorise(nn.Linear(12, 8), 8), form)
    set_rank(layer, 3)
    if frozen:
        freeze(nn.ModuleList([layer]))
    layer(torch.randn(5, 12)).square().sum().backward()
    assert (layer.alpha.grad is None) == frozen
    masked = frozen or form != "sigmoid"  # sigmoid gates are never zero until frozen
    for grad in (layer.u.grad.abs().sum(0), layer.sigma.grad.abs(), layer.v.grad.abs().sum(0)):
        assert bool((grad[:3] > 0).all())
        assert bool((grad[3:] == 0).all()) == masked


def test_refusals():
    layer = SoftThresholdLinear(factorise(nn.Linear(12, 8), 8), floor=2)
    for act, message in (
        (
            lambda: soft_threshold(torch.ones(1), torch.ones(()), "hard"),
            "form must be one of tanh, shrinkage, sigmoid; got 'hard'",
        ),
        (
            lambda: SoftThresholdLinear(factorise(nn.Linear(4, 4), 4).folded()),
            "a folded layer has no singular values to threshold",
        ),
        (lambda: set_rank(layer, 0), "rank must be from 2 to 8 (floor, full); got 0"),
        (layer.truncated, "a threshold must be frozen before the layer is truncated"),
        (layer.folded, "a threshold must be truncated before sigma is folded into V"),
    ):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == message
