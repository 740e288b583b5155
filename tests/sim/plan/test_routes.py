"""Transfers over links, worked out by hand."""

import pytest

from hyflexsim.sim.chip.service import Action
from hyflexsim.sim.plan.routes import HOST, hops, link_service
from hyflexsim.sim.units.catalogue import load_chip


@pytest.mark.parametrize(
    ("name", "time"),
    [("pu_bus", 3072), ("global_bus", 24_000), ("chip_link", 24_000), ("host_port", 24_000)],
)
def test_buses(hw, name, time):
    """3 KB at 1000 GB/s and at 128 GB/s: the paper's 24 cycles (HyFlexPIM §3.1)."""
    assert link_service(hw.links[name], 3072).rate.ps(1) == time


def test_latency_adds_to_size_over_bandwidth():
    link = load_chip("hyflexpim", {"pu_bus.latency": "5 ns"}).links["pu_bus"]
    assert link_service(link, 100).rate.ps(1) == 5100
    assert link_service(link, 100, width=2).rate.ps(1) == 5050


def test_a_mesh_pays_by_the_hop():
    """168 tiles in rows of 13: from 0 to 15 it is one row down and two to the right."""
    chip = load_chip("isaac")
    assert hops(chip, (0,), (15,)) == 3
    assert hops(chip, HOST, (15,)) == 3
    assert hops(chip, (4,), (4,)) == 1
    service = link_service(chip.links["mesh"], 64, 3)
    assert service.rate.ps(1) == 3 * 1000 + 2000  # three routers, then 64 B at 32 GB/s
    assert service.actions == (Action("mesh_bit", 0, 64 * 8 * 3),)
