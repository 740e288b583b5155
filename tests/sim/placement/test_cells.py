"""Every weight lies in one place, and the places are those that were counted."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.cells import arrays, factor_regions, find_weight
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.tiling import cells_per_weight, rows_per_input


def matrix(rows, cols, rank=None, importance=None):
    graph = g.new_graph("one")
    g.add_op(graph, "in", "input", layer="b.0", width=rows)
    for name in ("b.0.a", "b.0.b"):
        shape = {"rows": rows, "cols": cols, "width": cols}
        g.add_op(graph, name, "gemv", layer="b.0", weight=name, **shape)
        # set afterwards: where ranks lie does not ask whether there can be so many
        graph.nodes[name].update(rank=rank, importance=importance)
        g.connect(graph, "in", name, "stream")
    return graph


@st.composite
def placements(draw):
    changes = {
        "analog.rows": draw(st.sampled_from([2, 3, 8, 64])),
        "analog.columns": draw(st.sampled_from([1, 10, 128])),
        "analog.mlc_bits": draw(st.sampled_from([1, 2, 3])),
        "analog.weight_bits": draw(st.sampled_from([4, 8])),
        "analog.sign": draw(
            st.sampled_from(["twos-complement", "biased", "differential", "differential-rows"])
        ),
    }
    rows, cols = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    rank = draw(st.none() | st.integers(1, min(rows, cols)))
    scores = draw(st.lists(st.floats(0, 1), min_size=rank or cols, max_size=rank or cols))
    options = Options(
        slc_rate=draw(st.floats(0, 1)),
        pus_per_layer=draw(st.sampled_from([1, 2, 3, 1.5, 2.125])),
    )
    placement = place(matrix(rows, cols, rank, scores), load_chip("hyflexpim", changes), options)
    each = st.integers(1, 3)
    return placement.with_part_copies(
        {
            name: tuple(draw(each) for _ in weight.parts)
            for name, weight in placement.weights.items()
        }
    )


@given(placement=placements())
def test_regions_cover_a_matrix_once_and_cells_are_those_counted(placement):
    module = placement.chip.units["analog"].values
    for weight in placement.weights.values():
        for part, areas in zip(weight.parts, factor_regions(placement.chip, weight), strict=True):
            held = Counter((i, o) for area in areas for i in area.inputs for o in area.outputs)
            assert held == Counter((i, o) for i in range(part.rows) for o in range(part.outputs))
            cells = Counter()
            for area in areas:
                each = cells_per_weight(module, area.mode) * rows_per_input(module)
                cells[area.mode] += len(area.inputs) * len(area.outputs) * each
            assert (cells["slc"], cells["mlc"]) == (part.cells_slc, part.cells_mlc)


@given(placement=placements())
def test_arrays_are_those_counted_each_in_a_place_of_its_own(placement):
    made = {name: list(arrays(placement, name)) for name in placement.weights}
    names = [array.name for each in made.values() for array in each]
    assert len(set(names)) == len(names)
    for row in placement.rows():
        mine = [a for a in made[row["weight"]] if a.name.startswith(f"pu{row['pu']}.")]
        assert len(mine) == row["arrays_total"]
        of_one = Counter(array.mode for array in mine if array.copy == 0)
        assert (of_one["slc"], of_one["mlc"]) == (row["arrays_slc"], row["arrays_mlc"])


@given(placement=placements())
def test_columns_are_the_conversions_of_a_plane(placement):
    for name, weight in placement.weights.items():
        found = Counter()
        for array in arrays(placement, name):
            for piece in array.pieces:
                found[piece.mode] += piece.columns[1] - piece.columns[0] + 1
        wanted = {
            mode: sum(
                copies * getattr(part, f"columns_{mode}")
                for part, copies in zip(weight.parts, weight.part_copies, strict=True)
            )
            for mode in ("slc", "mlc")
        }
        assert {mode: found[mode] for mode in wanted} == wanted


def test_the_important_ranks_are_protected_and_a_begun_row_tile_is_filled_up():
    """3 of 10 ranks: V has them in SLC; of U a row tile of 4 is filled up with the next one."""
    chip = load_chip("hyflexpim", {"analog.rows": 4})
    scores = [0, 1, 2, 3, 9, 5, 6, 7, 8, 4]
    placement = place(matrix(6, 6, 10, scores), chip, Options(slc_rate=0.3, copies="none"))
    v, u = factor_regions(chip, find_weight(placement, "b.0.a"))
    assert [(r.mode, r.outputs) for r in v] == [
        ("slc", (4, 7, 8)),
        ("mlc", (0, 1, 2, 3, 5, 6, 9)),
    ]
    assert [(r.mode, r.inputs) for r in u] == [
        ("slc", (4, 6, 7, 8)),
        ("mlc", (0, 1, 2, 3, 5, 9)),
    ]


def test_an_array_by_hand():
    """100 inputs, 20 outputs, 2 in SLC: 16 + 72 columns in each of two row tiles."""
    placement = place(matrix(100, 20), load_chip("hyflexpim"), Options(slc_rate=0.1, copies="none"))
    top, bottom = arrays(placement, "b.0.b")
    assert (top.name, bottom.name) == ("pu0.analog.0.2", "pu0.analog.0.3")  # a has two
    slc, mlc = top.pieces
    assert (slc.inputs, slc.outputs, slc.columns) == (tuple(range(64)), (0, 1), (0, 15))
    assert (mlc.outputs, mlc.columns) == (tuple(range(2, 20)), (16, 87))
    assert bottom.pieces[1].inputs == tuple(range(64, 100))


def test_row_tiles_of_a_second_factor_by_hand():
    """4 of 10 ranks in SLC are a row tile of 4; the 6 in MLC are two, of 4 and 2. 6 outputs."""
    chip = load_chip("hyflexpim", {"analog.rows": 4})
    scores = [0, 1, 2, 3, 9, 5, 6, 7, 8, 4]
    placement = place(matrix(6, 6, 10, scores), chip, Options(slc_rate=0.4, copies="none"))
    found = [each for each in arrays(placement, "b.0.a") if each.factor == "U"]
    assert [(each.mode, each.row_tile) for each in found] == [("slc", 0), ("mlc", 1), ("mlc", 2)]
    pieces = [piece for each in found for piece in each.pieces]
    assert [piece.inputs for piece in pieces] == [(4, 6, 7, 8), (0, 1, 2, 3), (5, 9)]
    assert [piece.columns for piece in pieces] == [(0, 47), (0, 23), (0, 23)]
    assert {piece.outputs for piece in pieces} == {tuple(range(6))}


def test_what_has_no_cells_is_refused():
    graph = matrix(8, 8)
    ideal = place(graph, load_chip("hyflexpim"), Options(tiles="ideal"))
    with pytest.raises(InputError, match="tiles must be row-tile"):
        list(arrays(ideal, "b.0.a"))
    with pytest.raises(InputError, match="names are like"):
        list(arrays(ideal, "c"))
    with pytest.raises(InputError, match="lies in dram as bytes"):
        list(arrays(place(graph, load_chip("non-pim"), Options()), "b.0.a"))


def test_a_matrix_is_found_by_its_weight_and_by_each_of_its_ops(hw):
    graph = g.new_graph("shared")
    for name in ("one", "two"):
        shape = {"rows": 8, "cols": 8, "width": 8, "weight": "w"}
        g.add_op(graph, name, "gemv", layer="b.0", **shape)
    g.add_op(graph, "three", "gemv", layer="b.0", **(shape | {"weight": "v"}))
    placement = place(graph, hw, Options())
    assert [find_weight(placement, name).name for name in ("w", "one", "two", "three")] == [
        *("w", "w", "w", "v")
    ]
    with pytest.raises(InputError) as error:
        find_weight(placement, "four")
    assert str(error.value) == "no matrix 'four'; names are like one, three"


def test_copies_and_matrices_follow_each_other_in_modules():
    """Modules of 2 arrays, dealt to two PUs: a has 3 arrays twice, then b."""
    chip = load_chip("hyflexpim", {"analog.arrays": 2})
    placement = place(matrix(64 * 3, 16), chip, Options(pus_per_layer=2))
    placement = placement.with_copies({"b.0.a": 2, "b.0.b": 1})
    found = [array.name for name in ("b.0.a", "b.0.b") for array in arrays(placement, name)]
    assert found == [f"pu{i % 2}.analog.{i // 4}.{i // 2 % 2}" for i in range(9)]
    assert [(a.copy, a.row_tile) for a in arrays(placement, "b.0.a")] == [
        (copy, tile) for copy in (0, 1) for tile in (0, 1, 2)
    ]


@pytest.mark.parametrize(
    ("columns", "pieces"),
    [
        (16, [((0, 1), (0, 15)), ((2,), (0, 7))]),
        (10, [((0, 1), (0, 9)), ((1, 2), (0, 9)), ((2,), (0, 3))]),
        (24, [((0, 1, 2), (0, 23))]),
        (5, [((0,), (0, 4)), ((0, 1), (0, 4)), ((1,), (0, 4)), ((1, 2), (0, 4)), ((2,), (0, 3))]),
    ],
)
def test_a_weight_that_does_not_fit_is_named_in_both_arrays(columns, pieces):
    """Three outputs of 8 single-level cells in arrays of so many columns."""
    chip = load_chip("hyflexpim", {"analog.columns": columns})
    placement = place(matrix(4, 3), chip, Options(copies="none"))
    made = [array.pieces for array in arrays(placement, "b.0.a")]
    assert [(piece.outputs, piece.columns) for (piece,) in made] == pieces


def test_single_level_arrays_come_first_of_all_factors():
    """V has 1 rank of 2 in SLC: 8 + 4 columns of 8 are an SLC and an MLC array; U one of each."""
    chip = load_chip("hyflexpim", {"analog.columns": 8, "analog.rows": 1, "adc.slc_bits": 1})
    placement = place(matrix(1, 1, 2), chip, Options(slc_rate=0.5, copies="none"))
    made = list(arrays(placement, "b.0.a"))
    assert [(a.factor, a.mode) for a in made] == [
        *(("V", "slc"), ("U", "slc"), ("V", "mlc"), ("U", "mlc"))
    ]
    assert [a.name for a in made] == [f"pu0.analog.0.{i}" for i in range(4)]
