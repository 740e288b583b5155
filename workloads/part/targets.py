"""What a ParT learns to answer: the class of a jet, or in part what a teacher answers.

Distillation (Hinton, Vinyals, Dean, arXiv 1503.02531, at temperature 1): the targets of a jet are
the teacher's probabilities and the truth, mixed::

    target = share * teacher + (1 - share) * one-hot

The teacher reads each jet once, before the training, as many particles and the features that it
was trained with; mirrored jets keep its answer, since mirroring changes nothing of a jet's class.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from hyflexsim.models.part.checkpoint import PartSpec, load_part
from hyflexsim.models.part.training import JetTensors, scores_of
from hyflexsim.sim.errors import InputError

Teacher = tuple[torch.nn.Module, PartSpec]


def teacher_of(path: str | Path, classes: tuple[str, ...]) -> Teacher:
    """A checkpoint that answers with these classes. Raises InputError for others."""
    model, spec = load_part(path)
    if spec.classes != classes:
        raise InputError(
            f"teacher: {path}: its classes must be the recipe's; got {', '.join(spec.classes)}"
        )
    return model, spec


def soft_targets(
    teacher: torch.nn.Module,
    jets: JetTensors,
    target: torch.Tensor,
    share: float,
    report: Callable[[int], None] = lambda _: None,
) -> torch.Tensor:
    """Probabilities (J, C) to learn; `jets` as the teacher reads them, `target` (J,) classes."""
    answers = torch.from_numpy(scores_of(teacher, jets, report=report)).float()
    truth = functional.one_hot(target.cpu(), answers.shape[1])
    return share * answers + (1 - share) * truth
