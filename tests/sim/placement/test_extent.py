"""A part of a PU more: neighbours share a PU by its modules. Chips of 4 PUs of 2 x 5 arrays."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim import energy
from hyflexsim.sim.engine.engine import play
from hyflexsim.sim.engine.engines import play as play_by
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.cells import arrays
from hyflexsim.sim.placement.extent import Extent
from hyflexsim.sim.placement.faults import Faults
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.placement.memory import capacity_bytes, requests_at_once
from hyflexsim.sim.plan.copies import apply_copies
from hyflexsim.sim.plan.overlap import layer_serial
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.wear import programming

HALF = Fraction(1, 2)


@pytest.fixture(scope="module")
def put(chip_of, chain_of):
    """Place blocks of so many arrays each; ``chip`` changes the chip, the rest are options."""

    def put(sizes, chip=None, **options):
        layers = {f"b.{i}": [size] for i, size in enumerate(sizes)}
        changes = {"pus": 4, "arrays": 5, "analog__count": 2} | (chip or {})
        return place(chain_of(layers), chip_of(**changes), Options(copies="none", **options))

    return put


def names(placement, layer):
    return [a.name for w in placement.weights.values() if w.layer == layer
            for a in arrays(placement, w.name)]  # fmt: skip


def test_neighbours_share_a_pu_by_its_modules(put):
    """Two of a PU and a half fill three PUs: module 0 of PU 1 is the first one's, 1 the other's."""
    placement = put([15, 15], pus_per_layer=1.5)
    assert placement.pus == {"b.0": (0, 1), "b.1": (1, 2)}
    assert [placement.share(pus) for pus in placement.groups()] == [3 * HALF, 3 * HALF]
    assert [placement.free(pus) for pus in placement.groups()] == [0, 0]
    assert placement.pus_used == 3
    modules = ([name.rpartition(".")[0] for name in names(placement, b)] for b in placement.pus)
    found = [Counter(each) for each in modules]
    assert found == [
        {"pu0.analog.0": 5, "pu0.analog.1": 5, "pu1.analog.0": 5},
        {"pu1.analog.1": 5, "pu2.analog.0": 5, "pu2.analog.1": 5},
    ]


def test_blocks_lie_on_the_line_of_pus_without_gaps(put):
    """Of a PU and a quarter each, four take five PUs, and none has a gap before it."""
    placement = put([5] * 4, {"pus": 6, "arrays": 5, "analog__count": 4}, pus_per_layer=1.25)
    assert placement.pus == {"b.0": (0, 1), "b.1": (1, 2), "b.2": (2, 3), "b.3": (3, 4)}
    assert list(placement.extents.values()) == [
        Extent(Fraction(n, 4), Fraction(n + 1, 4)) for n in range(4)
    ]
    assert placement.pus_used == 5


def test_others_take_whole_pus_behind_a_part_that_is_left(chip_of, chain_of):
    chip = chip_of(pus=6, arrays=5, analog__count=2)
    layers = {"embed": [3], "b.0": [9], "b.1": [9], "b.2": [9], "head": [2]}
    placement = place(chain_of(layers), chip, Options(copies="none", pus_per_layer=1.5))
    # 1 + 4.5 PUs leave none for the head: it lives with the nearest block that has room
    assert placement.pus == {
        "embed": (0,),
        "b.0": (1, 2),
        "b.1": (2, 3),
        "b.2": (4, 5),
        "head": (4, 5),
    }
    assert placement.free((4, 5)) == 15 - 9 - 2


def test_a_layer_between_blocks_lodges_where_a_pu_of_its_own_would_leave_gaps(chip_of, chain_of):
    """Of its own it would begin at PU 2 and the next block at 3: 4.5 PUs of 4."""
    layers = {"b.0": [9], "between": [5], "c.0": [9]}
    placed = {
        pus: place(
            chain_of(layers),
            chip_of(pus=pus, arrays=5, analog__count=2),
            Options(copies="none", pus_per_layer=1.5),
        ).pus
        for pus in (3, 4, 5)
    }
    assert placed[3] == placed[4] == {"b.0": (0, 1), "between": (0, 1), "c.0": (1, 2)}
    assert placed[5] == {"b.0": (0, 1), "between": (2,), "c.0": (3, 4)}


def test_no_layer_straddles_chips_where_that_costs_no_chip(put):
    """1.5 + 1.5 on a chip of 4; the third begins with the next chip, for PU 3 is half of it."""
    placement = put([9, 9, 9], chips=2, pus_per_layer=1.5)
    assert placement.pus == {"b.0": (0, 1), "b.1": (1, 2), "b.2": (4, 5)}
    assert put([9, 9], {"pus": 1}, chips=3, pus_per_layer=1.5).pus["b.1"] == (1, 2)


def test_a_whole_number_is_the_same_with_and_without_a_point(put):
    assert put([9, 9], pus_per_layer=2.0).pus == put([9, 9], pus_per_layer=2).pus


# ---- what cannot be


@pytest.mark.parametrize(
    ("chip", "each", "message"),
    [
        (
            "hyflexpim",
            1.3,
            "mapping.pus_per_layer must be a multiple of 1/8 for hyflexpim, so that no unit of a "
            "PU is split (it has 8 of digital); got 1.3",
        ),
        ("isaac", 1.5, "must be a whole number for isaac, so that no unit"),
        ("non-pim", 1.5, "must be a whole number for non-pim, whose weights lie in dram as bytes"),
    ],
)
def test_what_no_chip_can_give(chain_of, chip, each, message):
    with pytest.raises(InputError) as error:
        place(chain_of({"b.0": [1]}), load_chip(chip), Options(pus_per_layer=each))
    assert message in str(error.value)


def test_shortfalls_in_words(put):
    with pytest.raises(CapacityError) as error:
        put([9, 16], pus_per_layer=1.5)
    assert str(error.value) == ("b.1 needs 16 arrays; 1.5 PU(s) per layer hold 15: 1 arrays short")
    with pytest.raises(CapacityError) as error:
        put([9, 9, 9], pus_per_layer=1.5)
    assert str(error.value) == (
        "the model's 27 arrays take 5 PUs (50 arrays), since layers take 1.5 each; "
        "1 chip(s) have 4 PUs (40 arrays): 1 PU(s) (10 arrays) short"
    )
    with pytest.raises(CapacityError, match="PU 0, 1 lacks 1 arrays for what is broken"):
        put([15, 15], pus_per_layer=1.5, faults=Faults(("pu0.analog.0.3",)))


# ---- each has what its part has


def test_what_is_broken_in_a_shared_pu_is_missing_to_the_one_that_has_it(put):
    faults = Faults(("pu1.analog.1.0", "pu1.analog.1.4"))
    placement = put([10, 10], pus_per_layer=1.5, faults=faults)
    assert [placement.free(pus) for pus in placement.groups()] == [5, 3]
    assert not {"pu1.analog.1.0", "pu1.analog.1.4"} & {*names(placement, "b.1")}


def test_spare_arrays_by_share(put):
    placement = put([10, 10], pus_per_layer=1.5, spare_arrays=2)
    assert [placement.free(pus) for pus in placement.groups()] == [15 - 3 - 10] * 2


def test_units_and_bus_of_the_part(chain_of, hw):
    """Against a whole PU: 1.5 times NOR modules, SFUs, adders and bytes a second of its bus."""
    graph = chain_of({"b.0": [(640, 640)], "b.1": []})
    rates = [
        {step.name: step.rate for step in build_plan(graph, place(graph, hw, options)).steps}
        for options in (Options(copies="none", pus_per_layer=each) for each in (1, 1.5, 3))
    ]
    for step in ("b.0.fc0.in", "b.0.fc0.W.out", "b.0.fc0.W.sum", "b.1.act"):
        one, part, three = (Fraction(each[step].speed, each[step].work) for each in rates)
        assert part == one * 3 / 2 == three / 2


def test_memory_of_the_part(hw, chain_of):
    assert capacity_bytes(hw, 3 * HALF) == 384 * 2**20


def test_long_sequences_need_parts_too(hw):
    graph = _attention()
    placement = place(graph, hw, Options(pus_per_layer=1.5))
    assert requests_at_once(graph, placement, 12_288) > 0
    with pytest.raises(CapacityError, match=r"12289 tokens need 2 PUs per layer .* b.0 has 1.5"):
        requests_at_once(graph, placement, 12_289)


def _attention():
    from hyflexsim.sim import graph as g  # noqa: PLC0415

    graph = g.new_graph("attention")
    g.add_op(graph, "x", "input", layer="b.0", width=64)
    shape = {"rows": 64, "cols": 64, "width": 64}
    for name in "qk":
        g.add_op(graph, name, "gemv", layer="b.0", weight=name, **shape)
        g.connect(graph, "x", name)
    values = {"multiplies": ["values", "values"], "context": "all", "heads": 1, "inner": 64}
    g.add_op(graph, "qk", "matmul", layer="b.0", width=1, **values)
    g.connect(graph, "q", "qk")
    g.connect(graph, "k", "qk", "all")
    return graph


def test_neighbours_write_their_modules_of_a_shared_pu_side_by_side(put):
    """Two arrays of b.0 and five of b.1 in modules 0 and 1 of PU 1: five rows of arrays, not 7."""
    both, alone = (programming(put(sizes, pus_per_layer=1.5)) for sizes in ([15, 15], [15]))
    assert both.time_ps == alone.time_ps
    assert both.energy_pj == 2 * alone.energy_pj


# ---- energy and time


@pytest.mark.parametrize("each", [1, 1.5, 2.5])
def test_arrays_and_conversions_do_not_change_with_pus(hw, chain_of, each):
    """Only buses, gathering and partial sums between PUs know how many PUs a layer has."""
    graph = chain_of({"b.0": [(256, 64), (64, 128)], "b.1": [(128, 128)]})
    placement = place(graph, hw, Options(copies="none", pus_per_layer=each))
    counts, bytes_between = _counts(graph, placement, hw)
    whole, _ = _counts(graph, place(graph, hw, Options(copies="none")), hw)
    assert counts == whole
    # 3 tokens: 128 bytes on to b.1, and 64 gathered for it where b.0 lies in several PUs
    assert bytes_between == 3 * (128 + 64 * (each > 1))


def _counts(graph, placement, chip):
    plan = build_plan(graph, placement)
    rows = energy.ledger(plan, play(plan, [Request(0, 3)]), chip)
    arrays_, between = Counter(), 0
    for row in rows:
        if row["unit"] == "analog":
            arrays_[row["op"], row["action"]] += row["count"]
        if row["unit"] == "global_bus" and row["op"] == "b.0.fc1":
            between += row["count"] // 8
    return arrays_, between


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    eighths=st.integers(8, 20),
    copies=st.sampled_from(["none", "fill", "fill-factors", "even"]),
    overlap=st.sampled_from(["pipelined", "layer-serial"]),
    dead=st.sets(st.integers(0, 15), max_size=3),
)
def test_whatever_the_part_every_array_has_one_owner_and_both_engines_agree(
    chip_of, chain_of, sizes, eighths, copies, overlap, dead
):
    graph = chain_of({f"b.{i}": [size] for i, size in enumerate(sizes)})
    chip = chip_of(pus=12, arrays=2, analog__count=8)
    faults = Faults(tuple(f"pu1.analog.{n // 2}.{n % 2}" for n in sorted(dead)))
    options = Options(copies=copies, pus_per_layer=eighths / 8, faults=faults)
    try:
        placement = apply_copies(graph, place(graph, chip, options), 3, overlap)
    except CapacityError:
        assert dead  # a layer of 12 fits into a PU of 16
        return
    groups = placement.groups()
    assert sum(placement.share(pus) for pus in groups) == Fraction(eighths, 8) * len(sizes)
    assert placement.pus_used == -(-eighths * len(sizes) // 8)
    assert all(placement.free(pus) >= 0 for pus in groups)
    found = [name for layer in placement.pus for name in names(placement, layer)]
    assert len(set(found)) == len(found) == sum(w.taken for w in placement.weights.values())
    assert not {*faults.names} & {*found}
    by_pu = Counter(int(name.partition(".")[0].removeprefix("pu")) for name in found)
    assert by_pu == Counter(
        {
            pu: total
            for pu in range(12)
            if (total := sum(r["arrays_total"] for r in placement.rows() if r["pu"] == pu))
        }
    )
    plan = build_plan(graph, placement)
    plan = layer_serial(plan) if overlap == "layer-serial" else plan
    simpy, compiled = (
        play_by(plan, [Request(0, 2), Request(5, 3)], engine=engine)
        for engine in ("simpy", "compiled")
    )
    assert simpy.finished == compiled.finished
    assert [c.tolist() for c in simpy.trace.columns()] == [
        c.tolist() for c in compiled.trace.columns()
    ]
    # nothing waits for a neighbour: each layer's parts have names and turns of their own
    assert len({c.name for c in plan.components}) == len(plan.components)
    if overlap == "layer-serial":
        assert sum(c.kind == "sequencer" for c in plan.components) == len(groups)
