"""A recipe from its model to a compressed checkpoint: train, factorise, recover, save.

Each line of :func:`compress_recipe` is a stage whose result is kept (resumable.py), so an
interrupted compression goes on where it was::

    weights ─train─> dense ─factorise─> truncated ─recover─> fine-tuned ─fold─> checkpoint

and the task's scores are taken between the stages. The checkpoint (models/lowrank/checkpoint.py)
carries with it, under "about": the recipe, the model's configuration, the scores, parameters by
both readings, and for the picture of HyFlexPIM's Fig 11 the importance of one layer's outputs or
ranks before the SVD, after it, and after fine-tuning. Beside it host.json has the seconds that it
took: all else is the same for equal recipes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hyflexsim.models import training
from hyflexsim.models.cells.on_chip import Device, on_chip
from hyflexsim.models.cutmix import CutMix
from hyflexsim.models.errors import LossError, too_long
from hyflexsim.models.lowrank import calibration, rank_baselines, rank_learning, redistribution
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import (
    HOST_FILE,
    check_target,
    load_compressed,
    save_compressed,
)
from hyflexsim.models.lowrank.layers import HARD_THRESHOLD, break_even
from hyflexsim.models.patch_dropout import some_patches
from hyflexsim.models.precision import matrix_products
from hyflexsim.models.saver import Saver, save_state
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.floors import check_floor
from hyflexsim.workloads.compression.judged_models import Opened, open_recipe, score
from hyflexsim.workloads.compression.recipe import ACTIVATION_AWARE, LEARNED, Recipe, Training
from hyflexsim.workloads.resumable import Work, working
from hyflexsim.workloads.run.run_dir import write_json
from hyflexsim.workloads.tasks.base import Task
from hyflexsim.workloads.tasks.seen import seen
from hyflexsim.workloads.terminal import Say

DENSE = "dense.pt"
PROBES = 16
"""Batches over which importance is taken where no epoch of fine-tuning gives it."""


def compress_recipe(
    recipe: Recipe, out: str | Path, *, say: Say | None = None, fresh: bool = False
) -> dict[str, Any]:
    """Do what a recipe says and write checkpoint folder `out`; returns its "about".

    `fresh`: begin anew where an unfinished compression lies beside `out`. Raises InputError
    or ModelError for what the user has to mend.
    """
    say = say or (lambda what, done, total: None)
    check_target(out)
    started = time.perf_counter()
    with working(out, recipe.resolved(), fresh=fresh) as work:
        say("loading", 0, 0)
        opened = open_recipe(recipe)
        model, task = opened.model, opened.task
        check_floor(recipe, model)
        scores: dict[str, Any] = {}
        train_dense(recipe, opened, work, say)
        scores["dense"] = work.fact("dense", lambda: score(model, task))
        scores["dense INT8"] = work.fact("dense INT8", lambda: _score_int8(model, task))
        before = work.fact("importance before", lambda: _importance(model, task, recipe, "outputs"))
        _factorised(recipe, model, task, work, say)
        scores["truncated"] = work.fact("truncated", lambda: score(model, task))
        svd = work.fact("importance svd", lambda: _importance(model, task, recipe, "sigma"))
        importance = _recovered(recipe, model, task, work, say)
        scores["fine-tuned"] = work.fact("fine-tuned", lambda: score(model, task))
        about = {
            "recipe": recipe.resolved(),
            "config": opened.config,
            "origin": opened.about,
            "data": task.about,
            "seen": seen(task.items("train"), task.items("test")),
            "metric": task.metric._asdict(),
            "scores": scores,
            "counts": low_rank.counts(model)._asdict(),
            "importance": _picture(before, svd, importance.mean),
        }
        gradients = {"gradient": importance.mean, "gradient-last": importance.last}
        with work.output.new() as folder:
            save_compressed(low_rank.fold(model), folder, scores=gradients, about=about)
            write_json(folder / HOST_FILE, {"seconds": round(time.perf_counter() - started)})
    return about


# -- stages ---------------------------------------------------------------------------------------


def train_dense(recipe: Recipe, opened: Opened, work: Work, say: Say) -> None:
    """Train the model before compression, or take over what an earlier start trained."""
    if recipe.train.epochs and not load_dense(opened.model, work.folder):
        saver = Saver(work.path("training.pt"))
        fine_tune(recipe, recipe.train, opened.model, opened.task, say, "training", saver=saver)
        _save(opened.model, work.path(DENSE))


def load_dense(model: nn.Module, folder: Path) -> bool:
    """Give a model what :func:`train_dense` has left in a folder; whether there was anything."""
    path = folder / DENSE
    if path.is_file():
        model.load_state_dict(torch.load(path, weights_only=True))
    return path.is_file()


def _factorised(recipe: Recipe, model: nn.Module, task: Task, work: Work, say: Say) -> None:
    """The factors from an earlier start, or made now."""
    folder = work.path("factorised")
    if folder.is_dir():
        load_compressed(model, folder)
        return
    factorise(recipe, model, task, say)
    if recipe.compress.method != HARD_THRESHOLD:  # which is quick to make again
        save_compressed(model, folder)


def factorise(recipe: Recipe, model: nn.Module, task: Task, say: Say) -> None:
    """Replace the model's matrices by factors, in place, at the ranks of the recipe's method."""
    say("factorising", 0, 0)
    how = recipe.compress
    exclude = (*low_rank.SKIP, *how.exclude)
    if how.method == HARD_THRESHOLD:
        low_rank.compress(model, HARD_THRESHOLD, exclude=exclude)
        return
    budget = rank_learning.budget_of(model, how.budget, how.reading, exclude=exclude)
    if how.method in LEARNED:
        _learned(recipe, model, task, budget, say)
        return
    kind: Any = how.method if how.method in ("energy", "global") else "uniform"
    ranks = rank_baselines.baseline_ranks(model, budget, kind, exclude=exclude)
    errors = _weighed_errors(recipe, model, task, ranks, exclude)
    if how.round:
        ranks = rounded(model, ranks, how.round, exclude)
    low_rank.compress(model, ranks, exclude=exclude, **errors)


def _weighed_errors(
    recipe: Recipe,
    model: nn.Module,
    task: Task,
    ranks: Mapping[str, int],
    exclude: tuple[str, ...],
) -> dict[str, Any]:
    """How errors of the factors count, by the recipe's method, as ``compress`` takes it."""
    method, batches = recipe.compress.method, 2 * PROBES
    if method not in ("fwsvd", *ACTIVATION_AWARE):
        return {}
    data = task.batches(recipe.recover.batch, recipe.seed)
    if method == "fwsvd":
        fisher = rank_baselines.fisher_row_weights(
            model, data, task.loss, batches=batches, exclude=exclude
        )
        return {"row_weights": {path: fisher[path] for path in ranks}}
    met = calibration.measure_inputs(model, data, task.loss, batches=batches, exclude=exclude)
    met = {path: met[path] for path in ranks}
    if method == "asvd":
        return {"row_weights": calibration.asvd_weights(met)}
    return {"moments": {path: inputs.moment for path, inputs in met.items()}}


