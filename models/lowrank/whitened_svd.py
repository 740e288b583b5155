"""The best factors of a matrix for the inputs that it meets, not for its values alone.

What a layer loses is the error of its outputs, ||(W - W') X||_F over its inputs X (m, tokens), and
only S = X X^T counts of these (SVD-LLM, arXiv 2403.07378: truncation-aware data whitening). With
any L L^T = S, the SVD of W L = U diag(sigma) Q^T gives the best W' of a rank,
U_r diag(sigma_r) Q_r^T L^-1, which loses the sum of squares of the sigma that are left out. That
product is U_r U_r^T W, since L L^-1 goes, so nothing is inverted here, and S need not have full
rank.

SVD-LLM takes the Cholesky factor for L and adds to the diagonal of an S that has none; here L is
Q diag(lambda)^1/2 of S = Q diag(lambda) Q^T, and :data:`RIDGE` is added always, so that inputs that
calibration never saw are not lost altogether.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-6
"""Of the mean of S's diagonal, added to it (assumed; SVD-LLM's code adds 1e-6 where it must)."""


def whitened_svd(weight: Tensor, moment: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(u (n, k), sigma (k,), v (m, k)) of a weight (n, m) for inputs of second moment S (m, m).

    k = min(n, m); W near u diag(sigma) v^T at any number of leading columns, in the precision of
    the weight. sigma falls; its squares are what the outputs lose by leaving a column out.

    >>> w = torch.diag(torch.tensor([1.0, 3.0]))
    >>> u, sigma, v = whitened_svd(w, torch.diag(torch.tensor([100.0, 1.0])))
    >>> [round(s, 3) for s in sigma.tolist()]  # the smaller weight meets the larger inputs
    [10.0, 3.0]
    """
    w, s = weight.double(), moment.double()
    s = s + RIDGE * s.diagonal().mean() * torch.eye(len(s), dtype=s.dtype, device=s.device)
    values, vectors = torch.linalg.eigh(s)
    u, sigma, _ = torch.linalg.svd(w @ (vectors * values.clamp(min=0).sqrt()), full_matrices=False)
    seen = torch.where(sigma > 0, sigma, 1)
    return u.to(weight.dtype), sigma.to(weight.dtype), (w.T @ u / seen).to(weight.dtype)
