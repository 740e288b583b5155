"""Gradient redistribution: which ranks matter, and the few that deserve single-level cells.

HyFlexPIM (§4, Algorithm 1): SVD of every static matrix, truncation at the break-even rank, one to
three epochs of fine-tuning with U, sigma and V trainable, then the ranks with the largest
``|dL/dsigma|`` are stored in SLC, the others in MLC. Fine-tuning recovers the accuracy and gathers
the gradient in few ranks ("redistribution"). The quota is per matrix, floor(k s) of its k ranks.

Two readings of the importance are kept: of the *last* batch of an epoch, as the authors' released
code has it, and the *mean* of ``|dL/dsigma|`` over the epoch's batches, which is less noisy.

Left out: gradients are taken as the optimiser sees them, so accumulate batches before you observe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import block_paths, compress, in_block, low_rank_layers
from hyflexsim.models.lowrank.layers import HARD_THRESHOLD, Rank, is_linear, linear_weight
from hyflexsim.models.training import Loss, backward, default_loss, fine_tune

Scores = dict[str, Tensor]
"""A score for each rank (or output) of each matrix: path -> (r,), not negative."""


class Importance(NamedTuple):
    """``|dL/dsigma|`` by path, (r,) each: of the last batch, and the mean over the batches."""

    last: Scores
    mean: Scores
    batches: int


class Redistribution(NamedTuple):
    """What :func:`redistribute` measured: importance after the SVD, and in the last epoch."""

    before: Importance
    after: Importance
    losses: list[float]  # mean of each epoch


class GradientMeter:
    """Collects gradients: call :meth:`observe` between ``backward`` and ``zero_grad``.

    `of` "sigma": ``|dL/dsigma|`` of each rank of the factorised layers. `of` "outputs": the sum of
    ``|dL/dW|`` over the weights of each output, of the dense linear layers in blocks (the picture
    before the SVD). Raises ModelError for another `of`, or a model without such layers.
    """

    def __init__(self, model: nn.Module, of: str = "sigma"):
        self.layers: dict[str, nn.Module]
        if of == "sigma":
            found = low_rank_layers(model)
            self.layers = {p: layer for p, layer in found.items() if layer.sigma is not None}
        elif of == "outputs":
            self.layers = _dense_layers(model)
        else:
            raise ModelError(f"of must be 'sigma' or 'outputs'; got {of!r}")
        if not self.layers:
            raise ModelError(f"{type(model).__name__} has no layers with {of} to measure")
        self.of = of
        self.clear()

    def clear(self) -> None:
        """Forget everything: a new epoch."""
        self.batches = 0
        self._last: Scores = {}
        self._sum: Scores = {}

    def observe(self) -> None:
        """Take the gradients as they are. Raises ModelError if one is missing or not finite."""
        for path, layer in self.layers.items():
            score = self._score(path, layer)
            if not bool(torch.isfinite(score).all()):
                raise ModelError(f"{path}: gradient must be finite; it holds NaN or infinity")
            self._last[path] = score
            self._sum[path] = self._sum[path] + score if self.batches else score.double()
        self.batches += 1

    def importance(self) -> Importance:
        """What was observed since the last clear. Raises ModelError if nothing was."""
        if not self.batches:
            raise ModelError("no gradient was observed: the data must hold at least one batch")
        mean = {path: (total / self.batches).float() for path, total in self._sum.items()}
        return Importance(dict(self._last), mean, self.batches)

    def state_dict(self) -> dict[str, Any]:
        """What was observed, for a training that will be resumed."""
        return {"batches": self.batches, "last": self._last, "sum": self._sum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from that."""
        self.batches = state["batches"]
        self._last, self._sum = dict(state["last"]), dict(state["sum"])

    def _score(self, path: str, layer: nn.Module) -> Tensor:
        values: Any = layer.sigma if self.of == "sigma" else layer.weight
        if values.grad is None:
            raise ModelError(f"{path}: no gradient; call backward before observe")
        if self.of == "sigma":
            return values.grad.detach().abs().clone()  # type: ignore[no-any-return]
        grad: Tensor = values.grad.detach().abs()
        return grad.sum(1 if isinstance(layer, nn.Linear) else 0)  # Conv1D: outputs are columns


# -- choosing -------------------------------------------------------------------------------------


def quota(count: int, rate: float) -> int:
    """How many of `count` ranks are protected at an SLC rate of 0 to 1: floor(count rate).

    Per matrix and rounded down, as in the released code; a rate in decimals loses no rank to
    binary rounding (0.29 * 100). Raises ModelError for a rate outside 0 to 1.

    >>> quota(384, 0.05), quota(100, 0.29)
    (19, 29)
    """
    if not 0 <= rate <= 1:
        raise ModelError(f"SLC rate must be from 0 to 1; got {rate}")
    return int(count * rate + 1e-9)


