"""Who lodges where, what is refused, what waits beside results: edges of placement and memory."""

import dataclasses

import numpy as np
import pytest

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.mapping import (
    Options,
    is_block,
    layer_order,
    pieces_per_pu,
    place,
    protection,
    weights_on,
)
from hyflexsim.sim.placement.memory import capacity_bytes, request_bytes, requests_at_once
from hyflexsim.sim.placement.slots import Slots
from hyflexsim.sim.units.catalogue import load_chip


@pytest.fixture(scope="module")
def put(chip_of, chain_of):
    def put(layers, chip=None, **options):
        return place(chain_of(layers), chip_of(**chip or {}), Options(**options))

    return put


# ---- lodgers


def test_a_lodger_takes_exactly_the_room_there_is(put):
    """Beside 6 of 10 there is room for 4, not for 5."""
    assert put({"embed": [4], "b.0": [6]}, {"pus": 1}).pus == {"embed": (0,), "b.0": (0,)}
    with pytest.raises(CapacityError, match=r"1 PU\(s\) \(10 arrays\) short$"):
        put({"embed": [5], "b.0": [6]}, {"pus": 1})


def test_room_that_one_lodger_took_is_gone(put):
    """b.0 has room for 4: the larger of two stems takes 3, the other goes to b.1."""
    placement = put({"a": [2], "c": [3], "b.0": [6], "b.1": [6]}, {"pus": 2})
    assert placement.pus["c"] == placement.pus["b.0"] == (0,)
    assert placement.pus["a"] == placement.pus["b.1"] == (1,)


def test_two_pus_a_block_have_room_on_both(put):
    """15 of 20 leave 5."""
    placement = put({"embed": [5], "b.0": [15]}, {"pus": 2})
    assert placement.pus == {"embed": (0, 1), "b.0": (0, 1)}


def test_a_layer_takes_the_pus_it_needs_where_they_are_spare(put):
    """A head of 15 needs two PUs: of three, one block leaves two."""
    placement = put({"b.0": [5], "head": [15]}, {"pus": 3})
    assert placement.pus == {"b.0": (0,), "head": (1, 2)}


def test_a_layer_that_needs_more_than_is_spare_lodges(put):
    """Beside 10 of 30 a head of 15 has room; the one spare PU is too small for it."""
    placement = put({"b.0": [10], "head": [15]}, {"pus": 4}, pus_per_layer=3)
    assert placement.pus == {"b.0": (0, 1, 2), "head": (0, 1, 2)}


def test_layers_without_weights_lodge_with_the_nearest(put):
    placement = put({"b.0": [9], "act": [], "b.1": [9], "pool": []})
    assert placement.pus["act"] in (placement.pus["b.0"], placement.pus["b.1"])
    assert placement.pus["pool"] == placement.pus["b.1"]


# ---- numbers


def test_blocks_of_several_pus_fill_what_is_left_of_a_chip(put):
    """2 + 2 on a chip of 4, the third on the next one."""
    placement = put({f"b.{i}": [15] for i in range(3)}, chips=2)
    assert list(placement.pus.values()) == [(0, 1), (2, 3), (4, 5)]
    assert placement.chips_used == 2


def test_a_layer_as_large_as_a_chip_starts_at_a_chip(put):
    """35 arrays are 4 PUs, a whole chip: it does not straddle."""
    assert put({"b.0": [9], "b.1": [35]}, chips=2).pus["b.1"] == (4, 5, 6, 7)


def test_used_pus_and_chips_count_what_holds_something(put):
    placement = put({"b.0": [25], "b.1": [25]}, chips=3)
    assert (placement.pus_used, placement.chips_used) == (6, 2)


# ---- refusals


def test_a_unit_too_small_for_a_pu_is_refused(chain_of):
    """A memory of 4 B that 24 PUs share holds less than a byte a PU."""
    chip = load_chip("non-pim", {"dram.capacity": 4})
    shared = dataclasses.replace(chip, values=chip.values.model_copy(update={"pus": 24}))
    assert pieces_per_pu(shared) == 0
    with pytest.raises(CapacityError) as error:
        place(chain_of({"b.0": [1]}), shared, Options())
    assert str(error.value) == ("dram holds less than one of its bytes a PU; the model needs 1024")
    assert place(chain_of({"b.0": []}), shared, Options()).pus == {"b.0": (0,)}


def test_a_memory_that_is_large_enough_but_cut_too_small_is_no_full_memory(chain_of):
    """1024 B in a memory of 1024 that three PUs share, 341 each: four would be needed."""
    chip = load_chip("non-pim", {"dram.capacity": 1024})
    shared = dataclasses.replace(chip, values=chip.values.model_copy(update={"pus": 3}))
    with pytest.raises(CapacityError, match=r"^the model's 1024 bytes take 4 PUs \(1364 bytes\)"):
        place(chain_of({"b.0": [1]}), shared, Options())


