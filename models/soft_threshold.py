"""Ranks learned by a soft threshold on the singular values, in the manner of SoftLMs.

SoftLMs (arXiv 2411.10543) learns, during fine-tuning, a threshold for each layer which clips small
singular values differentiably. Its body was not at hand; function, regulariser and schedule
follow the same first author's later STAR-KV (arXiv 2606.08382), the regulariser that counts
parameters ARS (NAACL 2024). With s_i = sigma_i / sigma_1 (sigma_1 as it was at the SVD),
threshold a, sharpness k, the forward pass uses sigma_1 S(s)::

    tanh       S = s tanh(k (s - a)) if s > a, else -c tanh(k (s - a))   c = 0: cut to zero
    shrinkage  S = relu(s - a)                                           every rank loses a
    sigmoid    S = s sigmoid(k (s - a))                                  never zero, until frozen

A rank ships if s > a. Order of work::

    soften -> learn (phase 1, until the budget is met; freezes) -> round_ranks -> truncate
           -> recover (phase 2, plain factors) -> fold, save

Lessons of that code, kept here: a threshold is frozen by ``requires_grad = False``, never by a
learning rate of 0; truncation uses the function of the forward pass; what is counted is what
ships, min(m n, r (m + n)); a floor on the rank; ranks are rounded before recovery; the best
checkpoint is chosen in recovery only, by the task's score. Weight decay never acts on thresholds.

Baselines at the same budget: :func:`baseline_ranks` (uniform, energy, one global threshold) and
:func:`fisher_row_weights` (FWSVD), both for :func:`~hyflexsim.models.lowrank.compress`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank import (
    SKIP,
    LowRankLinear,
    break_even,
    check_weight,
    counts,
    factorise,
    joined,
    linear_targets,
    linear_weight,
    low_rank_layers,
    replace,
    split_layer,
)
from hyflexsim.models.redistribution import Loss, backward, default_loss, fine_tune

Form = Literal["tanh", "shrinkage", "sigmoid"]
Reading = Literal["linears", "total"]
"""What a budget is a share of: the blocks' linear weights, or all parameters of the model."""

Regulariser = Literal["exp", "log"]
"""STAR-KV's sum of exp(-a), or ARS's log of the soft count over the budget."""


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
        """|sigma| / sigma_1, (full rank,)."""
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


class SoftCounts(NamedTuple):
    """Weight values of the thresholded layers: soft (with gates), hard (what would ship)."""

    soft: Tensor  # scalar with a gradient: sum of (m + n) * soft rank
    hard: int  # sum of min(m n, (m + n) * rank)
    dense: int  # sum of m n


@dataclass(frozen=True)
class Schedule:
    """How phase 1 runs: rates, annealing, regulariser. Checked when made (ModelError)."""

    steps: int = 1000
    """Most optimiser steps; what is missing of the budget then is closed by a common shift."""
    lr: float = 2e-5
    """Of weights (STAR-KV)."""
    alpha_lr: float = 1e-2
    """Of thresholds: about the step of alpha, under Adam (STAR-KV; 100 to 500 times `lr`)."""
    sharpness: tuple[float, float] = (10.0, 100.0)
    """At the first and at the last step, geometric in between; stays where phase 1 ends."""
    regulariser: Regulariser = "log"
    """"exp" knows no sizes; "log" knows them and vanishes at the budget."""
    strength: float = 1.0
    """Weight of the regulariser beside the loss (STAR-KV 0.1 with exp, ARS 16 with log)."""
    weight_decay: float = 0.01
    """Of matrices; never of thresholds or sigma."""

    def __post_init__(self) -> None:
        for name in ("lr", "alpha_lr", "strength"):
            if not 0 < getattr(self, name) < math.inf:
                raise ModelError(f"Schedule.{name} must be above 0; got {getattr(self, name)}")
        if self.steps < 1:
            raise ModelError(f"Schedule.steps must be at least 1; got {self.steps}")
        if not all(0 < k < math.inf for k in self.sharpness):
            raise ModelError(f"Schedule.sharpness must be above 0; got {self.sharpness}")
        if self.regulariser not in get_args(Regulariser):
            raise ModelError(
                f"Schedule.regulariser must be 'exp' or 'log'; got {self.regulariser!r}"
            )

    def sharpness_at(self, step: int) -> float:
        """k at a step from 0.

        >>> round(Schedule(steps=3).sharpness_at(1), 3)
        31.623
        """
        first, last = self.sharpness
        done: float = min(step, self.steps - 1) / max(1, self.steps - 1)
        return float(first * (last / first) ** done)