def select(scores: Mapping[str, Tensor], rate: float) -> dict[str, Tensor]:
    """The top `rate` of each matrix: masks, path -> bool (r,), true for ranks to protect.

    Of equal scores the rank further in front wins. Raises ModelError for a rate outside 0 to 1
    or scores that are not finite.

    >>> select({"w": torch.tensor([1.0, 3.0, 2.0, 3.0])}, 0.5)["w"].tolist()
    [False, True, False, True]
    """
    masks = {}
    for path, score in scores.items():
        if score.dim() != 1 or not bool(torch.isfinite(score).all()):
            raise ModelError(f"{path}: scores must be finite, one a rank")
        mask = torch.zeros(len(score), dtype=torch.bool, device=score.device)
        order = score.argsort(descending=True, stable=True)
        mask[order[: quota(len(score), rate)]] = True
        masks[path] = mask
    return masks


def rank_scores(model: nn.Module) -> Scores:
    """Selection by "rank": ``|sigma|`` of factorised layers; of folded ones, norms of V's columns.

    The singular-value order that HyFlexPIM §6.2 compares with. Raises ModelError for a model
    without factorised layers.
    """
    found = low_rank_layers(model)
    if not found:
        raise ModelError(f"{type(model).__name__} has no factorised layers; compress it first")
    scores = {}
    for path, layer in found.items():
        sigma = layer.diagonal()
        scores[path] = (layer.v.norm(dim=0) if sigma is None else sigma.abs()).detach()
    return scores


def magnitude_scores(model: nn.Module) -> Scores:
    """Selection by "magnitude", without SVD: the norm of the weights of each output, (n,).

    Of every linear layer in a block, dense or factorised (then of U diag(sigma) V^T), so call it
    before the SVD to have the paper's comparison (§6.2). A fused projection is one matrix.
    """
    found = _dense_layers(model) | dict(low_rank_layers(model))
    if not found:
        raise ModelError(f"{type(model).__name__} has no linear layers in blocks")
    return {path: linear_weight(layer).detach().norm(dim=1) for path, layer in found.items()}


def mass_share(
    scores: Mapping[str, Tensor], rates: Sequence[float] = (0.05, 0.1, 0.2)
) -> dict[float, float]:
    """Share of all importance held by the top of each matrix, for each rate: 0 to 1.

    With ``|dL/dsigma|`` this is the share of gradient mass of HyFlexPIM's Fig 11 that SLC protects
    at that rate; quotas round down, so a matrix of 10 ranks has none in its top 5 %. For one
    matrix, pass one. 0 where every score is 0.

    >>> mass_share({"w": torch.tensor([6.0, 1, 1, 1, 1])}, [0.2, 1.0])
    {0.2: 0.6, 1.0: 1.0}
    """
    total = sum(float(score.double().sum()) for score in scores.values())
    shares = {}
    for rate in rates:
        masks = select(scores, rate)
        top = sum(float(score[masks[path]].double().sum()) for path, score in scores.items())
        shares[rate] = round(top / total, 12) if total else 0.0
    return shares


# -- measuring ------------------------------------------------------------------------------------


def measure(
    model: nn.Module,
    data: Iterable[Any],
    loss: Loss = default_loss,
    *,
    of: str = "sigma",
    batches: int | None = None,
) -> Importance:
    """Gradients over the data without training, in evaluation mode; `batches`: at most so many.

    `of`: see :class:`GradientMeter`. Gradients are cleared before and after. Raises ModelError
    for no data, or a loss or gradient that is not finite.
    """
    meter = GradientMeter(model, of)
    training = model.training
    model.eval()
    try:
        for index, batch in enumerate(data):
            if index == batches:
                break
            model.zero_grad()
            backward(model, batch, loss)
            meter.observe()
    finally:
        model.zero_grad()
        model.train(training)
    return meter.importance()


def redistribute(
    model: nn.Module,
    data: Iterable[Any],
    loss: Loss = default_loss,
    *,
    rank: Rank | Mapping[str, int] = HARD_THRESHOLD,
    epochs: int = 1,
    lr: float = 2e-5,
    probe: int | None = None,
    **fine_tuning: Any,
) -> Redistribution:
    """SVD, fine-tune, importance: HyFlexPIM's Algorithm 1, in place on `model`.

    `rank`: as in :func:`~hyflexsim.models.lowrank.compress.compress`; a model with factorised
    layers is taken as it is. `probe`: at most so many batches for the importance before
    fine-tuning. `fine_tuning`: further arguments of :func:`~hyflexsim.models.training.fine_tune`;
    the published rates are 2e-5 (BERT-Base, GPT-2, Llama) and 5e-6 (BERT-Large, ViT). Raises
    ModelError as those functions do.
    """
    if not low_rank_layers(model):
        compress(model, rank)
    before = measure(model, data, loss, batches=probe)
    meter = GradientMeter(model)
    losses = fine_tune(model, data, loss, epochs=epochs, lr=lr, meter=meter, **fine_tuning)
    return Redistribution(before, meter.importance(), losses)


def _dense_layers(model: nn.Module) -> dict[str, nn.Module]:
    blocks = block_paths(model)
    return {path: m for path, m in model.named_modules() if is_linear(m) and in_block(path, blocks)}
