"""Closed forms of every component, worked out by hand (times in ps)."""

import pytest

from hyflexsim.sim.chip.service import Action
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units import (
    accumulator,
    adc,
    buffer,
    crossbar,
    digital_pim,
    interconnect,
    sfu,
    shift_add,
)
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.tiling import factors


@pytest.fixture(scope="module")
def weight(hw):
    """128 x 32 in SLC: 2 row tiles x 2 arrays across, 256 columns a row tile."""
    return factors(hw, 128, 32, None, 1.0, "row-tile")[0]


@pytest.fixture(scope="module")
def hw():
    return load_chip("hyflexpim")


def test_bank(hw, weight):
    """Eight planes of 100 ns; 4 arrays with 64 driven wordlines and 128 held columns each."""
    service = crossbar.read(hw, weight, planes=8)
    assert service.rate.ps(1) == 800_000
    assert service.actions == (
        Action("wordline_drive", 8 * 256),
        Action("array_read", 8 * 4),
        Action("sample_hold", 8 * 512),
        Action("input_register", 8 * 4),
    )


def test_adc(hw, weight):
    """128 conversions of 781.25 ps are 100 ns; the seven planes before are the lead."""
    service = adc.convert(hw, weight, planes=8, beat=100_000)
    assert service.rate.ps(1) == 100_000
    assert service.lead_ps == 700_000
    assert service.actions == (Action("adc_conversion_slc", 8 * 512), Action("adc_conversion_mlc"))


def test_two_converters_an_array_take_half_the_time(weight):
    assert adc.plane(load_chip("hyflexpim", {"adc.per_array": 2}), weight) == 50_000


def test_shift_add_ends_with_the_plane(hw, weight):
    """The last column's slot of 781.25 ps, rounded up; the rest of the plane is its lead."""
    service = shift_add.add(hw, weight)
    assert service.rate.ps(1) == 782
    assert service.rate.ps(1) + service.lead_ps == adc.plane(hw, weight)


def test_accumulator(hw, weight):
    """One addition for each of 32 outputs and the second row tile; 8192 adders: one cycle."""
    service = accumulator.accumulate(hw, weight, pus=1)
    assert service.rate.ps(1) == 1000
    assert service.actions == (Action("partial_sum_add", 0, 32),)
    big = factors(hw, 4096, 1024, None, 1.0, "row-tile")[0]  # 63 x 1024 additions: 7.9 cycles
    assert accumulator.accumulate(hw, big, pus=1).rate.ps(1) == 8000
    assert accumulator.accumulate(hw, big, pus=2).rate.ps(1) == 4000


def test_digital_pim(hw):
    """8 modules x 273 products a cycle: 2184 x 2 + 1 need three cycles; 64 NOR a product."""
    service = digital_pim.multiply(hw, 1, (8, 8), pus=1)
    assert service.rate.ps(2 * 2184) == 2000
    assert service.rate.ps(2 * 2184 + 1) == 3000
    assert service.actions == (Action("nor", 0, 64),)


def test_writes_take_four_cycles_a_row(hw):
    """8 modules write 8 x 1024 bits at once: 1024 INT8 values in 4 ns, one more in 8 ns."""
    assert digital_pim.write(hw, 1024, pus=1).rate.ps(1) == 4000
    assert digital_pim.write(hw, 1025, pus=1).rate.ps(1) == 8000


def test_look_up_takes_one_cycle_a_row(hw):
    assert digital_pim.look_up(hw, 1024, pus=1).rate.ps(1) == 1000
    assert digital_pim.look_up(hw, 2048, pus=1).actions == (Action("cell_read", 0, 16384),)


def test_a_digital_module_too_small_for_one_product():
    """191 columns hold no 64 NOR of 3 columns, least of all in a row step of 5 cycles."""
    tiny = load_chip("hyflexpim", {"digital.arrays": 1, "digital.columns": 959})
    with pytest.raises(InputError) as error:
        digital_pim.products_per_cycle(tiny, 8, 8)
    assert str(error.value) == (
        "digital.arrays (1) x digital.columns (959) must be at least 960 for one 8 x 8 bit product"
    )


def test_sfu(hw):
    """2048 elements a cycle; passes and depth where the chip has them."""
    assert sfu.apply(hw, "pointwise", 2049, pus=1).rate.ps(1) == 2000
    slow = load_chip("hyflexpim", {"sfu.softmax_passes": 3, "sfu.depth": 10})
    assert sfu.apply(slow, "softmax", 2048, pus=1).rate.ps(1) == 13_000
    assert sfu.apply(slow, "norm", 2048, pus=1).rate.ps(1) == 11_000


@pytest.mark.parametrize(
    ("kind", "time"),
    [("pu_bus", 3072), ("global_bus", 24_000), ("chip_link", 24_000), ("host_port", 24_000)],
)
def test_buses(hw, kind, time):
    """3 KB at 1000 GB/s and at 128 GB/s: the paper's 24 cycles (HyFlexPIM §3.1)."""
    assert interconnect.transfer(hw, kind, 3072).rate.ps(1) == time


def test_bus_latency_adds_to_size_over_bandwidth():
    hw = load_chip("hyflexpim", {"interconnect.pu_latency": "5 ns"})
    assert interconnect.transfer(hw, "pu_bus", 100).rate.ps(1) == 5100
    assert interconnect.transfer(hw, "pu_bus", 100, width=2).rate.ps(1) == 5050


def test_buffers_hold_whole_tokens_and_at_least_one(hw):
    assert buffer.places(hw, "input", 768) == 10
    assert buffer.places(hw, "output", 128_256) == 1
    assert buffer.places(hw, "input", 768, pus=2) == 21