class Step(NamedTuple):
    """One step of phase 1: task loss before it, counts and mean threshold after it."""

    step: int
    loss: float
    soft: float
    hard: int
    alpha: float


class Learned(NamedTuple):
    """Outcome of phase 1. `met` is "learned", or "shifted" where steps ran out first."""

    history: list[Step]
    budget: int
    hard: int
    met: Literal["learned", "shifted"]


# -- phase 1 --------------------------------------------------------------------------------------


def soften(
    model: nn.Module,
    form: Form = "tanh",
    *,
    sharpness: float = 50.0,
    floor: int = 1,
    c: float = 0.0,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = SKIP,
    fused: Mapping[str, Sequence[str]] | None = None,
) -> nn.Module:
    """Replace linear layers by full-rank factors with a threshold at 0, in place.

    At the start only the tanh and sigmoid gates near 0 change the outputs. `floor`: fewest ranks
    of a layer (STAR-KV: 8 a head). `include`, `exclude`, `fused`: as in
    :func:`~hyflexsim.models.lowrank.compress`, and the same refusals (ModelError).
    """
    targets = linear_targets(model, include, exclude, fused)
    swaps = {}
    for target in targets:
        made = []
        for key, layer in zip(target.matrices(), split_layer(target), strict=True):
            full = factorise(layer, min(linear_weight(layer).shape), name=key)
            soft = SoftThresholdLinear(full, form, sharpness=sharpness, floor=floor, c=c)
            made.append(soft.train(layer.training))
        swaps[target.path] = joined(target, made)
    replace(model, swaps)
    return model


def soft_layers(model: nn.Module) -> dict[str, SoftThresholdLinear]:
    """Layers with a threshold, by path. Raises ModelError if there are none."""
    found = {p: m for p, m in model.named_modules() if isinstance(m, SoftThresholdLinear)}
    if not found:
        raise ModelError(f"{type(model).__name__} has no thresholded layers; soften it first")
    return found


def soft_counts(model: nn.Module) -> SoftCounts:
    """Soft and hard count of weight values over the thresholded layers."""
    layers = soft_layers(model).values()
    sizes = [(layer.in_features, layer.out_features) for layer in layers]
    parts = [(m + n) * layer.soft_rank() for layer, (m, n) in zip(layers, sizes, strict=True)]
    return SoftCounts(
        torch.stack(parts).sum(),
        sum(layer.shipped for layer in layers),
        sum(m * n for m, n in sizes),
    )


def budget_of(
    model: nn.Module,
    fraction: float,
    reading: Reading = "linears",
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = SKIP,
) -> int:
    """Weight values the compressed matrices may hold so that the model has `fraction` of its
    dense parameters, in one of the two readings of such a figure.

    The compressed matrices are the thresholded or factorised ones; of a model that is still
    dense, those of `include` and `exclude`.

    Everything else stays as it is, so "total" leaves less: BERT-base at half of all parameters
    keeps 35.5 % of its block linears. Raises ModelError for a fraction outside (0, 1], an unknown
    reading, or one that the rest of the model alone exceeds.
    """
    if reading not in get_args(Reading):
        raise ModelError(f"reading must be 'linears' or 'total'; got {reading!r}")
    if not 0 < fraction <= 1:
        raise ModelError(f"fraction must be above 0 and at most 1; got {fraction}")
    now, factors = counts(model), low_rank_layers(model)
    held = sum(layer.shipped for layer in factors.values())
    if not factors:
        layers = [target.layer for target in linear_targets(model, include, exclude)]
        held = sum(linear_weight(layer).numel() for layer in layers)
    if reading == "linears":
        whole, rest = now.linears_dense, now.linears - held
    else:
        whole, rest = now.total_dense, now.total - held
    budget = int(fraction * whole + 1e-9) - rest
    if budget < 1:
        raise ModelError(
            f"fraction {fraction} of {reading} cannot be reached: what is not compressed holds "
            f"{rest} of {whole} values"
        )
    return budget


def exp_penalty(model: nn.Module) -> Tensor:
    """STAR-KV: sum of exp(-alpha), a scalar; pushes every threshold up, whatever the size."""
    return torch.stack([torch.exp(-layer.alpha) for layer in soft_layers(model).values()]).sum()


def log_penalty(model: nn.Module, budget: int) -> Tensor:
    """ARS (Eq. 8): log(max(T, B) / B) of the soft count T and the budget B; 0 once met."""
    soft = soft_counts(model).soft
    return torch.log(torch.clamp(soft, min=float(budget)) / budget)


