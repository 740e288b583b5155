"""Faults by name and by rate, what is left out for them, and what happens when that is too much."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.cells import arrays
from hyflexsim.sim.placement.faults import FaultMap, Faults, StuckCell
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.units.catalogue import load_chip

RATES = ("modules", "arrays", "converters", "columns")


@pytest.fixture(scope="module")
def chip():
    """2 modules of 4 arrays of 8 x 8, 2 converters an array; 6 PUs."""
    return load_chip(
        "hyflexpim",
        {
            "chip.pus": 6,
            "analog.count": 2,
            "analog.arrays": 4,
            "analog.rows": 8,
            "analog.columns": 8,
            "analog.adc.per_array": 2,
        },
    )


def test_every_name_is_what_it_says(chip):
    names = (
        *("pu1", "pu2.analog.1", "pu3.analog.0.2", "pu3.analog.1.0.adc1"),
        *("pu3.analog.1.1.column5", "pu3.analog.1.1.row2.column3.on"),
    )
    found = FaultMap(Faults(names, repair="none"), chip, 6)
    assert found.working == [0, 2, 3, 4, 5]
    assert {a: np.flatnonzero(c).tolist() for a, c in found.dead_columns(2).items()} == {
        a: [*range(8)] for a in (4, 5, 6, 7)
    }
    assert {a: np.flatnonzero(c).tolist() for a, c in found.dead_columns(3).items()} == {
        2: [*range(8)],
        4: [4, 5, 6, 7],
        5: [5],
    }
    assert found.stuck_cells(3) == {5: [StuckCell(2, 3, on=True)]}
    assert found.left_out(3).tolist() == []
    assert FaultMap(Faults(names), chip, 6).left_out(3).tolist() == [2]
    assert FaultMap(Faults(names, repair="columns"), chip, 6).left_out(3).tolist() == [2, 4, 5]
    assert FaultMap(Faults(names), chip, 6).left_out(4).tolist() == []


def test_an_array_whose_converters_are_all_dead_is_dead(chip):
    names = ("pu0.analog.0.1.adc0", "pu0.analog.0.1.adc1", "pu0.analog.0.2.adc0")
    assert FaultMap(Faults(names), chip, 6).left_out(0).tolist() == [1]


@pytest.mark.parametrize("rate", RATES)
def test_rates_of_zero_and_one(chip, rate):
    assert FaultMap(Faults(**{rate: 0.0}), chip, 6).dead_columns(0) == {}
    every = FaultMap(Faults(**{rate: 1.0}), chip, 6).dead_columns(0)
    assert len(every) == 8
    assert all(columns.all() for columns in every.values())


@given(
    rate=st.sampled_from(RATES),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 9),
    pu=st.integers(0, 5),
)
def test_a_higher_rate_breaks_the_same_and_more(chip, rate, shares, seed, pu):
    low, high = (
        FaultMap(Faults(seed=seed, **{rate: share}), chip, 6).dead_columns(pu)
        for share in sorted(shares)
    )
    assert all((high[array] | ~columns).all() for array, columns in low.items())


def test_rates_are_shares():
    """Of 16,384 columns a tenth: within four standard deviations."""
    chip = load_chip("hyflexpim", {"analog.count": 1, "analog.arrays": 128})
    dead = FaultMap(Faults(columns=0.1), chip, 6).dead_columns(0)
    assert abs(sum(c.sum() for c in dead.values()) - 1638.4) < 4 * (16384 * 0.09) ** 0.5


def test_dead_pus_are_passed_over(chip, chain_of):
    graph = chain_of({f"b.{n}": [(8, 1)] for n in range(4)})
    options = Options(copies="none", faults=Faults(("pu0", "pu2")))
    assert place(graph, chip, options).pus == {f"b.{n}": (pu,) for n, pu in enumerate((1, 3, 4, 5))}
    less = Options(copies="none", faults=Faults(("pu0", "pu2", "pu5")), pus_per_layer=1)
    message = "1 chip(s) have 3 working PUs, 3 dead (24 arrays): 1 PU(s) (8 arrays) short"
    with pytest.raises(CapacityError, match=re.escape(message)):
        place(graph, chip, less)


def test_nothing_lies_where_it_is_broken(chip, chain_of):
    graph = chain_of({"b.0": [(8, 1)] * 3})
    faults = Faults(("pu0.analog.0.0", "pu0.analog.0.2"))
    placement = place(graph, chip, Options(copies="none", faults=faults))
    where = [array.name for name in placement.weights for array in arrays(placement, name)]
    assert where == ["pu0.analog.0.1", "pu0.analog.0.3", "pu0.analog.1.0"]
    assert [row["arrays_total"] for row in placement.rows()] == [1, 1, 1]


def test_copies_go_before_spare_arrays_and_these_before_another_pu(chip, chain_of):
    """One matrix of 2 arrays on a PU of 8, 2 of them spare: 3 copies, and so on."""
    graph = chain_of({"b.0": [(8, 2)]})

    def made(dead, **more):
        names = tuple(f"pu0.analog.{n // 4}.{n % 4}" for n in range(dead))
        options = Options(spare_arrays=2, faults=Faults(names), **more)
        placed = apply_copies(graph, place(graph, chip, options), 99)
        (weight,) = placed.weights.values()
        return weight.copies, placed.free((0,)) if placed.pus == {"b.0": (0,)} else placed.pus

    assert made(0) == (3, 0)
    assert made(1) == (2, 1)
    assert made(4) == (1, 0)
    assert made(5) == (1, -1)
    assert made(6) == (1, -2)
    assert made(7) == (2, {"b.0": (0, 1)})  # 9 arrays on two PUs, 4 of them spare
    message = "PU 0 lacks 1 arrays for what is broken; mapping.pus_per_layer = 1 forbids another PU"
    with pytest.raises(CapacityError, match=re.escape(message)):
        made(7, pus_per_layer=1)


def test_a_machine_with_too_much_broken_is_refused_with_what_it_lacks(chip, chain_of):
    graph = chain_of({f"b.{n}": [(8, 8)] for n in range(6)})
    with pytest.raises(CapacityError, match=r"too few arrays for the model: 1 PU\(s\) short"):
        place(graph, chip, Options(copies="none", faults=Faults(("pu0.analog.0.0",))))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"names": ("pu6",)}, "faults.names: PUs are pu0 to pu5; got 'pu6'"),
        (
            {"names": ("pu0.analog.2",)},
            "faults.names: module must be from 0 to 1; got 'pu0.analog.2'",
        ),
        (
            {"names": ("pu0.digital.0",)},
            "faults.names: weights of hyflexpim lie in analog, not in digital; got 'pu0.digital.0'",
        ),
        (
            {"names": ("pu0.analog.0.0.row9.column0.on",)},
            "faults.names: row must be from 0 to 7; got 'pu0.analog.0.0.row9.column0.on'",
        ),
        (
            {"names": ("pu0.analog.0.0.row1.column0",)},
            "faults.names: a stuck cell has row, column, on or off; "
            "got 'pu0.analog.0.0.row1.column0'",
        ),
        (
            {"names": ("PU0",)},
            "faults.names must be like pu3, pu3.analog.4, pu3.analog.4.17, pu3.analog.4.17.adc0, "
            "pu3.analog.4.17.column9 or pu3.analog.4.17.row5.column9.on; got 'PU0'",
        ),
        ({"deaths": {"pu9": 1}}, "faults.deaths: PUs are pu0 to pu5; got 'pu9'"),
        ({"arrays": 1.5}, "faults.arrays must be from 0 to 1; got 1.5"),
        (
            {"repair": "all"},
            "faults.repair must be one of none, arrays, columns; got 'all'",
        ),
    ],
)
def test_refusals(chip, given, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        FaultMap(Faults(**given), chip, 6)


@given(seed=st.integers(0, 99), rate=st.sampled_from(("pus", *RATES)), first=st.integers(0, 3))
def test_a_machine_of_several_has_its_part_of_what_is_broken(chip, seed, rate, first):
    """Three PUs of six, from ``first`` on: as the map of all six has them, numbered from 0."""
    names = ("pu1", "pu2.analog.1", "pu3.analog.0.2.row1.column3.on", "pu5.analog.0.0.adc1")
    faults = Faults(names, seed=seed, deaths={"pu2": 7, "pu4": 9}, **{rate: 0.3})
    every, own = FaultMap(faults, chip, 6), FaultMap(faults, chip, 3, None, first, 6)
    assert [pu + first for pu in own.working] == [
        pu for pu in every.working if first <= pu < first + 3
    ]
    assert {pu + first: at for pu, at in own.deaths.items()} == {
        pu: at for pu, at in every.deaths.items() if first <= pu < first + 3
    }
    for pu in range(3):
        assert own.left_out(pu).tolist() == every.left_out(pu + first).tolist()
        assert own.stuck_cells(pu) == every.stuck_cells(pu + first)
        mine, all_of_it = own.dead_columns(pu), every.dead_columns(pu + first)
        assert mine.keys() == all_of_it.keys()
        assert all((mine[array] == all_of_it[array]).all() for array in mine)


def test_weights_in_bytes_have_no_arrays_to_break():
    message = (
        "faults: nmp holds weights in banks as bytes, which has no arrays; only PUs can be broken"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        FaultMap(Faults(columns=0.1), load_chip("nmp"), 6)
    assert FaultMap(Faults(("pu1",)), load_chip("nmp"), 3).working == [0, 2]
