"""Ranks that are not learned, at their budgets; Fisher weights by hand."""

import pytest
import torch
from torch import nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import compress, counts
from hyflexsim.models.lowrank.rank_baselines import baseline_ranks, fisher_row_weights
from hyflexsim.models.lowrank.rank_learning import budget_of


@pytest.fixture
def toy(new_toy):
    torch.manual_seed(0)
    return new_toy()


@pytest.mark.parametrize("kind", ["uniform", "energy", "global"])
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_baselines_meet_the_budget(toy, kind, fraction):
    for i, block in enumerate(toy.blocks):  # spectra that differ
        with torch.no_grad():
            u, s, v = torch.linalg.svd(block.weight)
            block.weight.copy_(u @ torch.diag(s * torch.linspace(1, 0, 48) ** (i / 3)) @ v)
    budget = budget_of(toy, fraction)
    found = baseline_ranks(toy, budget, kind)
    compress(toy, found)
    assert 0.98 * budget <= counts(toy).linears <= budget
    if kind == "uniform":
        assert max(found.values()) - min(found.values()) <= 1
    else:
        assert found.get("blocks.0", 48) > found["blocks.7"]  # not named: dense


def test_the_threshold_rules_by_hand():
    model = nn.Module()
    model.blocks = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(2))
    for layer, values in zip(model.blocks, ([8.0, 1, 1, 1], [8.0, 8, 1, 1]), strict=True):
        layer.weight = nn.Parameter(torch.diag(torch.tensor(values)))
    # a threshold between 1/8 and 1 keeps 1 and 2 ranks: 8 + 16 values, and 16 are the matrix itself
    assert baseline_ranks(model, 24, "global") == {"blocks.0": 1}
    assert baseline_ranks(model, 16, "energy") == {"blocks.0": 1, "blocks.1": 1}


def test_fisher_weights_by_hand(loss):
    """y = W x, loss = sum of y: the gradient of W is x in every row, so inputs weigh as |x|."""
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Linear(3, 2)])
    batch = torch.tensor([1.0, 2.0, 3.0])
    weights = fisher_row_weights(model, [batch], lambda m, x: m.blocks[0](x).sum())
    assert weights["blocks.0"].tolist() == pytest.approx([0.5, 1.0, 1.5])
    compress(model, 1, row_weights=weights)


def test_fisher_weights_help_where_inputs_differ():
    torch.manual_seed(0)
    scale = torch.logspace(-2, 0, 48)
    x = torch.randn(64, 48) * scale

    def task(model, batch):
        y = batch[0] @ teacher.T
        return (model.blocks[0](batch[0]) - y).square().mean()

    def made():
        model = nn.Module()
        model.blocks = nn.ModuleList([nn.Linear(48, 48, bias=False)])
        model.blocks[0].weight = nn.Parameter(teacher + 0.01 * torch.randn(48, 48))
        return model

    teacher, errors = torch.randn(48, 48), []
    data = [(x[i : i + 8],) for i in range(0, 64, 8)]
    for weighted in (False, True):
        torch.manual_seed(1)
        model = made()
        weights = fisher_row_weights(model, data, task) if weighted else None
        compress(model, 12, row_weights=weights)
        errors.append(float(task(model, (x,)).detach()))
    assert errors[1] < 0.5 * errors[0]


def test_refusals(toy, loss):
    for act, message in (
        (
            lambda: baseline_ranks(toy, 1),
            "budget must be from 768 to 18432 weight values; got 1",
        ),
        (
            lambda: baseline_ranks(toy, 9000, "best"),
            "kind must be one of uniform, energy, global; got 'best'",
        ),
        (
            lambda: fisher_row_weights(toy, []),
            "data must hold at least one batch; got none",
        ),
        (
            lambda: fisher_row_weights(toy, [0], lambda m, b: m.embed.weight.sum()),
            "blocks.0: the loss does not reach its weight",
        ),
    ):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == message
