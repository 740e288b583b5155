"""Weights as levels of cells, and converters."""

import numpy as np
import pytest

from hyflexsim.workloads.values.converters import (
    Column,
    columns_of,
    convert,
    levels_of,
    step_of,
)

SIGNS = ("twos-complement", "biased", "differential", "differential-rows")


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("cell", [1, 2, 3, 4])
def test_levels_are_worth_the_code(sign, cell):
    codes = np.arange(-127, 128)
    columns, bias = columns_of(8, cell, sign)
    levels = levels_of(codes, 8, cell, sign)
    assert levels.shape == (255, len(columns))
    for column, held in zip(columns, levels.T, strict=True):
        assert column.low <= held.min() <= held.max() <= column.high
    assert (levels @ [c.worth for c in columns] - bias == codes).all()


def test_a_full_column_is_clipped_or_scaled():
    sums, single = np.array([0.0, 63.0, 64.0]), Column(1, 0, 1)
    assert convert(sums, single, 64, 6, "clip").tolist() == [0, 63, 63]
    assert convert(sums, single, 64, 7, "clip").tolist() == [0, 63, 64]
    assert step_of(single, 64, 6, "scale") == 64 / 63
    assert convert(sums, single, 64, 6, "scale").tolist() == [0, 62, 63]
    assert convert(sums, single, 64, None, "scale").tolist() == sums.tolist()


def test_a_signed_column_is_measured_around_zero():
    signed = Column(64, -2, 1)
    sums = np.array([-128.0, -64.0, 63.0, 64.0])
    assert convert(sums, signed, 64, 7, "clip").tolist() == [-64, -64, 63, 63]
