"""The best factors for the inputs: the error of the outputs is what the singular values say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.layers import factorise
from hyflexsim.models.lowrank.whitened_svd import RIDGE, whitened_svd


def drawn(n, m, tokens, seed):
    """A weight (n, m), and inputs (m, tokens) of sizes that spread over two decades."""
    random = torch.Generator().manual_seed(seed)
    w, x = (torch.randn(*s, generator=random).double() for s in ((n, m), (m, tokens)))
    return w, x * torch.logspace(-1, 1, m).double()[:, None]


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 40), st.integers(0, 99))
def test_the_outputs_lose_the_squares_left_out_and_no_more(n, m, tokens, seed):
    w, x = drawn(n, m, tokens, seed)
    moment = x @ x.T
    ridge = RIDGE * moment.diagonal().mean()
    plain = torch.linalg.svd(w, full_matrices=False)
    u, sigma, v = whitened_svd(w, moment)
    for rank in range(min(n, m) + 1):
        made = u[:, :rank] * sigma[:rank] @ v[:, :rank].T
        lost = float(((w - made) @ x).square().sum() + ridge * (w - made).square().sum())
        assert lost == pytest.approx(float(sigma[rank:].square().sum()), rel=1e-6, abs=1e-9)
        other = plain.U[:, :rank] * plain.S[:rank] @ plain.Vh[:rank]
        worse = ((w - other) @ x).square().sum() + ridge * (w - other).square().sum()
        assert lost <= float(worse) * (1 + 1e-9) + 1e-9


def test_inputs_that_do_not_differ_change_nothing():
    w, _ = drawn(5, 7, 1, 0)
    u, sigma, v = whitened_svd(w, torch.eye(7).double() / (1 + RIDGE))
    plain = torch.linalg.svdvals(w)
    assert torch.allclose(sigma, plain)
    assert torch.allclose(u * sigma @ v.T, w)


def test_inputs_apart_from_each_other_are_row_weights():
    w, _ = drawn(6, 4, 1, 0)
    layer = nn.Linear(4, 6, bias=False, dtype=torch.float64)
    layer.weight = nn.Parameter(w)
    sizes = torch.tensor([1.0, 2.0, 5.0, 0.5]).double()
    ridge = RIDGE * sizes.square().mean() * torch.eye(4).double()
    by_moment = factorise(layer, 2, moment=torch.diag(sizes.square()))
    by_weights = factorise(layer, 2, row_weights=(torch.diag(sizes.square()) + ridge).diag().sqrt())
    assert torch.allclose(by_moment.weight, by_weights.weight)
    assert torch.allclose(by_moment.sigma, by_weights.sigma)


def test_a_moment_that_does_not_fit_is_refused():
    layer = nn.Linear(4, 6)
    for how in ({"moment": torch.eye(3)}, {"moment": torch.eye(4), "row_weights": torch.ones(4)}):
        with pytest.raises(ModelError, match=r"moment of layer must be \(4, 4\), without row_weig"):
            factorise(layer, 2, **how)
