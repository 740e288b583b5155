"""The fast crossbar read against plain loops, and against sums that are added in another order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.models.cells.converted_sums import Converter, converted_sums
from hyflexsim.models.cells.crossbar import bit_serial_matmul, program_crossbar, read_crossbar
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise

SIGNS = ("twos-complement", "biased", "differential", "differential-rows")


@settings(max_examples=200)
@given(data=st.data())
def test_the_same_as_plain_loops(bit_serial_reference, data):
    """Over tiles, modes, signs, widths and converters, with cells that do not err: equal."""
    bits, input_bits = data.draw(st.integers(2, 8)), data.draw(st.integers(2, 8))
    inputs, outputs = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 9))
    count = data.draw(st.sampled_from([1, 3, 30]))  # few inputs and many go different ways
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    x = rng.integers(-(2 ** (input_bits - 1)), 2 ** (input_bits - 1), (count, inputs))
    top = 2 ** (bits - 1) - 1
    w = rng.integers(-top, top + 1, (outputs, inputs))
    how = {
        "rows": data.draw(st.sampled_from([1, 5, 8, 13, 64])),
        "sign": data.draw(st.sampled_from(SIGNS)),
        "bits": bits,
        "input_bits": input_bits,
        "adc_bits": data.draw(st.none() | st.integers(1, 9)),
    }
    cell_bits, scale = data.draw(st.integers(1, 4)), data.draw(st.booleans())
    mode = "scale" if scale else "clip"
    got = bit_serial_matmul(
        torch.tensor(x), torch.tensor(w), bits_per_cell=cell_bits, adc_mode=mode, **how
    )
    wanted = bit_serial_reference(x, w, cell_bits=cell_bits, scale=scale, **how)
    if scale:
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-6, atol=1e-6 * abs(wanted).max())
    else:
        assert (got.numpy() == wanted).all()


@pytest.mark.parametrize("count", [5, 60])
def test_cells_that_err_round_to_the_same_codes(count):
    """Sums of float32 in another order: codes differ only where a sum is at a rounding edge."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (count, 96)).astype(np.int8)
    cells = rng.integers(0, 4, (2, 48, 1, 70)) * (1 + 0.1 * rng.normal(size=(2, 48, 1, 70)))
    cells = cells.astype(np.float32)
    for plane in range(8):  # a plane at a time: its codes can be told apart
        bits = (codes >> plane & 1).astype(np.int8)
        got = converted_sums(bits, cells, [Converter(0, 60, 1.0, 1.0)], 2)
        sums = np.einsum("btr,trso->btso", bits.reshape(count, 2, 48), cells.astype(np.float64))
        wanted = np.clip(np.floor(sums + 0.5), 0, 60).sum((1, 2))
        edge = (abs(abs(sums - np.floor(sums)) - 0.5) < 1e-4).any((1, 2))
        assert (got == wanted)[~edge].all()
        assert edge.mean() < 0.01


def test_batches_and_threads_do_not_matter():
    torch.manual_seed(0)
    w = torch.randint(-127, 128, (200, 150), dtype=torch.int8)
    x = torch.randint(-128, 128, (70, 150), dtype=torch.int8)
    noise = MultiplicativeNoise(0.1)
    cells = program_crossbar(w, 2, noise=noise, generator=torch.Generator().manual_seed(1))
    whole = read_crossbar(x, cells, adc_bits=7)
    parts = [read_crossbar(x[i : i + 35], cells, adc_bits=7) for i in (0, 35)]
    assert torch.equal(torch.cat(parts), whole)
    numba = pytest.importorskip("numba")
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert torch.equal(read_crossbar(x, cells, adc_bits=7), whole)
    finally:
        numba.set_num_threads(before)


def test_columns_that_cannot_clip_are_one_product_of_integers():
    """64 ones in SLC cells sum to 64, beyond 6 bits; 63 do not: only that output is converted."""
    w = torch.ones(2, 64, dtype=torch.int8)
    w[1, 5] = 0
    cells = program_crossbar(w, 1)
    x = torch.ones(1, 64, dtype=torch.int8)
    assert read_crossbar(x, cells, adc_bits=6).tolist() == [[63, 63]]
    (cut,) = cells.clipping.values()
    assert cut.outputs.tolist() == [0]
    assert read_crossbar(x, cells, adc_bits=7).tolist() == [[64, 63]]
