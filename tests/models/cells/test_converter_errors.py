"""Converters with offsets and gains, against the formula written out column by column."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hyflexsim.models.cells.converter_errors import ConverterErrors, Place, with_errors
from hyflexsim.models.cells.crossbar import (
    CrossbarConfig,
    converters_of,
    program_crossbar,
    read_crossbar,
)
from hyflexsim.models.cells.crossbar_layers import CrossbarLinear
from hyflexsim.models.cells.quantization import ActivationQuantizer
from hyflexsim.models.errors import ModelError


@given(
    seed=st.integers(0, 99),
    mode=st.sampled_from(["clip", "scale"]),
    adc_bits=st.integers(2, 8),
    columns=st.sampled_from([3, 8, 128]),
    place=st.builds(Place, st.integers(0, 9), st.just("w"), st.integers(0, 1), st.just(2)),
)
@settings(deadline=None, max_examples=50)
def test_codes_are_those_of_the_formula(seed, mode, adc_bits, columns, place):
    rng = np.random.default_rng(seed)
    codes = torch.tensor(rng.integers(-127, 128, (3, 10)))
    x = torch.tensor(rng.integers(-128, 128, (2, 10)))
    errors = ConverterErrors(offset=1.5, gain=0.1, columns=columns)
    config = CrossbarConfig(adc_mode=mode)
    cells = program_crossbar(codes, 2, rows=4)
    read = read_crossbar(
        x, with_errors(cells, errors, place, config, adc_bits), adc_bits=adc_bits, adc_mode=mode
    )
    wanted = np.zeros((2, 3))
    padded = np.pad(x.numpy(), ((0, 0), (0, 2)))
    for tile in range(3):
        for out in range(3):
            for s, each in enumerate(converters_of(cells.form, 4, adc_bits, mode)):
                number = (out * 4 + s) // columns
                drawn = errors.drawn(place.seed, place.path, place.factor, 2 + tile, number + 1)
                offset, gain = drawn[number]
                for plane in range(8):
                    bits = padded[:, 4 * tile : 4 * tile + 4] >> plane & 1
                    sums = bits @ cells.cells[tile, :, s, out].numpy() * (1 + gain)
                    code = np.clip(np.rint(sums / each.step + offset), each.first, each.last)
                    sign = -1 if plane == 7 else 1
                    wanted[:, out] += sign * 2**plane * each.worth * each.step * code
    assert np.allclose(read.numpy(), wanted, rtol=1e-6, atol=1e-6)


def test_no_spread_is_no_error():
    cells = program_crossbar(torch.tensor([[3]]), 2)
    place, config = Place(0, "w", 0), CrossbarConfig()
    assert with_errors(cells, ConverterErrors(), place, config, 7) is cells
    assert with_errors(cells, ConverterErrors(offset=1), place, config, None) is cells


def test_slc_and_mlc_outputs_of_one_array_have_one_converter():
    """Two equal outputs in equal cells, one as SLC, one as MLC; offsets add the same to both."""
    errors = ConverterErrors(offset=8.0)
    config = CrossbarConfig(slc_bits=2, slc_adc_bits=7)
    layer = CrossbarLinear(
        torch.ones(2, 4),
        config=config,
        protected=torch.tensor([True, False]),
        quantizer=ActivationQuantizer(granularity="row"),
        errors=errors,
        place=Place(1, "w", 0),
    )
    first, second = layer(torch.ones(1, 4))[0].tolist()
    assert first == second != 4


def test_row_tiles_of_slc_inputs_come_before_those_of_mlc():
    """The same factor with 3 of 8 ranks in SLC: tile 0 has SLC's error, tile 1 that of MLC."""
    errors, place = ConverterErrors(offset=8.0), Place(1, "w", 0)
    layer = CrossbarLinear(
        (torch.eye(8), torch.ones(1, 8)),
        protected=torch.arange(8) < 3,
        errors=errors,
        place=place,
    )
    slc, mlc = (part[0] for part in layer._matrices[1].parts)
    for tile, programmed in enumerate((slc, mlc)):
        wanted = errors.drawn(1, "w", 1, tile, 1)[0, 0]
        held = programmed.cells[0, -1].flatten().numpy()
        assert np.allclose(held, wanted, rtol=1e-6)


@pytest.mark.parametrize("key", ["offset", "gain"])
def test_a_spread_is_not_negative(key):
    with pytest.raises(ModelError, match=key):
        ConverterErrors(**{key: -1})
