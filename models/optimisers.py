"""Optimisers by name, with one rule of what is decayed and which matrices are orthogonalised.

``adamw``: what the papers use. ``muon``: steps of the matrices inside a network are orthogonalised
(K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; update scaled to
the size of AdamW's as in J. Liu et al., arXiv:2502.16982, so that one rate serves both); all other
parameters, embeddings and the classifying layer among them, take AdamW's. ``lookahead-radam``: that
of the published Particle Transformers (lookahead.py).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hyflexsim.models.lookahead import LookaheadRAdam

Name = Literal["adamw", "muon", "lookahead-radam"]
HEADS = ("classifier", "lm_head", "score", "qa_outputs", "head")
"""Last parts of the names of layers that give a model's answer."""


def optimisers(model: nn.Module, name: Name, lr: float, weight_decay: float) -> list[Optimizer]:
    """What trains the parameters of a model that ask for a gradient, each by one optimiser.

    Vectors (biases, norms, sigma) are not decayed.

    >>> two = optimisers(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), "muon", 1e-3, 0.1)
    >>> [type(each).__name__ for each in two]
    ['Muon', 'AdamW']
    """
    hidden = _hidden(model) if name == "muon" else []
    apart = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in apart]
    made: list[Optimizer] = []
    if hidden:
        made.append(
            torch.optim.Muon(
                hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            )
        )
    groups = [
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if name == "lookahead-radam":
        made.append(LookaheadRAdam(groups, lr))
    elif rest:
        # fused: one pass over memory, which is what the optimiser's step costs
        made.append(torch.optim.AdamW(groups, lr=lr, fused=True))
    return made


def _hidden(model: nn.Module) -> list[Tensor]:
    """Trained matrices of linear layers that are no head."""
    return [
        layer.weight
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
        and layer.weight.requires_grad
        and path.rpartition(".")[2] not in HEADS
    ]
