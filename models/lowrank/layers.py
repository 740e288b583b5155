"""One low-rank linear layer: W (n x m) kept as U diag(sigma) V^T of rank r, by SVD.

A linear layer maps m inputs to n outputs. Its factors hold r (m + n) values, fewer than W only for
r < m n / (m + n) (HyFlexPIM §4, the "hard threshold": there nothing is saved, the factors serve to
tell important ranks from others). The chip stores two matrices, V diag(sigma) and U^T; a rank is
a column of the first and a row of the second::

    x (..., m) --V (m x r)--> (..., r) --* sigma--> (..., r) --U^T (r x n)--> + bias (..., n)

A linear layer is Linear of torch or Conv1D of transformers (GPT-2, whose weight is W transposed).
A fused projection keeps its parts side by side, each with a rank of its own.

Names in this package: `path` is a module's path in the model. Left out: convolutions, embeddings,
and which layers of a model are replaced (compress.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.whitened_svd import whitened_svd

HARD_THRESHOLD: Literal["hard-threshold"] = "hard-threshold"


class Energy(NamedTuple):
    """The smallest rank that holds so large a share, above 0 and at most 1, of the sum of squares.

    >>> rank_of(torch.tensor([2.0, 1.0, 1.0]), 3, 3, Energy(0.8))
    2
    """

    share: float


Rank = int | float | str | Energy
"""An integer rank, a share (float) of the break-even rank, "hard-threshold", or an
:class:`Energy`."""

M = TypeVar("M", bound=nn.Module)


class LowRankLinear(nn.Module):
    """y = ((x V) * sigma) U^T + bias, everything trainable.

    `u` (n, r), `sigma` (r,), `v` (m, r), `bias` (n,) or None; x (..., m) gives (..., n). `sigma`
    is None once folded into V. `transposed`: made from a Conv1D, which :meth:`dense` gives back.
    Raises ModelError if shapes do not fit.

    >>> layer = LowRankLinear(torch.ones(3, 1), torch.tensor([2.0]), torch.ones(4, 1))
    >>> layer(torch.ones(4)).tolist(), layer.rank, layer.shipped
    ([8.0, 8.0, 8.0], 1, 7)
    """

    sigma: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(
        self,
        u: Tensor,
        sigma: Tensor | None,
        v: Tensor,
        bias: Tensor | None = None,
        *,
        transposed: bool = False,
    ):
        super().__init__()
        shapes = {"u": u.shape, "v": v.shape}
        shapes |= {} if sigma is None else {"sigma": sigma.shape}
        shapes |= {} if bias is None else {"bias": bias.shape}
        fits = u.dim() == v.dim() == 2 and u.shape[1] == v.shape[1] >= 1
        fits = fits and shapes.get("sigma", u.shape[1:]) == u.shape[1:]
        if not fits or shapes.get("bias", u.shape[:1]) != u.shape[:1]:
            got = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
            raise ModelError(
                "LowRankLinear needs u (n, r), sigma (r,), v (m, r), bias (n,) of one rank r of "
                f"at least 1; got {got}"
            )
        self.u, self.v = _parameter(u), _parameter(v)
        self.sigma = None if sigma is None else _parameter(sigma)
        self.bias = None if bias is None else _parameter(bias)
        self.transposed = transposed

    @property
    def in_features(self) -> int:
        """Inputs m."""
        return self.v.shape[0]

    @property
    def out_features(self) -> int:
        """Outputs n."""
        return self.u.shape[0]

    @property
    def rank(self) -> int:
        """Ranks that ship."""
        return self.u.shape[1]

    @property
    def shipped(self) -> int:
        """Weight values that ship, without bias: r (m + n), at most the m n of a dense layer."""
        return shipped_values(self.in_features, self.out_features, self.rank)

    @property
    def weight(self) -> Tensor:
        """W = U diag(sigma) V^T, (n, m) as nn.Linear has it; made anew at each access."""
        scale = self.diagonal()
        return (self.u if scale is None else self.u * scale) @ self.v.T

    def diagonal(self) -> Tensor | None:
        """Singular values as the forward pass applies them, (r,); None once folded."""
        return self.sigma

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., n)."""
        y, scale = x @ self.v, self.diagonal()
        return functional.linear(y if scale is None else y * scale, self.u, self.bias)

    def folded(self) -> LowRankLinear:
        """The layer as the chip stores it: V diag(sigma) and U^T, no sigma; a copy, same output."""
        scale = self.diagonal()
        v = self.v if scale is None else self.v * scale
        return inherit(self, LowRankLinear(*_copies(self.u, None, v, self.bias)))

    def dense(self) -> nn.Module:
        """A Linear (Conv1D if `transposed`) of the same output."""
        bias = None if self.bias is None else self.bias.detach().clone()
        return inherit(self, dense_layer(self.weight.detach(), bias, self.transposed))

    def extra_repr(self) -> str:
        """Sizes, for print."""
        return f"{self.in_features}, {self.out_features}, rank={self.rank}"


