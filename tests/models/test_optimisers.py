"""Who trains what, and what an orthogonalised step is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hyflexsim.models.optimisers import optimisers
from hyflexsim.models.saver import Saver
from hyflexsim.models.training import fine_tune


class Net(nn.Module):
    """A matrix inside, norms, an embedding and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.inner = nn.Linear(8, 16)
        self.norm = nn.LayerNorm(16)
        self.classifier = nn.Linear(16, 3)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.norm(self.inner(self.embed(words))))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def _trained_by(model: nn.Module, name: str) -> dict[str, list[tuple[str, float]]]:
    names = {id(p): path for path, p in model.named_parameters()}
    return {
        type(each).__name__: sorted(
            (names[id(p)], group["weight_decay"])
            for group in each.param_groups
            for p in group["params"]
        )
        for each in optimisers(model, name, 0.01, 0.1)
    }


def test_muon_takes_inner_matrices_and_adamw_the_rest(net: Net) -> None:
    assert _trained_by(net, "muon") == {
        "Muon": [("inner.weight", 0.1)],
        "AdamW": [
            ("classifier.bias", 0.0),
            ("classifier.weight", 0.1),
            ("embed.weight", 0.1),
            ("inner.bias", 0.0),
            ("norm.bias", 0.0),
            ("norm.weight", 0.0),
        ],
    }


def test_adamw_takes_all(net: Net) -> None:
    trained = _trained_by(net, "adamw")
    assert set(trained) == {"AdamW"}
    assert {path for path, _ in trained["AdamW"]} == {path for path, _ in net.named_parameters()}


def test_frozen_parameters_belong_to_nobody(net: Net) -> None:
    net.inner.weight.requires_grad_(False)
    net.norm.requires_grad_(False)
    paths = {path for each in _trained_by(net, "muon").values() for path, _ in each}
    assert paths == {"classifier.bias", "classifier.weight", "embed.weight", "inner.bias"}


def test_a_step_is_nearly_orthogonal_and_as_large_as_adamw_s(net: Net) -> None:
    """Newton and Schulz's five turns leave singular values of 0.7 to 1.2 (Jordan et al.);
    times 0.2 sqrt(larger side) a step's root mean square is near 0.2, AdamW's usual one."""
    rate = 0.01
    before = net.inner.weight.detach().clone()
    net(torch.arange(5)).square().sum().backward()
    for each in optimisers(net, "muon", rate, 0.0):
        each.step()
    step = (before - net.inner.weight.detach()) / (rate * 0.2 * math.sqrt(16))
    sizes = torch.linalg.svdvals(step)
    rank = torch.linalg.matrix_rank(net.inner.weight.grad)
    assert (sizes[:rank] > 0.6).all()
    assert (sizes[:rank] < 1.3).all()


def test_muon_goes_on_where_it_was_interrupted(tmp_path) -> None:
    class StoppedError(Exception):
        pass

    def train(saver: Saver | None = None, stop: int | None = None) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        model = Net()
        batches = [torch.randint(5, (4,)) for _ in range(3)]

        def after_step(done: int, of: int, value: float) -> None:
            if done == stop:
                raise StoppedError

        fine_tune(
            *(model, batches, lambda m, b: m(b).square().mean()),
            epochs=2,
            lr=0.05,
            optimiser="muon",
            saver=saver,
            after_step=after_step,
        )
        return model.state_dict()

    whole = train()
    with pytest.raises(StoppedError):
        train(Saver(tmp_path / "state.pt", every_s=0), 4)
    resumed = train(Saver(tmp_path / "state.pt", every_s=0))
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())
