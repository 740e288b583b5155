"""Models opened with the task they are judged by: of a recipe, or of a compressed checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from hyflexsim.models import mimetic
from hyflexsim.models.lowrank import compress as low_rank
from hyflexsim.models.lowrank.checkpoint import load_compressed
from hyflexsim.models.lowrank.layers import check_weight
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.extraction import model_zoo, weights
from hyflexsim.workloads.scenario.checkpoints import read_about
from hyflexsim.workloads.tasks.base import Task
from hyflexsim.workloads.tasks.catalogue import load_task
from hyflexsim.workloads.tasks.seen import far_outside


class Opened(NamedTuple):
    """A model with what it is asked to do."""

    model: nn.Module
    task: Task
    config: dict[str, Any]
    about: str


def open_recipe(recipe: Recipe) -> Opened:
    """The model of a recipe, as it is before any training here, and its task.

    Raises InputError for data, weights or keys that are not to be had or do not fit together,
    ModelError for a model without matrices to factorise and for weights that are not finite.
    """
    options = {key: value for key, value in recipe.data.items() if key != "name"}
    source, data = recipe.model, recipe.data["name"]
    tokenizer = None if source.weights is None else weights.load_tokenizer(source.weights)
    task = load_task(data, tokenizer=tokenizer, options=options)
    classes: int = getattr(task, "classes", 0)
    if source.config is not None:
        _check_vocabulary(source.config, getattr(task, "vocabulary", 0))
        loaded = weights.fresh(recipe.name, _with_classes(source.config, classes), recipe.seed)
        if source.initial == "mimetic":
            random = torch.Generator().manual_seed(recipe.seed)
            heads = getattr(loaded.model.config, "num_attention_heads", 1)
            mimetic.start(loaded.model, heads=heads, generator=random)
    else:
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)  # of a new head
            labels: tuple[str, ...] = getattr(task, "labels", ())
            loaded = weights.load(str(source.weights), classes=classes, labels=labels)
    for name, parameter in loaded.model.named_parameters():
        check_weight(parameter, f"model.weights: {name} of {source.weights or recipe.name}")
    _freeze(loaded.model, recipe)
    return Opened(loaded.model, task, loaded.config, loaded.about)


def _check_vocabulary(config: dict[str, Any], tokens: int) -> None:
    """Refuse a model whose embedding lacks tokens that the data holds."""
    size = config.get("vocab_size", tokens)
    if not isinstance(size, int) or size < tokens:
        raise InputError(
            f"model.config.vocab_size must be at least {tokens}, the data's tokens; got {size!r}"
        )


def _freeze(model: nn.Module, recipe: Recipe) -> None:
    """Hold model.frozen; refuse patterns that match nothing or what is factorised."""
    parameters = dict(model.named_parameters())
    exclude = (*low_rank.SKIP, *recipe.compress.exclude)
    factorised = {
        f"{target.path}.weight" for target in low_rank.linear_targets(model, exclude=exclude)
    }
    for pattern in recipe.model.frozen:
        names = [name for name in parameters if fnmatchcase(name, pattern)]
        if not names:
            raise InputError(f"model.frozen: no parameter matches {pattern!r}")
        held = factorised.intersection(names)
        if held:
            raise InputError(
                f"model.frozen: {pattern!r} holds {min(held)}, which is factorised, and importance "
                "is read from its gradient; allowed are parameters outside the blocks' matrices"
            )
        for name in names:
            parameters[name].requires_grad_(False)


def open_checkpoint(path: Path) -> Opened:
    """The compressed model of a checkpoint in evaluation mode, with its task.

    Raises InputError as :func:`read_about` and where the task's data are not to be had, ModelError
    for files that are damaged or need unpickling.
    """
    about = read_about(path)
    recipe = recipe_of(path, about)
    options = {key: value for key, value in recipe.data.items() if key != "name"}
    source = recipe.model.weights
    tokenizer = None if source is None else weights.load_tokenizer(source)
    task = load_task(recipe.data["name"], tokenizer=tokenizer, options=options)
    return Opened(open_model(path), task, about["config"], about["origin"])


def open_model(path: Path) -> nn.Module:
    """The compressed model of a checkpoint in evaluation mode, with scores or without.

    Raises InputError as :func:`read_about`, ModelError for files that are damaged or need
    unpickling.
    """
    about = read_about(path, scored=False)
    model: nn.Module = model_zoo.build(about["recipe"]["name"], about["config"], empty=False)
    return load_compressed(model, path).eval()


def recipe_of(path: Path, about: dict[str, Any]) -> Recipe:
    """The recipe that a checkpoint was made by; `about`: what :func:`read_about` says of it."""
    content = dict(about["recipe"])
    return Recipe.of(content.pop("name"), content, str(path))


def score(model: nn.Module, task: Task, limit: int | None = None) -> dict[str, float]:
    """The task's scores of its first `limit` items (None: all), evaluation mode, no gradients."""
    training_mode = model.training
    model.eval()
    try:
        with torch.inference_mode():
            return task.score(model, limit)
    finally:
        model.train(training_mode)


def unlike_training(opened: Opened, about: Mapping[str, Any]) -> list[str]:
    """What of the held-out items lies far outside of what a checkpoint was trained on.

    `about`: what :func:`read_about` says of it. The items are those that are there now: a folder
    of data or a Python may be another one than when it was made.
    """
    known = about.get("seen")
    return far_outside(opened.task.items("test"), known) if known else []


def _with_classes(config: dict[str, Any], classes: int) -> dict[str, Any]:
    """A configuration whose head has as many outputs as the data has classes."""
    key = "num_classes" if config.get("model_type") == "part" else "num_labels"
    if not classes:
        return config
    if config.get(key, classes) != classes:
        raise InputError(
            f"model.config.{key} must be {classes}, the data's classes; got {config[key]}"
        )
    return config | {key: classes}
