"""RAdam under Lookahead, the optimiser of the published Particle Transformers ("Ranger").

Fast weights take `every` steps of RAdam (arXiv 1908.03265); then slow weights move a share
`pull` of the way to them, and the fast ones go on from there (arXiv 1907.08610, algorithm 1)::

    fast  0 -> 1 -> 2 -> 3    every = 3, pull = 0.5
    slow  0 ----------> 1.5   fast := 1.5

Defaults are weaver-core's: every 6 steps, pull 0.5, betas (0.95, 0.999), eps 1e-5. Weight decay
is decoupled, as in AdamW (there it is RAdam's own; the published trainings used none).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class LookaheadRAdam(torch.optim.RAdam):
    """RAdam whose weights are pulled back every few steps.

    The slow weights are part of the optimiser's state, so a training that is resumed goes on
    with them.
    """

    def __init__(self, params: Any, lr: float = 1e-3, every: int = 6, pull: float = 0.5):
        super().__init__(params, lr, betas=(0.95, 0.999), eps=1e-5, decoupled_weight_decay=True)
        self.every, self.pull = every, pull

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """A step of RAdam, after every few of them one of the slow weights."""
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        first = {p: p.clone() for p in moved if not self.state[p]}  # RAdam fills an empty state
        loss: float | None = super().step(closure)
        for p in moved:
            state = self.state[p]
            if p in first:
                state["slow"] = first[p]
            if int(state["step"]) % self.every == 0:
                state["slow"].lerp_(p, self.pull)
                p.copy_(state["slow"])
        return loss