def test_the_least_of_apart_and_together_is_reported(put):
    """Blocks of 6 (two a PU do not fit): 3 apart on 2 PUs; together 18 arrays fit 2 PUs."""
    placement = put({f"b.{i}": [6] for i in range(3)}, {"pus": 2})
    assert set(placement.pus.values()) == {(0, 1)}
    with pytest.raises(CapacityError) as error:
        put({f"b.{i}": [7] for i in range(3)}, {"pus": 2})
    assert str(error.value) == (
        "the model's 21 arrays take 3 PUs (30 arrays), since layers take whole ones; "
        "1 chip(s) have 2 PUs (20 arrays): 1 PU(s) (10 arrays) short"
    )


def test_exactly_the_pus_asked_for_are_enough(put):
    assert put({"b.0": [20]}, pus_per_layer=2).pus == {"b.0": (0, 1)}


def test_as_many_pus_as_may_be_in_use(put):
    """2^17, on 2^15 chips of four."""
    assert put({"b.0": [1]}, pus_per_layer=2**17, chips=2**15).pus_used == 2**17
    with pytest.raises(CapacityError, match=r"at most 131072 can be in use"):
        put({"b.0": [1]}, pus_per_layer=2**17 + 1, chips=2**15 + 1)


@pytest.mark.parametrize("copies", [{"b.*": 0}, {"b.*": True}, {}, {"a": 1, "b": 2}])
def test_tables_of_copies_hold_positive_numbers(copies):
    if all(type(n) is int and n > 0 for n in copies.values()):
        assert Options(copies=copies).copies == copies
    else:
        with pytest.raises(InputError, match=r"^copies must be none, fill, fill-factors"):
            Options(copies=copies)


def test_patterns_name_three_matrices(put):
    with pytest.raises(InputError, match=r"names are like b.0.fc0, b.0.fc1, b.0.fc2$"):
        put({"b.0": [1, 1, 1, 1]}, slc_rates={"x": 0.5})


# ---- pieces


@pytest.mark.parametrize(
    ("first", "count", "dealt"), [(0, 5, [2, 2, 1]), (1, 5, [1, 2, 2]), (2, 1, [0, 0, 1])]
)
def test_things_are_dealt_in_turn(first, count, dealt):
    whole = Slots([np.zeros(0, dtype=int)] * 3)
    assert [whole.dealt(first, count, position) for position in range(3)] == dealt


def test_arrays_of_both_modes_are_dealt_one_after_the_other(put):
    """5 SLC and 3 MLC arrays on 2 PUs: 3 + 2, then 1 + 2; the next matrix goes on at PU 0."""
    placement = put(
        {"b.0": [(64, 16 * 5 + 32 * 3), 4]}, slc_rate=80 / 176, pus_per_layer=2, copies="none"
    )
    rows = list(placement.rows())
    assert [(row["arrays_slc"], row["arrays_mlc"]) for row in rows[:2]] == [(3, 1), (2, 2)]
    assert [row["arrays_total"] for row in rows] == [4, 4, 2, 2]
    assert [row["cols"] for row in rows] == [176, 176, 16, 16]


def test_bytes_of_weights_in_memory(chain_of):
    placement = place(chain_of({"b.0": [1]}), load_chip("non-pim"), Options())
    (row,) = placement.rows()
    assert (row["bytes"], row["arrays_total"], row["rank"]) == (1024, 0, -1)
    (weight,) = placement.weights.values()
    assert (weight.pieces, weight.cells("bytes"), weight.cells("arrays_slc")) == (1024, 1024, 0)
    assert placement.free((0,)) == 6_280_000_000 - 1024


def test_a_matrix_with_a_rank_is_two_factors(put):
    placement = put({"b.0": [(64, 32, 16)]}, slc_rate=1.0)
    (row,) = placement.rows()
    assert (row["rank"], row["rows"], row["cols"]) == (16, 64, 32)
    (weight,) = placement.weights.values()
    assert (len(weight.parts), weight.pieces) == (2, 1 + 2)


@pytest.mark.parametrize(
    ("op", "order"),
    [
        ({"rank": None, "cols": 3, "importance": None}, (0, 1, 2)),
        ({"rank": 2, "cols": 3, "importance": None}, (0, 1)),
        ({"rank": None, "cols": 3, "importance": [0.0, 2.0, 1.0]}, (1, 2, 0)),
    ],
)
def test_the_order_of_protection(op, order):
    assert tuple(protection(op)) == order


@pytest.mark.parametrize(
    ("layer", "block"), [("h.3", True), ("3", True), ("embed", False), ("h.3.x", False)]
)
def test_blocks_end_in_a_number(layer, block):
    assert is_block(layer) == block


def test_layers_are_in_the_order_in_which_they_end():
    graph = g.new_graph("late")
    size = {"width": 1, "elements": 1, "function": "gelu"}
    for name, layer in (("a", "late"), ("b", "early"), ("c", "late")):
        g.add_op(graph, name, "pointwise", layer=layer, **size)
    assert layer_order(graph, ["a", "b", "c"]) == ["early", "late"]


def test_weights_need_no_placement(chain_of, hw):
    graph = chain_of({"b.0": [1]})
    assert weights_on(hw, graph, Options()) == place(graph, hw, Options()).weights


# ---- memory


