"""Quantiser and slices against closed forms; all 256 codes through every cell width."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyflexsim.models.cells.quantization import (
    ActivationQuantizer,
    clip_threshold,
    fake_quantize,
    join_slices,
    quantize,
    slice_codes,
    slice_weights,
    slice_widths,
)
from hyflexsim.models.errors import ModelError

ALL_CODES = torch.arange(-128, 128, dtype=torch.int16).to(torch.int8)


@pytest.mark.parametrize("bits_per_cell", range(1, 9))
def test_all_codes_reassemble(bits_per_cell):
    slices = slice_codes(ALL_CODES, bits_per_cell)
    assert slices.shape == (math.ceil(8 / bits_per_cell), 256)
    assert torch.equal(join_slices(slices, bits_per_cell), ALL_CODES.short())
    widths = slice_widths(bits_per_cell)
    for level, width in zip(slices[:-1], widths[:-1], strict=True):
        assert (int(level.min()), int(level.max())) == (0, 2**width - 1)
    half = 2 ** (widths[-1] - 1)
    assert (int(slices[-1].min()), int(slices[-1].max())) == (-half, half - 1)


@given(st.integers(2, 8), st.integers(1, 8), st.data())
def test_narrow_codes_reassemble(bits, bits_per_cell, data):
    half = 2 ** (bits - 1)
    code = torch.tensor(data.draw(st.integers(-half, half - 1)))
    slices = slice_codes(code, bits_per_cell, bits=bits)
    assert int(join_slices(slices, bits_per_cell, bits=bits)) == int(code)


def test_two_bit_slices_are_the_released_masks():
    """0xC0 on an int8 gives -128, -64, 0 or 64; the other masks are unsigned."""
    slices = slice_codes(ALL_CODES, 2).int()
    signed_top = (ALL_CODES.int() & 0xC0).to(torch.int16)
    signed_top = torch.where(signed_top >= 128, signed_top - 256, signed_top)
    assert torch.equal(slices[3] * 64, signed_top.int())
    for i, mask in enumerate((0x03, 0x0C, 0x30)):
        assert torch.equal(slices[i] * 4**i, ALL_CODES.int() & mask)
    assert slice_weights(2) == (1, 4, 16, 64)
    assert slice_weights(3) == (1, 8, 64)


def test_noisy_levels_join_in_floating_point():
    levels = slice_codes(ALL_CODES, 2).double() + 0.25
    shift = 0.25 * (1 + 4 + 16 + 64)
    assert torch.equal(join_slices(levels, 2), ALL_CODES.double() + shift)


def test_levels_of_the_quantiser():
    """Every code k of a tensor that holds k / 127 · c comes back as k, and the tensor with it."""
    w = torch.arange(-127, 128).double() * 0.01
    q = quantize(w)
    assert q.codes.tolist() == list(range(-127, 128))
    torch.testing.assert_close(q.dequantize(), w, atol=1e-12, rtol=0)


@given(st.integers(0, 2**31), st.sampled_from(["max", "percentile"]), st.integers(2, 8))
def test_error_is_half_a_step_inside_the_clip(seed, clip, bits):
    w = torch.randn(50, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    at = clip_threshold(w, clip, percentile=90)
    step = at / (2 ** (bits - 1) - 1)
    got = fake_quantize(w, clip, percentile=90, bits=bits)
    assert bool(((got - w.clamp(-at, at)).abs() <= step / 2 * (1 + 1e-9)).all())


def test_uniform_error_variance():
    """Rounding error of a dense distribution has variance step² / 12."""
    w = torch.rand(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w[0] = 1.0
    error = fake_quantize(w) - w
    assert float(error.var()) == pytest.approx((1 / 127) ** 2 / 12, rel=0.02)


def test_clip_thresholds():
    w = torch.tensor([[4.0, -9.0], [3.0, 1.0]])
    assert float(clip_threshold(w)) == 9.0
    assert float(clip_threshold(w, "second-signed")) == 3.0
    assert float(clip_threshold(w, "percentile", percentile=50)) == 3.0
    assert clip_threshold(w, granularity="row").tolist() == [[9.0], [3.0]]
    assert quantize(w, "second-signed").codes.tolist() == [[127, -127], [127, 42]]


def test_rows_have_scales_of_their_own():
    w = torch.tensor([[1.0, 0.5], [100.0, -50.0]])
    q = quantize(w, granularity="row")
    assert q.codes.tolist() == [[127, 64], [127, -64]]
    assert q.scale.shape == (2, 1)


def test_zeros_stay_zero():
    q = quantize(torch.zeros(3))
    assert q.codes.tolist() == [0, 0, 0]
    assert float(q.scale) == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_threshold_too_small_to_divide_gives_zeros(dtype):
    """The smallest subnormal over 127 is 0, which must not become a scale."""
    w = torch.full((3,), torch.finfo(dtype).smallest_normal, dtype=dtype) * torch.finfo(dtype).eps
    assert float(w[0]) > 0
    q = quantize(w)
    assert q.codes.tolist() == [0, 0, 0]
    assert bool(torch.isfinite(q.dequantize()).all())


def test_straight_through_gradient():
    w = torch.tensor([0.3, -2.0, 0.7, 0.9], requires_grad=True)
    coefficients = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (fake_quantize(w, "second-signed") * coefficients).sum().backward()
    assert w.grad.tolist() == [1.0, 0.0, 3.0, 0.0]  # clipped at 0.7
    w.grad = None
    (fake_quantize(w) * coefficients).sum().backward()
    assert torch.equal(w.grad, coefficients)


def test_fake_quantize_is_codes_times_scale_bit_for_bit():
    w = torch.randn(64, 33, generator=torch.Generator().manual_seed(3))
    assert torch.equal(fake_quantize(w), quantize(w).dequantize())


def test_activations_dynamic_and_static():
    dynamic = ActivationQuantizer()
    x = torch.tensor([[1.0, -2.0], [0.5, 0.1]])
    assert dynamic.quantize(x).codes.tolist() == [[64, -127], [32, 6]]
    rows = ActivationQuantizer(granularity="row")
    assert rows.quantize(x).codes.tolist() == [[64, -127], [127, 25]]
    static = ActivationQuantizer("static")
    static.calibrate(x)
    static.calibrate(0.1 * x)  # smaller samples do not narrow it
    assert float(static.threshold) == 2.0
    assert static.quantize(torch.tensor([8.0, 1.0])).codes.tolist() == [127, 64]
    reloaded = ActivationQuantizer("static")
    reloaded.load_state_dict(static.state_dict())
    assert torch.equal(reloaded(x), static(x))
    x.requires_grad_()
    static(x).sum().backward()
    assert torch.equal(x.grad, torch.ones(2, 2))


ONE = torch.ones(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: quantize(torch.tensor([1.0, math.nan]), key="weight"),
            "weight must be finite; got NaN or infinity in 1 of 2",
        ),
        (lambda: quantize(ONE, bits=9), "bits must be an integer from 2 to 8; got 9"),
        (lambda: slice_codes(ALL_CODES, 0), "bits_per_cell must be an integer from 1 to 8; got 0"),
        (
            lambda: quantize(ONE, "min"),
            "clip must be one of max, second-signed, percentile; got 'min'",
        ),
        (
            lambda: quantize(torch.tensor([1.0, -1.0]), "second-signed", key="weight"),
            "weight must have two positive entries for clip 'second-signed'; "
            "got -1 as the second-largest",
        ),
        (
            lambda: quantize(ONE[:1], "second-signed"),
            "tensor must have 2 entries or more for clip 'second-signed'; got 1",
        ),
        (
            lambda: clip_threshold(ONE, "percentile", percentile=0),
            "percentile must be above 0 and at most 100; got 0",
        ),
        (
            lambda: clip_threshold(ONE, granularity="column"),
            "granularity must be tensor or row; got 'column'",
        ),
        (lambda: clip_threshold(ONE[:0]), "tensor must have entries; got shape (0,)"),
        (
            lambda: quantize(ONE, threshold=-1.0),
            "threshold of tensor must be finite and not negative; got -1.0",
        ),
        (lambda: slice_codes(ONE, 2), "codes must be integers; got torch.float32"),
        (
            lambda: slice_codes(torch.tensor([0, 300]), 2),
            "codes must be from -128 to 127; got 0 to 300",
        ),
        (
            lambda: join_slices(torch.zeros(3, 2), 2),
            "slices must have 4 along axis 0 for 2-bit cells; got shape (3, 2)",
        ),
        (lambda: ActivationQuantizer("fixed"), "mode must be dynamic or static; got 'fixed'"),
        (
            lambda: ActivationQuantizer("static")(ONE),
            "static activations need calibrate() on nonzero samples first; got 0",
        ),
    ],
)
def test_bad_input_in_one_line(call, message):
    with pytest.raises(ModelError) as error:
        call()
    assert str(error.value) == message
