"""Ranks and row weights that are not learned, to compare learned ones with at the same budget.

:func:`baseline_ranks`: uniform, by energy, or one global threshold. :func:`fisher_row_weights`:
FWSVD (ICLR 2022), which weighs errors by the gradients of the task. Both are for
:func:`~hyflexsim.models.lowrank.compress.compress`. Left out: fine-tuning afterwards (training.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import SKIP, LinearTarget, linear_targets, split_layer
from hyflexsim.models.lowrank.layers import break_even, check_weight, linear_weight, shipped_values
from hyflexsim.models.training import Loss, backward, default_loss

Kind = Literal["uniform", "energy", "global"]
Spectrum = tuple[int, int, Tensor]
"""Inputs, outputs and the singular values in falling order, in double precision."""


def baseline_ranks(
    model: nn.Module,
    budget: int,
    kind: Kind = "uniform",
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
    spectra: dict[str, Spectrum] = {}
    for target in linear_targets(model, include, exclude, fused):
        for key, layer in zip(target.matrices(), split_layer(target), strict=True):
            w = linear_weight(layer).detach()
            check_weight(w, key)
            spectra[key] = (w.shape[1], w.shape[0], torch.linalg.svdvals(w.float()).double())
    return ranks_within(spectra, budget, kind)


def ranks_within(spectra: Mapping[str, Spectrum], budget: int, kind: Kind) -> dict[str, int]:
    """The ranks of :func:`baseline_ranks`, of matrices of known singular values."""
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
        return sum(shipped_values(m, n, ranks[key]) for key, (m, n, _) in spectra.items())

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


def _squares(target: LinearTarget) -> Iterator[tuple[str, Tensor]]:
    weight: Any = target.layer.weight
    grad: Tensor | None = weight.grad
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
