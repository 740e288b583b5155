"""Every rule at points worked out from the published tables."""

import math

import pytest

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.formats import FORMATS, float_product_nors


@pytest.mark.parametrize(
    ("nm", "energy", "area"),
    # Stillmaker and Baas (2017): a + b + c at 1.0 V; area relative to 32 nm
    [
        (7, 0.11110, 0.13),
        (10, 0.13744, 0.22),
        (14, 0.16194, 0.38),
        (16, 0.20194, 0.41),
        (20, 0.25584, 0.46),
        (32, 0.57270, 1.0),
        (45, 0.86120, 2.2),
        (65, 1.33200, 3.3),
        (90, 2.07300, 6.1),
        (130, 3.36600, 14.0),
    ],
)
def test_nodes_of_the_table(nm, energy, area):
    assert rules.node_energy(nm) == pytest.approx(energy, rel=1e-12)
    assert rules.node_area(nm) == pytest.approx(area, rel=1e-12)


def test_at_other_voltages_energy_is_the_tables_parabola(monkeypatch):
    """65 nm at 2 V: 4 x 3.755 - 2 x 4.398 + 1.975."""
    monkeypatch.setattr(rules, "_VOLTS", 2.0)
    assert rules.node_energy(65) == pytest.approx(4 * 3.755 - 2 * 4.398 + 1.975, rel=1e-12)


def test_between_nodes_logarithms_are_straight():
    """55 nm lies halfway between 45 and 65; 50 a quarter of the way."""
    assert rules.node_area(55) == pytest.approx(math.sqrt(2.2 * 3.3), rel=1e-12)
    assert rules.node_area(50) == pytest.approx(2.2**0.75 * 3.3**0.25, rel=1e-12)


def test_beyond_the_table_the_last_line_goes_on():
    """170 nm is as far from 130 as 90 is; 4 nm as far from 7 as 10 is."""
    assert rules.node_area(170) == pytest.approx(14.0**2 / 6.1, rel=1e-12)
    assert rules.node_area(4) == pytest.approx(0.13**2 / 0.22, rel=1e-12)


@pytest.mark.parametrize("bits", [1, 6, 8])
def test_doubling(bits):
    assert rules.converter_energy("doubling", bits, 1) == 2**bits
    assert rules.converter_area("doubling", bits, 1) == 2**bits


@pytest.mark.parametrize(
    ("bits", "energy", "area"),
    # 2.9 of 3.1 mW and 407 of 747 parts grow with bits, the rest doubles a bit; 1 at 8 bit
    [
        (8, 1.0, 1.0),
        (4, (2.9 / 2 + 0.2 / 16) / 3.1, (407 / 2 + 340 / 16) / 747),
        (9, (2.9 * 9 / 8 + 0.4) / 3.1, (407 * 9 / 8 + 680) / 747),
    ],
)
def test_isaac_split(bits, energy, area):
    assert rules.converter_energy("isaac-split", bits, 1) == pytest.approx(energy, rel=1e-12)
    assert rules.converter_area("isaac-split", bits, 1) == pytest.approx(area, rel=1e-12)


@pytest.mark.parametrize(
    ("bits", "rate", "merit"),
    # dB: the architecture's line at few samples a second, the technology's at many
    [
        (8, 10**6, 128.3068287 + 3.220511516 * 8),
        (4, 10**6, 128.3068287 + 3.220511516 * 4),
        (8, 10**10, 213.7806687 - 2.871903040 * 23.025850929940457),
    ],
)
def test_survey(bits, rate, merit):
    """Figure of merit in dB = 10 log10(1.5 x 4^bits / energy of a conversion's step)."""
    energy = 1.5 * 4**bits / 10 ** (merit / 10) * bits**-2.829125605
    assert rules.converter_energy("survey", bits, rate) == pytest.approx(energy, rel=1e-9)
    area = rate**0.180715384 * energy**0.299124262
    assert rules.converter_area("survey", bits, rate) == pytest.approx(area, rel=1e-9)


def test_small_rules():
    assert rules.converter_bits(64, 1) == rules.converter_bits(33, 1) == 6
    assert rules.converter_bits(65, 3) == 9
    assert rules.partial_sum_bits(8, 4, 65) == 19
    assert rules.array_read_energy(3, 5, 7) == 105
    assert rules.wordline_energy(5, 7) == 35
    assert rules.proportional(2, 3, 4) == 24
    assert rules.shared_by(4) == 0.25
    assert rules.sram_energy(2**14) == 128


def test_a_multi_level_conversion_costs_what_its_bits_cost_more():
    assert rules.mlc_conversion("doubling", 3.0, 5, 8, 1) == 24
    split = (2.9 * 9 / 8 + 0.4) / 3.1
    assert rules.mlc_conversion("isaac-split", 3.0, 8, 9, 1) == pytest.approx(3 * split, rel=1e-12)


def test_models_of_converters_by_name():
    assert rules.CONVERTER_MODELS == ("doubling", "isaac-split", "survey")


@pytest.mark.parametrize(
    ("name", "bits", "nors"),
    # 12 e + 6.5 m^2 - 7.5 m - 2
    [("fp16", 16, 60 + 650 - 75 - 2), ("fp32", 32, 96 + 3438.5 - 172.5 - 2)],
)
def test_floating_point_formats(name, bits, nors):
    assert FORMATS[name].bits == bits
    assert float_product_nors(FORMATS[name]) == nors


def test_whole_number_formats_have_no_exponent():
    assert {name: f for name, f in FORMATS.items() if name.startswith("int")} == {
        f"int{bits}": (bits, 0, 0) for bits in (4, 8, 12, 16)
    }
