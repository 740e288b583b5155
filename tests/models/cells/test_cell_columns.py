"""Columns of a code: they hold it exactly, and what noise in them means in closed form."""

from typing import get_args

import pytest
import torch

from hyflexsim.models.cells.cell_columns import Sign, layout, levels
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise, noise_std, noisy_codes
from hyflexsim.models.errors import ModelError

CODES = torch.arange(-128, 128)
BITS = range(1, 9)


@pytest.mark.parametrize("sign", get_args(Sign))
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("code_bits", range(2, 9))
def test_columns_hold_every_code(bits, sign, code_bits):
    codes = CODES[CODES.abs() < 2 ** (code_bits - 1)]
    form, held = layout(bits, sign, code_bits), levels(codes, bits, sign, code_bits)
    worth = torch.tensor(form.worth).view(-1, 1)
    assert (held * worth).sum(0).sub(form.bias).tolist() == codes.tolist()
    for level, low, high in zip(held, form.lowest, form.highest, strict=True):
        assert low <= level.min() <= level.max() <= high


@pytest.mark.parametrize("bits", BITS)
def test_of_a_pair_one_side_is_empty(bits):
    positive, negative = levels(CODES, bits, "differential").chunk(2)
    assert not bool((positive.any(0) & negative.any(0)).any())
    assert torch.equal(positive[:, 129:], negative[:, 1:128].flip(1))  # of w and -w


def test_what_noise_does_to_minus_one():
    one = torch.tensor(-1)
    squares = {"twos-complement": 64**2 + 48**2 + 12**2 + 3**2, "differential": 1}
    squares["differential-rows"] = 1
    squares["biased"] = squares["twos-complement"]
    for sign, expected in squares.items():
        assert float(noise_std(one, 0.5, sign=sign)) == pytest.approx(0.5 * expected**0.5)


@pytest.mark.parametrize("sign", get_args(Sign))
def test_noise_has_its_mean_and_deviation(sign):
    many, n = torch.tensor([-128, -75, -1, 0, 1, 127]).repeat(20_000, 1), 20_000
    noisy = noisy_codes(
        many, MultiplicativeNoise(0.1), 2, torch.Generator().manual_seed(3), sign
    ).double()
    std = noise_std(many[0], 0.1, sign=sign).double()
    # five standard errors of a mean and of a deviation of Gaussians
    assert bool(((noisy.mean(0) - many[0]).abs() <= 5 * std / n**0.5).all())
    assert bool(((noisy.std(0) - std).abs() <= 5 * std / (2 * n) ** 0.5).all())
    assert torch.equal(noisy_codes(many, None, 2, sign=sign), many.float())


def test_refusals():
    with pytest.raises(
        ModelError,
        match="sign must be twos-complement, biased, differential, differential-rows; got",
    ):
        layout(2, "offset")
    with pytest.raises(ModelError, match="bits_per_cell must be an integer from 1 to 8; got 9"):
        levels(CODES, 9)
    with pytest.raises(ModelError, match="codes must be from -128 to 127; got 0 to 300"):
        levels(torch.tensor([0, 300]), 2, "differential")
