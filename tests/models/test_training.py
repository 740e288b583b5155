"""Fine-tuning on a toy: repeatable, on schedule, and refusals in one line."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from hyflexsim.models.errors import ModelError
from hyflexsim.models.training import default_loss, endless, evaluate, fine_tune


def toy_data(batches=6, width=16):
    g = torch.Generator().manual_seed(5)
    x = torch.randn(batches * 8, width, generator=g)
    y = x * torch.linspace(0.5, 2, width)
    return DataLoader(TensorDataset(x, y), batch_size=8)


@pytest.fixture
def toy(new_toy):
    torch.manual_seed(0)
    return new_toy(16, 2, 1.0)


def test_fine_tuning_is_repeatable_and_follows_its_schedule(new_toy, loss):
    ends, rates = [], []
    for _ in range(2):
        torch.manual_seed(0)
        model = new_toy(16, 2)
        fine_tune(
            model, toy_data(), loss, epochs=2, lr=1e-3, after_epoch=lambda *a: rates.append(a)
        )
        ends.append(model.blocks[0].weight.detach())
    assert torch.equal(*ends)
    assert [epoch for epoch, _ in rates] == [0, 1, 0, 1]


def test_frozen_parameters_stay(toy, loss):
    toy.blocks[0].weight.requires_grad_(False)
    before = toy.blocks[0].weight.clone()
    fine_tune(toy, toy_data(), loss, lr=1e-2, meter=None)
    assert torch.equal(toy.blocks[0].weight, before)


def test_a_meter_sees_gradients_before_they_are_clipped(toy, loss):
    class Meter:
        def __init__(self):
            self.seen = []

        def clear(self):
            self.seen.append("clear")

        def observe(self):
            self.seen.append(float(toy.blocks[0].weight.grad.norm()))

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    meter = Meter()
    fine_tune(toy, toy_data(2), loss, epochs=2, clip=1e-6, meter=meter)
    assert [isinstance(x, str) for x in meter.seen] == [True, False, False] * 2
    assert all(x == "clear" or x > 1e-5 for x in meter.seen)


def test_endless_data():
    walk = endless([1, 2])
    assert [next(walk) for _ in range(5)] == [1, 2, 1, 2, 1]
    with pytest.raises(ModelError, match="walk 2 gave none"):
        list(endless(iter([1])))


def test_evaluation_restores_the_mode(toy):
    def score(model):
        assert not model.training
        assert not torch.is_grad_enabled()
        return 0.5

    assert evaluate(toy.train(), score) == 0.5
    assert toy.training
    with pytest.raises(ModelError, match="score must be a finite number; got nan"):
        evaluate(toy, lambda m: float("nan"))


def test_refusals(toy, loss):
    data = toy_data()
    for act, message in (
        (lambda: fine_tune(toy, [], loss), "data must hold at least one batch; got none"),
        (
            lambda: fine_tune(toy, (b for b in data), loss),
            "data must have a length, as a list or DataLoader has; got generator",
        ),
        (
            lambda: fine_tune(toy, data, loss, epochs=0),
            "epochs must be an integer of at least 1; got 0",
        ),
        (
            lambda: fine_tune(toy, data, lambda m, b: loss(m, b) * float("nan")),
            "loss must be one finite number; got nan",
        ),
        (
            lambda: default_loss(toy, 3),
            "batch must be a mapping of tensors with labels; got int (or give a loss)",
        ),
    ):
        with pytest.raises(ModelError) as caught:
            act()
        assert str(caught.value) == message
