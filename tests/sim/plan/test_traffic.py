"""Bytes over links: closed forms on paper, and what a run's ledger counts."""

import pytest

from hyflexsim.sim import energy
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.traffic import link_bytes


@pytest.mark.parametrize("pus", ["auto", 2, "packed", 1.5])
def test_bytes_are_those_of_a_run(hw, chain_of, pus):
    graph = chain_of({"b.0": [(256, 64), (64, 128)], "b.1": [(128, 128)]})
    placement = place(graph, hw, Options(copies="none", pus_per_layer=pus))
    plan = build_plan(graph, placement)
    played = play(plan, [Request(0, 5)])
    bits = dict.fromkeys(hw.links, 0)
    for row in energy.ledger(plan, played, hw):
        if row["unit"] in bits:
            bits[row["unit"]] += row["count"]
    found = link_bytes(plan, hw, 5)
    assert {link: 8 * size for link, size in found.items()} == pytest.approx(bits, abs=8)
    assert found["pu_bus"] > 0


def test_what_lies_in_two_pus_is_gathered_over_the_global_bus(hw, chain_of):
    """64 bytes a token go to the second matrix, which is less than 128 partial sums of 22 bits."""
    graph = chain_of({"b.0": [(256, 64), (64, 128)]})
    sizes = {}
    for pus in (1, 2, 3):
        placement = place(graph, hw, Options(copies="none", pus_per_layer=pus))
        sizes[pus] = link_bytes(build_plan(graph, placement), hw, 7)["global_bus"]
    assert sizes[2] - sizes[1] == sizes[3] - sizes[1] == 7 * 64