def freeze(model: nn.Module) -> nn.Module:
    """Stop the thresholds for good: requires_grad False, and zero below them; returns the model."""
    for layer in soft_layers(model).values():
        layer.alpha.requires_grad_(False)
        layer.alpha.grad = None
        layer.frozen = True
    return model


def learn(
    model: nn.Module,
    data: Iterable[Any],
    budget: int,
    schedule: Schedule | None = None,
    loss: Loss = default_loss,
    *,
    after_step: Callable[[Step], None] | None = None,
) -> Learned:
    """Phase 1: train weights and thresholds until the hard count meets the budget, then freeze.

    `budget`: weight values, from :func:`budget_of`. `data` is walked again and again. Finally
    :func:`fit_budget` moves all thresholds by one common shift, so that the count ends just below
    the budget also where the last step overshot or steps ran out. `after_step` sees each step.

    Raises ModelError for a budget that the floors exceed, no data, a loss that is not finite.
    """
    plan, layers = schedule or Schedule(), list(soft_layers(model).values())
    least = sum(_ships(layer, layer.floor) for layer in layers)
    if budget < least:
        raise ModelError(f"budget must be at least {least}, the floors' ranks; got {budget}")
    optimiser = torch.optim.AdamW(_groups(model, layers, plan), lr=plan.lr)
    history: list[Step] = []
    training = model.training
    model.train()
    for step, batch in zip(range(plan.steps), _again(data), strict=False):
        _sharpen(layers, plan.sharpness_at(step))
        optimiser.zero_grad()
        value = backward(model, batch, loss)
        penalty = exp_penalty(model) if plan.regulariser == "exp" else log_penalty(model, budget)
        (plan.strength * penalty).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            for layer in layers:
                layer.alpha.clamp_(0.0, 1.0)
            now = soft_counts(model)
        mean = sum(layer.alpha.item() for layer in layers) / len(layers)
        history.append(Step(step, float(value), float(now.soft), now.hard, mean))
        if after_step is not None:
            after_step(history[-1])
        if now.hard <= budget:
            break
    optimiser.zero_grad()
    model.train(training)
    met: Literal["learned", "shifted"] = "learned" if history[-1].hard <= budget else "shifted"
    freeze(model)
    return Learned(history, budget, fit_budget(model, budget), met)


def fit_budget(model: nn.Module, budget: int) -> int:
    """Shift all thresholds by the one amount that brings the hard count just below the budget.

    Returns the count. Differences between layers stay as learned (a layer at its floor, or at a
    threshold of 0, stays there). Raises ModelError if the floors alone exceed the budget.
    """
    layers = list(soft_layers(model).values())
    start = [layer.alpha.detach().clone() for layer in layers]

    def hard(shift: float) -> int:
        with torch.no_grad():
            for layer, alpha in zip(layers, start, strict=True):
                layer.alpha.copy_((alpha + shift).clamp(min=0.0))
        return sum(layer.shipped for layer in layers)

    low, high = (
        -max(a.item() for a in start),
        1.0 + max(layer.normalised().max().item() for layer in layers),
    )
    if hard(high) > budget:
        raise ModelError(f"budget must be at least {hard(high)}, the floors' ranks; got {budget}")
    if hard(low) <= budget:
        return hard(low)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if hard(middle) <= budget else (middle, high)
    return hard(high)


# -- from thresholds to ranks ---------------------------------------------------------------------


