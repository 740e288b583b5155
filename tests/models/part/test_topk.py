"""Top-k attention: against a plain loop, at its border k = N, per layer and head."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.models.errors import ModelError
from hyflexsim.models.part.attention import attention_weights
from hyflexsim.models.part.topk import keep_top_k, set_top_k
from hyflexsim.models.part.transformer import PART_CONFIGS, ParticleTransformer

TINY = PART_CONFIGS["part-small"] | {"input_dim": 7, "num_layers": 2}


def plain(q, k, bias, real, top_k):
    """softmax over the k largest of QK^T / sqrt(D) + U among real keys, entry by entry."""
    batch, heads, queries, depth = q.shape
    out = np.zeros((batch, heads, queries, k.shape[2]))
    for b, h, i in np.ndindex(batch, heads, queries):
        score = {
            j: float(sum(q[b, h, i, d] * k[b, h, j, d] for d in range(depth))) / depth**0.5
            + float(bias[b, h, i, j])
            for j in range(k.shape[2])
            if real[b, j]
        }
        kept = sorted(score, key=lambda j: -score[j])[: top_k[h]]
        top = max(score[j] for j in kept)
        total = sum(np.exp(score[j] - top) for j in kept)
        for j in kept:
            out[b, h, i, j] = np.exp(score[j] - top) / total
    return out


@given(
    st.integers(1, 7),
    st.lists(st.integers(1, 9), min_size=2, max_size=2),
    st.integers(0, 10_000),
)
def test_agrees_with_a_plain_loop(n, top_k, seed):
    draw = torch.Generator().manual_seed(seed)
    q, k = (torch.randn(2, 2, n, 4, generator=draw) for _ in range(2))
    bias = torch.randn(2, 2, n, n, generator=draw)
    real = torch.rand(2, n, generator=draw) < 0.7
    real[:, 0] = True
    _, found = attention_weights(q, k, bias, real[:, None, None, :], top_k=top_k)
    np.testing.assert_allclose(found.numpy(), plain(q, k, bias, real, top_k), atol=1e-5)
    assert ((found > 0).sum(-1) <= torch.tensor(top_k)[:, None]).all()
    np.testing.assert_allclose(found.sum(-1).numpy(), 1, atol=1e-5)


def test_equal_scores_keep_no_more_than_k():
    kept = keep_top_k(torch.zeros(1, 1, 3, 5), [2])
    assert (torch.isfinite(kept).sum(-1) == 2).all()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ParticleTransformer(**TINY).eval()


def jets(n=9):
    draw = torch.Generator().manual_seed(1)
    p = 5 * torch.randn(3, 3, n, generator=draw)
    energy = (p.square().sum(1, keepdim=True) + 0.02).sqrt()
    mask = torch.arange(n) < torch.tensor([n, 5, 2])[:, None]
    return torch.randn(3, 7, n, generator=draw), torch.cat([p, energy], 1), mask[:, None]


@torch.no_grad()
def test_all_keys_is_full_attention_to_the_bit(model):
    full = model(*jets())
    set_top_k(model, 9)
    assert torch.equal(model(*jets()), full)
    set_top_k(model, 128)
    assert torch.equal(model(*jets()), full)
    set_top_k(model, 1)
    assert not torch.allclose(model(*jets()), full, atol=1e-4)
    set_top_k(model, None)
    assert torch.equal(model(*jets()), full)


@torch.no_grad()
def test_each_layer_and_head_has_its_own_k(model):
    table = [[1, 2, 3, 4], [5, 4, 3, 1]]
    set_top_k(model, table)
    _, records = model(*jets(), return_attention=True)
    for record, row in zip(records, table, strict=False):
        used = (record.weights > 0).sum(-1)  # (B, H, Q)
        assert (used[0] == torch.tensor(row)[:, None]).all()  # nine real keys
        assert used[2].max() <= 2  # two real keys
    assert (records[-1].weights[0] > 0).all()  # the class token still reads everything


def test_training_goes_through_the_kept_keys(model):
    set_top_k(model, 2)
    model.train()(*jets()).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize(
    ("top_k", "message"),
    [
        (0, "top_k must keep at least 1 key; got 0"),
        ([1], "top_k must be one number, 2 (layers) or 2 x 4 (heads); got 1 rows of [4]"),
        ([[1], [2]], "top_k must be one number, 2 (layers) or 2 x 4 (heads); got 2 rows of [1]"),
    ],
)
def test_bad_tables_in_one_line(model, top_k, message):
    with pytest.raises(ModelError) as error:
        set_top_k(model, top_k)
    assert str(error.value) == message
    assert model.blocks[0].attn.top_k is None
