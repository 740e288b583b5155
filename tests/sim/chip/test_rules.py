"""What follows from a parameter follows; at its own point nothing moves."""

import functools
import tomllib

import pytest

from hyflexsim.sim.chip.load import PRESETS, presets
from hyflexsim.sim.chip.measure import convert
from hyflexsim.sim.units.catalogue import load_chip

LEFT_TO_RULES = {
    "hyflexpim-slc": {"analog.adc.mlc_bits", "analog.energy.adc_conversion_mlc"},
    "asadi": {"analog.shift_add.partial_sum_bits"},
}
"""Presets that extend another and leave this to rules, as their files say."""


@pytest.mark.parametrize("name", presets())
def test_at_its_own_point_a_preset_is_as_stated(name):
    """Nothing is derived, and every number is exactly the one that was written."""
    chip = load_chip(name)
    assert set(chip.derived) == LEFT_TO_RULES.get(name, set())
    for key, record in chip.provenance.items():
        one = chip.parameters[key]
        if one.options:
            assert chip[key] == record.value
        else:
            exact = convert(record.value, record.unit, one.unit)
            assert chip[key] == (int if one.whole else float)(exact), key


def test_the_reference_is_its_file_to_the_letter():
    """The records are those of the TOML file: no rule has touched them."""
    content = tomllib.loads((PRESETS / "hyflexpim.toml").read_text(encoding="utf-8"))
    tables = {"chip": content["chip"]} | content["units"] | content["links"]
    for key, record in load_chip("hyflexpim").provenance.items():
        table = functools.reduce(lambda at, name: at[name], key.split("."), tables)
        assert record.model_dump(exclude_defaults=True) == table, key


def test_an_override_that_changes_nothing_derives_nothing():
    assert load_chip("hyflexpim", {"analog.rows": 64}).derived == {}


def test_taller_arrays_need_more_bits_and_energy(hw):
    """128 rows: one bit more, twice the energy of conversions (doubling) and of reads."""
    chip = load_chip("hyflexpim", {"analog.rows": 128})
    assert [chip[f"analog.adc.{mode}_bits"] for mode in ("slc", "mlc")] == [7, 8]
    assert chip["analog.shift_add.partial_sum_bits"] == 23
    assert chip["analog.energy.adc_conversion_slc"] == 1.5625
    assert chip["analog.energy.adc_conversion_mlc"] == 3.125
    assert chip["analog.energy.array_read"] == 2 * 11.8711
    assert chip["analog.energy.wordline_drive"] == hw["analog.energy.wordline_drive"]
    assert chip.provenance["analog.energy.array_read"].status == "derived"
    assert chip.derived["analog.adc.slc_bits"] == "converter_bits(analog.rows, analog.slc_bits)"


def test_a_three_bit_converter_takes_an_eighth():
    chip = load_chip("hyflexpim", {"adc.slc_bits": 3})
    assert chip["analog.energy.adc_conversion_slc"] == 0.78125 / 8


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        ("doubling", 2.0),
        # 2.9 parts of 3.1 grow linearly from 8 bit, 0.2 double a bit
        ("isaac-split", (2.9 * 7 / 8 + 0.2 / 2) / (2.9 * 6 / 8 + 0.2 / 4)),
        ("survey", 1.2320),
    ],
)
def test_models_of_converters_keep_the_stated_point(model, ratio):
    """What a single-level conversion takes is stated; what a multi-level one, is the model's."""
    chip = load_chip("hyflexpim", {"adc.model": model})
    assert chip["analog.energy.adc_conversion_slc"] == 0.78125
    mlc = chip["analog.energy.adc_conversion_mlc"]
    assert mlc / 0.78125 == pytest.approx(ratio, abs=5e-5)


