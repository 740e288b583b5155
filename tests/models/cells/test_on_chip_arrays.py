"""A model on cells behind arrays and converters; the released procedure, written out plainly."""

import numpy as np
import pytest
import torch
from torch import nn

from hyflexsim.models.cells.crossbar import CrossbarConfig
from hyflexsim.models.cells.on_chip import Device, on_chip
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise
from hyflexsim.models.lowrank.compress import compress

EXACT = CrossbarConfig(slc_adc_bits=None, mlc_adc_bits=None)
EXACT_PRODUCTS = {"converters": False, "input_bits": None}
NO_NOISE = Device(noise=None, converters=False)


@pytest.fixture
def toy(new_toy):
    """Three square layers of 24, in factors of rank 6."""
    torch.manual_seed(0)
    return compress(new_toy(24, 3, 1.0), 6).eval()


def test_one_seed_is_one_chip_behind_converters_too(new_toy):
    torch.manual_seed(0)
    model, x = new_toy(16, 2, 1.0), torch.randn(5, 16)
    outputs = []
    for mask in (torch.arange(16) < 4, torch.arange(16) < 9):
        with on_chip(model, Device(MultiplicativeNoise(0.2), crossbar=EXACT), seed=1) as chip:
            chip.protect(dict.fromkeys(chip.sizes, (mask,)))
            outputs.append(chip.layers["blocks.1"](x))
    few, many = outputs
    torch.testing.assert_close(few[:, 9:], many[:, 9:], rtol=0, atol=1e-6)
    torch.testing.assert_close(few[:, :4], many[:, :4], rtol=0, atol=1e-6)
    assert not torch.isclose(few[:, 4:9], many[:, 4:9], atol=1e-4).any()


@pytest.mark.parametrize("name", ["gpt2", "part", "bert"])
def test_arrays_that_lose_nothing_give_the_exact_products(families, name):
    torch.manual_seed(4)
    model = compress(families[name]()[0].eval(), 4)
    for p in model.parameters():
        if p.dim() == 2:
            nn.init.normal_(p, std=0.15)
    results = []
    for device in (NO_NOISE, Device(noise=None, crossbar=EXACT)):
        with torch.no_grad(), on_chip(model, device, 0) as chip:
            chip.protect(
                {
                    path: [torch.arange(layer.size) % 2 == 0] * layer.factors
                    for path, layer in chip.layers.items()
                }
            )
            torch.manual_seed(5)
            results.append(
                {
                    path: layer(torch.randn(2, 3, matrices_inputs(layer)))
                    for path, layer in chip.layers.items()
                }
            )
    plain, arrays = results
    assert plain.keys() == arrays.keys()
    for path, y in plain.items():
        torch.testing.assert_close(arrays[path], y, atol=1e-5, rtol=1e-5)


def matrices_inputs(layer):
    inner = getattr(layer, "inner", None)
    return layer.weights[0].shape[1] if inner is None else inner.in_features


def test_small_converters_change_results(toy):
    x = torch.randn(4, 24)
    with torch.no_grad(), on_chip(toy, NO_NOISE, 0):
        exact = toy(x)
    for bits, error in ((8, 1e-4), (3, None)):
        config = CrossbarConfig(slc_adc_bits=bits, mlc_adc_bits=bits)
        with torch.no_grad(), on_chip(toy, Device(noise=None, crossbar=config), 0):
            got = toy(x)
        assert error is None or torch.allclose(got, exact, atol=error)
        assert error is not None or not torch.allclose(got, exact, atol=0.1)


def released(w, sigma, rng, protected, axis):
    """The authors' code as hyflexpim.md 5.3 tells it, by masks on unsigned bytes."""
    clip = np.sort(w.ravel())[-2]  # in signed order
    codes = np.clip(np.round(w * 127 / clip), -127, 127).astype(np.int64)
    total = np.zeros(w.shape)
    for mask in (0xC0, 0x30, 0x0C, 0x03):
        part = (codes & 0xFF) & mask
        part = np.where(part >= 128, part - 256, part)
        noise = np.where(
            np.expand_dims(protected, 1 - axis), 0.0, sigma * rng.standard_normal(w.shape)
        )
        total += part * (1 + noise)
    return total * clip / 127


def test_the_released_procedure(new_toy):
    torch.manual_seed(2)
    model, seeds = compress(new_toy(20, 1, 1.0), 6), 250
    layer, x = model.blocks[0], torch.randn(3, 20)
    nn.init.zeros_(layer.bias)
    device = Device(MultiplicativeNoise(0.025), clip="second-signed", **EXACT_PRODUCTS)
    mask, ours, theirs = torch.tensor([True, False, True, False, False, False]), [], []
    rng = np.random.default_rng(0)
    down = (layer.v * layer.sigma).T.detach().double().numpy()
    up = layer.u.detach().double().numpy()
    for seed in range(seeds):
        with torch.no_grad(), on_chip(model, device, seed) as chip:
            chip.protect({"blocks.0": (mask, mask)})
            ours.append(chip.layers["blocks.0"](x).double().numpy())
        a, b = (released(w, 0.025, rng, mask.numpy(), axis) for w, axis in ((down, 0), (up, 1)))
        theirs.append(x.double().numpy() @ a.T @ b.T)
    ours, theirs = np.stack(ours), np.stack(theirs)
    spread = np.sqrt((ours.var(0) + theirs.var(0)) / seeds)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * spread).all()
    assert (np.abs(ours.var(0) / theirs.var(0) - 1) < 5 * np.sqrt(4 / seeds)).all()
    assert (ours.std(0) > 0).all()
