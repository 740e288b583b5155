"""The plan executed on cells that are broken is what the scores are of."""

from types import SimpleNamespace

import pytest
import torch

from hyflexsim.models.cells.on_chip import on_chip
from hyflexsim.workloads.compression.accuracy_of_run import Judged
from hyflexsim.workloads.compression.devices import device_of, noises_of
from hyflexsim.workloads.compression.protection import damage_of, masks_of
from hyflexsim.workloads.run.prepare import prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.values import execute
from hyflexsim.workloads.values.cells import ModelCells

BROKEN = ["faults.columns=0.05", "faults.seed=3", "adc.offset=0.4", "adc.gain=0.01"]


def test_the_plan_on_broken_cells_is_held_to_the_same_cells():
    done = execute(Scenario.load("hybrid-jets", BROKEN[:2]), cells="noise", requests=1)
    assert done.equal == done.elements
    whole = execute(Scenario.load("hybrid-jets"), cells="noise", requests=1)
    assert done.elements == whole.elements


def test_converters_that_differ_differ_alike():
    """But for sums at an edge: with a gain, levels lie between the steps that they are kept to.

    Each side adds a column in its own order, so a sum within 1e-6 of the next code may get that
    one, which depends on the machine. All that follows from such a code differs rightly, so the
    first op that differs is held to it, not the rest.
    """
    done = execute(Scenario.load("hybrid-jets", BROKEN), cells="noise", requests=1)
    for first in done.unequal()[:1]:
        assert first.equal > 0.99 * first.elements, first
        assert first.what in ("V", "U", "W"), first  # sums of columns, nothing else


@pytest.fixture(scope="module")
def judged():
    return Judged(Scenario.load("hybrid-jets"))


def read(judged, changes, seed=1):
    """Outputs of a matrix of the model on its chip, and its programmed parts."""
    scenario = Scenario.load("hybrid-jets", changes)
    graph = judged.graph()
    placement = prepare(scenario, graph).placement
    chip, model = placement.chip, judged.opened.model
    (noise, *_) = noises_of(chip, scenario.accuracy)
    with on_chip(model, device_of(chip, noise), seed) as cells:
        cells.break_cells(damage_of(cells.held, graph, placement))
        cells.protect(masks_of(cells.held, graph, chip, placement.weights))
        return placement, {
            path: [part[0] for matrix in layer.inner._matrices for part in matrix.parts]
            for path, layer in cells.layers.items()
        }


def test_both_ways_to_program_a_model_give_the_same_cells(judged):
    """models/cells for the whole model, and the regions of the placement one by one."""
    path = "blocks.0.fc1"
    placement, programmed = read(judged, [*BROKEN, "analog.rows=16"])
    (noise, *_) = noises_of(placement.chip, Scenario.load("hybrid-jets").accuracy)
    with on_chip(judged.opened.model, device_of(placement.chip, noise), 1) as cells:
        codes = [m.weight.codes for m in cells.layers[path].inner._matrices]
    ours = ModelCells(placement, {path: SimpleNamespace(codes=codes)}, seed=1)
    mine = [region.programmed for factor in ours.held[path] for region in factor]
    assert same(mine, programmed[path])
    assert [len(factor) for factor in ours.held[path]] == [2, 2]  # in both modes


def test_repair_by_columns_leaves_no_cell_broken(judged):
    _, whole = read(judged, [])
    _, repaired = read(judged, ["faults.columns=0.05", "faults.repair=columns"])
    _, broken = read(judged, ["faults.columns=0.05"])
    assert all(same(whole[path], repaired[path]) for path in whole)
    assert not all(same(whole[path], broken[path]) for path in whole)


def test_rates_of_zero_change_nothing(judged):
    _, whole = read(judged, [])
    _, zero = read(judged, ["faults.columns=0.0", "faults.seed=9", "adc.offset=0"])
    assert all(same(whole[path], zero[path]) for path in whole)


def same(some, others):
    """Whether programmed matrices have equal cells."""
    return all(torch.equal(a.cells, b.cells) for a, b in zip(some, others, strict=True))