def _learned(recipe: Recipe, model: nn.Module, task: Task, budget: int, say: Say) -> None:
    how = recipe.compress
    plan = rank_learning.Schedule(
        steps=how.steps,
        lr=how.lr,
        alpha_lr=how.alpha_lr,
        strength=how.strength,
        regulariser=how.regulariser,
    )
    exclude = (*low_rank.SKIP, *how.exclude)
    rank_learning.soften(model, how.method, floor=how.floor, exclude=exclude)  # type: ignore[arg-type]
    with _finite("compress", plan.lr), torch.random.fork_rng(), matrix_products(recipe.precision):
        torch.manual_seed(recipe.seed)
        rank_learning.learn(
            model,
            task.batches(recipe.recover.batch, recipe.seed),
            budget,
            plan,
            task.loss,
            after_step=lambda step: say("learning ranks", step.step + 1, how.steps),
        )
    if how.round:
        rank_learning.round_ranks(model, how.round)
    rank_learning.truncate(model)


def _recovered(
    recipe: Recipe, model: nn.Module, task: Task, work: Work, say: Say
) -> redistribution.Importance:
    """Fine-tune the factors, or take over what an earlier start did; importance of its end."""
    path = work.path("recovered.pt")
    if path.is_file():
        kept = torch.load(path, weights_only=True)
        model.load_state_dict(kept["model"])
        return redistribution.Importance(kept["last"], kept["mean"], kept["batches"])
    importance = recovered(recipe, model, task, say, Saver(work.path("fine-tuning.pt")))
    _save(model, path, last=importance.last, mean=importance.mean, batches=importance.batches)
    return importance


