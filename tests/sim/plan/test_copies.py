"""Copies: who is copied, when it stops, what is refused."""

from dataclasses import replace

import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.service import Rate
from hyflexsim.sim.engine.compiled import compiled
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.copies import (
    _fill_group,
    _shared_loads,
    _Unit,
    apply_copies,
    component_loads,
)
from hyflexsim.sim.plan.overlap import layer_serial, turns_ps
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip


def copies_of(graph, hw, tokens=8, overlap="pipelined", **options):
    placement = apply_copies(graph, place(graph, hw, Options(**options)), tokens, overlap)
    return {name: weight.copies for name, weight in placement.weights.items()}


def test_none_means_one(chain_of, chip_of):
    assert copies_of(chain_of({"b.0": [1]}), chip_of(), copies="none") == {"b.0.fc0": 1}


def test_arrays_run_out(chain_of, chip_of):
    """10 arrays, 3 a copy: 3 copies and one array left."""
    assert copies_of(chain_of({"b.0": [3]}), chip_of()) == {"b.0.fc0": 3}


def test_the_slowest_is_copied_first(chain_of, chip_of):
    """Two matrices of 1 array with equal loads share 10 arrays evenly; of 2 and 4, 2 copies fit
    only the first after both have one: loads 800 and 800, the first of equals is copied."""
    assert copies_of(chain_of({"b.0": [1, 1]}), chip_of()) == {"b.0.fc0": 5, "b.0.fc1": 5}
    assert copies_of(chain_of({"b.0": [2, 4]}), chip_of()) == {"b.0.fc0": 2, "b.0.fc1": 1}


def test_no_more_copies_than_tokens(chain_of, chip_of):
    assert copies_of(chain_of({"b.0": [1]}), chip_of(), tokens=3) == {"b.0.fc0": 3}


def test_copying_stops_at_the_bottleneck(chain_of, chip_of):
    """A bus of 0.1 GB/s takes 64 B in and 44 B out: 1080 ns a token, more than the 800 ns bank."""
    assert copies_of(chain_of({"b.0": [1]}), chip_of(pu_bus__bandwidth="0.1 GB/s")) == {
        "b.0.fc0": 1
    }


@pytest.mark.parametrize(("rate", "copies"), [("1.28 GS/s", 4), ("0.64 GS/s", 8)])
def test_copying_stops_when_the_bus_is_slower(chain_of, chip_of, rate, copies):
    """At 0.5 GB/s the bus takes 128 + 88 = 216 ns a token; the bank 800 ns, 4 copies take 200.

    A converter of half the speed stretches each plane to 200 ns, the bank to 1600: 8 copies.
    """
    hw = chip_of(pu_bus__bandwidth="0.5 GB/s", analog__adc__rate=rate)
    assert copies_of(chain_of({"b.0": [1]}), hw, tokens=100) == {"b.0.fc0": copies}


def test_a_shared_matrix_is_copied_by_all_its_runs(chip_of):
    """w serves two ops, v one: of 10 arrays w takes 7 and v 3, as w goes first at 2/6 = 1/3."""
    graph = g.new_graph("shared")
    shape = {"layer": "b.0", "width": 16, "rows": 64, "cols": 16}
    for name, weight in (("one", "w"), ("two", "w"), ("three", "v")):
        g.add_op(graph, name, "gemv", weight=weight, **shape)
    assert copies_of(graph, chip_of(), tokens=100) == {"w": 7, "v": 3}


