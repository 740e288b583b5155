"""Modules on crossbars against quantised linear layers: protected ranks, static scales, noise."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from hyflexsim.models.cells.crossbar import CrossbarConfig
from hyflexsim.models.cells.crossbar_layers import CrossbarLinear
from hyflexsim.models.cells.quantization import ActivationQuantizer, fake_quantize
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise
from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.layers import factorise

IDEAL = CrossbarConfig(slc_adc_bits=None, mlc_adc_bits=None)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def layer(out=12, inputs=100, seed=0):
    w = torch.randn(out, inputs, generator=seeded(seed))
    return w, torch.randn(out, generator=seeded(seed + 1))


def test_linear_is_the_quantised_linear():
    (w, b), x = layer(), torch.randn(2, 5, 100, generator=seeded(3))
    expected = functional.linear(fake_quantize(x), fake_quantize(w), b)
    half = torch.arange(12) % 2 == 0
    for mask in (None, half, half | ~half, half & ~half):
        got = CrossbarLinear(w, b, config=IDEAL, protected=mask)(x)
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-5)


def test_factors_are_two_linears_and_protected_ranks_see_no_noise():
    """Without MLC ranks an MLC noise changes nothing; with some it does."""
    down, up = layer(6, 100)[0], layer(12, 6, seed=5)[0]
    x = torch.randn(5, 100, generator=seeded(3))
    inner = functional.linear(fake_quantize(x), fake_quantize(down))
    expected = functional.linear(fake_quantize(inner), fake_quantize(up))
    every, some = torch.ones(6, dtype=torch.bool), torch.arange(6) < 3

    def run(mask, sigma=0.2):
        args = {"config": IDEAL, "noise": MultiplicativeNoise(sigma), "generator": seeded()}
        return CrossbarLinear((down, up), protected=mask, **args)(x)

    for mask in (None, every, some):
        got = run(mask, 0)
        torch.testing.assert_close(got, expected, atol=0.05, rtol=0.01)  # an inner code may round
    assert torch.equal(run(every), run(every, 0))
    assert not torch.equal(run(some), run(some, 0))


def test_module_replaces_linear():
    model = nn.Sequential(nn.Linear(100, 12), nn.GELU(), nn.Linear(12, 3))
    x = torch.randn(7, 100, generator=seeded(3))
    with torch.no_grad():
        dense = model(x)
        for name in ("0", "2"):
            setattr(model, name, CrossbarLinear.from_linear(getattr(model, name), config=IDEAL))
        assert float((model(x) - dense).norm() / dense.norm()) < 0.05
    assert (model[0].in_features, model[0].out_features) == (100, 12)


def test_conv1d_is_the_transposed_linear():
    conv = Conv1D(12, 100)
    linear = nn.Linear(100, 12)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.T)
        linear.bias.copy_(conv.bias)
    x = torch.randn(5, 100, generator=seeded(3))
    chips = [CrossbarLinear.from_linear(each, config=IDEAL) for each in (conv, linear)]
    assert torch.equal(chips[0](x), chips[1](x))


def test_a_module_is_one_chip():
    (w, b), x = layer(), torch.randn(7, 100, generator=seeded(3))
    noise = MultiplicativeNoise(0.1)
    chip = CrossbarLinear(w, b, noise=noise, generator=seeded(8))
    assert torch.equal(chip(x), chip(x))
    same = CrossbarLinear(w, b, noise=noise, generator=seeded(8))
    assert torch.equal(chip(x), same(x))
    other = CrossbarLinear(w, b, noise=noise, generator=seeded(9))
    assert not torch.equal(chip(x), other(x))


def test_a_cell_has_the_same_error_whatever_is_protected():
    """One output of a dense weight, and one rank of a pair, while others move to SLC."""
    w, x = layer()[0], torch.randn(7, 100, generator=seeded(3))
    down, up = torch.eye(8), layer(12, 8, seed=5)[0]
    noise = {"noise": MultiplicativeNoise(0.1), "slc_noise": MultiplicativeNoise(0.02)}
    noise["inner_quantizer"] = ActivationQuantizer(granularity="row")  # or ranks share a scale
    dense, pair = [], []
    for count in (0, 4, 7):
        args = {"config": IDEAL, "generator": seeded(8), **noise}
        dense.append(CrossbarLinear(w, protected=torch.arange(12) < count, **args)(x))
        args["generator"] = seeded(8)
        pair.append(CrossbarLinear((down, up), protected=torch.arange(8) < count, **args)(down))
    for found, axis in ((dense, 1), (pair, 0)):
        kept = [y.narrow(axis, 7, 1) for y in found]
        assert torch.equal(kept[0], kept[1])
        assert torch.equal(kept[0], kept[2])
        assert not torch.equal(found[0], found[1])


def test_module_with_two_factors_and_static_scales():
    down, up = layer(6, 100)[0], layer(12, 6, seed=5)[0]
    x = torch.randn(5, 100, generator=seeded(3))
    mask = torch.arange(6) < 2
    chip = CrossbarLinear((down, up), protected=mask)
    static = CrossbarLinear(
        (down, up),
        protected=mask,
        quantizer=ActivationQuantizer("static"),
        inner_quantizer=ActivationQuantizer("static"),
    )
    static.calibrate(x)
    torch.testing.assert_close(static(x), chip(x))
    torch.testing.assert_close(static(x[:1]), static(x)[:1])  # no longer depends on the batch


def test_four_bit_inputs():
    (w, b), x = layer(), torch.randn(7, 100, generator=seeded(3))
    got = CrossbarLinear(w, b, config=IDEAL, quantizer=ActivationQuantizer(bits=4))(x)
    expected = functional.linear(fake_quantize(x, bits=4), fake_quantize(w), b)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-5)


W = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: CrossbarLinear(W / 0),
            "weight must be finite; got NaN or infinity in 6 of 6",
        ),
        (
            lambda: CrossbarLinear(W)(W / 0),
            "activations must be finite; got NaN or infinity in 6 of 6",
        ),
        (lambda: CrossbarLinear(W[0]), "weight must have shape (out, in); got (3,)"),
        (
            lambda: CrossbarLinear(W, protected=torch.ones(3, dtype=torch.bool)),
            "protected must be boolean of shape (2,); got torch.bool (3,)",
        ),
        (
            lambda: CrossbarLinear((W, W.T), protected=torch.ones(2)),
            "protected must be boolean of shape (2,); got torch.float32 (2,)",
        ),
        (
            lambda: CrossbarLinear((W, W)),
            "down (k, in) and up (out, k) must share k; got (2, 3) and (2, 3)",
        ),
        (
            lambda: CrossbarLinear.from_linear(factorise(nn.Linear(3, 2), 1)),
            "from_linear needs a Linear or Conv1D layer; got LowRankLinear",
        ),
    ],
)
def test_bad_input_in_one_line(call, message):
    with pytest.raises(ModelError) as error:
        call()
    assert str(error.value) == message
