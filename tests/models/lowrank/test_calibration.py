"""Inputs of matrices over batches: means in closed form, on every family, refused in one line."""

import pytest
import torch
from torch import nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.calibration import asvd_weights, measure_inputs
from hyflexsim.models.lowrank.compress import compress, linear_targets


class Blocks(nn.Module):
    """One layer in a block, so that its inputs are the batch."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(3, 2)])
        self.unused = nn.ModuleList([nn.Linear(3, 2)])

    def forward(self, x):
        return self.blocks[0](x)


def loss(model, batch):
    return model(batch).sum()


def test_means_over_all_tokens_of_all_batches():
    model = Blocks().train()
    del model.unused
    batches = [torch.tensor([[[1.0, -2.0, 0.0], [3.0, 0.0, 0.0]]]), torch.tensor([[[0.0, 2, -1]]])]
    found = measure_inputs(model, [*batches, torch.ones(9)], loss, batches=2)["blocks.0"]
    assert found.moment.tolist() == [
        [10 / 3, -2 / 3, 0],
        [-2 / 3, 8 / 3, -2 / 3],
        [0, -2 / 3, 1 / 3],
    ]
    assert found.size.tolist() == [4 / 3, 4 / 3, 1 / 3]
    roots = torch.tensor([4 / 3, 4 / 3, 1 / 3]).sqrt()
    weights = asvd_weights({"blocks.0": found})["blocks.0"]
    assert torch.allclose(weights, roots / roots.mean())
    assert model.training
    assert not model.blocks[0]._forward_pre_hooks


def test_every_family_is_measured_and_compressed(family):
    _, model, run = family
    inputs = measure_inputs(model, [0], lambda m, _: run(m).sum())
    targets = linear_targets(model)
    assert set(inputs) == {matrix for target in targets for matrix in target.matrices()}
    for target in targets:
        for matrix, (m, _) in zip(target.matrices(), target.shapes(), strict=True):
            assert inputs[matrix].moment.shape == (m, m)
            assert bool((inputs[matrix].moment.diagonal() >= inputs[matrix].size ** 2 - 1e-6).all())
    before = run(model)
    moments = {key: each.moment for key, each in inputs.items()}
    compress(model, "hard-threshold", moments=moments)
    assert run(model).shape == before.shape


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "data must hold at least one batch; got none"),
        ([torch.ones(1, 3)], "unused.0: the data do not reach it"),
        ([torch.full((1, 3), float("nan"))], "inputs of blocks.0 must be finite"),
    ],
)
def test_refusals(data, says):
    with pytest.raises(ModelError) as caught:
        measure_inputs(Blocks(), data, loss)
    assert str(caught.value).startswith(says)


def test_known_paths_only():
    with pytest.raises(ModelError, match=r"moments: no matrix 'blocks.9' to compress; nearest: "):
        compress(Blocks(), 1, moments={"blocks.9": torch.eye(3)})
