"""Areas and powers are sums over parts, in proportion to instances."""

import pytest

from hyflexsim.sim.chip.area import chip_area, chip_power, pu_area, shared_area, unit_power
from hyflexsim.sim.units.catalogue import load_chip


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
    digital = sum(unit_power(hw.units[name]) for name in ("digital", "accumulator", "sfu"))
    assert digital == pytest.approx(6532.040023, abs=1e-9)


def test_asadi_adds_up_to_its_own_table():
    """12 PEs of 23.31 mm2 and 44.9 W; the chip is printed as 279.8 mm2 and 538.9 W."""
    chip = load_chip("asadi")
    assert chip_area(chip) == pytest.approx(279.8, abs=0.05)
    assert chip_power(chip) / 1000 == pytest.approx(538.9, abs=0.1)


def test_units_beside_the_chip_are_not_in_its_area():
    chip = load_chip("non-pim")
    assert shared_area(chip) == 0
    assert chip_area(chip) == pu_area(chip)