class SplitLinear(nn.Module):
    """A fused projection in parts: the same input to each, results one after the other.

    `parts` by name ("q", "k", "v"), each a layer (..., m) -> (..., n_i); together (..., sum n_i).
    """

    def __init__(self, parts: Mapping[str, nn.Module], *, transposed: bool = False):
        super().__init__()
        self.names, self.transposed = tuple(parts), transposed
        for name, part in parts.items():
            self.add_module(name, part)

    def parts(self) -> list[nn.Module]:
        """The parts in order."""
        return [self.get_submodule(name) for name in self.names]

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., n)."""
        return torch.cat([part(x) for part in self.parts()], dim=-1)

    @property
    def weight(self) -> Tensor:
        """Weights of the parts, (n, m)."""
        return torch.cat([linear_weight(part) for part in self.parts()])

    @property
    def bias(self) -> Tensor | None:
        """Biases of the parts, (n,)."""
        return _stacked([part.bias for part in self.parts()])

    def dense(self) -> nn.Module:
        """One Linear (Conv1D if `transposed`) of the same output."""
        bias = self.bias
        made = dense_layer(
            self.weight.detach(), None if bias is None else bias.detach(), self.transposed
        )
        return inherit(self.parts()[0], made)


def break_even(m: int, n: int) -> int:
    """Largest rank whose factors hold no more values than the matrix: floor(m n / (m + n)).

    >>> break_even(768, 768), break_even(768, 3072)
    (384, 614)
    """
    return m * n // (m + n)


def shipped_values(m: int, n: int, rank: int) -> int:
    """Weight values that ship of a matrix at a rank: r (m + n), at most the m n of a dense one."""
    return min(rank * (m + n), m * n)


def is_linear(module: nn.Module) -> bool:
    """Whether it is a dense linear layer: nn.Linear, or Conv1D of transformers."""
    return isinstance(module, nn.Linear) or is_conv1d(module)


def linear_weight(layer: nn.Module) -> Tensor:
    """W (n, m) of a linear layer, dense or low-rank; of a Conv1D the transposed weight."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight.T if is_conv1d(layer) else weight


def rank_of(values: Tensor, m: int, n: int, rank: Rank, name: str = "layer") -> int:
    """The rank asked for, of a matrix m x n with singular values `values` in falling order.

    An integer: itself. "hard-threshold": floor(m n / (m + n)), the break-even rank. A float f,
    0 < f <= 1: floor(f m n / (m + n)), at least 1: about f of the matrix's values, as `model.rank`
    of a scenario means it. :class:`Energy`: by the sum of squares.
    Raises ModelError, naming `name`, for a rank below 1 or above min(m, n), or another value.

    >>> rank_of(torch.tensor([2.0, 1.0, 1.0]), 768, 768, 0.5)
    192
    """
    limit = min(m, n)
    if isinstance(rank, int) and not isinstance(rank, bool):
        chosen = rank
    elif rank == HARD_THRESHOLD:
        chosen = break_even(m, n)
    elif isinstance(rank, float) and 0 < rank <= 1:
        chosen = max(1, int(rank * m * n / (m + n) + 1e-9))  # 0.7 * 10 is 7, not 6.999...
    elif isinstance(rank, Energy) and 0 < rank.share <= 1:
        energy = values.double().square().cumsum(0)
        chosen = 1 + int((energy < rank.share * energy[-1] * (1 - 1e-12)).sum())
    else:
        raise ModelError(
            f"rank of {name} must be an integer from 1 to {limit}, {HARD_THRESHOLD!r}, a "
            "share (float) of the break-even rank, above 0 and at most 1, or an Energy of such a "
            f"share; got {rank!r}"
        )
    if not 1 <= chosen <= limit:
        raise ModelError(f"rank of {name} must be from 1 to {limit}; got {chosen}")
    return chosen