def test_the_split_model_is_1_42_to_1_20_up_to_rounding():
    """In pJ at 7 and 6 bit, where ISAAC's 2 mW at 1.2 GS/s are 1.67 pJ at 8 bit."""
    chip = load_chip("hyflexpim", {"adc.model": "isaac-split"})
    mlc = chip["analog.energy.adc_conversion_mlc"]
    assert 0.78125 * 1.415 / 1.205 < mlc < 0.78125 * 1.425 / 1.195


def test_choosing_a_model_leaves_the_stated_record(hw):
    """The value of a single-level conversion is stated whatever the model: no rule made it."""
    chip = load_chip("hyflexpim", {"adc.model": "isaac-split"})
    key = "analog.energy.adc_conversion_slc"
    assert chip.provenance[key] == hw.provenance[key]
    assert set(chip.derived) == {"analog.energy.adc_conversion_mlc"}


def test_what_is_given_stays():
    chip = load_chip("hyflexpim", {"analog.rows": 128, "adc.slc_bits": 6})
    assert chip["analog.adc.slc_bits"] == 6
    assert "analog.adc.slc_bits" not in chip.derived
    assert chip["analog.energy.adc_conversion_slc"] == 0.78125
    assert chip["analog.adc.mlc_bits"] == 8
    assert chip["analog.energy.adc_conversion_mlc"] == 4 * 0.78125  # two bits above 6
    assert chip.provenance["analog.adc.slc_bits"].source == "override"


def test_what_is_given_stays_with_its_unit():
    chip = load_chip("hyflexpim", {"analog.rows": 128, "energy.array_read": "5 pJ"})
    assert chip["analog.energy.array_read"] == 5
    assert "analog.energy.array_read" not in chip.derived


def test_a_smaller_node_scales_logic_and_leaves_cells():
    chip = load_chip("hyflexpim", {"chip.technology_nm": 32})
    assert chip["sfu.energy.sfu_element"] == pytest.approx(0.542539 / 2.326, rel=1e-3)
    assert chip["analog.area.adcs"] == pytest.approx(0.3008 / 3.3)
    assert chip["digital.energy.nor"] == 0.0238


@pytest.mark.parametrize(
    ("name", "clock", "row"),
    [
        ("non-pim", "macs.clock_period", "macs.power.lanes"),
        ("non-pim", "sfu.clock_period", "sfu.power.lanes"),
        ("isaac", "adders.clock_period", "adders.power.adders"),
        ("hyflexpim", "digital.clock_period", "digital.power.arrays"),
        ("hyflexpim", "digital.clock_period", "digital.power.wordline_drivers"),
        ("nmp", "banks.clock_period", "banks.power.units"),
    ],
)
def test_power_goes_with_the_clock(name, clock, row):
    chip = load_chip(name)
    faster = load_chip(name, {clock: f"{chip[clock] // 10} ps"})
    assert faster[row] == pytest.approx(10 * chip[row])
    assert faster.derived[row] == f"clocked({clock})"


def test_power_of_converters_goes_with_their_rate(hw):
    half = load_chip("hyflexpim", {"analog.adc.rate": "640 MS/s"})
    for row in ("analog.power.adcs", "analog.power.shift_adds"):
        assert half[row] == hw[row] / 2


def test_arrays_of_rram_shrink_but_conduct_as_before(hw):
    """65 to 32 nm: area by the node's curve, as Table 2 against ASADI's Table I; energy stays."""
    small = load_chip("hyflexpim", {"chip.technology_nm": 32})
    for unit in ("analog", "digital"):
        shrunk = hw[f"{unit}.area.arrays"] / small[f"{unit}.area.arrays"]
        assert shrunk == pytest.approx(3.3, rel=1e-6)
        assert small[f"{unit}.power.arrays"] == hw[f"{unit}.power.arrays"]
    assert small["analog.energy.array_read"] == hw["analog.energy.array_read"]
    cells = [
        load_chip(name)["analog.area.arrays"] / load_chip(name)["analog.instances.cells"]
        for name in ("hyflexpim", "asadi")
    ]
    assert cells[0] / cells[1] == pytest.approx(3.3, rel=0.06)