def round_ranks(
    model: nn.Module, multiple: int = 64, how: Literal["up", "down", "nearest"] = "nearest"
) -> dict[str, int]:
    """Move each threshold so that its rank is a multiple of the tile; before recovery.

    64 wordlines an array make U^T step every 64 ranks, so ranks in between cost as much as the
    next multiple. A layer with fewer ranks than one multiple gets at least one, as far as it has
    them; a rank is never rounded above full rank. Returns the new ranks by path. The counts
    change: `how` "up" goes above the budget, "down" below. Raises ModelError for a multiple
    below 1, an unknown `how`, thresholds not frozen.
    """
    if multiple < 1:
        raise ModelError(f"multiple must be at least 1; got {multiple}")
    if how not in ("up", "down", "nearest"):
        raise ModelError(f"how must be 'up', 'down' or 'nearest'; got {how!r}")
    new = {}
    for path, layer in soft_layers(model).items():
        if not layer.frozen:
            raise ModelError(f"{path}: thresholds must be frozen before ranks are rounded")
        lift = {"up": multiple - 1, "down": 0, "nearest": multiple // 2}[how]
        tiles = (layer.rank + lift) // multiple
        set_rank(layer, min(max(1, tiles) * multiple, layer.full_rank))
        new[path] = layer.rank
    return new


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


def cut_below(s: Tensor, rank: int) -> Tensor:
    """A threshold that keeps the `rank` largest of `s`: halfway to the next, below all; a scalar.

    >>> round(float(cut_below(torch.tensor([1.0, 0.5, 0.25]), 2)), 3)
    0.375
    """
    top = s.topk(min(rank + 1, len(s))).values
    last = top[rank - 1]
    below = top[rank] if len(top) > rank else torch.full_like(last, -1e-3)
    slack = last - (1e-6 * last.abs()).clamp(min=1e-12)
    return torch.minimum((last + below) / 2, slack)


def truncate(model: nn.Module) -> nn.Module:
    """Replace thresholded layers by plain factors of their ranks, in place; same output.

    Dense where factors would cost more. Raises ModelError unless frozen.
    """
    layers = soft_layers(model)
    for path, layer in layers.items():
        if not layer.frozen:
            raise ModelError(f"{path}: thresholds must be frozen before the model is truncated")
    replace(model, {path: layer.truncated() for path, layer in layers.items()})
    return model


def recover(
    model: nn.Module,
    data: Iterable[Any],
    loss: Loss = default_loss,
    *,
    score: Callable[[nn.Module], float] | None = None,
    **fine_tuning: Any,
) -> list[float]:
    """Phase 2: fine-tune the truncated model on the task's loss alone, ranks fixed.

    `score` (higher is better) is asked before and after each epoch, and the best state is kept:
    checkpoints are compared here only, where all meet the budget and share one loss.
    `fine_tuning`: arguments of :func:`~hyflexsim.models.redistribution.fine_tune`. Returns the
    scores, or without `score` the mean loss of each epoch. Raises ModelError if a threshold is
    left.
    """
    left = [p for p, m in model.named_modules() if isinstance(m, SoftThresholdLinear)]
    if left:
        raise ModelError(f"{left[0]}: thresholds must be truncated before recovery")
    if score is None:
        return fine_tune(model, data, loss, **fine_tuning)
    scores = [_scored(model, score)]
    best = copy.deepcopy(model.state_dict())

    def ask(epoch: int, mean: float) -> None:
        nonlocal best
        scores.append(_scored(model, score))
        if scores[-1] > max(scores[:-1]):
            best = copy.deepcopy(model.state_dict())

    fine_tune(model, data, loss, after_epoch=ask, **fine_tuning)
    model.load_state_dict(best)
    return scores


# -- baselines ------------------------------------------------------------------------------------


def baseline_ranks(
    model: nn.Module,
    budget: int,
    kind: Literal["uniform", "energy", "global"] = "uniform",
    *,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = SKIP,
    fused: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, int]:
    """Ranks of a dense model at a budget of weight values, not learned; for ``compress``.

    "uniform": the same share of every break-even rank. "energy": the same share of every sum of
    squared singular values. "global": one threshold on sigma / sigma_1 for all. The one number is
    found by bisection; where that leaves ranks that tie, they are added one by one while they fit.
    Where factors cost as much as the matrix or more it stays dense, and is left out.

    Raises ModelError for an unknown kind, a budget below one rank a matrix, or above the dense
    count, and what ``linear_targets`` refuses.
    """
    spectra: dict[str, tuple[int, int, Tensor]] = {}
    for target in linear_targets(model, include, exclude, fused):
        for key, layer in zip(target.matrices(), split_layer(target), strict=True):
            w = linear_weight(layer).detach()
            check_weight(w, key)
            spectra[key] = (w.shape[1], w.shape[0], torch.linalg.svdvals(w.float()).double())
    least = sum(min(m + n, m * n) for m, n, _ in spectra.values())
    most = sum(m * n for m, n, _ in spectra.values())
    if not least <= budget <= most:
        raise ModelError(f"budget must be from {least} to {most} weight values; got {budget}")
    rules: dict[str, Callable[[int, int, Tensor, float], int]] = {
        "uniform": lambda m, n, s, x: int(x * m * n / (m + n) + 1e-9),
        "energy": lambda m, n, s, x: int((s.square().cumsum(0) < x * s.square().sum()).sum()) + 1,
        "global": lambda m, n, s, x: int((s > (1 - x) * s[0]).sum()),
    }
    if kind not in rules:
        raise ModelError(f"kind must be one of {', '.join(rules)}; got {kind!r}")

    def chosen(x: float) -> dict[str, int]:
        return {
            key: min(max(1, rules[kind](m, n, s, x)), len(s)) for key, (m, n, s) in spectra.items()
        }

    def cost(ranks: Mapping[str, int]) -> int:
        sizes = ((m, n, ranks[key]) for key, (m, n, _) in spectra.items())
        return sum(min(m * n, r * (m + n)) for m, n, r in sizes)

    low, high = 0.0, 1.0
    if cost(chosen(high)) <= budget:
        low = high
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(chosen(middle)) <= budget else (low, middle)
    ranks = _fill(chosen(low), chosen(high), cost, budget)
    return {k: r for k, r in ranks.items() if r <= break_even(*spectra[k][:2])}


def fisher_row_weights(
    model: nn.Module,
    data: Iterable[Any],
    loss: Loss = default_loss,
    *,
    batches: int | None = None,
    power: float = 0.5,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] = SKIP,
    fused: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Tensor]:
    """FWSVD (ICLR 2022): weights (m,) of the inputs of each matrix, for ``compress(row_weights=)``.

    Fisher information of a weight is its squared gradient, here averaged over batches; that of an
    input is the sum over its weights, to the power `power`. 0.5 makes the SVD minimise the
    Fisher-weighted squared error; 1 is another reading of the paper's formula. Weights are scaled
    to a mean of 1 and kept above 1e-3, since V is divided by them. Evaluation mode; gradients are
    cleared. Raises ModelError for no data.
    """
    targets = linear_targets(model, include, exclude, fused)
    sums: dict[str, Tensor] = {}
    training, seen = model.training, 0
    model.eval()
    try:
        for batch in data:
            if seen == batches:
                break
            model.zero_grad()
            backward(model, batch, loss)
            seen += 1
            for target in targets:
                for key, square in _squares(target):
                    sums[key] = sums[key] + square if key in sums else square
    finally:
        model.zero_grad()
        model.train(training)
    if not seen:
        raise ModelError("data must hold at least one batch; got none")
    weights = {}
    for key, total in sums.items():
        w = (total / seen) ** power
        mean = w.mean()
        w = w / mean if mean > 0 else torch.ones_like(w)
        weights[key] = w.clamp(min=1e-3).float()
    return weights


