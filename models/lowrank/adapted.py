"""A dense linear layer with a low-rank change kept beside it: y = W x + bias + B (A x).

What LoRA trains (Hu et al., arXiv 2106.09685, section 4.1), not merged into W: A (r, m) and B (n,
r) stay matrices of their own, so that W may stay on the chip while changes to it come and go. The
scale of a change is part of B. It costs r (m + n) values, two products one after the other, and an
addition for each output::

    x (..., m) --W-------------------------> (..., n) --> + --> (..., n)
               --A--> (..., r) --B---------> (..., n) --^

Left out: dropout, which is of training, and changes that may be of any rank but low.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import replace
from hyflexsim.models.lowrank.layers import is_conv1d, is_linear, linear_weight


class AdaptedLinear(nn.Module):
    """A dense layer `base` (m inputs, n outputs), and beside it `down` (r, m) and `up` (n, r).

    A new one changes nothing: `down` and `up` are zero, or without values as `base` is.
    Raises ModelError for a layer that is not linear and a rank outside 1 ... min(m, n).

    >>> layer = AdaptedLinear(nn.Linear(4, 3), 2)
    >>> sorted(layer.state_dict())
    ['base.bias', 'base.weight', 'down.weight', 'up.weight']
    """

    def __init__(self, base: nn.Module, rank: int, name: str = "layer"):
        super().__init__()
        if not is_linear(base):
            raise ModelError(f"{name} must be a Linear or Conv1D layer; got {type(base).__name__}")
        weight = linear_weight(base)
        n, m = weight.shape
        if type(rank) is not int or not 1 <= rank <= min(m, n):
            raise ModelError(
                f"rank beside {name} must be an integer from 1 to {min(m, n)}; got {rank!r}"
            )
        self.base = base
        self.down, self.up = (_zero(like, weight) for like in ((rank, m), (n, rank)))
        self.train(base.training)

    @property
    def rank(self) -> int:
        """Rank r of the change."""
        return self.down.out_features

    @property
    def weight(self) -> Tensor:
        """W + B A as `base` keeps its weight: (n, m), transposed of a Conv1D; made anew."""
        change = self.up.weight @ self.down.weight
        whole: Tensor = self.base.weight + (change.T if is_conv1d(self.base) else change)  # type: ignore[operator]
        return whole

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., n)."""
        y: Tensor = self.base(x) + self.up(self.down(x))
        return y


def adapt(model: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """Put a change of a rank beside each dense layer that `ranks` names by path, in place.

    Raises ModelError for a path that is no dense linear layer, and ranks out of range, before the
    model is touched.
    """
    layers = dict(model.named_modules())
    for path in ranks:
        if path not in layers:
            raise ModelError(f"{type(model).__name__} has no layer {path!r} to adapt")
    replace(model, {path: AdaptedLinear(layers[path], r, path) for path, r in ranks.items()})
    return model


def adapted_ranks(model: nn.Module) -> dict[str, int]:
    """Ranks of the changes beside dense layers, by path, in the model's order."""
    return {p: m.rank for p, m in model.named_modules() if isinstance(m, AdaptedLinear)}


def _zero(shape: tuple[int, int], like: Tensor) -> nn.Linear:
    made = nn.Linear(shape[1], shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(
        torch.zeros(shape, dtype=like.dtype, device=like.device), requires_grad=like.requires_grad
    )
    return made