def recovered(
    recipe: Recipe, model: nn.Module, task: Task, say: Say, saver: Saver | None = None
) -> redistribution.Importance:
    """Fine-tune the factors; importance of the last epoch, without epochs of some batches."""
    if not recipe.recover.epochs:
        return _measured(model, task, recipe, "sigma")
    meter = redistribution.GradientMeter(model)
    fine_tune(recipe, recipe.recover, model, task, say, meter=meter, saver=saver)
    return meter.importance()


def fine_tune(
    recipe: Recipe,
    plan: Training,
    model: nn.Module,
    task: Task,
    say: Say,
    what: str = "fine-tuning",
    meter: redistribution.GradientMeter | None = None,
    saver: Saver | None = None,
) -> None:
    """Train by one of a recipe's plans; order of data and dropout depend on its seed alone.

    Raises InputError, by the plan's key, where the loss is not finite.
    """
    batches = task.batches(plan.batch, recipe.seed)
    partly = plan.epochs * (1 - plan.whole)
    key = "train" if plan is recipe.train else "recover"
    with (
        _finite(key, plan.lr, plan.weight_decay),
        torch.random.fork_rng(),
        matrix_products(recipe.precision),
        some_patches(model, plan.patches, lambda: batches.epoch < partly)
        if plan.patches
        else nullcontext(),
    ):
        torch.manual_seed(recipe.seed)
        training.fine_tune(
            model,
            CutMix(batches, plan.cutmix, getattr(task, "classes", 0), recipe.seed)
            if plan.cutmix
            else batches,
            task.loss,
            epochs=plan.epochs,
            lr=plan.lr,
            weight_decay=plan.weight_decay,
            warmup=plan.warmup,
            optimiser=plan.optimiser,
            meter=meter,
            saver=saver,
            after_step=lambda done, steps, loss: say(f"{what} (loss {loss:.3f})", done, steps),
        )


@contextmanager
def _finite(key: str, rate: float, decay: float = 0.0) -> Iterator[None]:
    """A loss that is not finite, by the key of the recipe that makes it so."""
    try:
        yield
    except LossError:
        names = f"{key}.lr", f"{key}.weight_decay"
        raise InputError(too_long(rate, decay, names)) from None


# -- numbers --------------------------------------------------------------------------------------


def _score_int8(model: nn.Module, task: Task) -> dict[str, float]:
    with on_chip(model, Device(noise=None), seed=0):
        return score(model, task)


def _measured(model: nn.Module, task: Task, recipe: Recipe, of: str) -> redistribution.Importance:
    data = task.batches(recipe.recover.batch, recipe.seed)
    return redistribution.measure(model, islice(data, PROBES), task.loss, of=of)


def _importance(model: nn.Module, task: Task, recipe: Recipe, of: str) -> dict[str, list[float]]:
    mean = _measured(model, task, recipe, of).mean
    return {path: values.tolist() for path, values in mean.items()}


def _picture(
    before: Mapping[str, list[float]],
    svd: Mapping[str, list[float]],
    tuned: Mapping[str, Tensor],
) -> dict[str, Any]:
    """Importance of one layer in three states, and the share of all layers' in the top ranks."""
    layer = next((path for path in tuned if path in before), next(iter(tuned)))
    states = {
        "before": {path: torch.tensor(values) for path, values in before.items()},
        "svd": {path: torch.tensor(values) for path, values in svd.items()},
        "tuned": dict(tuned),
    }
    picture: dict[str, Any] = {"layer": layer}
    for state, values in states.items():
        picture[state] = [float(f"{v:.4g}") for v in values.get(layer, torch.zeros(0)).tolist()]
    picture["shares"] = {
        state: {str(rate): share for rate, share in redistribution.mass_share(values).items()}
        for state, values in states.items()
    }
    return picture


def rounded(
    model: nn.Module, ranks: Mapping[str, int], multiple: int, exclude: tuple[str, ...]
) -> dict[str, int]:
    """Ranks to the nearest multiple, at least one; dense where that no longer saves anything."""
    sizes = {
        key: target.shape()
        for target in low_rank.linear_targets(model, exclude=exclude)
        for key in target.matrices()
    }
    rounded = {}
    for key, rank in ranks.items():
        m, n = sizes[key]
        wanted = max(1, (rank + multiple // 2) // multiple) * multiple
        if min(wanted, m, n) <= break_even(m, n):
            rounded[key] = min(wanted, m, n)
    return rounded


def _save(model: nn.Module, path: Path, **more: Any) -> None:
    save_state({"model": model.state_dict(), **more} if more else model.state_dict(), path)