def _squares(target: Any) -> Iterator[tuple[str, Tensor]]:
    grad = target.layer.weight.grad
    if grad is None:
        raise ModelError(f"{target.path}: the loss does not reach its weight")
    w = grad if isinstance(target.layer, nn.Linear) else grad.T  # (n, m)
    parts = w.double().square().chunk(max(1, len(target.parts)))
    yield from zip(target.matrices(), (part.sum(0) for part in parts), strict=True)


def _fill(
    low: dict[str, int],
    high: Mapping[str, int],
    cost: Callable[[Mapping[str, int]], int],
    budget: int,
) -> dict[str, int]:
    """Steps towards `high` one matrix at a time while the budget allows (ties of the rule)."""
    ranks = dict(low)
    grown = True
    while grown:
        grown = False
        for key, rank in list(ranks.items()):
            trial = ranks | {key: rank + 1}
            if rank < high[key] and cost(trial) <= budget:
                ranks, grown = trial, True
    return ranks


def _ships(layer: SoftThresholdLinear, rank: int) -> int:
    m, n = layer.in_features, layer.out_features
    return min(m * n, rank * (m + n))


def _sharpen(layers: Iterable[SoftThresholdLinear], sharpness: float) -> None:
    for layer in layers:
        layer.sharpness = sharpness


def _groups(
    model: nn.Module, layers: Sequence[SoftThresholdLinear], plan: Schedule
) -> list[dict[str, Any]]:
    thresholds = [layer.alpha for layer in layers]
    known = {id(alpha) for alpha in thresholds}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    return [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
        {"params": thresholds, "lr": plan.alpha_lr, "weight_decay": 0.0},
    ]


def _again(data: Iterable[Any]) -> Iterator[Any]:
    """The data again and again. Raises ModelError if a walk gives nothing."""
    for walk in count():
        empty = True
        for batch in data:
            empty = False
            yield batch
        if empty:
            raise ModelError(f"data must hold at least one batch; walk {walk + 1} gave none")


def _scored(model: nn.Module, score: Callable[[nn.Module], float]) -> float:
    training = model.training
    model.eval()
    with torch.no_grad():
        value = float(score(model))
    model.train(training)
    if not math.isfinite(value):
        raise ModelError(f"score must be a finite number; got {value}")
    return value
