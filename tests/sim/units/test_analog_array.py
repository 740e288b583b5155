"""Analog arrays with their converters, worked out by hand (times in ps)."""

import pytest

from hyflexsim.sim.chip.service import Action, Hop, Sum, Task, Visit
from hyflexsim.sim.units import adc, crossbar, shift_add
from hyflexsim.sim.units.analog_array import part_power
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.tiling import factors


@pytest.fixture(scope="module")
def module(hw):
    return hw.units["analog"].values


@pytest.fixture(scope="module")
def weight(module):
    """128 x 32 in SLC: 2 row tiles x 2 arrays across, 256 columns a row tile."""
    return factors(module, 128, 32, None, 1.0, "row-tile")[0]


def test_bank(module, weight):
    """Eight planes of 100 ns; 4 arrays with 64 driven wordlines and 128 held columns each."""
    service = crossbar.read(module, weight, planes=8)
    assert service.rate.ps(1) == 800_000
    assert service.actions == (
        Action("wordline_drive", 8 * 256),
        Action("array_read", 8 * 4),
        Action("sample_hold", 8 * 512),
        Action("input_register", 8 * 4),
    )


def test_adc(module, weight):
    """128 conversions of 781.25 ps are 100 ns; the seven planes before are the lead."""
    service = adc.convert(module, weight, planes=8, beat=100_000)
    assert service.rate.ps(1) == 100_000
    assert service.lead_ps == 700_000
    assert service.actions == (Action("adc_conversion_slc", 8 * 512), Action("adc_conversion_mlc"))


def test_two_converters_an_array_take_half_the_time(weight):
    module = load_chip("hyflexpim", {"adc.per_array": 2}).units["analog"].values
    assert adc.plane(module, weight) == 50_000


def test_shift_add_ends_with_the_plane(module, weight):
    """The last column's slot of 781.25 ps, rounded up; the rest of the plane is its lead."""
    service = shift_add.add(module, weight)
    assert service.rate.ps(1) == 782
    assert service.rate.ps(1) + service.lead_ps == adc.plane(module, weight)


def test_chain_of_a_vector(hw, weight):
    """In, bank, converter, out, sum: 128 B in; 2 x 32 sums of 22 bits out, 32 additions."""
    unit = hw.units["analog"]
    hop, bank, converter, out, added = unit.kind.multiply(unit, weight, Task("gemv"), planes=False)
    assert hop == Hop(".in", 128)
    assert isinstance(bank, Visit)
    assert (bank.label, bank.planes, bank.waiting_bytes) == (".W.bank", 1, 128)
    assert (converter.label, converter.rigid) == (".W.adc", True)
    assert out == Hop(".W.out", 176, waiting_bytes=32)
    assert added == Sum(".W.sum", 32)


def test_bit_planes_one_by_one(hw, weight):
    """Eight visits each of bank, converter and shift-and-add; no sum with one row tile."""
    unit = hw.units["analog"]
    chain = unit.kind.multiply(unit, weight, Task("gemv"), planes=True)
    assert [v.planes for v in chain if isinstance(v, Visit)] == [8, 8, 8]
    (small,) = factors(unit.values, 64, 16, None, 1.0, "row-tile")
    assert not any(isinstance(e, Sum) for e in unit.kind.multiply(unit, small, Task("gemv"), False))


def test_power_of_a_full_module_is_table_2(hw):
    """Bank, ADC and shift-and-add of 512 arrays: 930.69 mW, and 1.2e-5 of sample-and-holds."""
    unit = hw.units["analog"]
    (full,) = factors(unit.values, 64 * 16, 16 * 32, None, 1.0, "row-tile")
    assert full.arrays == 512
    assert sum(part_power(unit, full).values()) == pytest.approx(930.690012, abs=1e-9)


def test_a_multi_level_conversion_draws_as_much_more_as_it_takes_energy(hw):
    """Twice, by the rule of HyFlexPIM §3.2; half of the columns of each kind: 1.5 times."""
    unit = hw.units["analog"]
    power = {}
    for rate in (1.0, 0.0):
        (part,) = factors(unit.values, 64, 32, None, rate, "row-tile")
        power[rate] = part_power(unit, part)["adc"] / part.arrays
    assert power[0.0] == pytest.approx(2 * power[1.0])
    (mixed,) = factors(unit.values, 64, 24, None, 1 / 3, "row-tile")  # 64 columns of each kind
    assert (mixed.columns_slc, mixed.columns_mlc) == (64, 64)
    assert part_power(unit, mixed)["adc"] / mixed.arrays == pytest.approx(1.5 * power[1.0])


@pytest.mark.parametrize("change", [{"adc.rate": "640 MS/s"}, {"read_cycle": "400 ns"}])
@pytest.mark.parametrize("rank", [None, 7])
def test_what_a_plane_costs_by_power_does_not_hang_on_its_pace(weight, change, rank):
    """Slower converters, or slower reads: a bank conducts for its read cycle, and converters and
    shift-and-add units take an energy a column, however long the plane takes.
    """
    costs = []
    for changes in ({}, {f"analog.{key}": value for key, value in change.items()}):
        unit = load_chip("hyflexpim", changes).units["analog"]
        part = factors(unit.values, 128, 32, rank, 1.0, "row-tile")[0]
        beat = crossbar.beat(unit.values, part)
        costs.append({k: mw * beat for k, mw in part_power(unit, part).items()})
    same, slow = costs
    reads = 4 if "read_cycle" in change else 1
    assert slow["bank"] == pytest.approx(same["bank"] * reads)
    for part in ("adc", "shift_add"):
        assert slow[part] == pytest.approx(same[part])
