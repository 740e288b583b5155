"""Silicon and reviewers: answers known on paper."""

from dataclasses import replace

import pytest

from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.reproduction import reviewers, scaling, silicon, throughput
from hyflexsim.workloads.reproduction.claims import paper


def test_a_full_array_costs_what_table_2_says():
    """181.8 pJ an array and bit-plane (ADC 100, drivers 58.1, array 11.9, S&A 11.6), 8 planes."""
    each = silicon.matrix_pj("hyflexpim", {}, 64, 16)
    assert each == pytest.approx(8 * 181.8 / 1024, rel=1e-3)


def test_a_tall_macro_shares_a_conversion_among_its_rows():
    """2304 rows: an 8-bit conversion (4 x 0.78125 pJ) a column; a driver twice as wide a row."""
    energy = load_chip("hyflexpim").units["analog"].values.energy
    wanted = 4 * energy.adc_conversion_slc / 2304 + energy.wordline_drive * 2 / 256
    wanted += energy.array_read / (64 * 128)
    assert silicon.matrix_pj("hyflexpim", silicon.JIA, 2304, 256) == pytest.approx(wanted, rel=0.02)


def test_every_measured_macro_has_ours():
    names = list(paper("silicon")["tops_per_w"])
    assert [name.startswith(short) for short, name in zip(silicon.OURS, names, strict=True)] == (
        [True] * len(names)
    )


def test_one_bit_in_a_cell_is_all_slc():
    assert throughput.per_area(reviewers.with_bits(reviewers.FIVE, 1)) == 1


def test_scores_of_a_long_sequence_are_four_times_a_pu():
    sizes = {name: size for _, _, name, size, _ in reviewers._memory()}
    assert sizes["scores, whole"] == 16 * 8192**2 / 2**20 == 4 * sizes["memory of a PU"]
    assert sizes["what waits, row by row"] < sizes["memory of a PU"]


def test_a_generated_token_takes_longer_the_more_has_been_said():
    times = [reviewers.generated_us(replace(reviewers.GPT2, tokens=n)) for n in (4, 64)]
    assert 0 < times[0] < times[1]


def test_every_speed_up_stands_beside_its_area():
    """GPT-2 on two PUs a layer is 1.99 times as fast on twice the area; Fig 16 is on half of it."""
    found = {(series, bar): value for _, series, bar, value, _ in reviewers._areas()}
    assert found["area", "GPT-2, 2 for 1 PUs a layer"] == pytest.approx(2, rel=1e-12)
    assert found["throughput", "GPT-2, 2 for 1 PUs a layer"] == scaling.speed_up(
        scaling.MODELS["GPT-2"], 1
    )
    bar = "5 % SLC, N = 128"
    assert found["area", bar] == 0.5
    assert found["throughput", bar] / found["area", bar] == throughput.at(0.05, 128)
    assert found["with it", bar] == pytest.approx(24 * (11.239 + 64.051), rel=1e-4)