def test_a_memory_beside_the_chip_is_shared_evenly():
    chip = load_chip("isaac")
    assert capacity_bytes(chip, 2) == 2 * 65536
    shared = dataclasses.replace(
        chip, units=chip.units | {"buffer": dataclasses.replace(chip.units["buffer"], where="chip")}
    )
    assert capacity_bytes(shared, 2) == 2 * 65536 // 168


def flow_through(rule="stream", readers=1, **more):
    """x -> readers, in one layer, all 8 wide."""
    graph = g.new_graph("flow")
    size = {"layer": "b.0", "width": 8, "elements": 8, "function": "gelu"}
    g.add_op(graph, "x", "pointwise", **size, **more)
    for i in range(readers):
        g.add_op(graph, f"r{i}", "pointwise", **size)
        g.connect(graph, "x", f"r{i}", rule)
    return graph


@pytest.mark.parametrize(
    ("graph", "size"),
    [
        (flow_through(), 0),
        (flow_through(readers=2), 80),
        (flow_through("all"), 80),
        (flow_through("prefix"), 80),
        (flow_through("all", axis="single"), 8),
    ],
)
def test_what_meets_a_barrier_or_several_readers_waits(hw, graph, size):
    assert request_bytes(graph, place(graph, hw, Options()), 10) == {"b.0": size}


def test_nothing_that_waits_is_no_bound(hw):
    graph = flow_through()
    assert requests_at_once(graph, place(graph, hw, Options()), 10) == 2**31


def test_a_request_that_fills_memory_to_the_last_byte(chain_of):
    """8 modules of 16 x 16 bit are 256 B: 32 tokens of 8 B, not 33."""
    tiny = {"digital.arrays": 1, "digital.rows": 16, "digital.columns": 16}
    hw = load_chip("hyflexpim", tiny)
    graph = flow_through("all")
    placement = place(graph, hw, Options())
    assert requests_at_once(graph, placement, 32) == 1
    assert requests_at_once(graph, placement, 16) == 2
    with pytest.raises(CapacityError, match=r": 8 short$"):
        requests_at_once(graph, placement, 33)


def test_the_fullest_group_counts(hw):
    graph = flow_through("all")
    g.add_op(graph, "y", "pointwise", layer="b.1", width=80, elements=80, function="gelu")
    g.add_op(graph, "z", "pointwise", layer="b.1", width=80, elements=80, function="gelu")
    g.connect(graph, "y", "z", "all")
    placement = place(graph, hw, Options())
    apart = dataclasses.replace(placement, pus={"b.0": (0,), "b.1": (1,)})
    assert requests_at_once(graph, apart, 10) == 2**28 // 800
    both = dataclasses.replace(placement, pus={"b.0": (0,), "b.1": (0,)})
    assert requests_at_once(graph, both, 10) == 2**28 // 880


def table(stored):
    graph = flow_through("all")
    g.add_op(graph, "t", "lookup", layer="b.0", width=8, stored=stored)
    return graph


def test_tables_of_a_layer_add_up(hw):
    graph = table(2**27)
    g.add_op(graph, "u", "lookup", layer="b.0", width=8, stored=2**26)
    assert requests_at_once(graph, place(graph, hw, Options()), 10) == 2**26 // 80


def test_a_table_in_another_memory_needs_room_there():
    chip = load_chip("isaac", {"host_memory.capacity": 1000})
    assert chip.unit("lookup").name == "host_memory"
    for stored, fits in ((1000, True), (1001, False)):
        graph = table(stored)
        placement = place(graph, chip, Options())
        if fits:
            assert (
                requests_at_once(graph, placement, 10) == 65536 // (8 * chip.vector_bits // 8) // 10
            )
        else:
            with pytest.raises(CapacityError) as error:
                requests_at_once(graph, placement, 10)
            bits = stored * chip.weight_bits // 8
            assert str(error.value) == (
                f"tables of {bits} bytes need {bits - 1000} more than host_memory holds (1000)"
            )


def test_chips_have_a_memory_each_for_tables():
    chip = load_chip("isaac", {"host_memory.capacity": 1000})
    graph = table(1500 * 8 // chip.weight_bits)
    assert requests_at_once(graph, place(graph, chip, Options(chips=2)), 1) > 0


def test_fetched_weights_take_room_beside_results(chain_of):
    """non-pim fetches 1024 B of weights into a cache of 1024 B + 10 tokens of 8 B."""
    chip = load_chip("non-pim", {"cache.capacity": 1024 + 80})
    graph = chain_of({"b.0": [1]})
    size = {"layer": "b.0", "width": 8, "elements": 8, "function": "gelu"}
    g.add_op(graph, "x", "pointwise", **size)
    g.add_op(graph, "y", "pointwise", **size)
    g.connect(graph, "x", "y", "all")
    placement = place(graph, chip, Options())
    assert requests_at_once(graph, placement, 10) == 1
    with pytest.raises(CapacityError) as error:
        requests_at_once(graph, placement, 11)
    assert str(error.value) == (
        "b.0: a request of 11 tokens keeps 88 bytes waiting beside 1024 bytes of fetched weights "
        "and tables; cache of 1 PU(s) holds 1104 bytes: 8 short"
    )
