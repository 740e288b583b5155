"""What a Pareto study judges: a recipe compressed to several budgets, or a checkpoint as it is.

A recipe is trained once, then factorised and fine-tuned for each budget (method and seed of the
recipe; the budget 1 is HyFlexPIM's hard threshold). A checkpoint costs no training and has one
budget, its own.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import load_compressed, save_compressed
from hyflexsim.models.lowrank.layers import HARD_THRESHOLD
from hyflexsim.models.lowrank.ranks_file import RANKS_FILE
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.judged_models import (
    Opened,
    open_checkpoint,
    open_recipe,
    recipe_of,
    unlike_training,
)
from hyflexsim.workloads.compression.rank_study import variant
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.compression.stages import factorise, recovered, train_dense
from hyflexsim.workloads.resumable import Work
from hyflexsim.workloads.scenario.checkpoints import read_about
from hyflexsim.workloads.terminal import Say


class Compressed(NamedTuple):
    """A model of a budget, opened, with the folder that says what its ranks are worth."""

    budget: float
    opened: Opened
    folder: Path


class Subject(Protocol):
    """What a study judges."""

    reference: str
    """What the model is called that is scored without cells: dense or fine-tuned."""

    @property
    def recipe(self) -> Recipe:
        """Where it comes from, and its workload on the chip."""

    @property
    def budgets(self) -> Sequence[float]:
        """Shares of the parameters that stay."""

    @property
    def job(self) -> dict[str, Any]:
        """What tells it apart from others when a study is resumed."""

    def opened(self, work: Work, say: Say) -> Opened:
        """The model of the reference, with its task."""

    def compress(self, opened: Opened, work: Work, say: Say) -> None:
        """Make the model of every budget, in the folder of `work`."""

    def compressed(self, budget: float, folder: Path) -> Compressed:
        """That of a budget; `folder`: that of `work`."""

    def unlike_training(self, opened: Opened) -> list[str]:
        """What of the items that are scored is unlike those that the model was trained on."""


class OfRecipe:
    """A recipe, factorised by a method to budgets above 0 and up to 1 (1: hard threshold).

    Raises InputError for another method or budget.
    """

    reference = "dense"

    def __init__(self, recipe: Recipe, method: str, budgets: Sequence[float]):
        if not budgets:
            raise InputError("--budget must have a value; got none")
        self.recipe, self.method, self.budgets = recipe, method, budgets
        self._trials = {budget: _trial(recipe, method, budget) for budget in budgets}

    @property
    def job(self) -> dict[str, Any]:
        """Recipe, method and budgets."""
        recipe = self.recipe.resolved()
        return {"recipe": recipe, "method": self.method, "budgets": list(self.budgets)}

    def opened(self, work: Work, say: Say) -> Opened:
        """The model, trained dense."""
        opened = open_recipe(self.recipe)
        train_dense(self.recipe, opened, work, say)
        return opened

    def compress(self, opened: Opened, work: Work, say: Say) -> None:
        """Factorise and fine-tune a copy a budget, but for what an earlier start has made."""
        for budget, trial in self._trials.items():
            folder = work.path(_folder(budget))
            if not folder.is_dir():
                mine = opened._replace(model=copy.deepcopy(opened.model))
                _fine_tuned(trial, mine, folder, say)

    def compressed(self, budget: float, folder: Path) -> Compressed:
        """The copy of a budget."""
        opened = open_recipe(self.recipe)
        load_compressed(opened.model, folder / _folder(budget))
        return Compressed(budget, opened, folder / _folder(budget))

    def unlike_training(self, opened: Opened) -> list[str]:
        """Nothing: both are of the data that are there now."""
        return []


class OfCheckpoint:
    """A checkpoint made by ``hyflexsim compress``, as it is: its budget is what it has.

    Raises InputError as :func:`hyflexsim.workloads.scenario.checkpoints.read_about`.
    """

    reference = "fine-tuned"

    def __init__(self, folder: Path):
        self.folder = folder
        self.about = read_about(folder)
        self.recipe = recipe_of(folder, self.about)
        counts = self.about["counts"]
        self.budgets = (round(counts["linears"] / counts["linears_dense"], 3),)

    @property
    def job(self) -> dict[str, Any]:
        """The folder and what is in it."""
        content = zlib.crc32((self.folder / RANKS_FILE).read_bytes())
        return {"checkpoint": str(self.folder), "content of the checkpoint": content}

    def opened(self, work: Work, say: Say) -> Opened:
        """Its model."""
        return open_checkpoint(self.folder)

    def compress(self, opened: Opened, work: Work, say: Say) -> None:
        """It is."""

    def compressed(self, budget: float, folder: Path) -> Compressed:
        """The same model."""
        return Compressed(budget, open_checkpoint(self.folder), self.folder)

    def unlike_training(self, opened: Opened) -> list[str]:
        """As the checkpoint tells of its training."""
        return unlike_training(opened, self.about)


def subject_of(job: Mapping[str, Any]) -> Subject:
    """The subject whose ``job`` this is."""
    if "checkpoint" in job:
        return OfCheckpoint(Path(job["checkpoint"]))
    return OfRecipe(Recipe.model_validate(job["recipe"]), job["method"], job["budgets"])


def _folder(budget: float) -> str:
    return f"budget-{budget:g}"


def _trial(recipe: Recipe, method: str, budget: float) -> Recipe:
    named = variant(recipe, method, budget, recipe.seed)[1]  # an unknown method, where none is used
    if budget == 1:
        how = recipe.compress.model_copy(update={"method": HARD_THRESHOLD})
        return recipe.model_copy(update={"compress": how})
    return named


def _fine_tuned(trial: Recipe, opened: Opened, folder: Path, say: Say) -> None:
    """Factors fine-tuned at a budget, kept in `folder` with the importance of their ranks."""
    factorise(trial, opened.model, opened.task, say)
    scores = {"gradient": recovered(trial, opened.model, opened.task, say).mean}
    save_compressed(low_rank.fold(opened.model), folder, scores=scores)
