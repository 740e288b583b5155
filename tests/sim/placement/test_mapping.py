"""Layers on PUs. Most chips here have 4 PUs of 10 arrays, and matrices of n arrays are called n."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.mapping import Options, pieces_per_pu, place
from hyflexsim.sim.units.catalogue import load_chip


def blocks(*sizes):
    """Layers b.0, b.1, ... of one matrix each."""
    return {f"b.{i}": [size] for i, size in enumerate(sizes)}


@pytest.fixture(scope="module")
def put(chip_of, chain_of):
    """Place a chain of layers; ``chip`` changes the chip, the rest are options."""

    def put(layers, chip=None, **options):
        return place(chain_of(layers), chip_of(**chip or {}), Options(**options))

    return put


# ---- who gets which PUs


def test_blocks_on_pus_of_their_own(put):
    placement = put(blocks(6, 7))
    assert placement.pus == {"b.0": (0,), "b.1": (1,)}
    assert [placement.free((0,)), placement.free((1,))] == [4, 3]
    assert placement.pus_used == 2


def test_small_layers_on_pus_of_their_own_while_there_are_some(put):
    """In the order of the model."""
    placement = put({"embed": [3], **blocks(6, 7), "head": [2]})
    assert placement.pus == {"embed": (0,), "b.0": (1,), "b.1": (2,), "head": (3,)}


def test_small_layers_lodge_with_the_nearest_block_that_has_room(put):
    """No PU is left; embed (4) fits to b.0 (6), head (3) not to b.3 (8) but to b.2 (7)."""
    placement = put({"embed": [4], **blocks(6, 7, 7, 8), "head": [3]})
    assert placement.pus == {
        "embed": (0,),
        "b.0": (0,),
        "b.1": (1,),
        "b.2": (2,),
        "b.3": (3,),
        "head": (2,),
    }
    assert placement.groups()[2,] == ["b.2", "head"]
    assert [placement.free((pu,)) for pu in range(4)] == [0, 3, 0, 2]


def test_the_larger_layer_gets_the_last_pu(put):
    placement = put({"embed": [2], **blocks(5, 5, 5), "head": [5]})
    assert placement.pus["head"] == (3,)
    assert placement.pus["embed"] == placement.pus["b.0"] == (0,)


def test_a_layer_without_weights_takes_no_pu(put):
    placement = put({"stem": [], **blocks(9, 10)})
    assert placement.pus == {"stem": (0,), "b.0": (0,), "b.1": (1,)}
    # where it is alone it still must run somewhere
    assert put({"stem": []}).pus == {"stem": (0,)}


def test_layers_that_are_no_blocks_share_too(put):
    """Six layers of 3 arrays on 4 PUs: four get one each, two find room with the nearest."""
    placement = put({name: [3] for name in "abcdef"})
    assert placement.pus == {"a": (0,), "b": (1,), "c": (2,), "d": (3,), "e": (3,), "f": (3,)}
    assert placement.free((3,)) == 1


def test_a_large_layer_takes_several_pus(put):
    placement = put(blocks(13, 10, 5))
    assert placement.pus == {"b.0": (0, 1), "b.1": (2,), "b.2": (3,)}
    assert placement.free((0, 1)) == 7


@pytest.mark.parametrize(("each", "layers"), [(2, 2), (4, 1)])
def test_a_number_of_pus_per_layer(put, each, layers):
    placement = put(blocks(*[5] * layers), pus_per_layer=each)
    assert [len(pus) for pus in placement.pus.values()] == [each] * layers


def test_fill_shares_all_pus_among_the_blocks(put):
    """9 PUs, 4 blocks: 2 each; one is left for the head, or it lives with a block."""
    placement = put({**blocks(5, 5, 5, 5), "head": [3]}, {"pus": 9}, pus_per_layer="fill")
    assert [len(pus) for pus in placement.pus.values()] == [2, 2, 2, 2, 1]
    # 2 for everyone and 3 for the large one are 9; the head of 8 finds room beside 5 of 20
    placement = put({**blocks(5, 5, 5, 25), "head": [8]}, {"pus": 9}, pus_per_layer="fill")
    assert [len(pus) for pus in placement.pus.values()] == [2, 2, 2, 3, 2]
    assert placement.pus["head"] == placement.pus["b.2"]
    # a head of 16 does not, and gets 2 PUs: 11 are too many, so the blocks get 1 + 1 + 1 + 3
    placement = put({**blocks(5, 5, 5, 25), "head": [16]}, {"pus": 9}, pus_per_layer="fill")
    assert [len(pus) for pus in placement.pus.values()] == [1, 1, 1, 3, 2]
    # 12 PUs, a head of 26 needs 3: not 3 each but 2
    placement = put({**blocks(5, 5, 5, 5), "head": [26]}, {"pus": 12}, pus_per_layer="fill")
    assert [len(pus) for pus in placement.pus.values()] == [2, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("sizes", "pus"),
    [
        ((4, 4, 4, 4, 4, 4), (0, 0, 1, 1, 2, 2)),  # two neighbours share: 3 PUs
        ((3, 3, 3, 3, 3), (0, 0, 1, 1, 2)),
        ((3,) * 9, (0, 0, 0, 1, 1, 1, 2, 2, 2)),  # by twos it would be 5 PUs, by threes 3
    ],
)
def test_blocks_share_where_pus_are_short(put, sizes, pus):
    placement = put(blocks(*sizes))
    assert list(placement.pus.values()) == [(pu,) for pu in pus]


def test_blocks_may_share_several_pus(put):
    """Five of 6: by twos 2 + 2 + 1 PUs, by threes 18 and 12 arrays on 2 + 2."""
    placement = put(blocks(6, 6, 6, 6, 6))
    assert list(placement.pus.values()) == [(0, 1)] * 3 + [(2, 3)] * 2


def test_fill_shares_pus_too_where_they_are_short(put):
    placement = put(blocks(4, 4, 4, 4, 4, 4), pus_per_layer="fill")
    assert list(placement.pus.values()) == [(pu,) for pu in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ((5, 5, 5, 5), [2, 2]),  # two of 5 fill a PU
        ((6, 6, 6, 6), [3, 1]),  # 24 arrays are 3 PUs by threes and by fours: the fewer share
        ((4, 4, 4, 4, 4), [5]),  # 20 arrays are 2 PUs only if all share
        ((10, 10), [1, 1]),  # nothing to gain
        ((13, 13), [2]),  # 26 arrays on 3 PUs instead of 2 + 2
    ],
)
def test_packed_blocks_take_as_few_pus_as_they_can(put, sizes, groups):
    placement = put(blocks(*sizes), pus_per_layer="packed")
    assert [len(layers) for layers in placement.groups().values()] == groups
    assert placement.pus_used <= put(blocks(*sizes)).pus_used


@given(st.lists(st.integers(1, 10), min_size=1, max_size=6), st.integers(1, 8))
def test_packed_is_never_more_pus_and_every_group_holds_its_blocks(put, sizes, pus):
    layers = blocks(*sizes)
    try:
        auto = put(layers, {"pus": pus})
    except CapacityError:
        with pytest.raises(CapacityError):
            put(layers, {"pus": pus}, pus_per_layer="packed")
        return
    packed = put(layers, {"pus": pus}, pus_per_layer="packed")
    assert packed.pus_used <= auto.pus_used
    assert all(packed.free(group) >= 0 for group in packed.groups())
    assert list(packed.pus) == list(layers)


def test_a_pattern_of_slc_rates_that_matches_nothing(put):
    with pytest.raises(InputError) as error:
        put(blocks(1, 1), slc_rates={"b.7*": 0.5})
    assert str(error.value) == (
        "slc_rates: no matrix matches 'b.7*'; names are like b.0.fc0, b.1.fc0"
    )


# ---- chips


def test_several_chips(put):
    placement = put(blocks(9, 9, 9, 9, 9, 9), chips=2)
    assert [pus for (*pus,) in placement.pus.values()] == [[0], [1], [2], [3], [4], [5]]
    assert [placement.chip_of(pu) for pu in range(6)] == [0, 0, 0, 0, 1, 1]


def test_no_layer_straddles_chips_where_that_costs_no_chip(put):
    """3 + 3 PUs on 4 + 4: PU 3 stays empty."""
    assert put(blocks(25, 25), chips=2).pus == {"b.0": (0, 1, 2), "b.1": (4, 5, 6)}


def test_a_layer_straddles_chips_before_a_chip_is_missing(put):
    """3 layers of 2 PUs on 2 chips of 3: apart they would need a third chip."""
    placement = put(blocks(15, 15, 15), {"pus": 3}, chips=2)
    assert list(placement.pus.values()) == [(0, 1), (2, 3), (4, 5)]
    roomy = put(blocks(15, 15, 15), {"pus": 3}, chips=3)
    assert list(roomy.pus.values()) == [(0, 1), (3, 4), (6, 7)]


def test_a_layer_larger_than_a_chip(put):
    """45 arrays are 5 PUs: it starts where it stands, since it straddles anyway."""
    assert put(blocks(9, 45), chips=2).pus == {"b.0": (0,), "b.1": (1, 2, 3, 4, 5)}


# ---- refusals


def refused(put, *arguments, **options):
    with pytest.raises(CapacityError) as error:
        put(*arguments, **options)
    return str(error.value)


def test_refusal_gives_the_shortfall(put):
    """Five full blocks on four PUs: one PU of 10 arrays short."""
    assert refused(put, blocks(10, 10, 10, 10, 10)) == (
        "the model's 50 arrays take 5 PUs (50 arrays), since layers take whole ones; "
        "1 chip(s) have 4 PUs (40 arrays): 1 PU(s) (10 arrays) short"
    )


def test_refusal_where_arrays_would_suffice(put):
    """Three PUs a block are asked for; 12 arrays on 6 PUs, though 40 are there."""
    assert refused(put, blocks(6, 6), pus_per_layer=3) == (
        "the model's 12 arrays take 6 PUs (60 arrays), since layers take whole ones; "
        "1 chip(s) have 4 PUs (40 arrays): 2 PU(s) (20 arrays) short"
    )


def test_refusal_of_a_single_large_layer(put):
    assert refused(put, {**blocks(45), "head": [37]}, chips=2) == (
        "the model's 82 arrays take 9 PUs (90 arrays), since layers take whole ones; "
        "2 chip(s) have 8 PUs (80 arrays): 1 PU(s) (10 arrays) short"
    )


def test_refusal_of_too_few_pus_per_layer(put):
    assert refused(put, blocks(9, 23), pus_per_layer=2) == (
        "b.1 needs 23 arrays; 2 PU(s) per layer hold 20: 3 arrays short"
    )


COPIES = (
    "copies must be none, fill, fill-factors, even, a positive integer or a table of such by "
    "pattern; got "
)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"copies": 0}, COPIES + "0"),
        ({"copies": "many"}, COPIES + "'many'"),
        ({"copies": True}, COPIES + "True"),
        (
            {"pus_per_layer": 0.5},
            "pus_per_layer must be auto, fill, packed or a number from 1; got 0.5",
        ),
        ({"chips": 0}, "chips must be a positive integer; got 0"),
        ({"chips": 1.5}, "chips must be a positive integer; got 1.5"),
        ({"chips": "2"}, "chips must be a positive integer; got '2'"),
    ],
)
def test_options_refused(option, message):
    with pytest.raises(InputError) as error:
        Options(**option)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("option", "key"), [({"slc_rate": 2}, "slc_rate"), ({"tiles": "x"}, "tiles")]
)
def test_options_refused_when_placed(put, option, key):
    with pytest.raises(InputError, match=f"^{key} must be "):
        put(blocks(1), **option)


# ---- weights


def test_bert_large_dense_on_one_chip(chain_of):
    """24 blocks of 12,288 arrays in SLC fill 24 PUs; one array more and nothing fits."""
    reference = load_chip("hyflexpim")
    block = [(1024, 1024)] * 4 + [(1024, 4096), (4096, 1024)]
    layers = {f"h.{i}": block for i in range(24)}
    placement = place(chain_of(layers), reference, Options())
    assert [placement.free((pu,)) for pu in range(24)] == [0] * 24
    with pytest.raises(CapacityError, match=r"1 PU\(s\) \(12288 arrays\) short$"):
        place(chain_of({**layers, "head": [1]}), reference, Options())
    # in MLC two blocks would fit into one PU; they do not have to
    half = place(chain_of(layers), reference, Options(slc_rate=0.0))
    assert [half.free((pu,)) for pu in range(24)] == [6144] * 24
    assert pieces_per_pu(reference) == 12_288


def test_a_shared_weight_is_counted_once(chip_of):
    """ParT's class token goes through the matrices of the sequence."""
    graph = g.new_graph("shared")
    shape = {"width": 16, "rows": 256, "cols": 16, "weight": "w"}
    g.add_op(graph, "one", "gemv", layer="b.0", **shape)
    g.add_op(graph, "two", "gemv", layer="b.1", axis="single", **shape)
    placement = place(graph, chip_of(), Options())
    (weight,) = placement.weights.values()
    assert (weight.ops, weight.layer, weight.pieces) == (("one", "two"), "b.0", 4)
    assert sum(row["arrays_total"] for row in placement.rows()) == 4
    assert placement.free(placement.pus["b.0"]) == 6


