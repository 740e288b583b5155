"""Which patches a model in training sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import ViTConfig, ViTModel

from hyflexsim.models.errors import ModelError
from hyflexsim.models.patch_dropout import some_patches

PICTURES = torch.linspace(-1, 1, 2 * 64).reshape(2, 1, 8, 8)


@pytest.fixture
def vit() -> ViTModel:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=8,
        patch_size=2,
        num_channels=1,
    )
    return ViTModel(config)


def _tokens(model: nn.Module) -> torch.Tensor:
    return model.embeddings(PICTURES)


def test_the_class_token_and_some_patches_each_once(vit: ViTModel) -> None:
    every = _tokens(vit.train())
    with some_patches(vit, 5, lambda: True):
        some = _tokens(vit)
    assert some.shape == (2, 6, 8)
    assert torch.equal(some[:, 0], every[:, 0])
    for row, whole in zip(some, every, strict=True):
        places = [int((whole == token).all(-1).nonzero()) for token in row]
        assert len(set(places)) == 6


def test_pictures_differ_in_what_is_seen(vit: ViTModel) -> None:
    vit.train()
    with some_patches(vit, 8, lambda: True):
        first = [set(map(tuple, row.tolist())) for row in _tokens(vit)[:, 1:]]
        second = [set(map(tuple, row.tolist())) for row in _tokens(vit)[:, 1:]]
    assert first != second


def test_all_patches_give_the_same_answer(vit: ViTModel) -> None:
    """Attention does not know an order: a drawing without loss changes nothing but rounding."""
    vit.train()
    whole = vit(PICTURES).last_hidden_state[:, 0]
    with some_patches(vit, 16, lambda: True):
        torch.testing.assert_close(vit(PICTURES).last_hidden_state[:, 0], whole)


def test_all_are_seen_in_evaluation_when_it_is_over_and_after(vit: ViTModel) -> None:
    with some_patches(vit, 5, lambda: True):
        assert _tokens(vit.eval()).shape[1] == 17
    with some_patches(vit.train(), 5, lambda: False):
        assert _tokens(vit).shape[1] == 17
    assert _tokens(vit).shape[1] == 17


def test_refusals(vit: ViTModel) -> None:
    said = r"Linear has no patches \(train.patches\)"
    with pytest.raises(ModelError, match=said), some_patches(nn.Linear(2, 2), 1, lambda: True):
        pass
    said = r"train\.patches must be 1 to 16; got 17"
    with some_patches(vit.train(), 17, lambda: True), pytest.raises(ModelError, match=said):
        _tokens(vit)
