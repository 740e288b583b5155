"""Near-bank units, by hand."""

import pytest

from hyflexsim.sim.chip.area import unit_area
from hyflexsim.sim.chip.service import Action, Task
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.stored import Stored


def visit_of(**overrides):
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    unit = load_chip("nmp", changes).units["banks"]
    (visit,) = unit.kind.multiply(unit, Stored("W", 1024, 1024), Task("gemv"), False)
    return visit.service


def test_the_longer_of_reading_and_multiplying():
    """1 MiB over 256 banks of 8 GB/s: 512 ns, behind a row's 32 ns; 16 lanes each multiply it in
    the same 512 ns. Half the bandwidth, or half the lanes, take twice as long."""
    assert visit_of().rate.ps(1) == 32_000 + 512_000
    assert visit_of(banks__bandwidth="4 GB/s").rate.ps(1) == 32_000 + 1_024_000
    assert visit_of(banks__lanes=8).rate.ps(1) == 32_000 + 1_024_000
    assert visit_of(banks__lanes=32).rate.ps(1) == 32_000 + 512_000


def test_every_weight_is_read_once_a_vector():
    assert visit_of().actions == (
        Action("bank_activation", 0, 2**20),
        Action("bank_bit", 0, 8 * 2**20),
        Action("bank_mac", 0, 2**20),
    )


def test_units_beside_the_banks_are_counted():
    """256 x 16 lanes take 2.58 mm2 and 655 mW at 2 ns a cycle; twice as many, or as fast, twice."""
    for changes, area, power in (
        ({"banks.lanes": 32}, 2, 2),
        ({"banks.banks": 128}, 0.5, 0.5),
        ({"banks.clock_period": "1 ns"}, 1, 2),
    ):
        unit = load_chip("nmp", changes).units["banks"]
        assert unit_area(unit) == pytest.approx(2.58 * area)
        assert unit.kind.power(unit)["units"] == pytest.approx(655 * power)


def test_what_holds_it_up():
    """8 bytes a ns against 16 lanes a 2 ns: as fast as each other, until one is slower."""
    for changes, moves in (
        ({}, False),
        ({"banks.bandwidth": "4 GB/s"}, True),
        ({"banks.lanes": 64}, True),
        ({"banks.lanes": 8}, False),
    ):
        unit = load_chip("nmp", changes).units["banks"]
        assert unit.kind.moves(unit) == moves
