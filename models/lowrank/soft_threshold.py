"""The soft threshold on singular values: the function, and the layer that has one.

In the manner of SoftLMs (arXiv 2411.10543), whose body was not at hand; the function follows the
same first author's later STAR-KV (arXiv 2606.08382). With s_i = sigma_i / sigma_1 (sigma_1 as it
was at the SVD), threshold a, sharpness k, the forward pass uses sigma_1 S(s)::

    tanh       S = s tanh(k (s - a)) if s > a, else -c tanh(k (s - a))   c = 0: cut to zero
    shrinkage  S = relu(s - a)                                           every rank loses a
    sigmoid    S = s sigmoid(k (s - a))                                  never zero, until frozen

A rank ships if s > a. Truncation uses the function of the forward pass, and what is counted is
what ships, min(m n, r (m + n)). Left out: how the threshold is learned (rank_learning.py).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.layers import LowRankLinear, break_even, shipped_values

Form = Literal["tanh", "shrinkage", "sigmoid"]


def soft_threshold(
    s: Tensor, a: Tensor, form: Form = "tanh", sharpness: float = 50.0, c: float = 0.0
) -> Tensor:
    """S(s), shape of `s`: singular values (normalised, not negative) after the threshold `a`.

    `c`: slope of the tanh form below the threshold (LeOPArd's; 0 in STAR-KV). Gradients are
    autograd's, which equal the published ones. Raises ModelError for an unknown form.

    >>> s, a = torch.tensor([0.9, 1.01, 1.05, 2.0]), torch.tensor(1.0)
    >>> [round(v, 3) for v in soft_threshold(s, a).tolist()]
    [0.0, 0.467, 1.036, 2.0]
    >>> [round(v, 3) for v in soft_threshold(s, a, "shrinkage").tolist()]
    [0.0, 0.01, 0.05, 1.0]
    """
    if form not in get_args(Form):
        raise ModelError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}")
    if form == "shrinkage":
        return torch.relu(s - a)
    if form == "sigmoid":
        return s * torch.sigmoid(sharpness * (s - a))
    t = torch.tanh(sharpness * (s - a))
    return torch.where(s > a, s * t, -c * t)


class SoftThresholdLinear(LowRankLinear):
    """A low-rank layer of full rank with a learned threshold `alpha` (a scalar, from 0).

    `alpha` acts on sigma / `sigma_1`. At least `floor` ranks stay: the threshold that acts is
    never above the middle between the floor-th singular value and the next. Once `frozen`, every
    form gives exactly zero below the threshold.
    """

    sigma: nn.Parameter
    sigma_1: Tensor

    def __init__(
        self,
        layer: LowRankLinear,
        form: Form = "tanh",
        *,
        sharpness: float = 50.0,
        floor: int = 1,
        c: float = 0.0,
    ):
        if layer.sigma is None:
            raise ModelError("a folded layer has no singular values to threshold")
        if form not in get_args(Form):
            raise ModelError(f"form must be one of {', '.join(get_args(Form))}; got {form!r}")
        if floor < 1:
            raise ModelError(f"floor must be at least 1; got {floor}")
        super().__init__(layer.u, layer.sigma, layer.v, layer.bias, transposed=layer.transposed)
        top = layer.sigma.detach().abs().max()
        self.register_buffer("sigma_1", torch.where(top > 0, top, torch.ones_like(top)))
        self.alpha = nn.Parameter(torch.zeros((), dtype=layer.sigma.dtype, device=top.device))
        self.form: Form = form
        self.sharpness, self.c = sharpness, c
        self.floor = min(floor, layer.rank)
        self.frozen = False

    def normalised(self) -> Tensor:
        """``|sigma| / sigma_1``, (full rank,)."""
        return self.sigma.abs() / self.sigma_1

    def threshold(self) -> Tensor:
        """The threshold that acts: alpha, unless fewer than `floor` ranks would stay."""
        return torch.minimum(self.alpha, cut_below(self.normalised().detach(), self.floor))

    def diagonal(self) -> Tensor:
        """sigma as the forward pass applies it: sigma_1 S(sigma / sigma_1), with sigma's sign."""
        s, a = self.normalised(), self.threshold()
        scaled = self.sigma_1 * soft_threshold(s, a, self.form, self.sharpness, self.c)
        if self.frozen:
            scaled = scaled * (s > a)
        return torch.where(self.sigma < 0, -scaled, scaled)

    @property
    def full_rank(self) -> int:
        """min(m, n)."""
        return self.u.shape[1]

    @property
    def least(self) -> int:
        """Weight values that ship at the floor."""
        return shipped_values(self.in_features, self.out_features, self.floor)

    @property
    def rank(self) -> int:
        """The hard count of ranks: those above the threshold."""
        return int((self.normalised() > self.threshold()).sum())

    def soft_rank(self) -> Tensor:
        """The soft count of ranks, a scalar with a gradient: sum of tanh (or sigmoid) gates."""
        gap = self.sharpness * (self.normalised() - self.threshold())
        gates = torch.sigmoid(gap) if self.form == "sigmoid" else torch.tanh(gap).clamp(0, 1)
        return gates.sum()

    def truncated(self) -> nn.Module:
        """Plain factors of the ranks above the threshold; dense where that holds fewer values.

        sigma becomes S(sigma), so the output equals that of the forward pass. Raises ModelError
        unless frozen.
        """
        if not self.frozen:
            raise ModelError("a threshold must be frozen before the layer is truncated")
        keep = self.normalised() > self.threshold()
        with torch.no_grad():
            u, sigma, v = self.u[:, keep], self.diagonal()[keep], self.v[:, keep]
        bias = None if self.bias is None else self.bias.detach().clone()
        made = LowRankLinear(u, sigma, v, bias, transposed=self.transposed)
        for p in made.parameters():
            p.requires_grad_(self.u.requires_grad)
        made.train(self.training)
        m, n = self.in_features, self.out_features
        return made if made.rank <= break_even(m, n) else made.dense()

    def folded(self) -> LowRankLinear:
        """Refused (ModelError): truncate first, so that only what ships is folded."""
        raise ModelError("a threshold must be truncated before sigma is folded into V")

    def extra_repr(self) -> str:
        """Sizes and threshold, for print."""
        return f"{super().extra_repr()} of {self.full_rank}, form={self.form}"


def cut_below(s: Tensor, rank: int) -> Tensor:
    """A threshold that keeps the `rank` largest of `s`: halfway to the next, below all; a scalar.

    >>> round(float(cut_below(torch.tensor([1.0, 0.5, 0.25]), 2)), 3)
    0.375
    """
    top = s.topk(min(rank + 1, len(s))).values
    last = top[rank - 1]
    below = top[rank] if len(top) > rank else torch.full_like(last, -1e-3)
    grain = torch.finfo(s.dtype)  # less than this a half-precision number would not move
    slack = last - (max(1e-6, 2 * grain.eps) * last.abs()).clamp(min=max(1e-12, grain.tiny))
    return torch.minimum((last + below) / 2, slack)


def set_rank(layer: SoftThresholdLinear, rank: int) -> None:
    """Put the threshold between the rank-th singular value and the next.

    Singular values equal to the rank-th stay as well. Raises ModelError for a rank outside floor
    to full rank.
    """
    if not layer.floor <= rank <= layer.full_rank:
        raise ModelError(
            f"rank must be from {layer.floor} to {layer.full_rank} (floor, full); got {rank}"
        )
    with torch.no_grad():
        layer.alpha.copy_(cut_below(layer.normalised(), rank))
