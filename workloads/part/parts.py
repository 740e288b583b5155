"""The jets of a training: read once, cut into training, validation and test, as tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hyflexsim.models.part.checkpoint import PartSpec
from hyflexsim.models.part.training import JetTensors
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.jets.jets import Jets
from hyflexsim.workloads.jets.sets import load_set, split
from hyflexsim.workloads.jets.tensors import jet_tensors
from hyflexsim.workloads.part.recipe import PartRecipe
from hyflexsim.workloads.part.targets import Teacher, soft_targets

Report = Callable[[str, int, int], None]
CPU = torch.device("cpu")


@dataclass
class Parts:
    """The jets of a training, as tensors."""

    train: JetTensors
    validation: JetTensors
    test: JetTensors
    soft: torch.Tensor | None = None  # (J, C) what a teacher makes of the targets (targets.py)

    def to(self, device: torch.device) -> Parts:
        """The same jets on another device."""
        moved = {key: part.to(device) for key, part in vars(self).items() if part is not None}
        return Parts(**moved)


def tensors(
    jets: Jets, spec: PartSpec, report: Callable[[int], None] = lambda _: None
) -> JetTensors:
    """All jets as a ParT of that spec reads them; targets by the spec's classes."""
    target = np.array([spec.classes.index(str(label)) for label in jets.labels])
    return jet_tensors(jets, target, spec.features, spec.particles, report)


def prepare(
    jets: str | Path | None,
    recipe: PartRecipe,
    spec: PartSpec,
    test: str | Path | None,
    report: Report,
    teacher: Teacher | None = None,
    device: torch.device = CPU,
) -> Parts:
    """The recipe's jets as tensors (see :func:`jets_of`), and what a teacher makes of them.

    Raises InputError for too few jets, and what reading raises.
    """
    own = jets_of(jets, recipe, test)
    read = [tensors(part, spec, _counting(report, len(part))) for part in own]
    parts = Parts(train=read[0], validation=read[1], test=read[2])
    if teacher is not None:
        model, reads = teacher
        seen = tensors(own[0], reads, _counting(report, len(own[0])))
        parts.soft = soft_targets(
            model.to(device),
            seen.to(device),
            parts.train.target,
            recipe.distil,
            lambda done: report("asking the teacher", done, len(seen)),
        )
    return parts.to(device)


def jets_of(
    jets: str | Path | None, recipe: PartRecipe, test: str | Path | None = None
) -> tuple[Jets, Jets, Jets]:
    """Jets to train on, to look at on the way, and to score: blocks of one set.

    `train_jets` of each class are kept for training. With `test`, all jets of that set are
    scored instead of the block held out. Raises InputError for too few, and what reading raises.
    """
    loaded = load_set(jets, recipe.classes)
    parts = split(loaded.labels, recipe.validation, recipe.test)
    train = parts.train
    if recipe.train_jets is not None:
        own_rows = [train[loaded.labels[train] == name] for name in recipe.classes]
        short = [
            name
            for name, r in zip(recipe.classes, own_rows, strict=True)
            if len(r) < recipe.train_jets
        ]
        if short:
            raise InputError(f"train_jets must be at most the jets there are; {short[0]} has fewer")
        train = np.concatenate([r[: recipe.train_jets] for r in own_rows])
    scored = loaded.take(parts.test) if test is None else load_set(test, recipe.classes)
    return loaded.take(train), loaded.take(parts.validation), scored


def _counting(report: Report, total: int) -> Callable[[int], None]:
    return lambda done: report("reading jets", done, total)
