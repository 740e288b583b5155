"""Broken columns and cells are those of the weights that lie there."""

from collections import defaultdict

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.placement.broken_cells import DEAD, OFF, ON, BrokenCell, broken_cells
from hyflexsim.sim.placement.cells import factor_regions
from hyflexsim.sim.placement.faults import Faults
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.tiling import cells_per_weight, height

SIGNS = ("twos-complement", "biased", "differential", "differential-rows")


def placed(inputs, outputs, rank, rate, faults, **chip):
    graph = g.new_graph("one")
    g.add_op(graph, "in", "input", layer="b.0", width=inputs)
    shape = {"rows": inputs, "cols": outputs, "width": outputs, "rank": rank}
    g.add_op(graph, "b.0.w", "gemv", layer="b.0", weight="w", **shape)
    g.connect(graph, "in", "b.0.w", "stream")
    changes = {f"analog.{key}": value for key, value in chip.items()}
    options = Options(slc_rate=rate, copies="none", faults=faults)
    return place(graph, load_chip("hyflexpim", changes), options)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("rank", [None, 7])
@pytest.mark.parametrize("columns", [3, 10, 128])
def test_where_every_column_is_dead_all_of_every_weight_is(sign, rank, columns):
    """In each row tile of each region, from left to right: outputs, and slices of each."""
    faults = Faults(columns=1.0, repair="none")
    placement = placed(9, 8, rank, 0.4, faults, sign=sign, columns=columns, rows=4)
    module, (weight,) = placement.chip.holder.values, placement.weights.values()
    found = defaultdict(list)
    for cell in broken_cells(placement, "w"):
        assert (cell.copy, cell.input, cell.state) == (0, -1, DEAD)
        found[cell.factor, cell.mode, cell.tile].append((cell.output, cell.slice))
    wanted = {}
    for factor, regions in enumerate(factor_regions(placement.chip, weight)):
        for region in regions:
            slices = range(cells_per_weight(module, region.mode))
            every = [(output, s) for output in region.outputs for s in slices]
            tiles = -(-len(region.inputs) // height(module))
            wanted |= {(factor, region.mode, tile): every for tile in range(tiles)}
    assert found == wanted


def test_a_stuck_cell_by_hand():
    """Arrays of 4 rows x 10 columns; SLC of 8 cells a weight: output 1's last six cells are next
    door, and the second row tile of 5 inputs holds one."""
    names = ("pu0.analog.0.1.row3.column5.on", "pu0.analog.0.1.row2.column6.off")
    placement = placed(5, 2, None, 1.0, Faults(names), rows=4, columns=10)
    assert list(broken_cells(placement, "b.0.w")) == [
        BrokenCell(0, 0, "slc", 0, 3, 1, 7, ON),
    ]
    free = Faults(("pu0.analog.0.2.row1.column0.on",))  # no input drives that row
    assert list(broken_cells(placed(5, 2, None, 1.0, free, rows=4, columns=10), "w")) == []
    low = Faults(("pu0.analog.0.2.row0.column9.off",))
    assert list(broken_cells(placed(5, 2, None, 1.0, low, rows=4, columns=10), "w")) == [
        BrokenCell(0, 0, "slc", 1, 0, 1, 1, OFF)
    ]


def test_the_second_row_of_a_pair_is_the_negative_cell():
    names = ("pu0.analog.0.0.row2.column0.on", "pu0.analog.0.0.row3.column0.on")
    placement = placed(2, 1, None, 1.0, Faults(names), rows=4, sign="differential-rows")
    assert list(broken_cells(placement, "w")) == [
        BrokenCell(0, 0, "slc", 0, 1, 0, 0, ON, pair=False),
        BrokenCell(0, 0, "slc", 0, 1, 0, 0, ON, pair=True),
    ]


def test_copies_are_broken_each_in_its_place():
    placement = placed(4, 1, None, 1.0, Faults(("pu0.analog.0.1.column2",)), rows=4)
    copied = placement.with_copies({"w": 3})
    assert [(cell.copy, cell.slice) for cell in broken_cells(copied, "w")] == [(1, 2)]


def test_nothing_is_broken_where_nothing_was_said():
    assert list(broken_cells(placed(4, 1, None, 1.0, Faults()), "w")) == []