def test_rates_by_pattern(chip_of, chain_of):
    """The first pattern that matches an op's name counts. 32 outputs: 2 arrays in SLC, 1 in MLC."""
    graph = chain_of({"b.0": [(64, 32)] * 2, "b.1": [(64, 32)] * 2})
    rates = {"b.0.fc1": 0.0, "b.0.*": 1.0, "*.fc0": 0.5}
    placement = place(graph, chip_of(), Options(slc_rate=0.0, slc_rates=rates))
    cells = {n: (w.parts[0].cells_slc, w.pieces) for n, w in placement.weights.items()}
    assert cells == {
        "b.0.fc0": (64 * 32 * 8, 2),
        "b.0.fc1": (0, 1),
        "b.1.fc0": (64 * 16 * 8, 2),
        "b.1.fc1": (0, 1),
    }


def test_table_of_a_matrix_on_three_pus(put):
    """25 SLC arrays dealt to 3 PUs: 9, 8, 8; two copies: 17, 17, 16."""
    placement = put({"b.0": [(64 * 25, 16)]}).with_copies({"b.0.fc0": 2})
    rows = list(placement.rows())
    assert rows[1] == {
        "layer": "b.0",
        "op": "b.0.fc0",
        "weight": "b.0.fc0",
        "pu": 1,
        "chip": 0,
        "rows": 1600,
        "cols": 16,
        "rank": -1,
        "arrays_slc": 8,
        "arrays_mlc": 0,
        "copies": 2,
        "arrays_total": 17,
        "bytes": 0,
    }
    assert [row["arrays_slc"] for row in rows] == [9, 8, 8]
    assert [row["arrays_total"] for row in rows] == [17, 17, 16]


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 90), st.none() | st.integers(1, 80))),
    st.integers(1, 3),
    st.integers(0, 10),
)
def test_table_adds_up(put, shapes, copies, tenths):
    """Over the PUs of a matrix, arrays of each mode and of all copies are what the matrix takes."""
    shapes = [(m, n, r if r is None else min(m, n, r)) for m, n, r in shapes]
    layers = {"b.0": [*shapes, (64, 16)], "b.1": [(90, 50, 20)]}
    chip = {"pus": 64, "arrays": 40}
    placement = put(layers, chip, slc_rate=tenths / 10, chips=4)
    placement = placement.with_copies(dict.fromkeys(placement.weights, copies))
    rows = list(placement.rows())
    for weight in placement.weights.values():
        mine = [row for row in rows if row["weight"] == weight.name]
        assert sum(row["arrays_slc"] for row in mine) == sum(f.arrays_slc for f in weight.parts)
        assert sum(row["arrays_mlc"] for row in mine) == sum(f.arrays_mlc for f in weight.parts)
        assert sum(row["arrays_total"] for row in mine) == copies * weight.pieces
        assert tuple(row["pu"] for row in mine) == placement.pus[weight.layer]
        if copies == 1:
            assert all(r["arrays_slc"] + r["arrays_mlc"] == r["arrays_total"] for r in mine)
        assert {row["rank"] for row in mine} == {-1 if weight.rank is None else weight.rank}


