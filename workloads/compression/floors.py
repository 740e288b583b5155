"""Whether the fewest ranks that a recipe keeps fit its budget, seen before anything is trained."""

from __future__ import annotations

from torch import nn

from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank import rank_learning
from hyflexsim.models.lowrank.layers import shipped_values
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.recipe import LEARNED, Recipe


def check_floor(recipe: Recipe, model: nn.Module) -> None:
    """Raise InputError, before anything is trained, for floors that the budget has no room for."""
    how, exclude = recipe.compress, (*low_rank.SKIP, *recipe.compress.exclude)
    if how.method not in LEARNED:
        return
    budget = rank_learning.budget_of(model, how.budget, how.reading, exclude=exclude)
    shapes = [
        target.shape()
        for target in low_rank.linear_targets(model, exclude=exclude)
        for _ in target.matrices()
    ]
    least = sum(shipped_values(m, n, min(how.floor, m, n)) for m, n in shapes)
    if least > budget:
        raise InputError(
            f"compress.floor = {how.floor} keeps at least {least:,} weight values, more than "
            f"compress.budget = {how.budget:g} leaves ({budget:,}); give a lower floor"
        )
