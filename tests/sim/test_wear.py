"""Writing weights and wear, by hand."""

import math

import pytest

from hyflexsim.sim import energy
from hyflexsim.sim import graph as g
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.wear import Programming, programming, wear

US = 10**6


def matrix(rows, cols, rank=None, layer="b.0"):
    graph = g.new_graph("one")
    g.add_op(graph, "in", "input", layer=layer, width=rows)
    shape = {"rows": rows, "cols": cols, "width": cols, "rank": rank}
    g.add_op(graph, f"{layer}.a", "gemv", layer=layer, weight="a", **shape)
    g.connect(graph, "in", f"{layer}.a", "stream")
    return graph


def product(width, layers=1):
    """Queries times keys, a head."""
    graph = g.new_graph("product")
    last = g.add_op(graph, "in", "input", layer="b.0", width=width)
    for b in range(layers):
        shape = {"width": 1, "heads": 1, "inner": width, "context": "all"}
        op = g.add_op(
            graph, f"b.{b}.qk", "matmul", layer=f"b.{b}", multiplies=["values", "values"], **shape
        )
        g.connect(graph, "in", op, "all")
        last = op
    g.connect(graph, last, g.add_op(graph, "out", "output", layer="b.0", width=1))
    return graph


def test_single_level_cells_take_a_pulse_a_row():
    """64 x 32 weights in two arrays of one module: 2 x 64 rows of 1 us, 16,384 pulses."""
    placed = place(matrix(64, 32), load_chip("hyflexpim"), Options(copies="none"))
    found = programming(placed)
    assert found.cells == {"slc": 64 * 32 * 8, "mlc": 0}
    assert found.pulses == {"slc": 64 * 32 * 8}
    assert found.time_ps == 2 * 64 * US
    assert found.energy_pj == 64 * 32 * 8 * 24.4
    assert found.years(1) == 1e8 / 365.25  # one write a day


def test_multi_level_cells_are_read_after_each_pulse():
    chip = load_chip("hyflexpim", {"mlc_pulses": 10})
    found = programming(place(matrix(64, 32), chip, Options(slc_rate=0, copies="none")))
    assert found.time_ps == 64 * 10 * (US + 100_000)
    assert found.pulses == {"mlc": 10 * 64 * 32 * 4}
    assert found.years(10) == pytest.approx(1e8 / 10 * 10 / 365.25)


def test_copies_are_written_too_and_arrays_side_by_side():
    placed = place(matrix(64, 64), load_chip("hyflexpim"), Options(copies="none"))
    twice = placed.with_copies({"a": 2})
    assert programming(twice).energy_pj == 2 * programming(placed).energy_pj
    assert programming(twice).time_ps == 2 * programming(placed).time_ps
    chip = load_chip("hyflexpim", {"arrays_at_once": 3})
    some = place(matrix(64, 64), chip, Options(copies="none"))  # four arrays: three, then one
    assert programming(some).time_ps == 2 * 64 * US
    small = load_chip("hyflexpim", {"analog.arrays": 2, "analog.count": 8})
    apart = place(matrix(64, 64), small, Options(copies="none"))  # two modules of two
    assert programming(apart).time_ps == 2 * 64 * US


def test_a_further_copy_of_one_factor_is_written():
    """V of 64 x 16 in one array, U of 16 x 48 in three: 64 rows each, one array after the other."""
    chip = load_chip("hyflexpim")
    placed = place(matrix(64, 48, 16), chip, Options(copies="none"))
    found = programming(placed.with_part_copies({"a": (2, 1)}))
    assert found.cells == {"slc": 8 * (2 * 64 * 16 + 16 * 48), "mlc": 0}
    assert found.time_ps == programming(placed).time_ps + 64 * US == 5 * 64 * US


def test_weights_in_memory_are_not_programmed():
    assert programming(place(matrix(8, 8), load_chip("non-pim"), Options())) is None


def ledger(graph, chip, tokens, requests=1, pus="auto"):
    placed = place(graph, chip, Options(copies="none", pus_per_layer=pus))
    plan = build_plan(graph, placed)
    played = play(plan, [Request(0, tokens)] * requests)
    return placed, energy.ledger(plan, played, chip)


def test_a_nor_writes_its_result():
    """3 tokens of 64: 9 x 64 products of 64 NOR on 8 x 256 arrays of 1024 x 1024 cells."""
    found = wear(*ledger(product(64), load_chip("hyflexpim"), 3), 1)
    cells = 8 * 256 * 1024 * 1024
    results, operands = 9 * 64 * 64, 3 * 64 * 8
    assert (found.results, found.operands) == (results, operands)
    assert found.levelled == {
        "operands": operands / cells,
        "operands and results": (operands + results) / cells,
    }
    # without levelling a row of results of every array: 341 of 1024 columns
    assert found.hottest == {"operands": 1.0, "operands and results": 1.0}
    assert found.years(1.0, 10_000) == 1e8 / 10_000 / 365.25
    assert found.years(0.0, 10_000) == math.inf


def test_requests_are_counted_apart_and_layers_that_share_together():
    chip = load_chip("hyflexpim")
    one = wear(*ledger(product(64), chip, 3), 1)
    assert wear(*ledger(product(64), chip, 3, requests=4), 4) == one
    small = load_chip("hyflexpim", {"chip.pus": 1, "digital.count": 1})
    alone = wear(*ledger(product(64), small, 3), 1)
    graph = product(64, layers=2)
    both = wear(*ledger(graph, small, 3), 1)
    assert (both.layer, both.results) == ("b.0+b.1", 2 * alone.results)
    assert both.operands == alone.operands  # they multiply the same


def test_a_layer_with_a_part_of_a_pu_wears_its_modules_there():
    """Twelve modules of NOR arrays instead of eight, and as many writes."""
    graph = product(64)
    shape = {"rows": 64, "cols": 64, "width": 64}
    g.add_op(graph, "b.0.a", "gemv", layer="b.0", weight="a", **shape)
    g.connect(graph, "in", "b.0.a")
    one, part = (wear(*ledger(graph, load_chip("hyflexpim"), 3, pus=each), 1) for each in (1, 1.5))
    assert (part.operands, part.results) == (one.operands, one.results)
    assert part.levelled["operands"] == one.operands / (12 * 256 * 1024 * 1024)
    assert part.hottest["operands"] == one.hottest["operands"]


def test_what_the_literature_has_by_hand():
    """BERT-Large, N = 128: 160 NOR a pair of tokens and dimension wear each cell 1.25 times."""
    placed = place(matrix(64, 64), load_chip("hyflexpim"), Options(copies="none"))
    nors = 128**2 * 1024 * (64 + 96)
    rows = [{"unit": "digital", "action": "nor", "layer": "b.0", "count": nors}]
    found = wear(placed, rows, 1)
    assert found.levelled["operands and results"] == 1.25
    assert wear(place(matrix(8, 8), load_chip("nmp"), Options()), rows, 1) is None


def test_what_takes_no_pulse_lasts_for_ever():
    assert Programming({"slc": 0, "mlc": 0}, {}, 0, 0.0, 1e8).years(1) == math.inf
