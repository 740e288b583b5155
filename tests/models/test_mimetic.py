"""Products of attention's matrices as the paper says, and models it does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from hyflexsim.models import mimetic
from hyflexsim.models.errors import ModelError

WIDTH, HEADS = 128, 2


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        intermediate_size=32,
        image_size=8,
        patch_size=4,
        num_channels=1,
    )
    torch.manual_seed(0)
    model = ViTModel(config)
    mimetic.start(model, heads=HEADS, generator=torch.Generator().manual_seed(1))
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def attention(vit: nn.Module) -> nn.Module:
    return next(each for each in vit.modules() if hasattr(each, "q_proj"))


def test_patches_start_with_sines_and_the_class_token_as_it_was(vit: nn.Module) -> None:
    positions = vit.embeddings.position_embeddings[0]
    assert torch.equal(positions[1:], 0.2 * mimetic.sines(2, WIDTH))
    assert float(positions[0].abs().max()) < 0.1


def test_a_token_takes_away_what_it_has(attention: nn.Module) -> None:
    """W_V W_O is 0.4 noise - 0.4 I, and the noise of an entry deviates by 1 / sqrt(E)."""
    product = (attention.o_proj.weight @ attention.v_proj.weight).T
    mean = float(product.diagonal().mean())
    assert abs(mean + 0.4) < 5 * 0.4 / WIDTH  # the mean of E entries: sqrt(E) less
    apart = product - torch.diag(product.diagonal())
    assert float(apart.std()) == pytest.approx(0.4 / WIDTH**0.5, rel=0.05)


def test_a_head_looks_at_tokens_like_its_own(attention: nn.Module) -> None:
    """The best product of rank E / heads holds the larger singular values of 0.7 noise + 0.7 I."""
    rows = WIDTH // HEADS
    for head in range(HEADS):
        at = slice(head * rows, (head + 1) * rows)
        product = attention.q_proj.weight[at].T @ attention.k_proj.weight[at]
        assert int(torch.linalg.matrix_rank(product)) == rows
        assert float(product.diagonal().mean()) > 0.35  # half of the ranks, the larger ones


def test_sines_tell_every_place_from_every_other() -> None:
    places = mimetic.sines(3, 8)
    assert places.shape == (9, 8)
    assert torch.equal(places[0], torch.tensor([0.0, 0, 1, 1, 0, 0, 1, 1]))
    assert len(torch.unique(places, dim=0)) == 9


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mimetic.start(nn.Linear(2, 2), heads=1), "Linear has no attention"),
        (lambda: mimetic.sines(2, 6), "width must be a multiple of 4; got 6"),
    ],
)
def test_refusals(make, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        make()


def test_heads_that_do_not_divide_the_width(attention: nn.Module) -> None:
    with pytest.raises(ModelError, match="3 heads"):
        mimetic.start(attention, heads=3)


def test_bert_names_its_matrices_otherwise() -> None:
    config = BertConfig(vocab_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(ModelError, match="BertModel has no attention with q_proj"):
        mimetic.start(BertModel(config), heads=2)
