"""A point of a sweep of accuracy: a checkpoint's score on a programmed chip at an SLC rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
from torch import Tensor, nn

from hyflexsim.models.cells.on_chip import Chip as Cells
from hyflexsim.models.cells.on_chip import on_chip
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.placement.mapping import Options, weights_on
from hyflexsim.workloads.compression.devices import device_of, noises_of, without_converters
from hyflexsim.workloads.compression.judged_models import Opened, open_checkpoint, score
from hyflexsim.workloads.compression.machines import Machine
from hyflexsim.workloads.compression.protection import masks_of, prepared, protected_graph
from hyflexsim.workloads.extraction.ranks import exact_ops
from hyflexsim.workloads.points.done import Answers
from hyflexsim.workloads.points.study import Held
from hyflexsim.workloads.scenario.schema import Accuracy


def accuracy_point(settings: Mapping[str, Any]) -> Answers:
    """The score.

    `settings`: ``checkpoint``, ``machine`` (fields), ``accuracy``; and of the point ``select``,
    ``sigma``, ``slc_rate``, ``adc_bits``, ``seed``.
    """
    study = {key: settings[key] for key in ("checkpoint", "machine", "accuracy")}
    opened = OPEN.get(repr(study), lambda: _opened(**study))
    select = settings["select"]
    graph = opened.graph(select)
    on_cells = opened.programmed(
        settings["sigma"], settings["adc_bits"], settings["seed"], dense=is_dense(select)
    )
    on_cells.cells.protect(
        placed_masks(on_cells.cells.held, graph, on_cells.chip, settings["slc_rate"])
    )
    task = opened.judged.task
    return {"score": score(on_cells.model, task, opened.settings.limit)[task.metric.name]}


def is_dense(select: str) -> bool:
    """Whether the ranks are multiplied out on the cells: see protection.py."""
    return select == "magnitude"


def placed_masks(
    layers: Mapping[str, nn.Module], graph: nx.DiGraph, chip: Chip, rate: float
) -> dict[str, list[Tensor]]:
    """What of a model's matrices (by path) is in SLC if its blocks are placed at an SLC rate."""
    options = Options(slc_rate=rate, slc_rates=dict.fromkeys(exact_ops(graph), 1.0))
    return masks_of(layers, graph, chip, weights_on(chip, graph, options))


class _OnCells(NamedTuple):
    """A model on the cells of a programmed chip."""

    model: nn.Module
    cells: Cells
    chip: Chip


class _Study:
    """What the points of a sweep share in a process."""

    def __init__(self, checkpoint: Path, machine: Machine, settings: Accuracy) -> None:
        self.checkpoint, self.machine, self.settings = checkpoint, machine, settings
        self.judged: Opened = open_checkpoint(checkpoint)
        self.held: Held[_OnCells] = Held()
        self._graphs: dict[str, nx.DiGraph] = {}

    def graph(self, select: str) -> nx.DiGraph:
        """The blocks, with what each rank is worth by a selection."""
        if select not in self._graphs:
            self.held.close()  # on cells the model has no matrices to judge
            with prepared(self.judged.model, select) as model:
                self._graphs[select] = protected_graph(model, self.checkpoint, select)
        return self._graphs[select]

    def programmed(self, sigma: float, adc_bits: int, seed: int, *, dense: bool) -> _OnCells:
        """The model on a chip's cells; all SLC rates, and selections, share it."""
        key = (sigma, adc_bits, seed, dense)
        return self.held.get(key, lambda: self._program(*key))

    @contextmanager
    def _program(self, sigma: float, adc_bits: int, seed: int, dense: bool) -> Iterator[_OnCells]:
        chip = self.machine.variant(adc_bits)
        noises = {noise.value: noise for noise in noises_of(self.machine.chip(), self.settings)}
        device = device_of(chip, noises[sigma], self.machine.clip)
        if not adc_bits:
            device = without_converters(device)
        with (
            prepared(self.judged.model, "magnitude" if dense else "rank") as model,
            on_chip(model, device, seed) as cells,
        ):
            yield _OnCells(model, cells, chip)


OPEN: Held[_Study] = Held()
"""The sweep of which this process had the last point."""


@contextmanager
def _opened(
    checkpoint: str, machine: Mapping[str, Any], accuracy: Mapping[str, Any]
) -> Iterator[_Study]:
    study = _Study(Path(checkpoint), Machine(**machine), Accuracy.model_validate(accuracy))
    try:
        yield study
    finally:
        study.held.close()
