"""Component powers add up to Table 2."""

import pytest

from hyflexsim.sim.chip.power import power_mw


def test_analog_module(hw):
    """Bank, ADC and shift-and-add of 512 arrays: 930.69 mW, and 1.2e-5 of sample-and-holds."""
    total = sum(power_mw(hw, kind, 512) for kind in ("bank", "adc", "shift_add"))
    assert total == pytest.approx(930.690012, abs=1e-9)


def test_digital_module(hw):
    """Digital PIM, adders and SFU of one module: 6532.04 mW (the printed rows add up to that)."""
    total = sum(power_mw(hw, kind, 1) for kind in ("digital_pim", "accumulator", "sfu"))
    assert total == pytest.approx(6532.040023, abs=1e-9)


def test_power_is_proportional_to_size(hw):
    assert power_mw(hw, "adc", 10) == pytest.approx(10 * power_mw(hw, "adc", 1))


@pytest.mark.parametrize("kind", ["pu_bus", "global_bus", "chip_link", "host_port", "sequencer"])
def test_what_table_2_does_not_list_draws_nothing(hw, kind):
    assert power_mw(hw, kind, 1) == 0.0
