"""Ranks learned during fine-tuning, by a soft threshold on each layer's singular values.

SoftLMs (arXiv 2411.10543) learns a threshold for each layer; regulariser and schedule follow
STAR-KV (arXiv 2606.08382), the regulariser that counts parameters ARS (NAACL 2024). Order of work::

    soften -> learn (phase 1, until the budget is met; freezes) -> round_ranks -> truncate
           -> recover (phase 2, plain factors) -> fold, save

Lessons of STAR-KV's code, kept here: a threshold is frozen by ``requires_grad = False``, never by
a learning rate of 0; what is counted is what ships; a floor on the rank; ranks are rounded before
recovery; the best checkpoint is chosen in recovery only, by the task's score. Weight decay never
acts on thresholds.

Left out: the function and its layer (soft_threshold.py), ranks chosen without learning
(rank_baselines.py).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import (
    SKIP,
    block_paths,
    counts,
    in_block,
    joined,
    linear_targets,
    low_rank_layers,
    replace,
    split_layer,
)
from hyflexsim.models.lowrank.layers import factorise, linear_weight
from hyflexsim.models.lowrank.soft_threshold import Form, SoftThresholdLinear, set_rank
from hyflexsim.models.training import Loss, backward, default_loss, endless, evaluate, fine_tune

Reading = Literal["linears", "total"]
"""What a budget is a share of: the blocks' linear weights, or all parameters of the model."""

Regulariser = Literal["exp", "log"]
"""STAR-KV's sum of exp(-a), or ARS's log of the soft count over the budget."""


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
            raise ModelError(f"Schedule.regulariser must be exp or log; got {self.regulariser!r}")

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
    :func:`~hyflexsim.models.lowrank.compress.compress`, and the same refusals (ModelError).
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
    outside = 0  # dense layers that are to be compressed, but in no block: not yet in the counts
    if not factors:
        targets, blocks = linear_targets(model, include, exclude), block_paths(model)
        sizes = {target.path: linear_weight(target.layer).numel() for target in targets}
        held = sum(sizes.values())
        outside = sum(size for path, size in sizes.items() if not in_block(path, blocks))
    if reading == "linears":
        whole, rest = now.linears_dense + outside, now.linears + outside - held
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

    Raises ModelError for a budget that the floors exceed, frozen thresholds, no data, a loss that
    is not finite.
    """
    plan, layers = schedule or Schedule(), list(soft_layers(model).values())
    least = sum(layer.least for layer in layers)
    if budget < least:
        raise ModelError(f"budget must be at least {least}, the floors' ranks; got {budget}")
    if any(layer.frozen for layer in layers):
        raise ModelError("thresholds are frozen: ranks were learned already")
    optimiser = torch.optim.AdamW(_groups(model, layers, plan), lr=plan.lr, fused=True)
    history: list[Step] = []
    training = model.training
    model.train()
    try:
        for step, batch in zip(range(plan.steps), endless(data), strict=False):
            for layer in layers:
                layer.sharpness = plan.sharpness_at(step)
            optimiser.zero_grad()
            value = backward(model, batch, loss)
            exp = plan.regulariser == "exp"
            penalty = exp_penalty(model) if exp else log_penalty(model, budget)
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
    finally:
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

    low = -max(alpha.item() for alpha in start)
    high = 1.0 + max(layer.normalised().max().item() for layer in layers)
    if hard(high) > budget:
        raise ModelError(f"budget must be at least {hard(high)}, the floors' ranks; got {budget}")
    if hard(low) <= budget:
        return hard(low)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if hard(middle) <= budget else (middle, high)
    return hard(high)


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
    `fine_tuning`: arguments of :func:`~hyflexsim.models.training.fine_tune`. Returns the scores, or
    without `score` the mean loss of each epoch. Raises ModelError if a threshold is left.
    """
    left = [p for p, m in model.named_modules() if isinstance(m, SoftThresholdLinear)]
    if left:
        raise ModelError(f"{left[0]}: thresholds must be truncated before recovery")
    if score is None:
        return fine_tune(model, data, loss, **fine_tuning)
    scores = [evaluate(model, score)]
    best = copy.deepcopy(model.state_dict())

    def ask(epoch: int, mean: float) -> None:
        nonlocal best
        scores.append(evaluate(model, score))
        if scores[-1] > max(scores[:-1]):
            best = copy.deepcopy(model.state_dict())

    fine_tune(model, data, loss, after_epoch=ask, **fine_tuning)
    model.load_state_dict(best)
    return scores


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