def test_table_fills_no_pu_beyond_its_arrays(put):
    """Four matrices of 5 arrays on 2 PUs of 10: 10 each, though no matrix can be halved."""
    rows = list(put({"b.0": [5, 5, 5, 5]}).rows())
    for pu in (0, 1):
        assert sum(row["arrays_total"] for row in rows if row["pu"] == pu) == 10


# ---- laws

SIZES = st.lists(st.integers(1, 35), min_size=1, max_size=9)


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 12), st.integers(0, 12), st.integers(1, 4), st.integers(1, 3))
def test_whatever_is_placed_fits(put, sizes, embed, head, pus, chips):
    """Groups do not overlap, hold what is in them, and follow the model; else it is too large."""
    layers = {"embed": [embed] if embed else [], **blocks(*sizes), "head": [head] if head else []}
    apart = sum(-(-size // 10) for size in (embed, *sizes, head))
    total = pus * chips
    try:
        placement = put(layers, {"pus": pus}, chips=chips)
    except CapacityError as error:
        assert apart > total
        words = str(error).split()
        assert int(words[words.index("take") + 1]) > total
        return
    groups = placement.groups()
    taken = [pu for group in groups for pu in group]
    assert len(taken) == len(set(taken)) and set(taken) <= set(range(total))
    assert all(placement.free(group) >= 0 for group in groups)
    assert set(placement.pus) == set(layers)
    rows = list(placement.rows())
    assert all(sum(r["arrays_total"] for r in rows if r["pu"] == pu) <= 10 for pu in taken)
    owners = [placement.pus[layer] for layer in layers if layer.startswith("b.")]
    assert owners == sorted(owners)
    if apart <= total:
        assert len(set(owners)) == len(owners)


@settings(deadline=None)
@given(SIZES, st.integers(1, 4))
def test_a_model_with_fewer_arrays_than_chips_hold_is_never_refused_for_arrays(put, sizes, pus):
    """Without small layers, blocks are packed until they are one run of PUs: ceil(sum / 10)."""
    fits = -(-sum(sizes) // 10) <= pus
    try:
        put(blocks(*sizes), {"pus": pus})
    except CapacityError as error:
        assert not fits
        short = -(-sum(sizes) // 10) - pus
        assert str(error).endswith(f"{short} PU(s) ({10 * short} arrays) short")
    else:
        assert fits


# ---- large machines


def test_a_large_machine_costs_only_what_is_used(chain_of):
    """2^28 PUs: two blocks take one each."""
    chip = load_chip("hyflexpim", {"chip.pus": 4096})
    placement = place(chain_of(blocks(6, 7)), chip, Options(chips=2**16))
    assert placement.pus == {"b.0": (0,), "b.1": (1,)}


def test_spreading_a_model_over_more_than_can_be_listed_is_refused(chain_of):
    chip = load_chip("hyflexpim", {"chip.pus": 4096})
    with pytest.raises(CapacityError) as error:
        place(chain_of(blocks(6, 7)), chip, Options(chips=2**16, pus_per_layer="fill"))
    assert str(error.value) == (
        "mapping.pus_per_layer = fill would spread the model over 268435456 PUs; at most 131072 "
        "can be in use: give auto or a smaller number"
    )


def test_a_memory_beside_the_chip_that_is_too_small(chain_of):
    """A matrix of 3 arrays of the test's chip has so many bytes."""
    chip = load_chip("non-pim", {"dram.capacity": 1000})
    graph = chain_of(blocks(3))
    size = sum(op["rows"] * op["cols"] for _, op in graph.nodes(data=True) if op["kind"] == "gemv")
    with pytest.raises(CapacityError) as error:
        place(graph, chip, Options(chips=2))
    assert str(error.value) == (
        f"the model's {size} bytes are more than dram of 2 chip(s) holds (2000 bytes): "
        f"{size - 2000} bytes short"
    )
