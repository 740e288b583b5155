"""Fine-tuning of any model: the loss of a batch, an optimiser with warm-up and decay.

The recipe that the papers share. A `meter` may watch the gradients of each batch. Left out: mixed
precision, several devices, gradient accumulation (make larger batches instead).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import LossError, ModelError
from hyflexsim.models.optimisers import Name, optimisers
from hyflexsim.models.saver import Progress, Saver, Stateful
from hyflexsim.models.schedules import Schedule, schedule

Loss = Callable[[nn.Module, Any], Tensor]
"""(model, batch) -> loss, a scalar to call backward on."""


class Meter(Protocol):
    """What fine-tuning asks of one that watches gradients; pass any object with these methods."""

    def clear(self) -> None:
        """Forget everything: a new epoch begins."""
        ...

    def observe(self) -> None:
        """Look at the gradients of a batch, after ``backward`` and before they are clipped."""
        ...

    def state_dict(self) -> Mapping[str, Any]:
        """What was gathered, for a training that will be resumed."""
        ...

    def load_state_dict(self, state: Any) -> Any:
        """Take that over."""
        ...


def default_loss(model: nn.Module, batch: Any) -> Tensor:
    """The loss of a transformers model with labels in the batch (a mapping of tensors).

    Raises ModelError if the batch is no mapping or the model returns no loss.
    """
    if not isinstance(batch, Mapping):
        raise ModelError(
            f"batch must be a mapping of tensors with labels; got {type(batch).__name__} "
            "(or give a loss)"
        )
    loss = getattr(model(**batch), "loss", None)
    if not isinstance(loss, Tensor):
        raise ModelError("the model returned no loss: the batch must hold labels (or give a loss)")
    return loss


def backward(model: nn.Module, batch: Any, loss: Loss) -> Tensor:
    """The loss of a batch, after calling backward on it. Raises ModelError if it is not finite."""
    value = loss(model, batch)
    if value.dim() or not bool(torch.isfinite(value)):
        raise LossError(f"loss must be one finite number; got {value.detach().tolist()}")
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach()


def fine_tune(
    model: nn.Module,
    data: Iterable[Any],
    loss: Loss = default_loss,
    *,
    epochs: int = 1,
    lr: float = 2e-5,
    weight_decay: float = 0.01,
    warmup: float = 0.1,
    optimiser: Name = "adamw",
    clip: float | None = 1.0,
    rate: Schedule | None = None,
    meter: Meter | None = None,
    after_epoch: Callable[[int, float], None] | None = None,
    after_step: Callable[[int, int, float], None] | None = None,
    saver: Saver | None = None,
) -> list[float]:
    """Train: linear warm-up over a share `warmup` of the steps, then linear decay.

    Another schedule of the learning rate is given as `rate` (schedules.py; `warmup` is then
    its own), another optimiser by its name.

    `data`: a DataLoader or other sized iterable, walked once an epoch; its ``set_epoch(epoch)`` is
    called first, if it has one. `loss`: the training step up to the loss. `optimiser`: see
    :func:`~hyflexsim.models.optimisers.optimisers`. `clip`: largest gradient norm, applied after
    `meter` observed; None: no clipping. `meter` is cleared at the start of each epoch, so it ends
    with the last one. `after_epoch` receives (epoch from 0, mean loss),
    `after_step` (steps done, of how many, loss). With `saver` an interrupted training goes on
    where it was saved last; that needs data whose order depends on the epoch alone, or on torch's
    global generator when the epoch begins.
    Returns the mean loss of each epoch. The training mode is restored.

    Raises ModelError for epochs below 1, no data, nothing to train, a loss that is not finite.
    """
    batches = _sized(data, epochs)
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise ModelError(f"{type(model).__name__} has nothing to train")
    steps = epochs * batches
    share = rate or schedule("linear", steps, warmup)
    by = optimisers(model, optimiser, lr, weight_decay)
    schedules = [torch.optim.lr_scheduler.LambdaLR(each, share) for each in by]
    training = model.training
    model.train()
    parts = _parts(model, by, schedules, meter)
    at = Progress() if saver is None else saver.restore(parts)
    tell = after_step or (lambda done, of, value: None)
    try:
        for epoch in range(at.epoch, epochs):
            if meter is not None and at.step == 0:
                meter.clear()
            for batch in at.walk(_walk(data, epoch)):
                model.zero_grad()
                value = float(backward(model, batch, loss))
                if meter is not None:
                    meter.observe()
                nn.utils.clip_grad_norm_(trained, math.inf if clip is None else clip)
                for each, rates in zip(by, schedules, strict=True):
                    each.step()
                    rates.step()
                at.step, at.total = at.step + 1, at.total + value
                tell(epoch * batches + at.step, steps, value)
                if saver is not None:
                    saver.save_if_due(at, parts)
            if not at.step:
                raise ModelError("data ran out: it must be walkable once an epoch")
            at = Progress(epoch + 1, 0, 0.0, [*at.means, at.total / at.step])
            if after_epoch is not None:
                after_epoch(epoch, at.means[-1])
    finally:
        model.zero_grad()
        model.train(training)
    if saver is not None:
        saver.remove()
    return at.means


def _parts(
    model: nn.Module,
    by: list[torch.optim.Optimizer],
    schedules: list[torch.optim.lr_scheduler.LambdaLR],
    meter: Meter | None,
) -> dict[str, Stateful]:
    """What an interrupted training needs to go on, by name."""
    parts: dict[str, Stateful] = {"model": model}
    for each, rates in zip(by, schedules, strict=True):
        parts |= {type(each).__name__: each, f"schedule of {type(each).__name__}": rates}
    if meter is not None:
        parts["meter"] = meter
    return parts


def endless(data: Iterable[Any]) -> Iterator[Any]:
    """The batches again and again. Raises ModelError if a walk gives nothing."""
    for walk in count():
        empty = True
        for batch in _walk(data, walk):
            empty = False
            yield batch
        if empty:
            raise ModelError(f"data must hold at least one batch; walk {walk + 1} gave none")


def _walk(data: Iterable[Any], epoch: int) -> Iterable[Any]:
    """The batches of an epoch, in its own order where the data knows epochs."""
    set_epoch = getattr(data, "set_epoch", None)
    if set_epoch is not None:
        set_epoch(epoch)
    return data


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients within the block; the mode is restored."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def evaluate(model: nn.Module, score: Callable[[nn.Module], float]) -> float:
    """The score of a model in evaluation mode, without gradients; the mode is restored.

    Raises ModelError if it is not finite.
    """
    with evaluating(model):
        value = float(score(model))
    if not math.isfinite(value):
        raise ModelError(f"score must be a finite number; got {value}")
    return value


def _sized(data: Iterable[Any], epochs: int) -> int:
    if not isinstance(epochs, int) or epochs < 1:
        raise ModelError(f"epochs must be an integer of at least 1; got {epochs!r}")
    try:
        batches = len(data)  # type: ignore[arg-type]
    except TypeError:
        raise ModelError(
            f"data must have a length, as a list or DataLoader has; got {type(data).__name__}"
        ) from None
    if not batches:
        raise ModelError("data must hold at least one batch; got none")
    return batches
