"""What follows from a parameter follows; at its own point nothing moves."""

import pytest

from hyflexsim.sim.chip.load import presets
from hyflexsim.sim.units.catalogue import load_chip


@pytest.mark.parametrize("name", [n for n in presets() if n not in ("hyflexpim-slc", "asadi")])
def test_at_its_own_point_a_preset_is_as_stated(name):
    assert load_chip(name).derived == {}


def test_an_override_that_changes_nothing_derives_nothing():
    assert load_chip("hyflexpim", {"analog.rows": 64}).derived == {}


def test_taller_arrays_need_more_bits_and_energy():
    """128 rows: one bit more, twice the energy of conversions (doubling) and of reads."""
    chip = load_chip("hyflexpim", {"analog.rows": 128})
    assert [chip[f"analog.adc.{mode}_bits"] for mode in ("slc", "mlc")] == [7, 8]
    assert chip["analog.shift_add.partial_sum_bits"] == 23
    assert chip["analog.energy.adc_conversion_slc"] == 1.5625
    assert chip["analog.energy.adc_conversion_mlc"] == 3.125
    assert chip["analog.energy.array_read"] == 2 * 11.8711
    assert chip.provenance["analog.energy.array_read"].status == "derived"
    assert chip.derived["analog.adc.slc_bits"] == "converter_bits(analog.rows, analog.slc_bits)"


def test_a_three_bit_converter_takes_an_eighth():
    chip = load_chip("hyflexpim", {"adc.slc_bits": 3})
    assert chip["analog.energy.adc_conversion_slc"] == 0.78125 / 8


@pytest.mark.parametrize(
    ("model", "ratio"), [("doubling", 2.0), ("isaac-split", 1.1854), ("survey", 1.2320)]
)
def test_models_of_converters_keep_the_stated_point(model, ratio):
    """What a single-level conversion takes is stated; what a multi-level one, is the model's."""
    chip = load_chip("hyflexpim", {"adc.model": model})
    assert chip["analog.energy.adc_conversion_slc"] == 0.78125
    mlc = chip["analog.energy.adc_conversion_mlc"]
    assert mlc / 0.78125 == pytest.approx(ratio, abs=5e-5)


def test_what_is_given_stays():
    chip = load_chip("hyflexpim", {"analog.rows": 128, "adc.slc_bits": 6})
    assert chip["analog.adc.slc_bits"] == 6
    assert "analog.adc.slc_bits" not in chip.derived
    assert chip["analog.energy.adc_conversion_slc"] == 0.78125
    assert chip["analog.adc.mlc_bits"] == 8


def test_a_smaller_node_scales_logic_and_leaves_cells():
    chip = load_chip("hyflexpim", {"chip.technology_nm": 32})
    assert chip["sfu.energy.sfu_element"] == pytest.approx(0.542539 / 2.326, rel=1e-3)
    assert chip["analog.area.adcs"] == pytest.approx(0.3008 / 3.3)
    assert chip["digital.energy.nor"] == 0.0238