def test_a_copy_halves_the_load(chain_of, chip_of):
    graph, hw = chain_of({"b.0": [1]}), chip_of()
    for copies in (1, 2, 4):
        placement = apply_copies(graph, place(graph, hw, Options(copies=copies)), 8)
        plan = build_plan(graph, placement)
        loads = component_loads(plan, 8)
        banks = [
            load for part, load in zip(plan.components, loads, strict=True) if part.kind == "bank"
        ]
        assert banks == [8 * 800_000 // copies] * copies


def test_pair_networks_are_copied_together(chain_of, chip_of):
    """Three matrices of one array: a wave goes through all, so 3 copies of 9 arrays."""
    assert copies_of(chain_of({"pairs": [1, 1, 1]}, axis="pair"), chip_of()) == {
        "pairs.fc0": 3,
        "pairs.fc1": 3,
        "pairs.fc2": 3,
    }


def test_too_many_copies_are_refused(chain_of, chip_of):
    """4 copies of 3 arrays are 12; the PU has 10."""
    with pytest.raises(CapacityError) as error:
        copies_of(chain_of({"b.0": [3]}), chip_of(), copies=4)
    assert str(error.value) == "4 copies of b.0 need 2 arrays more than PU 0 has"


def test_a_number_is_for_the_matrices_of_blocks(chain_of, chip_of):
    """What is not in a block (embedding, classifier) keeps one copy."""
    graph = chain_of({"embed": [1], "b.0": [1, 2], "pooler": [1]})
    assert copies_of(graph, chip_of(), copies=3) == {
        **{"embed.fc0": 1, "pooler.fc0": 1},
        **{"b.0.fc0": 3, "b.0.fc1": 3},
    }


def test_copies_by_pattern(chain_of, chip_of):
    """The first pattern that matches an op counts, in blocks or not; the rest have one copy."""
    graph = chain_of({"b.0": [1, 1], "b.1": [1], "pooler": [1]})
    wanted = {"b.0.fc1": 2, "b.0.*": 4, "pooler.*": 5}
    assert copies_of(graph, chip_of(), copies=wanted) == {
        **{"b.0.fc0": 4, "b.0.fc1": 2},
        **{"b.1.fc0": 1, "pooler.fc0": 5},
    }


# --- layer-serial: all parts of a group take turns -----------------------------------------------


def serial(graph, hw, tokens=8):
    return copies_of(graph, hw, tokens, "layer-serial")


def test_in_turns_copies_help_whatever_else_is_slow(chain_of, chip_of):
    """A bus of 0.1 GB/s is slower than the bank, yet each copy saves its turns: until 8 for 8."""
    graph, hw = chain_of({"b.0": [1]}), chip_of(pu_bus__bandwidth="0.1 GB/s")
    assert copies_of(graph, hw) == {"b.0.fc0": 1}
    assert serial(graph, hw) == {"b.0.fc0": 8}


def test_in_turns_copies_go_where_an_array_saves_most(chain_of, chip_of):
    """Of 10 arrays 4 are free beside 2 and 4. 60 tokens: a second copy of the smaller saves 30
    turns for 2 arrays, of the larger 30 for 4; a third of the smaller 10 for the last 2."""
    assert serial(chain_of({"b.0": [2, 4]}), chip_of(), tokens=60) == {"b.0.fc0": 3, "b.0.fc1": 1}


def test_in_turns_a_smaller_one_fits_where_the_best_does_not(chain_of, chip_of):
    """Of 10 arrays 2 are free beside 5 and 3: neither fits again. Beside 8 and 1 the small one."""
    assert serial(chain_of({"b.0": [5, 3]}), chip_of()) == {"b.0.fc0": 1, "b.0.fc1": 1}
    assert serial(chain_of({"b.0": [1, 8]}), chip_of()) == {"b.0.fc0": 2, "b.0.fc1": 1}


def test_in_turns_the_first_of_equals_is_copied(chain_of, chip_of):
    """Of 10 arrays 4 are free beside 3 and 3: one of them fits again."""
    assert serial(chain_of({"b.0": [3, 3]}), chip_of()) == {"b.0.fc0": 2, "b.0.fc1": 1}


def test_in_turns_no_copy_without_a_turn_less(chain_of, chip_of):
    """5 tokens: 3 copies take 2 turns, as 4 would, and an array is left; 11 tokens: 6 take 2."""
    assert serial(chain_of({"b.0": [2, 1]}), chip_of(), tokens=5) == {"b.0.fc0": 3, "b.0.fc1": 3}
    assert serial(chain_of({"b.0": [1]}), chip_of(), tokens=11) == {"b.0.fc0": 6}


def test_in_turns_pair_networks_are_copied_together(chain_of, chip_of):
    """6 pairs of 3 particles: waves of 3 take 2 turns and 9 of 10 arrays."""
    chain = chain_of({"pairs": [1, 1, 1]}, axis="pair")
    assert serial(chain, chip_of(), tokens=3) == {f"pairs.fc{i}": 3 for i in range(3)}


def test_in_turns_a_copy_is_worth_what_it_saves(chain_of, chip_of):
    """A request's time falls by the turns that the copies save, and no faster."""
    graph, hw = chain_of({"b.0": [1, 2]}), chip_of()
    times = {}
    for copies in ("none", "fill"):
        placement = place(graph, hw, Options(copies=copies))
        plan = build_plan(graph, apply_copies(graph, placement, 8, "layer-serial"))
        (times[copies],) = turns_ps(layer_serial(plan), 8).values()
    assert serial(graph, hw) == {"b.0.fc0": 4, "b.0.fc1": 3}
    assert times["none"] - times["fill"] == (6 + 5) * 900_000


# --- refusals and edges ---------------------------------------------------------------------------


def test_a_pattern_of_copies_that_matches_nothing(chain_of, chip_of):
    with pytest.raises(InputError) as error:
        copies_of(chain_of({"b.0": [1, 1, 1, 1]}), chip_of(), copies={"b.0.*": 2, "c.*": 2})
    assert str(error.value) == (
        "copies: no matrix matches 'c.*'; names are like b.0.fc0, b.0.fc1, b.0.fc2"
    )


@pytest.mark.parametrize("copies", [2, {"b.0.*": 2}])
def test_copies_that_could_serve_no_second_token(chain_of, copies):
    with pytest.raises(InputError) as error:
        copies_of(chain_of({"b.0": [1]}), load_chip("non-pim"), copies=copies)
    assert str(error.value) == (
        "copies must be none or fill on non-pim: a second copy in macs serves no second token; "
        f"got {copies!r}"
    )


@pytest.mark.parametrize("overlap", ["pipelined", "layer-serial"])
def test_filling_copies_nothing_that_could_serve_no_second_token(chain_of, overlap):
    graph = chain_of({"b.0": [1]})
    assert copies_of(graph, load_chip("non-pim"), overlap=overlap) == {"b.0.fc0": 1}


def test_copies_by_pattern_that_do_not_fit(chain_of, chip_of):
    """4 x 3 of 10 arrays; the message has no number, since there are several."""
    with pytest.raises(CapacityError) as error:
        copies_of(chain_of({"b.0": [3], "b.1": [1]}), chip_of(), copies={"b.0.*": 4})
    assert str(error.value) == "copies of b.0 need 2 arrays more than PU 0 has"


def test_copies_that_fill_a_pu_to_the_last_array(chain_of, chip_of):
    assert copies_of(chain_of({"b.0": [5]}), chip_of(), copies=2) == {"b.0.fc0": 2}


def test_layers_that_share_pus_are_refused_together(chain_of, chip_of):
    with pytest.raises(CapacityError) as error:
        copies_of(chain_of({"b.0": [4], "b.1": [4]}), chip_of(pus=1), copies=2)
    assert str(error.value) == "2 copies of b.0, b.1 need 6 arrays more than PU 0 has"


def test_groups_are_filled_each_with_its_own_arrays(chain_of, chip_of):
    graph = chain_of({"b.0": [3], "b.1": [5]})
    assert copies_of(graph, chip_of()) == {"b.0.fc0": 3, "b.1.fc0": 2}
    assert serial(graph, chip_of()) == {"b.0.fc0": 3, "b.1.fc0": 2}


def test_a_group_of_two_pus_has_arrays_of_both(chain_of, chip_of):
    """20 arrays, 6 a copy."""
    assert copies_of(chain_of({"b.0": [6]}), chip_of(), pus_per_layer=2) == {"b.0.fc0": 3}


FACTORS = {"b.0": [(64, 48, 16)]}
"""V takes one array (16 ranks of 8 bits), U three (48 outputs); a PU has ten."""


def part_copies_of(graph, hw, tokens=8, overlap="pipelined", **options):
    placement = apply_copies(graph, place(graph, hw, Options(**options)), tokens, overlap)
    return {name: weight.part_copies for name, weight in placement.weights.items()}


@pytest.mark.parametrize(
    ("overlap", "copies"),
    [
        ("pipelined", (3, 2)),  # equal loads: V, U, V; a third U does not fit
        ("layer-serial", (4, 2)),  # turns of 8: V saves 4, U 4 for three arrays, V 1 and 1
    ],
)
def test_factors_are_copied_each_for_itself(chain_of, chip_of, overlap, copies):
    """Whole copies take four arrays: two fit."""
    found = part_copies_of(chain_of(FACTORS), chip_of(), 8, overlap, copies="fill-factors")
    assert found == {"b.0.fc0": copies}
    assert part_copies_of(chain_of(FACTORS), chip_of(), 8, overlap) == {"b.0.fc0": (2, 2)}


def test_a_copy_and_a_half_by_pattern(chain_of, chip_of):
    """Tokens go to V's copies in turn, and all to the one U: a bank of V works half as long."""
    graph, hw = chain_of(FACTORS), chip_of()
    placement = apply_copies(graph, place(graph, hw, Options(copies={"*.V": 2})), 8)
    weight = placement.weights["b.0.fc0"]
    assert (weight.copies, weight.further, weight.taken) == (1, (1, 0), 5)
    assert placement.free(placement.pus["b.0"]) == 5
    plan = build_plan(graph, placement)
    loads = component_loads(plan, 8)
    banks = {
        part.name: load
        for part, load in zip(plan.components, loads, strict=True)
        if part.kind == "bank"
    }
    assert banks == {
        "pu00.fc0.V.bank[0]": 3_200_000,
        "pu00.fc0.V.bank[1]": 3_200_000,
        "pu00.fc0.U.bank": 6_400_000,
    }


@pytest.mark.parametrize("copies", ["fill-factors", "even", {"*.V": 3, "*.U": 2}])
def test_both_engines_play_copies_of_factors(outcome, chain_of, chip_of, copies):
    graph, hw = chain_of(FACTORS | {"b.1": [(60, 16, 8), 1]}), chip_of(pus=3)
    placement = apply_copies(graph, place(graph, hw, Options(copies=copies)), 7, "layer-serial")
    for plan in (build_plan(graph, placement), layer_serial(build_plan(graph, placement))):
        requests = [Request(0, 7), Request(1000, 5)]
        assert outcome(compiled.play, plan, requests) == outcome(play, plan, requests)


@pytest.mark.parametrize(
    ("pus", "tokens", "copies"),
    [(1, 16, 3), (2, 16, 6), (3, 16, 10), (3, 8, 8)],  # 10, 20 and 30 arrays by three; 8 tokens
)
def test_even_copies_are_the_same_for_all_matrices(chain_of, chip_of, pus, tokens, copies):
    """On three PUs 3 1/3 a PU."""
    graph = chain_of({"b.0": [1, 2], "pooler": [1]})
    found = copies_of(graph, chip_of(pus=4), tokens, copies="even", pus_per_layer=pus)
    assert found == {"b.0.fc0": copies, "b.0.fc1": copies, "pooler.fc0": 1}


def test_loads_of_lanes_and_of_contexts(plan_of):
    """4 tokens of 10 ps on two lanes are 20 each; contexts 1 to 4 of 10 ps are 100 on one."""
    plan = plan_of(
        ((0, 1), 10, [], None, {}),
        (2, Rate(work=10), [], None, {"size": "prefix"}),
        (2, 1, [], None, {}),
    )
    assert component_loads(plan, 4) == [20, 20, 104]


def test_units_of_copies_by_hand():
    """Visits of 8 tokens at 5 ps and 4 at 7: with 3 copies 3 x 5 + 2 x 7 ps."""
    unit = _Unit([("w", 0)], 1, 8, 0)
    unit.visits = [(8, 5), (4, 7)]
    assert [unit.turns_ps(copies) for copies in (1, 3, 8)] == [68, 29, 12]
    assert unit.next_worth() == 2
    unit.copies = 4
    assert unit.next_worth() == 8  # 5, 6 and 7 copies still take two turns of eight
    unit.copies = 8
    assert unit.next_worth() == 0


def test_a_matrix_that_is_never_visited_is_worth_no_copy():
    assert _Unit([("w", 0)], 1, 8, 0).next_worth() == 0


@pytest.mark.parametrize(
    ("free", "floor", "copies"),
    [(10, 0, 4), (10, 25, 4), (10, 26, 4), (10, 34, 3), (10, 50, 2), (10, 100, 1), (1, 0, 2)],
)
def test_a_group_is_filled_down_to_its_floor(free, floor, copies):
    """A load of 100 in 4 runs: copies until load / copies is the floor, or runs, or arrays."""
    assert _fill_group([_Unit([("w", 0)], 1, 4, 100)], free, floor) == {("w", 0): copies}


def test_without_matrices_there_is_nothing_to_copy():
    assert _fill_group([], 10, 0) == {}


def test_the_busiest_of_each_pu_that_copies_do_not_help(plan_of):
    """PU 0: 30 beside a copied 90; PU 1: nothing to do."""
    plan = plan_of(
        (0, 10, [], None, {}), (1, 30, [], None, {"unit": "analog"}), (3, 5, [], None, {})
    )
    pus = (0, 0, 1, 0)
    components = tuple(replace(c, pu=pu) for c, pu in zip(plan.components, pus, strict=True))
    assert _shared_loads(replace(plan, components=components), 3, "analog") == {0: 30, 1: 0}