def factorise(
    layer: nn.Module,
    rank: Rank,
    *,
    row_weights: Tensor | None = None,
    moment: Tensor | None = None,
    name: str = "layer",
) -> LowRankLinear:
    """The best approximation of a Linear or Conv1D at a rank, by SVD (Eckart-Young).

    `rank` as in :func:`rank_of`; bias, dtype, device and requires_grad are kept. `row_weights`
    (m,), positive: how much an error in the weights of each input counts (FWSVD: the SVD is of
    W diag(w), and V is divided by w). `moment` (m, m): the mean of x x^T over the inputs, for the
    best approximation of the outputs instead (whitened_svd.py); one of the two. sigma falls;
    computed in float32 at least.

    Raises ModelError for a bad rank, NaN or infinity in the weight, a layer that is not linear,
    weights of a wrong shape or not positive, a moment of a wrong shape or beside weights.

    >>> layer = nn.Linear(6, 4)
    >>> bool(torch.allclose(factorise(layer, 4).weight, layer.weight, atol=1e-6))
    True
    """
    if not is_linear(layer):
        raise ModelError(f"{name} must be a Linear or Conv1D layer; got {type(layer).__name__}")
    return _factorise_matrix(
        linear_weight(layer),
        bias_of(layer),
        rank,
        row_weights,
        moment,
        name,
        is_conv1d(layer),
        layer,
    )


def check_weight(weight: Tensor, name: str) -> None:
    """Raise ModelError if `weight`, called `name`, holds NaN or infinity."""
    if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
        raise ModelError(f"{name} must be finite; it holds NaN or infinity")


def is_conv1d(module: nn.Module) -> bool:
    """Whether it is transformers' Conv1D, whose weight is (m, n)."""
    kind = type(module)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def bias_of(layer: nn.Module) -> Tensor | None:
    """The bias (n,) of a linear layer, or None."""
    return getattr(layer, "bias", None)


def dense_layer(weight: Tensor, bias: Tensor | None, transposed: bool) -> nn.Module:
    """A Linear (Conv1D if `transposed`) of copies of W (n, m) and bias (n,)."""
    n, m = weight.shape
    made: Any
    if transposed:
        from transformers.pytorch_utils import Conv1D  # noqa: PLC0415

        with torch.device("meta"):  # or it would draw from the global generator
            made = Conv1D(n, m)
        made.weight = nn.Parameter(weight.T.clone(memory_format=torch.contiguous_format))
        made.bias = nn.Parameter(weight.new_zeros(n) if bias is None else bias.clone())
        return made  # type: ignore[no-any-return]
    made = nn.Linear(m, n, bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format))
    made.bias = None if bias is None else nn.Parameter(bias.clone())
    return made  # type: ignore[no-any-return]


def inherit(old: nn.Module, new: M) -> M:
    """`new` with the training mode, origin and trainability of `old`; its bias has its own."""
    if isinstance(old, LowRankLinear) and isinstance(new, LowRankLinear):
        new.transposed = old.transposed
    trains, bias = next(old.parameters()).requires_grad, bias_of(old)
    for name, p in new.named_parameters():
        p.requires_grad_(trains if name != "bias" or bias is None else bias.requires_grad)
    return new.train(old.training)


def _factorise_matrix(
    weight: Tensor,
    bias: Tensor | None,
    rank: Rank,
    row_weights: Tensor | None,
    moment: Tensor | None,
    name: str,
    transposed: bool,
    like: nn.Module,
) -> LowRankLinear:
    check_weight(weight, name)
    n, m = weight.shape
    if isinstance(rank, int):
        rank_of(torch.empty(0), m, n, rank, name)  # refused before the work is done
    w = weight.detach()
    exact = w if w.dtype == torch.float64 else w.float()
    if moment is None:
        u, s, v = _scaled_svd(exact, row_weights, name)
    elif row_weights is not None or moment.shape != (m, m):
        raise ModelError(f"moment of {name} must be ({m}, {m}), without row_weights")
    else:
        u, s, v = whitened_svd(exact, moment)
    r = rank_of(s, m, n, rank, name)
    u, s, v = (t.to(w.dtype).contiguous() for t in (u[:, :r], s[:r], v[:, :r]))
    return inherit(like, LowRankLinear(u, s, v, _clone(bias), transposed=transposed))


def _scaled_svd(
    exact: Tensor, row_weights: Tensor | None, name: str
) -> tuple[Tensor, Tensor, Tensor]:
    """u, sigma, v of W, or of W diag(row_weights) with V divided by these."""
    m = exact.shape[1]
    scale = None
    if row_weights is not None:
        scale = row_weights.to(exact)
        if scale.shape != (m,) or not bool(((scale > 0) & torch.isfinite(scale)).all()):
            raise ModelError(f"row_weights of {name} must be {m} positive finite numbers")
        exact = exact * scale
    u, s, vt = torch.linalg.svd(exact, full_matrices=False)
    return u, s, vt.T if scale is None else vt.T / scale[:, None]


def _parameter(t: Tensor) -> nn.Parameter:
    return t if isinstance(t, nn.Parameter) else nn.Parameter(t)


def _clone(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.detach().clone()


def _copies(*tensors: Tensor | None) -> Iterator[Any]:
    return (_clone(t) for t in tensors)


def _stacked(biases: Sequence[Any]) -> Tensor | None:
    return None if any(b is None for b in biases) else torch.cat(list(biases))
