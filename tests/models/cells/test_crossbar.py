"""The bit-serial product against the integer product, the ADC by hand."""

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.models.cells.cell_columns import Sign
from hyflexsim.models.cells.crossbar import (
    CrossbarConfig,
    bit_serial_matmul,
    program_crossbar,
    read_crossbar,
    required_adc_bits,
)
from hyflexsim.models.cells.rram_noise import ConductanceModel, MultiplicativeNoise, noise_std
from hyflexsim.models.errors import ModelError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def codes(*shape, seed=0, bits=8):
    half = 2 ** (bits - 1)
    return torch.randint(-half, half, shape, generator=seeded(seed))


@settings(max_examples=60)
@given(
    st.integers(0, 2**31),
    st.integers(1, 200),
    st.integers(1, 8),
    st.sampled_from(["clip", "scale"]),
    st.sampled_from(get_args(Sign)),
    st.integers(1, 100),
    st.integers(2, 8),
)
def test_enough_adc_bits_give_the_integer_product(seed, inputs, bits, mode, sign, rows, width):
    x, w = codes(3, inputs, seed=seed, bits=width), codes(5, inputs, seed=seed + 1)
    if seed % 3 == 0:  # the largest column sums there are
        x, w = torch.full_like(x, -1), torch.full_like(w, -1 if seed % 2 else -128)
    for adc_bits in (None, required_adc_bits(bits, rows, sign=sign)):
        got = bit_serial_matmul(
            x,
            w,
            bits_per_cell=bits,
            adc_bits=adc_bits,
            adc_mode=mode,
            sign=sign,
            rows=rows,
            input_bits=width,
        )
        assert torch.equal(got, (x @ w.T).double())


def test_large_products_are_exact():
    """3072 inputs of -128 · -128 exceed what float32 counts."""
    x, w = torch.full((2, 3072), -128), torch.full((3, 3072), -128)
    x[0, 0] = w[0, 5] = 127
    assert torch.equal(bit_serial_matmul(x, w, adc_bits=8), (x @ w.T).double())


@pytest.mark.parametrize(("bits", "need"), [(1, 7), (2, 8), (3, 9), (4, 10)])
def test_one_bit_less_loses(bits, need):
    """A full tile of top levels: 64 · (2^b - 1) clips at 2^(need-1) - 1."""
    assert required_adc_bits(bits) == need
    x, top = torch.ones(1, 64, dtype=torch.int64), 2**bits - 1
    w = torch.full((1, 64), top)
    assert float(bit_serial_matmul(x, w, bits_per_cell=bits, adc_bits=need)) == 64 * top
    got = bit_serial_matmul(x, w, bits_per_cell=bits, adc_bits=need - 1)
    assert float(got) == 2 ** (need - 1) - 1


def test_bipolar_adc_clips_on_both_sides():
    """The top slice at -2 in 64 rows sums to -128; 7 bits reach -64."""
    x, w = torch.ones(1, 64, dtype=torch.int64), torch.full((1, 64), -128)
    assert float(bit_serial_matmul(x, w, adc_bits=8)) == -128 * 64
    assert float(bit_serial_matmul(x, w, adc_bits=7)) == -64 * 64
    w = torch.full((1, 64), 64)
    assert float(bit_serial_matmul(x, w, adc_bits=7)) == 63 * 64


def test_scale_mode_by_hand():
    """7 bits over 0 ... 192: a code is 192 / 127 levels; 10 rows of level 1 are code 7."""
    x, w = torch.ones(1, 64, dtype=torch.int64), torch.zeros(1, 64, dtype=torch.int64)
    w[0, :10] = 1
    got = bit_serial_matmul(x, w, adc_bits=7, adc_mode="scale")
    assert float(got) == pytest.approx(7 * 192 / 127)
    full = bit_serial_matmul(x, torch.full_like(w, 3), adc_bits=7, adc_mode="scale")
    assert float(full) == pytest.approx(192)
    assert float(bit_serial_matmul(x, 0 * w, adc_bits=7, adc_mode="scale")) == 0


@pytest.mark.parametrize("mode", ["clip", "scale"])
def test_resolution_shows_in_the_error(mode):
    """Each bit less makes the error larger, down to 0 with enough."""
    x, w = codes(40, 128, seed=1), codes(30, 128, seed=2)
    exact = (x @ w.T).double()
    errors = [
        float((bit_serial_matmul(x, w, adc_bits=b, adc_mode=mode) - exact).norm() / exact.norm())
        for b in (8, 7, 6, 5, 4)
    ]
    assert errors[0] == 0
    assert errors[1:] == sorted(errors[1:])
    assert errors[-1] > 0.05


