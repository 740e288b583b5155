"""What a training of a ParT takes without a GPU: one step is tried, the rest is arithmetic."""

from __future__ import annotations

import time

import torch

from hyflexsim.models.part.checkpoint import named_spec
from hyflexsim.models.part.inputs import FEATURES
from hyflexsim.workloads.part.recipe import PartRecipe

TRIED = 8
"""Jets of the step that is tried; a step's time grows with its jets."""


def time_on_cpu(recipe: PartRecipe) -> str:
    """In words: how long the recipe's steps take on this machine's processor, one thread a core.

    An upper figure: its jets are full, those of a training are shorter. Most of a step is forward
    and backward pass; reading jets and scoring are not in it.
    """
    seconds = recipe.steps * recipe.batch / TRIED * _step(recipe)
    took = f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
    return f"with device cpu its {recipe.steps:,} steps take about {took}"


def _step(recipe: PartRecipe) -> float:
    """Seconds of one step of TRIED full jets, the second of two."""
    spec = named_spec(recipe.model, recipe.classes, recipe.particles, recipe.shape)
    model = spec.build().train()
    x = torch.rand(TRIED, len(FEATURES[spec.features]), recipe.particles)
    momenta = torch.rand(TRIED, 3, recipe.particles)
    v = torch.cat([momenta, momenta.norm(dim=1, keepdim=True)], dim=1)  # massless
    mask = torch.ones(TRIED, 1, recipe.particles)
    for _ in range(2):
        began = time.perf_counter()
        model(x, v, mask).square().mean().backward()
    return time.perf_counter() - began
