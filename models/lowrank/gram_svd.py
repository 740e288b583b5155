"""The leading singular vectors of a matrix from its Gram matrix, for matrices of large models.

Of W (n x m) only the smaller of W W^T and W^T W is decomposed, k x k with k = min(n, m), in double
precision::

    W W^T = Q diag(sigma^2) Q^T,    U = Q_r,    V = W^T Q_r    (if n <= m, else the other way round)

which for matrices four times as wide as high takes a fraction of the time of a full SVD. U V^T is
a projection of W, whatever was rounded in Q_r, so its error is free of divisions by a small sigma:
the eigenvectors of a backward stable solver (LAPACK's syevd; Golub and Van Loan, Matrix
Computations, 4th edition, 8.1 and 8.3.3) lose at most of the order of k eps ||W||_F^2 of the best
sum of squares, with eps = 2.2e-16: less than the rounding of a weight in single precision.
Singular values below sqrt(k eps) sigma_1, about 1e-7 of the largest, are not told from zero.

Left out: random projections, whose error depends on how fast singular values fall, and those of
trained weights fall slowly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Factors(NamedTuple):
    """W (n, m) near U V^T: `u` (n, r) of unit columns, `v` (m, r), and all `sigma` (min(n, m),).

    Columns of `v` are sigma times right singular vectors; `sigma` falls. All in double precision.
    """

    u: Tensor
    v: Tensor
    sigma: Tensor


def gram_svd(weight: Tensor, rank: int) -> Factors:
    """The best factors of a rank, from 1 to min(n, m), of a finite weight (n, m).

    >>> factors = gram_svd(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2)
    >>> factors.sigma.tolist(), (factors.u @ factors.v.T).diag().tolist()
    ([3.0, 2.0, 1.0], [0.0, 3.0, 2.0])
    """
    w = weight.detach().double()
    tall = w.shape[0] > w.shape[1]
    wide = w.T if tall else w  # (k, the larger)
    squares, vectors = torch.linalg.eigh(wide @ wide.T)  # rising
    near = vectors.flip(1)[:, :rank]
    far = wide.T @ near
    sigma = squares.flip(0).clamp(min=0).sqrt()
    if not tall:
        return Factors(near, far, sigma)
    length = far.norm(dim=0)
    return Factors(far / torch.where(length > 0, length, 1), near * length, sigma)
