"""Areas and powers are sums over parts, in proportion to instances."""

import pytest

from hyflexsim.sim.chip.area import (
    chip_area,
    chip_power,
    pu_area,
    pu_power,
    shared_area,
    shared_power,
    unit_area,
    unit_power,
)
from hyflexsim.sim.chip.load import PRESETS
from hyflexsim.sim.units.analog_array import part_power
from hyflexsim.sim.units.catalogue import load_chip

DIGITAL = ("digital", "accumulator", "sfu")


def parts(chip, unit):
    return chip.units[unit].kind.area(chip.units[unit])


def test_parts_scale_with_their_instances(hw):
    half = load_chip("hyflexpim", {"analog.columns": 64, "adc.mlc_bits": 6, "sfu.lanes": 512})
    whole, less = parts(hw, "analog"), parts(half, "analog")
    assert less["arrays"] == whole["arrays"] / 2
    assert less["adcs"] == whole["adcs"] / 2  # one bit less
    assert less["wordline_drivers"] == whole["wordline_drivers"]
    assert parts(half, "sfu")["sfu"] == 2 * parts(hw, "sfu")["sfu"]
    twice = load_chip("hyflexpim", {"chip.pus": 48})
    assert chip_area(twice) == 2 * chip_area(hw)


def test_modules_of_table_2(hw):
    """Analog 930.69 mW; digital with adders and SFU 6532.04 mW (sums of printed rows)."""
    assert unit_power(hw.units["analog"]) == pytest.approx(930.690012, abs=1e-9)
    digital = sum(unit_power(hw.units[name]) for name in DIGITAL)
    assert digital == pytest.approx(6532.040023, abs=1e-9)


def test_areas_of_table_2(hw):
    """Modules of 0.4683 and 8.00643 mm2 (sums of the rows); 24 and 8 of them in each of 24 PUs."""
    analog = unit_area(hw.units["analog"])
    digital = sum(unit_area(hw.units[name]) for name in DIGITAL)
    assert analog == pytest.approx(0.4683, abs=1e-9)
    assert digital == pytest.approx(8.00643, abs=1e-9)
    assert pu_area(hw) == pytest.approx(24 * analog + 8 * digital)
    assert chip_area(hw) == pytest.approx(24 * pu_area(hw))


def test_powers_add_up_to_the_chip(hw):
    """Units alone: what Table 2 does not list (buses, links, ports) draws nothing."""
    assert pu_power(hw) == pytest.approx(24 * 930.690012 + 8 * 6532.040023, abs=1e-6)
    assert shared_power(hw) == 0
    assert chip_power(hw) == pytest.approx(24 * pu_power(hw))


def weight(unit, slc_rate, outputs=512):
    """1024 rows: 16 row tiles; 512 outputs in SLC are 512 arrays, a whole module."""
    (part,) = unit.kind.hold(unit, 1024, outputs, None, slc_rate, "row-tile")
    return part


def test_a_module_full_of_single_level_cells_draws_what_table_2_says(hw):
    unit = hw.units["analog"]
    part = weight(unit, 1.0)
    assert part.arrays == 512
    power = part_power(unit, part)
    assert set(power) == {"bank", "adc", "shift_add"}
    assert power["adc"] == pytest.approx(512.0)
    assert sum(power.values()) == pytest.approx(930.690012, abs=1e-9)


def test_power_is_proportional_to_size(hw):
    unit = hw.units["analog"]
    whole, half = (part_power(unit, weight(unit, 1.0, outputs)) for outputs in (512, 256))
    assert half == pytest.approx({name: mw / 2 for name, mw in whole.items()})


def test_converters_of_multi_level_columns_draw_twice(hw):
    """As a multi-level conversion takes twice the energy in the same time; the rest is the same."""
    unit = hw.units["analog"]
    slc, mlc = part_power(unit, weight(unit, 1.0)), part_power(unit, weight(unit, 0.0, 1024))
    assert mlc["adc"] == pytest.approx(2 * slc["adc"])
    assert (mlc["bank"], mlc["shift_add"]) == pytest.approx((slc["bank"], slc["shift_add"]))


def test_converters_of_mixed_columns_draw_what_their_columns_do(hw):
    """128 of 512 outputs in SLC: 1024 columns, beside 1536 in MLC: (1024 + 2 * 1536) / 2560."""
    unit = hw.units["analog"]
    part = weight(unit, 0.25)
    assert (part.arrays, part.columns_slc, part.columns_mlc) == (320, 16 * 1024, 16 * 1536)
    assert part_power(unit, part)["adc"] == pytest.approx(320 * 1.6)


def test_free_conversions_draw_something_finite():
    """What a conversion takes may be 0 (single-level: 0 pJ), as any energy may."""
    unit = load_chip("hyflexpim", {"energy.adc_conversion_slc": "0 pJ"}).units["analog"]
    assert part_power(unit, weight(unit, 0.0))["adc"] >= 0


def test_asadi_adds_up_to_its_own_table():
    """12 PEs of 23.31 mm2 and 44.9 W; the chip is printed as 279.8 mm2 and 538.9 W."""
    chip = load_chip("asadi")
    assert chip_area(chip) == pytest.approx(279.8, abs=0.05)
    assert chip_power(chip) / 1000 == pytest.approx(538.9, abs=0.1)


def test_units_beside_the_chip_are_not_in_its_area():
    chip = load_chip("non-pim")
    assert shared_area(chip) == 0
    assert chip_area(chip) == pu_area(chip)


def test_a_shared_unit_counts_once_a_chip(hw, tmp_path):
    """One SFU for all PUs of a chip, instead of 8 in each of 24: 191 of 192 are saved."""
    text = (PRESETS / "hyflexpim.toml").read_text(encoding="utf-8")
    shared = text.replace('kind = "sfu"\nbeside = "digital"', 'kind = "sfu"\nwhere = "chip"')
    (tmp_path / "shared.toml").write_text(shared, encoding="utf-8")
    chip = load_chip(tmp_path / "shared.toml")
    assert (shared_area(chip), shared_power(chip)) == (4.79, 138.89)
    assert chip_area(chip) == pytest.approx(chip_area(hw) - 191 * 4.79)
    assert chip_power(chip) == pytest.approx(chip_power(hw) - 191 * 138.89)