def test_a_tile_is_converted_by_itself():
    """128 inputs in two tiles of 64 do not clip where one tile of 128 rows does."""
    x, w = torch.ones(1, 128, dtype=torch.int64), torch.ones(1, 128, dtype=torch.int64)
    assert float(bit_serial_matmul(x, w, adc_bits=7, rows=64)) == 128
    assert float(bit_serial_matmul(x, w, adc_bits=7, rows=128)) == 127


@pytest.mark.parametrize("adc_bits", [None, 3])
def test_no_inputs_are_no_results(adc_bits):
    """An expert that no token is sent to."""
    programmed = program_crossbar(codes(5, 8), 2)
    empty = torch.zeros(2, 0, 8, dtype=torch.int64)
    assert read_crossbar(empty, programmed, adc_bits=adc_bits).shape == (2, 0, 5)


def test_blocks_of_inputs_agree():
    """More inputs than one block holds, and any leading axes."""
    x, w = codes(2, 3, 700, 70), codes(400, 70, seed=1)
    got = bit_serial_matmul(x, w, adc_bits=8)
    assert torch.equal(got, (x @ w.T).double())


def test_programming_noise_is_the_theory_of_the_codes():
    """A unit input reads one weight: spread as noise_std, same draw in each read."""
    w = torch.full((20_000, 1), -75)
    programmed = program_crossbar(w, 2, noise=MultiplicativeNoise(0.1), generator=seeded())
    one = torch.ones(1, 1, dtype=torch.int64)
    got = read_crossbar(one, programmed)[0]
    std = float(noise_std(torch.tensor(-75), 0.1))
    assert float(got.mean()) == pytest.approx(-75, abs=5 * std / 140)
    assert float(got.std()) == pytest.approx(std, rel=0.03)
    assert torch.equal(got, read_crossbar(one, programmed)[0])


def test_read_noise_is_new_in_each_read():
    """64 rows of level 1 in one column: variance 64 (σ G)², G in steps with its offset."""
    model = ConductanceModel(program_sigma_us=0.0, read_sigma_rel=0.05)
    programmed = program_crossbar(
        torch.ones(1, 64, dtype=torch.int64), 8, noise=model, generator=seeded()
    )
    x = torch.ones(20_000, 64, dtype=torch.int64)
    got = read_crossbar(x, programmed, generator=seeded(1))[:, 0]
    stored = 1 + 128 + 255 / 149  # the level above the lowest, and the current of 1/R_off
    assert float(got.std()) == pytest.approx(0.05 * stored * 8, rel=0.03)
    assert float(got.mean()) == pytest.approx(64, abs=5 * 0.05 * stored * 8 / 141)
    assert torch.equal(got, read_crossbar(x, programmed, generator=seeded(1))[:, 0])


@pytest.mark.parametrize("sign", get_args(Sign))
@pytest.mark.parametrize("bits", [1, 2, 3])
def test_ideal_conductances_are_the_integer_product(sign, bits):
    x, w = codes(4, 90), codes(6, 90, seed=1)
    model = ConductanceModel(program_sigma_us=0.0)
    got = bit_serial_matmul(x, w, bits_per_cell=bits, adc_bits=16, sign=sign, noise=model)
    assert torch.equal(got, (x @ w.T).double())


X, C = torch.ones(1, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: CrossbarConfig(mlc_bits=9),
            "mlc_bits must be an integer from 1 to 8; got 9",
        ),
        (
            lambda: CrossbarConfig(slc_adc_bits=0),
            "slc_adc_bits must be an integer from 1 to 16; got 0",
        ),
        (lambda: CrossbarConfig(rows=0), "rows must be an integer from 1 to 1024; got 0"),
        (
            lambda: CrossbarConfig(adc_mode="wrap"),
            "adc_mode must be clip or scale; got 'wrap'",
        ),
        (
            lambda: CrossbarConfig(sign="offset"),
            "sign must be twos-complement, biased, differential, differential-rows; got 'offset'",
        ),
        (
            lambda: bit_serial_matmul(X, C, bits_per_cell=0),
            "bits_per_cell must be an integer from 1 to 8; got 0",
        ),
        (
            lambda: bit_serial_matmul(X * 300, C),
            "codes must be from -128 to 127; got 300 to 300",
        ),
        (lambda: bit_serial_matmul(X, C[:, :2]), "x must have shape (..., 2); got (1, 3)"),
        (lambda: bit_serial_matmul(X, C[0]), "codes must have shape (out, in); got (3,)"),
    ],
)
def test_bad_input_in_one_line(call, message):
    with pytest.raises(ModelError) as error:
        call()
    assert str(error.value) == message
