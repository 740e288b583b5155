"""Gains come from columns, conversions, copies, bytes: without their cause they are gone."""

from dataclasses import replace

import pytest

from hyflexsim.sim.plan.traffic import link_bytes
from hyflexsim.workloads.reproduction import end_to_end, linear_energy, throughput
from hyflexsim.workloads.reproduction.blocks import LINEAR, Blocks, Case

ONE_BIT = (("analog.mlc_bits", 1),)
ALL = Case()


@pytest.mark.parametrize("tiles", ["row-tile", "ideal"])
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5])
def test_with_one_bit_a_cell_no_rate_gains_anything(rate, tiles):
    some = Case(slc_rate=rate, tiles=tiles, set=ONE_BIT)
    whole = replace(some, slc_rate=1.0)
    assert linear_energy.mac_pj(some) == pytest.approx(linear_energy.mac_pj(whole), rel=1e-12)
    for overlap in ("pipelined", "layer-serial"):
        turns = replace(some, overlap=overlap, copies="fill")
        assert throughput.per_area(turns) == 1
    assert end_to_end.energy_pj(some) == pytest.approx(end_to_end.energy_pj(whole), rel=1e-12)


def test_fractional_copies_gain_nothing_with_one_bit_a_cell():
    for copies in ("fill-factors", "even"):
        some = Case(
            slc_rate=0.05, overlap="layer-serial", copies=copies, pus_per_layer=2, set=ONE_BIT
        )
        assert throughput.per_area(some) == 1


@pytest.mark.parametrize("tokens", [128, 1024])
def test_with_equal_attention_all_that_is_left_of_energy_is_linear(tokens):
    ours = replace(end_to_end.OURS["BERT-Large, 5 % SLC"], tokens=tokens)
    parts = Blocks.of(ours).energy_pj()
    others = Blocks.of(end_to_end.other(ours, "hyflexpim")).energy_pj()
    assert {part for part in parts if parts[part] != others[part]} == {LINEAR}
    linear = others[LINEAR] / parts[LINEAR]
    assert 1 < end_to_end.ratio(ours, "hyflexpim") < linear
    assert linear == pytest.approx(linear_energy.gain(), rel=1e-12)
    assert end_to_end.ratio(ours) > linear  # FP32 attention alone lifts it above that


def test_a_part_of_a_pu_more_gains_nothing_with_one_bit_a_cell():
    some = Case(slc_rate=0.05, overlap="layer-serial", copies="fill", set=ONE_BIT)
    assert throughput.per_area(replace(some, pus_per_layer=1.5)) == 1


def test_the_breakdown_adds_up_and_has_buses_apart():
    """Bits of all links at what one costs; embeddings and pooler, left out here, are under 1 %."""
    case = end_to_end.OURS["BERT-Large, 5 % SLC"]
    parts, whole = end_to_end.breakdown(case), Blocks.of(case)
    assert sum(parts.values()) == pytest.approx(sum(whole.energy_pj().values()), rel=1e-12)
    moved, chip = link_bytes(whole.ready.plan, whole.ready.chip, 128), whole.ready.chip
    every = sum(8 * size * chip.action_energy(link, "bit")[0] for link, size in moved.items())
    assert 0.99 * every < parts["transfers"] < every


def test_without_padding_all_slc_takes_no_second_pu_and_pipelining_gains_nothing():
    pipelined = replace(throughput.TURNS, overlap="pipelined", slc_rate=0.05)
    padded, ideal = pipelined, replace(pipelined, tiles="ideal")
    assert Blocks.of(replace(padded, slc_rate=1.0)).pus == 2 * Blocks.of(padded).pus
    assert Blocks.of(replace(ideal, slc_rate=1.0)).pus == Blocks.of(ideal).pus
    assert throughput.per_area(padded) == 2
    assert throughput.per_area(ideal) == 1


def test_without_copies_turns_gain_nothing_but_the_padding():
    bare = replace(throughput.TURNS, copies="none", tiles="ideal", slc_rate=0.05)
    assert throughput.per_area(bare) == pytest.approx(1, abs=1e-3)
