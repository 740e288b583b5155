"""What the matrices of a model meet as inputs, measured on some batches of calibration data.

For compression that minds activations: the second moment for SVD-LLM (whitened_svd.py),
:func:`asvd_weights` for ASVD. The data are those of a task; their labels are not used.

Left out: tokens of padding are inputs as others; ASVD's search of ranks by perplexity, and
SVD-LLM's update of the factors afterwards (fine-tuning does that here).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import SKIP, LinearTarget, linear_targets
from hyflexsim.models.lowrank.layers import check_weight
from hyflexsim.models.part.attention import Attention as PartAttention
from hyflexsim.models.training import Loss, default_loss

ASVD_POWER = 0.5
"""alpha of ASVD (arXiv 2312.05821; 0.5 in its code): inputs count by mean size to this power."""


class Inputs(NamedTuple):
    """Of the inputs x (m,) of a matrix: `moment`, the mean of x x^T (m, m), and `size`, of |x|."""

    moment: Tensor
    size: Tensor


def measure_inputs(
    model: nn.Module,
    data: Iterable[Any],
    loss: Loss = default_loss,
    *,
    batches: int | None = None,
    exclude: Sequence[str] = SKIP,
) -> dict[str, Inputs]:
    """The inputs of every matrix to be compressed, by path, over all tokens of some batches.

    `loss`: runs the model on a batch, see :mod:`hyflexsim.models.training`. Evaluation mode, no
    gradients. Raises ModelError for no data, for a layer that the model does not run on it, and
    for inputs that are not finite.
    """
    meters = [
        m for target in linear_targets(model, exclude=exclude) for m in _meters(model, target)
    ]
    hooks = [meter.watched.register_forward_pre_hook(meter) for meter in meters]
    training, seen = model.training, 0
    model.eval()
    try:
        with torch.no_grad():
            for batch in data:
                if seen == batches:
                    break
                loss(model, batch)
                seen += 1
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ModelError("data must hold at least one batch; got none")
    return {key: inputs for meter in meters for key, inputs in meter.inputs().items()}


def asvd_weights(inputs: Mapping[str, Inputs]) -> dict[str, Tensor]:
    """ASVD's row weights for ``compress(row_weights=)``: sizes to the power of one half.

    Scaled to a mean of 1 and kept above 1e-3, since V is divided by them.
    """
    weights = {}
    for key, each in inputs.items():
        w = each.size.double() ** ASVD_POWER
        mean = w.mean()
        w = w / mean if mean > 0 else torch.ones_like(w)
        weights[key] = w.clamp(min=1e-3).float()
    return weights


class _Meter:
    """Sums over an argument of a module, which the matrices have as inputs; in double precision."""

    def __init__(self, watched: nn.Module, argument: int, matrices: Sequence[str]):
        self.watched, self._argument, self._matrices = watched, argument, matrices
        self._moment: Tensor | None = None
        self._size: Tensor | None = None
        self._tokens = 0

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        x = arguments[self._argument].detach().flatten(0, -2).double()
        moment, size = x.T @ x, x.abs().sum(0)
        self._moment = moment if self._moment is None else self._moment + moment
        self._size = size if self._size is None else self._size + size
        self._tokens += len(x)

    def inputs(self) -> dict[str, Inputs]:
        """Of each of the matrices, which all have the same inputs.

        Raises ModelError where no data reached them, and for moments that are not finite.
        """
        if self._moment is None or self._size is None:
            raise ModelError(f"{self._matrices[0]}: the data do not reach it")
        check_weight(self._moment, f"inputs of {self._matrices[0]}")
        found = Inputs(self._moment / self._tokens, self._size / self._tokens)
        return dict.fromkeys(self._matrices, found)


def _meters(model: nn.Module, target: LinearTarget) -> list[_Meter]:
    """One a layer; of ParT's in_proj two, since queries and keys may be of different tokens."""
    matrices = target.matrices()
    owner = model.get_submodule(target.path.rpartition(".")[0])
    if target.parts and isinstance(owner, PartAttention):  # forward(query, context, ...)
        return [_Meter(owner, 0, matrices[:1]), _Meter(owner, 1, matrices[1:])]
    return [_Meter(target.layer, 0, matrices)]
