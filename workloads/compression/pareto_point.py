"""A point of a Pareto study: a compressed model placed on a chip at an SLC rate, with one noise.

One placement says how right the model is on cells of several seeds, and how long and how much it
takes. What computes alike is scored once a process: chips that differ in cost only, seeds where
nothing is random.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from hyflexsim.analysis import confidence
from hyflexsim.models.cells.on_chip import Device, Masks, matrices
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.workloads.compression import cost_on_chip
from hyflexsim.workloads.compression.accuracy import scores_on_chips
from hyflexsim.workloads.compression.devices import Noise, device_of, noises_of
from hyflexsim.workloads.compression.judged_models import Opened
from hyflexsim.workloads.compression.machines import Machine
from hyflexsim.workloads.compression.protection import (
    masks_of,
    prepared,
    rank_scores_of,
    with_importance,
)
from hyflexsim.workloads.compression.subjects import Compressed, Subject, subject_of
from hyflexsim.workloads.extraction.extract import TRAINED, extract_config
from hyflexsim.workloads.points.done import Answers
from hyflexsim.workloads.points.study import Held
from hyflexsim.workloads.scenario.schema import Accuracy

COSTS = ("latency_ps", "energy_pj", "area_mm2", "arrays", "throughput_per_s")


def pareto_point(settings: Mapping[str, Any]) -> Answers:
    """Score and costs.

    `settings`: ``subject`` (its job), ``folder`` of its compressed models, ``accuracy``; and of the
    point ``budget``, ``machine`` (fields), ``slc_rate``, ``noise`` (its label).
    """
    study = {key: settings[key] for key in ("subject", "folder", "accuracy")}
    opened = OPEN.get(repr(study), lambda: _opened(**study))
    machine = Machine(**settings["machine"])
    placed = opened.placed(settings["budget"], machine, settings["slc_rate"])
    noise = noise_labelled(machine.chip(), opened.settings, settings["noise"])
    mean, half = confidence(opened.scores(placed, machine, noise))
    scored = {"sigma": noise.value, "seeds": opened.settings.seeds}
    return scored | {"score": mean, "half_width": half} | placed.costs


class _Placed(NamedTuple):
    """A model on cells, what of it is in SLC, what it costs."""

    budget: float
    model: nn.Module
    opened: Opened
    masks: Mapping[str, Masks]
    costs: dict[str, Any]


class _Study:
    """What the points of a study share in a process."""

    def __init__(self, subject: Subject, folder: Path, settings: Accuracy) -> None:
        self.subject, self.folder, self.settings = subject, folder, settings
        self._models: dict[float, Compressed] = {}
        self._known: dict[tuple[Any, ...], list[float]] = {}
        self.held: Held[_Placed] = Held()

    def placed(self, budget: float, machine: Machine, rate: float) -> _Placed:
        """The model of a budget on a chip; noises share it."""
        if budget not in self._models:
            self._models[budget] = self.subject.compressed(budget, self.folder)
        compressed = self._models[budget]
        key = (budget, machine, rate)
        return self.held.get(repr(key), lambda: self._place(compressed, machine.chip(), rate))

    @contextmanager
    def _place(self, compressed: Compressed, chip: Chip, rate: float) -> Iterator[_Placed]:
        opened, recipe = compressed.opened, self.subject.recipe
        with prepared(opened.model, self.settings.select) as model:
            scores = rank_scores_of(model, compressed.folder, self.settings.select)
            dense = extract_config(recipe.name, opened.config, leave_out=TRAINED)
            graph = with_importance(dense, model, scores)
            cost, placement = cost_on_chip.cost(recipe, graph, rate, chip)
            masks = masks_of(matrices(model), graph, chip, placement.weights)
            costs = {key: getattr(cost, key) for key in COSTS}
            yield _Placed(compressed.budget, model, opened, masks, costs)

    def scores(self, placed: _Placed, machine: Machine, noise: Noise) -> list[float]:
        """A score a seed; where nothing is random one chip stands for all."""
        in_slc = all(bool(mask.all()) for each in placed.masks.values() for mask in each)
        device = as_read(device_of(machine.chip(), noise, machine.clip), in_slc=in_slc)
        key = (placed.budget, device, _bits(placed.masks))
        if key not in self._known:
            random = device.noise is not None or device.slc_noise is not None
            some = self.settings if random else self.settings.model_copy(update={"seeds": 1})
            found = scores_on_chips(placed.model, placed.opened, device, placed.masks, some)
            self._known[key] = found if random else found * self.settings.seeds
        return self._known[key]


OPEN: Held[_Study] = Held()
"""The study of which this process had the last point."""


@contextmanager
def _opened(
    subject: Mapping[str, Any], folder: str, accuracy: Mapping[str, Any]
) -> Iterator[_Study]:
    study = _Study(subject_of(subject), Path(folder), Accuracy.model_validate(accuracy))
    try:
        yield study
    finally:
        study.held.close()


def label(noise: Noise) -> str:
    """What the settings call a noise: its σ may differ from chip to chip."""
    return f"{noise.value:g}" if noise.name == "given" else noise.name


def noise_labelled(chip: Chip, settings: Accuracy, name: str) -> Noise:
    """The noise of a chip that the settings call so."""
    return next(noise for noise in noises_of(chip, settings) if label(noise) == name)


def as_read(device: Device, *, in_slc: bool) -> Device:
    """The same device without what is not there: with all in SLC, multi-level cells."""
    if not in_slc:
        return device
    form = device.crossbar
    form = replace(form, mlc_bits=form.slc_bits, mlc_adc_bits=form.slc_adc_bits)
    return replace(device, noise=None, crossbar=form)


def _bits(masks: Mapping[str, Masks]) -> bytes:
    """What is in SLC, to compare."""
    return torch.cat([mask for each in masks.values() for mask in each]).numpy().tobytes()
