"""Factors from the Gram matrix against a full SVD, within the bound that the file states."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.models.lowrank.gram_svd import gram_svd

EPS = torch.finfo(torch.float64).eps


def spectrum(n, m, decades, seed):
    """A matrix (n, m) whose singular values fall by so many decades."""
    random = torch.Generator().manual_seed(seed)
    k = min(n, m)
    u, v = (
        torch.linalg.qr(torch.randn(size, k, generator=random, dtype=torch.float64))[0]
        for size in (n, m)
    )
    return u * torch.logspace(0, -decades, k, dtype=torch.float64) @ v.T


@settings(max_examples=40)
@given(
    n=st.integers(1, 24),
    m=st.integers(1, 24),
    decades=st.floats(0, 12),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_nothing_is_lost_against_a_full_svd(n, m, decades, share, seed):
    w = spectrum(n, m, decades, seed)
    k = min(n, m)
    rank = max(1, round(share * k))
    factors = gram_svd(w, rank)
    assert (factors.u.shape, factors.v.shape) == ((n, rank), (m, rank))
    exact = torch.linalg.svdvals(w)
    bound = 16 * k * EPS * w.square().sum()  # "of the order of k eps ||W||_F^2"
    error = (w - factors.u @ factors.v.T).square().sum()
    assert error <= exact[rank:].square().sum() + bound
    assert (factors.sigma.square() - exact.square()).abs().max() <= bound
    assert bool((factors.sigma.diff() <= 0).all())
    told = factors.sigma[:rank] > 1e-6 * factors.sigma[0]  # the others are not told from zero
    assert torch.allclose(factors.v.norm(dim=0)[told], factors.sigma[:rank][told], rtol=1e-3)
    assert torch.allclose(factors.u.norm(dim=0)[told], torch.ones(int(told.sum())).double())


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_a_matrix_of_zeros_has_factors_of_zeros(shape):
    factors = gram_svd(torch.zeros(shape), 2)
    assert factors.sigma.tolist() == [0.0] * min(shape)
    assert bool((factors.u @ factors.v.T == 0).all())


def test_a_matrix_of_low_rank_comes_back():
    w = spectrum(12, 3, 0, 0) @ spectrum(3, 20, 0, 1)
    factors = gram_svd(w, 3)
    assert torch.allclose(factors.u @ factors.v.T, w, atol=1e-14)
