"""Weights cut into arrays: the papers' tables, and laws that hold for every size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.tiling import TILES, cells_per_weight, factors, protected

SIZES = st.integers(1, 700)
RATES = st.integers(0, 100).map(lambda percent: percent / 100)
RANKS = st.none() | st.integers(1, 300)
SLC, MLC = 1.0, 0.0


@pytest.fixture(scope="module")
def module(hw):
    """The analog module of the reference chip."""
    return hw.units["analog"].values


def arrays(module, rows, cols, rank=None, rate=SLC, tiles="row-tile"):
    return sum(factor.arrays for factor in factors(module, rows, cols, rank, rate, tiles))


# ---- one matrix by hand


def test_dense_matrix(module):
    """100 x 20 at 30 % SLC: 6 outputs of 8 cells, 14 of 4: 104 columns, on 2 row tiles."""
    (w,) = factors(module, 100, 20, None, 0.3, "row-tile")
    assert (w.part, w.rows, w.outputs, w.row_tiles) == ("W", 100, 20, 2)
    assert (w.columns_slc, w.columns_mlc) == (2 * 48, 2 * 56)
    assert (w.cells_slc, w.cells_mlc) == (100 * 48, 100 * 56)
    assert (w.arrays_slc, w.arrays_mlc) == (2, 0)  # all fits into the array that SLC has begun
    assert (w.wordlines, w.fullest) == (100, 104)
    assert (w.arrays, w.conversions, w.macs) == (2, 208, 2000)


def test_two_factors(module):
    """200 x 30 of rank 100 at 10 %: V 200 x 100, U 100 x 30; 10 ranks in SLC, U rounds to 64."""
    v, u = factors(module, 200, 30, 100, 0.1, "row-tile")
    # V: 10 ranks of 8 columns and 90 of 4: 440 columns, 4 arrays wide; 200 rows: 4 high
    assert (v.part, v.rows, v.outputs, v.row_tiles) == ("V", 200, 100, 4)
    assert (v.arrays_slc, v.arrays_mlc) == (4 * 1, 4 * 3)
    assert (v.columns_slc, v.columns_mlc) == (4 * 80, 4 * 360)
    assert (v.wordlines, v.fullest) == (200 * 4, 128)
    # U: a row tile of 64 SLC ranks (240 columns, 2 wide), one of 36 MLC ranks (120 columns, 1 wide)
    assert (u.part, u.rows, u.outputs, u.row_tiles) == ("U", 100, 30, 2)
    assert (u.arrays_slc, u.arrays_mlc) == (2, 1)
    assert (u.columns_slc, u.columns_mlc) == (240, 120)
    assert (u.cells_slc, u.cells_mlc) == (64 * 240, 36 * 120)
    assert (u.wordlines, u.fullest) == (64 * 2 + 36 * 1, 128)


def test_ideal_shares_the_tile_where_modes_meet(module):
    """The same U: 10 SLC and 90 MLC ranks are 10 x 240 + 90 x 120 = 13,200 cells of 8,192."""
    _, u = factors(module, 200, 30, 100, 0.1, "ideal")
    assert (u.row_tiles, u.arrays_slc, u.arrays_mlc) == (2, 1, 1)
    # 64 rows a conversion: ceil(10 x 240 / 64) = 38; of both, with 28 rows unused,
    # ceil((10 x 240 + 118 x 120) / 64) = 259
    assert (u.columns_slc, u.columns_mlc) == (38, 259 - 38)
    assert (u.cells_slc, u.cells_mlc) == (10 * 240, 90 * 120)


def test_quota_rounds_down_without_losing_a_rank_to_binary_fractions():
    assert [protected(384, rate) for rate in (0, 0.05, 0.1, 0.5, 1)] == [0, 19, 38, 192, 384]
    assert [protected(100, percent / 100) for percent in range(101)] == list(range(101))


def test_cells_of_a_weight():
    """ceil(weight bits / bits per cell)."""
    for weight, slc, mlc in ((8, 1, 2), (8, 1, 3), (6, 2, 4), (1, 1, 2)):
        bits = {"analog.weight_bits": weight, "analog.slc_bits": slc, "analog.mlc_bits": mlc}
        module = load_chip("hyflexpim", bits).units["analog"].values
        assert cells_per_weight(module, "slc") == -(-weight // slc)
        assert cells_per_weight(module, "mlc") == -(-weight // mlc)


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan")])
def test_rates_refused(module, rate):
    with pytest.raises(InputError, match=f"^slc_rate must be from 0 to 1; got {rate}$"):
        factors(module, 64, 64, None, rate, "row-tile")


def test_tiles_refused(module):
    with pytest.raises(InputError, match=r"^tiles must be one of row-tile, ideal; got 'coarse'$"):
        factors(module, 64, 64, None, 1.0, "coarse")


# ---- the papers' tables


@pytest.mark.parametrize(
    ("rank", "share"),
    [
        (512, 64 / 512),  # 25 ranks -> 64: 12.5 %
        (384, 64 / 384),  # 19 -> 64: 16.7 %
        (819, 64 / 819),  # 40 -> 64: 7.8 %
    ],
)
def test_effective_share_of_u(module, rank, share):
    """Worked by hand: at 5 %, 64 ceil(k s / 64) / k of the ranks of U are in SLC."""
    _, u = factors(module, 1024, 1024, rank, 0.05, "row-tile")
    assert u.cells_slc / (1024 * 8) / rank == share
    _, u = factors(module, 1024, 1024, rank, 0.05, "ideal")
    assert u.cells_slc == int(rank * 0.05) * 1024 * 8


@pytest.mark.parametrize(
    ("rank", "tiles"),
    # ceil(768/64) ceil(4r/128) + ceil(r/64) ceil(4 x 768/128) = 12 ceil(r/32) + 24 ceil(r/64)
    [(None, 288), (180, 144), (192, 144), (193, 180), (200, 180), (240, 192), (256, 192)],
)
def test_staircase_of_a_square_matrix(module, rank, tiles):
    """768 x 768 in MLC: the second factor steps every 64 ranks."""
    assert arrays(module, 768, 768, rank, MLC) == tiles


@pytest.mark.parametrize(("rank", "tiles"), [(None, 1152), (307, 600), (320, 600), (321, 708)])
def test_staircase_of_a_wide_matrix(module, rank, tiles):
    """768 x 3072 in MLC: 12 ceil(r / 32) + 96 ceil(r / 64); half the parameters are 52 %."""
    assert arrays(module, 768, 3072, rank, MLC) == tiles


def layer(module, width, square, wide, rate):
    """Arrays of four square matrices and the two of an FFN of four times the width."""
    return (
        4 * arrays(module, width, width, square, rate)
        + arrays(module, width, 4 * width, wide, rate)
        + arrays(module, 4 * width, width, wide, rate)
    )


@pytest.mark.parametrize(
    ("width", "square", "wide", "slc", "mlc"),
    [(768, 384, 614, 7_044, 3_552), (1024, 512, 819, 12_416, 6_208)],
)
def test_arrays_of_a_layer(module, width, square, wide, slc, mlc):
    """Worked by hand: BERT-Base and BERT-Large with hard-threshold ranks."""
    assert layer(module, width, square, wide, SLC) == slc
    assert layer(module, width, square, wide, MLC) == mlc


def test_dense_bert_large_fills_a_pu_to_the_last_array(module):
    """4 x 16 x 64 + 2 x 16 x 256 = 12,288 = 24 modules x 512 arrays, and every cell of them."""
    assert layer(module, 1024, None, None, SLC) == 12_288 == 24 * 512
    cells = sum(
        n * factors(module, rows, cols, None, SLC, "row-tile")[0].cells_slc
        for n, rows, cols in ((4, 1024, 1024), (1, 1024, 4096), (1, 4096, 1024))
    )
    assert cells == 24 * 512 * 64 * 128


@pytest.mark.parametrize("percent", [0, 5, 10, 20, 30, 40, 50, 100])
@pytest.mark.parametrize("tiles", TILES)
def test_density_gain(module, percent, tiles):
    """rho(s) = 2 / (1 + s): 640 outputs take 2560 (1 + s) columns, a multiple of 128."""
    dense = arrays(module, 640, 640, None, percent / 100, tiles)
    assert dense * 2 * 100 == arrays(module, 640, 640, None, SLC, tiles) * (100 + percent)


@pytest.mark.parametrize("percent", [5, 10, 20, 30, 40, 50])
def test_density_gain_of_factors(module, percent):
    """640 x 640 of rank 640: each factor takes 200 (1 + s) arrays where tiles are ideal."""
    ideal = factors(module, 640, 640, 640, percent / 100, "ideal")
    assert [f.arrays * 200 for f in ideal] == [400 * (100 + percent)] * 2
    _, u = factors(module, 640, 640, 640, percent / 100, "row-tile")
    # 640 ranks are 10 row tiles: s rounds up to tenths
    assert u.arrays == 20 * (10 + -(-percent // 10))


# ---- laws


@given(SIZES, SIZES, RANKS, RATES, st.sampled_from(TILES))
def test_every_weight_has_its_cells(module, rows, cols, rank, rate, tiles):
    """Cells of a mode = weights of that mode x cells per weight; all weights are somewhere."""
    for factor in factors(module, rows, cols, rank, rate, tiles):
        assert factor.cells_slc % 8 == factor.cells_mlc % 4 == 0
        assert factor.cells_slc // 8 + factor.cells_mlc // 4 == factor.rows * factor.outputs
        # a rank (or output) is in one mode as a whole
        ranks = factor.rows if factor.part == "U" else factor.outputs
        assert factor.cells_slc % (8 * factor.macs // ranks) == 0
    protect = protected(cols if rank is None else rank, rate)
    (first, *_) = factors(module, rows, cols, rank, rate, tiles)
    assert first.cells_slc == rows * protect * 8


@given(SIZES, SIZES, RANKS, RATES)
def test_conversions_are_row_tiles_times_columns(module, rows, cols, rank, rate):
    """Of every row tile each used column is converted once a bit-plane."""
    first, *rest = factors(module, rows, cols, rank, rate, "row-tile")
    outputs = cols if rank is None else rank
    protect = protected(outputs, rate)
    assert first.row_tiles == -(-rows // 64)
    assert first.conversions == first.row_tiles * (8 * protect + 4 * (outputs - protect))
    for u in rest:
        slc = min(-(-protected(rank, rate) // 64), -(-rank // 64))
        assert u.row_tiles == -(-rank // 64)
        assert u.conversions == cols * (8 * slc + 4 * (u.row_tiles - slc))


@given(SIZES, SIZES, RANKS, RATES, st.sampled_from(TILES))
def test_arrays_hold_what_is_in_them(module, rows, cols, rank, rate, tiles):
    for factor in factors(module, rows, cols, rank, rate, tiles):
        cells = factor.cells_slc + factor.cells_mlc
        assert cells <= factor.arrays * 64 * 128
        assert factor.arrays_slc >= 0 and factor.arrays_mlc >= 0
        assert (factor.arrays_slc == 0) == (factor.cells_slc == 0)
        assert cells <= factor.conversions * 64
        assert 0 < factor.fullest <= 128
        assert factor.rows <= factor.wordlines
        assert factor.row_tiles == -(-factor.rows // 64)


@given(SIZES, SIZES, RANKS, RATES)
def test_ideal_is_a_lower_bound(module, rows, cols, rank, rate):
    ideal = factors(module, rows, cols, rank, rate, "ideal")
    real = factors(module, rows, cols, rank, rate, "row-tile")
    for low, high in zip(ideal, real, strict=True):
        assert low.arrays == -(-(low.cells_slc + low.cells_mlc) // (64 * 128))
        assert low.arrays <= high.arrays
        assert low.conversions <= high.conversions
        assert low.wordlines <= high.wordlines
        assert low.row_tiles == high.row_tiles
        assert low.macs == high.macs


@given(SIZES, SIZES, RANKS, RATES, RATES, st.sampled_from(TILES))
def test_more_slc_never_takes_fewer_arrays(module, rows, cols, rank, one, other, tiles):
    low, high = sorted((one, other))
    less = factors(module, rows, cols, rank, low, tiles)
    more = factors(module, rows, cols, rank, high, tiles)
    for a, b in zip(less, more, strict=True):
        assert a.arrays <= b.arrays
        assert a.conversions <= b.conversions
        assert a.cells_slc <= b.cells_slc


@given(SIZES, SIZES, SIZES, RATES)
def test_in_one_mode_both_tilings_agree_on_conversions(module, rows, cols, rank, rate):
    for whole in (SLC, MLC):
        for low, high in zip(
            factors(module, rows, cols, rank, whole, "ideal"),
            factors(module, rows, cols, rank, whole, "row-tile"),
            strict=True,
        ):
            assert (low.columns_slc, low.columns_mlc) == (high.columns_slc, high.columns_mlc)
            assert (low.wordlines, low.fullest) == (high.wordlines, high.fullest)


def test_what_lies_in_arrays_takes_no_bytes(module):
    """64 x 100 with a fifth in SLC: 20 x 8 columns begin two arrays, 80 x 4 fill the rest."""
    (factor,) = factors(module, 64, 100, None, 0.2, "row-tile")
    assert factor.cells() == {"arrays_slc": 2, "arrays_mlc": 2, "bytes": 0}
