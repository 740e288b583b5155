"""How right a checkpoint is on the cells that a run's placement gives it: the same SLC rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import networkx as nx

from hyflexsim.analysis import confidence
from hyflexsim.models.cells.on_chip import wrong_cells
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.workloads.compression.accuracy import noisy_scores, notes, references
from hyflexsim.workloads.compression.device_settings import device_of, sigmas_of
from hyflexsim.workloads.compression.judged_models import open_checkpoint
from hyflexsim.workloads.extraction.ranks import exact_ops
from hyflexsim.workloads.scenario.checkpoints import find_checkpoint, read_about
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.terminal import Say


def accuracy_of_run(
    scenario: Scenario, graph: nx.DiGraph, placement: Placement, say: Say
) -> dict[str, Any]:
    """Scores of a scenario's checkpoint at its own SLC rates, as "accuracy" of summary.json.

    `metric`; `references` (name: score, without noise); `noise`: a row a σ with mean, half width
    of the 95 % interval over the seeds (None: one seed), what error rates the σ means, and which
    share of this model's own cells reads wrong by it; `notes`.
    """
    settings = scenario.accuracy
    folder = find_checkpoint(str(scenario.model.checkpoint))
    about = read_about(folder)
    opened = open_checkpoint(folder)
    prefix = graph.graph["prefix"]
    ops = [op for op, kind in graph.nodes(data="kind") if kind == "gemv"]
    rows = []
    for sigma in sigmas_of(settings):
        values = noisy_scores(
            opened,
            folder,
            settings,
            sigma,
            lambda path: _rate(placement, ops, path.removeprefix(prefix)),
            say,
        )
        mean, half = confidence(values)
        width = None if math.isnan(half) else half
        own = wrong_cells(opened.model, device_of(settings, sigma, 0))
        row = {**sigma._asdict(), "own_wrong_cells": own, "mean": mean}
        rows.append(row | {"half_width": width, "scores": values})
    return {
        "checkpoint": str(scenario.model.checkpoint),
        "metric": about["metric"],
        "references": references(opened, about, settings.limit),
        "noise": rows,
        "notes": [*notes(settings), *_exact_in_mlc(graph, placement)],
    }


def _exact_in_mlc(graph: nx.DiGraph, placement: Placement) -> list[str]:
    """A note where a pattern of mapping.slc_rates takes in what scores leave exact."""
    ops = [op for op in exact_ops(graph) if placement.options.rate(op) < 1]
    if not ops:
        return []
    return [
        f"placed in MLC cells, but computed exactly for the scores: {', '.join(ops)} "
        "(the noise model covers the matrices of blocks)"
    ]


def _rate(placement: Placement, ops: Sequence[str], matrix: str) -> float:
    """The SLC rate of a matrix, which may be several ops: a fused projection that stayed dense."""
    parts = [op for op in ops if op.startswith(f"{matrix}.")] or [matrix]
    rates = {placement.options.rate(part) for part in parts}
    if len(rates) > 1:
        raise InputError(
            f"mapping.slc_rates: {', '.join(parts)} are one matrix on the cells here; "
            f"they must have one rate; got {', '.join(f'{rate:g}' for rate in sorted(rates))}"
        )
    return rates.pop()
