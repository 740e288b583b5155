"""Peak power: rows of the chip, memories and links at full bandwidth; never below the mean."""

from dataclasses import replace

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim import power
from hyflexsim.sim.chip.area import link_power, unit_power
from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip


def matrix(width=64):
    graph = g.new_graph("a matrix")
    g.add_op(graph, "in", "input", layer="b.0", width=width)
    shape = {"width": width, "rows": width, "cols": width, "rank": None}
    g.add_op(graph, "fc", "gemv", layer="b.0", weight="fc", **shape)
    g.add_op(graph, "out", "output", layer="b.0", width=width)
    g.connect(graph, "in", "fc", "stream")
    g.connect(graph, "fc", "out", "stream")
    return graph


def peak(chip, mode="action", tokens=4):
    placement = place(matrix(), chip, Options(chips=1))
    plan = build_plan(matrix(), placement)
    return power.peak_mw(plan, play(plan, [Request(0, tokens)]), placement, mode)


def test_all_that_a_run_uses():
    """non-pim: its rows, 4 x 12.8 GB/s x 8 x 20.3 pJ of DRAM, two ends of the host's port."""
    chip = load_chip("non-pim")
    dram = 4 * 12.8 * 8 * 20.3
    port = 2 * 128 * 8 * 1.93
    assert port == pytest.approx(2 * link_power(chip.links["host_port"]))
    assert peak(chip) == pytest.approx(1905 + 12182 + 138.89 + dram + port)


def test_dram_at_full_bandwidth():
    """One bank with slow rows cannot open them in time; a byte has a share of a row's cost."""
    slow = {"dram.banks": 1, "dram.row_cycle": "256 ns"}
    chip = load_chip("non-pim", slow | {"dram.energy.dram_activation": "2048 pJ"})
    speed = 8  # GB/s of a channel: 2048 bytes in 256 ns
    assert unit_power(chip.units["dram"]) == pytest.approx(4 * speed * (8 * 20.3 + 1))


def test_near_banks_at_full_bandwidth():
    """256 banks of 8 GB/s: 12.08 pJ of bits and 0.8877 pJ of activations a byte; units beside."""
    chip = load_chip("nmp")
    assert unit_power(chip.units["banks"]) == pytest.approx(655 + 256 * 8 * (8 * 1.51 + 0.8877))


def test_energies_that_say_more_than_rows_count():
    """A row of nothing: the array draws its energy a product times 4096 products a ns."""
    rows = {"macs.power.lanes": "0 mW", "cache.power.buffer": "0 mW"}
    chip = load_chip("non-pim", rows | {"sfu.power.lanes": "0 mW"})
    without = load_chip(
        "non-pim", rows | {"sfu.power.lanes": "0 mW", "macs.energy.mac_int8": "0 pJ"}
    )
    assert peak(chip) - peak(without) == pytest.approx(4096 * 0.465)


def test_links_draw_whatever_the_mode():
    hyflex = load_chip("hyflexpim")
    dear = load_chip("hyflexpim", {"host_port.energy.bit": "101.93 pJ"})
    for mode in ("action", "power-time"):
        more = peak(dear, mode) - peak(hyflex, mode)
        assert more == pytest.approx(2 * 128 * 8 * 100)


@pytest.mark.parametrize(("mode", "drawn"), [("action", 0.0), ("power-time", 2.0)])
def test_what_is_never_visited_spends_nothing(plan_of, hw, mode, drawn):
    """Its row of power counts; it has no beat that anything works beside."""
    plan = plan_of((0, 5, [], None, {"unit": "sfu"}))
    plan = replace(plan, components=(replace(plan.components[0], power_mw=2.0),))
    assert power._drawn(plan, play(plan, []), hw, mode) == {"sfu": drawn}


def test_a_transfer_of_no_bytes_draws_nothing(plan_of, hw):
    plan = plan_of((0, Rate(fixed=5), [], None, {"unit": "pu_bus"}))
    assert power._drawn(plan, play(plan, [Request(0, 2)]), hw, "action") == {"pu_bus": 0.0}
