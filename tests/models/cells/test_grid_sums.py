"""Sums in 16 bits against those in float32: equal, and left to them where they cannot be."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.models.cells.converted_sums import Converter, converted_sums
from hyflexsim.models.cells.crossbar import converters_of, program_crossbar, read_crossbar
from hyflexsim.models.cells.grid_sums import GRID, grid_columns, grid_sums
from hyflexsim.models.cells.rram_noise import ConductanceModel, MultiplicativeNoise

SIGNS = ("twos-complement", "biased", "differential", "differential-rows")
NOISES = (
    None,
    MultiplicativeNoise(0.3),
    ConductanceModel(drift_nu=0.05, time_s=1e6, cancel_offset=False),
)


@settings(max_examples=150)
@given(data=st.data())
def test_the_same_as_sums_in_float32(data):
    planes, rows = data.draw(st.integers(2, 8)), data.draw(st.sampled_from([3, 35, 36, 64, 100]))
    shape = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 70))
    bits, sign = data.draw(st.integers(1, 2)), data.draw(st.sampled_from(SIGNS))
    noise = data.draw(st.sampled_from(NOISES))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    weights = torch.from_numpy(rng.integers(-127, 128, shape[::-1]))
    programmed = program_crossbar(
        weights, bits, rows=rows, sign=sign, noise=noise, generator=torch.Generator().manual_seed(0)
    )
    cells = programmed.cells.numpy()
    converters = converters_of(programmed.form, rows, data.draw(st.integers(1, 9)), "clip")
    half = 2 ** (planes - 1)
    x = rng.integers(-half, half, (data.draw(st.integers(1, 40)), cells.shape[0] * rows))
    x = x.astype(np.int8)
    columns = grid_columns(cells, converters)
    if columns is None:  # only what may reach further than 256 levels
        assert abs(cells).sum(1).max() > 0.99 * 2**16 / GRID
        return
    found = grid_sums(x, columns, planes)
    assert (found == converted_sums(x, cells, converters, planes)).all()


@pytest.mark.parametrize(
    ("level", "code"), [(0.25, 0), (0.5, 1), (1.25, 1), (1.5, 2), (-0.5, 0), (-0.75, -1)]
)
def test_a_sum_gets_the_code_from_half_a_step_below_it(level, code):
    cells = np.full((1, 1, 1, 1), level, dtype=np.float32)
    converters, x = [Converter(-8, 7, 1.0, 1)], np.ones((1, 1), dtype=np.int8)
    wanted = [[code]]
    assert grid_sums(x, grid_columns(cells, converters), 2).tolist() == wanted
    assert converted_sums(x, cells, converters, 2).tolist() == wanted


@pytest.mark.parametrize(
    "cells",
    [
        np.full((1, 4, 1, 1), 1 / 3),  # between steps of the grid
        np.full((1, 64, 1, 1), 4.0),  # 256 levels
        np.array([-128.0, 128.0]).reshape(1, 2, 1, 1),
    ],
)
def test_what_sixteen_bits_do_not_hold_is_left_to_float32(cells):
    assert grid_columns(cells.astype(np.float32), [Converter(0, 7, 1.0, 1)]) is None


@pytest.mark.parametrize("converter", [Converter(0, 7, 1.5, 1), Converter(0, 7, 1.0, 0.5)])
def test_converters_that_are_left_to_float32(converter):
    assert grid_columns(np.ones((1, 1, 1, 1), dtype=np.float32), [converter]) is None


def test_results_beyond_32_bits_are_left_to_float32():
    cells = np.ones((2, 1, 1, 1), dtype=np.float32)
    for worth, fits in ((2**14 - 1, True), (2**14, False)):
        assert (grid_columns(cells, [Converter(0, 255, 1.0, worth)]) is not None) == fits
    x = np.full((1, 2), -1, dtype=np.int8)
    largest = grid_sums(x, grid_columns(cells, [Converter(0, 255, 1.0, 2**14 - 1)]), 8)
    assert largest.item() == -2 * (2**14 - 1)


@pytest.mark.parametrize(("worth", "kind"), [(1, np.float32), (2**14 - 1, np.float64)])
def test_results_are_whole_in_either_precision(worth, kind):
    """127 x 200 levels in each of two tiles; times 16,383 that needs 26 bits beside its zeros."""
    cells = np.full((2, 1, 1, 1), 200, dtype=np.float32)
    found = grid_sums(
        np.full((1, 2), 127, dtype=np.int8), grid_columns(cells, [Converter(0, 255, 1.0, worth)]), 8
    )
    assert found.dtype == kind
    assert int(found.item()) == 2 * 127 * 200 * worth


def test_levels_with_errors_lie_on_the_grid_near_those_drawn():
    """Its steps add to an error of σ the twelfth of their square: 0.02 % at σ = 0.1."""
    weights = torch.full((100, 640), 1)
    noise = MultiplicativeNoise(0.1)
    made = program_crossbar(
        weights, 2, noise=noise, generator=torch.Generator().manual_seed(3)
    ).cells[:, :, 0]
    assert torch.equal(made * GRID, (made * GRID).round())
    assert float((made - 1).square().mean()) == pytest.approx(0.1**2, rel=0.03)


def test_a_matrix_reads_the_same_in_16_bits_and_in_float32():
    """The whole way, noise and ranks of both modes apart: as if the sums did not fit."""
    torch.manual_seed(0)
    weights = torch.randint(-127, 128, (50, 130))
    x = torch.randint(-128, 128, (20, 130))
    made = program_crossbar(
        weights, 2, noise=MultiplicativeNoise(0.1), generator=torch.Generator().manual_seed(1)
    )
    fast = read_crossbar(x, made, adc_bits=7)
    assert None not in made.columns.values()
    made.columns.update(dict.fromkeys(made.columns))
    assert torch.equal(read_crossbar(x, made, adc_bits=7), fast)
