"""How right a checkpoint is on the very cells that a run's placement gives it."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx

from hyflexsim.analysis import confidence
from hyflexsim.models.cells.on_chip import matrices
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.placement.broken_cells import broken_cells
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.workloads.compression.accuracy import (
    noise_row,
    notes,
    references,
    scores_on_chips,
)
from hyflexsim.workloads.compression.devices import device_of, noises_of
from hyflexsim.workloads.compression.judged_models import open_checkpoint, unlike_training
from hyflexsim.workloads.compression.protection import (
    damage_of,
    masks_of,
    prepared,
    protected_graph,
)
from hyflexsim.workloads.extraction.ranks import exact_ops
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint, read_about
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Jets
from hyflexsim.workloads.terminal import Say


class Judged:
    """A scenario's checkpoint, opened: its graph for the placement, its scores on it."""

    def __init__(self, scenario: Scenario):
        self.folder = find_checkpoint(str(scenario.model.checkpoint))
        self.about = read_about(self.folder)
        self.opened = open_checkpoint(self.folder)
        self.select = scenario.accuracy.select

    def graph(self) -> nx.DiGraph:
        """The model's graph with its ranks and what each is worth, by the scenario's selection."""
        with prepared(self.opened.model, self.select) as model:
            return protected_graph(model, self.folder, self.select)

    def score(
        self, scenario: Scenario, graph: nx.DiGraph, placement: Placement, say: Say
    ) -> dict[str, Any]:
        """Scores on the placement's cells, as "accuracy" of summary.json.

        `metric`; `references` (name: score, without noise); `noise`: a row a noise with mean, half
        width of the 95 % interval over the seeds (None: one seed), what error rates it means, and
        which share of this model's own cells reads wrong by it; `notes`.
        """
        settings, clip, chip = scenario.accuracy, scenario.mapping.weight_clip, placement.chip
        rows = []
        with prepared(self.opened.model, self.select) as model:
            masks = masks_of(matrices(model), graph, chip, placement.weights)
            damage = damage_of(matrices(model), graph, placement)
            for noise in noises_of(chip, settings):
                device = device_of(chip, noise, clip)
                values = scores_on_chips(model, self.opened, device, masks, settings, say, damage)
                mean, half = confidence(values)
                width = None if math.isnan(half) else half
                row = noise_row(self.opened.model, chip, noise, clip)
                rows.append(row | {"mean": mean, "half_width": width, "scores": values})
        return {
            "checkpoint": str(scenario.model.checkpoint),
            "metric": self.about["metric"],
            "references": references(self.opened, self.about, settings.limit),
            "noise": rows,
            "notes": [
                *notes(settings),
                *unlike_training(self.opened, self.about),
                *_of_other_jets(scenario),
                *_exact_in_mlc(graph, placement),
                *_unseen(graph, placement),
            ],
        }


def check_noises(scenario: Scenario, chip: Chip) -> None:
    """Raise InputError for noises of a scenario that the chip's cells cannot have."""
    for noise in noises_of(chip, scenario.accuracy):
        device_of(chip, noise, scenario.mapping.weight_clip)


def _of_other_jets(scenario: Scenario) -> list[str]:
    """A note where jets of a file run, which are not those that are scored."""
    if not isinstance(scenario.workload, Jets) or scenario.workload.file is None:
        return []
    return [
        f"scores are of the checkpoint's own held-out items, not of {scenario.workload.file}, "
        "which times and energies are of"
    ]


def _exact_in_mlc(graph: nx.DiGraph, placement: Placement) -> list[str]:
    """A note where a pattern of mapping.slc_rates takes in what scores leave exact."""
    ops = [op for op in exact_ops(graph) if placement.options.rate(op) < 1]
    if not ops:
        return []
    return [
        f"placed in MLC cells, but computed exactly for the scores: {', '.join(ops)} "
        "(the noise model covers the matrices of blocks)"
    ]


def _unseen(graph: nx.DiGraph, placement: Placement) -> list[str]:
    """A note on broken cells that the scores do not know of."""
    exact = set(exact_ops(graph))
    copies = others = 0
    for weight in placement.weights.values():
        broken = [cell.copy for cell in broken_cells(placement, weight.name)]
        if exact.intersection(weight.ops):
            others += len(broken)
        else:
            copies += len(broken) - broken.count(0)
    if not copies + others:
        return []
    return [
        f"scores are of first copies, and exact outside blocks: {copies} broken columns and cells "
        f"of further copies and {others} of matrices outside blocks are not in them"
    ]
