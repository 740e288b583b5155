"""A model on cells: what is quantised, what is noisy, and that nothing is left behind."""

import math

import pytest
import torch
from torch import nn

from hyflexsim.models.cells.crossbar import CrossbarConfig
from hyflexsim.models.cells.on_chip import (
    Device,
    matrices,
    on_chip,
    quantized_tokens,
    wrong_cells,
)
from hyflexsim.models.cells.quantization import quantize
from hyflexsim.models.cells.rram_noise import ConductanceModel, MultiplicativeNoise, noise_std
from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import compress
from hyflexsim.models.lowrank.layers import LowRankLinear, linear_weight

EXACT = CrossbarConfig(slc_adc_bits=None, mlc_adc_bits=None)
NO_NOISE = Device(noise=None, converters=False)
EXACT_PRODUCTS = Device(converters=False)


@pytest.fixture
def toy(new_toy):
    """Three square layers of 24, in factors of rank 6."""
    torch.manual_seed(0)
    return compress(new_toy(24, 3, 1.0), 6).eval()


def each(chip, masks):
    """A mask for each factor: all the same."""
    return {path: [mask] * chip.layers[path].factors for path, mask in masks.items()}


def all_true(chip):
    ones = {path: torch.ones(size, dtype=torch.bool) for path, size in chip.sizes.items()}
    return each(chip, ones)


def int8(w):
    """INT8 by the quantiser alone, in float64."""
    codes, scale = quantize(w)
    return codes.double() * scale.double()


def int8_tokens(x):
    codes, scale = quantize(x, granularity="row")
    return codes.double() * scale.double()


def layer_by_hand(layer, x):
    """A layer of INT8 inputs and INT8 factors (or dense weight)."""
    steps = [linear_weight(layer)]
    if isinstance(layer, LowRankLinear):
        v = layer.v if layer.sigma is None else layer.v * layer.sigma
        steps = [v.T, layer.u]
    for w in steps:
        x = (int8_tokens(x) @ int8(w).T).float()
    return x if layer.bias is None else x + layer.bias


def remember(seen, path):
    def hook(_, x, y):
        seen[path] = (x[0].clone(), y.clone())

    return hook


# -- the model -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [4, None])
def test_afterwards_the_model_is_as_it_was(family, rank):
    _, model, run = family
    if rank:
        compress(model, rank)
    before, modules = run(model), dict(model.named_modules())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    next(model.children()).train()  # modes need not be alike
    modes = {name: module.training for name, module in modules.items()}
    with pytest.raises(KeyboardInterrupt), on_chip(model, EXACT_PRODUCTS, seed=0) as chip:
        assert not set(chip.layers.values()) & set(modules.values())
        model.eval()
        assert not torch.equal(run(model), before)
        raise KeyboardInterrupt
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert dict(model.named_modules()) == modules
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(run(model.eval()), before)


def test_a_chip_that_cannot_be_programmed_leaves_the_model_alone(toy):
    held = dict(toy.named_modules())
    device = Device(noise=None, clip="second-signed", crossbar=EXACT)
    nn.init.constant_(toy.blocks[2].u, -1.0)  # no positive entry to clip at
    with pytest.raises(ModelError, match="two positive entries"), on_chip(toy, device, 0):
        pass
    assert dict(toy.named_modules()) == held


@pytest.mark.parametrize("rank", [4, None])
def test_all_in_slc_is_int8_of_each_matrix(family, rank):
    _, model, run = family
    if rank:
        compress(model, rank)
    held, seen = matrices(model), {}
    with on_chip(model, EXACT_PRODUCTS, seed=3) as chip:
        chip.protect(all_true(chip))
        for path, layer in chip.layers.items():
            layer.register_forward_hook(remember(seen, path))
        run(model)
    assert seen.keys() == held.keys()
    for path, (x, y) in seen.items():
        torch.testing.assert_close(y, layer_by_hand(held[path], x), atol=1e-5, rtol=1e-5)


def test_which_matrices_go_on_cells(families):
    torch.manual_seed(0)
    gpt2 = families["gpt2"]()[0]
    dense = matrices(gpt2)
    assert [path for path in dense if ".0." in path] == [
        f"transformer.h.0.{name}"
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    ]
    with on_chip(gpt2, EXACT_PRODUCTS, 0) as chip:
        assert chip.sizes["transformer.h.0.attn.c_attn"] == 96  # outputs of the fused Conv1D
    compress(gpt2, 4)
    with on_chip(gpt2, EXACT_PRODUCTS, 0) as chip:
        fused = "transformer.h.0.attn.c_attn"
        assert [chip.sizes[f"{fused}.{part}"] for part in "qkv"] == [4, 4, 4]
        assert fused not in chip.sizes
    mamba = families["mamba"]()[0]
    left = mamba.backbone.layers[0].mixer.dt_proj
    assert not [path for path in matrices(mamba) if path.endswith("dt_proj")]
    with on_chip(mamba, EXACT_PRODUCTS, 0):
        assert mamba.backbone.layers[0].mixer.dt_proj is left
    part = compress(families["part"]()[0], 4)
    assert {path.rpartition(".")[2] for path in matrices(part) if "in_proj" in path} == set("qkv")


# -- the noise -----------------------------------------------------------------------------------


@pytest.mark.parametrize("bits_per_cell", [2, 3])
def test_the_noise_has_mean_0_and_the_variance_of_its_equation(new_toy, bits_per_cell):
    torch.manual_seed(1)
    model, sigma, seeds = new_toy(10, 1), 0.1, 400
    form = CrossbarConfig(mlc_bits=bits_per_cell)
    device = Device(MultiplicativeNoise(sigma), crossbar=form, converters=False, input_bits=None)
    nn.init.zeros_(model.blocks[0].bias)
    codes, scale = quantize(model.blocks[0].weight)
    draws = []
    for seed in range(seeds):
        with torch.no_grad(), on_chip(model, device, seed) as chip:
            draws.append(chip.layers["blocks.0"](torch.eye(10)).T)
    errors = (torch.stack(draws) - codes * scale).double()
    std = noise_std(codes, sigma, bits_per_cell).double() * scale
    z = (errors.mean(0) / std.clamp(min=1e-12))[codes != 0] * seeds**0.5
    assert z.abs().max() < 5
    ratio = (errors.var(0) / std.square().clamp(min=1e-24))[codes != 0]
    assert (ratio - 1).abs().max() < 5 * (2 / seeds) ** 0.5
    assert bool((errors[:, codes == 0].abs() < 1e-6).all())


def test_protected_ranks_are_untouched_and_others_are_not(toy):
    held = matrices(toy)
    with on_chip(toy, EXACT_PRODUCTS, seed=0) as chip:
        masks = {path: torch.arange(6) < 2 for path in chip.sizes}
        chip.protect(each(chip, masks))
        for path, layer in chip.layers.items():
            down, up = layer.weights
            v = held[path].v * held[path].sigma
            quantised = [quantize(w).dequantize() for w in (v.T.contiguous(), held[path].u)]
            assert torch.equal(down[:2], quantised[0][:2])
            assert torch.equal(up[:, :2], quantised[1][:, :2])
            assert not torch.isclose(down[2:], quantised[0][2:]).all(1).any()
            assert not torch.isclose(up[:, 2:], quantised[1][:, 2:]).all(0).any()


def test_one_seed_is_one_chip(toy):
    few, many = torch.arange(6) < 1, torch.arange(6) < 4

    def weights(seed, mask):
        with on_chip(toy, EXACT_PRODUCTS, seed) as chip:
            chip.protect(each(chip, dict.fromkeys(chip.sizes, mask)))
            return {path: layer.weights for path, layer in chip.layers.items()}

    whole = weights(7, few)
    for path, (down, up) in weights(7, many).items():
        assert torch.equal(down[4:], whole[path][0][4:])  # in MLC both times
        assert torch.equal(up[:, 4:], whole[path][1][:, 4:])
        assert not torch.equal(down[1:4], whole[path][0][1:4])
    other = weights(8, few)
    assert not torch.isclose(other["blocks.0"][0][4:], whole["blocks.0"][0][4:]).all(1).any()
    assert not torch.isclose(whole["blocks.1"][0] - whole["blocks.0"][0], torch.tensor(0.0)).all()


def test_factors_may_be_protected_apart(toy):
    """Of U the placement fills the row tile of the protected ranks up with others."""
    few, more = torch.arange(6) < 1, torch.arange(6) < 4
    with on_chip(toy, EXACT_PRODUCTS, 7) as chip:
        chip.protect(dict.fromkeys(chip.sizes, (few, few)))
        same = {path: layer.weights for path, layer in chip.layers.items()}
        chip.protect(dict.fromkeys(chip.sizes, (few, more)))
        for path, layer in chip.layers.items():
            assert torch.equal(layer.weights[0], same[path][0])
            assert torch.equal(layer.weights[1][:, 4:], same[path][1][:, 4:])
            assert not torch.isclose(layer.weights[1], same[path][1])[:, 1:4].all(0).any()


# -- refusals ------------------------------------------------------------------------------------


def test_masks_that_do_not_fit_are_refused(toy):
    with on_chip(toy, EXACT_PRODUCTS, 0) as chip:
        good = all_true(chip)
        chip.protect(good)
        before = [layer.weights for layer in chip.layers.values()]
        for wrong, message in (
            ({"blocks.2": [torch.ones(5, dtype=torch.bool)] * 2}, r"got torch.bool \(5,\)"),
            ({"blocks.2": [torch.ones(6)] * 2}, r"shape \(6,\); got torch.float32 \(6,\)"),
        ):
            with pytest.raises(ModelError, match=f"^blocks.2: mask must be boolean.*{message}$"):
                chip.protect(good | wrong)
        with pytest.raises(ModelError, match=r"^blocks.0: masks must be 2; got 0$"):
            chip.protect({})
        assert [layer.weights for layer in chip.layers.values()] == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_bits": 1}, "input_bits must be an integer from 2 to 8; got 1"),
        (
            {"input_bits": None},
            "converters need inputs and weights of a number of bits; got floats",
        ),
        ({"weights": False}, "converters need inputs and weights of a number of bits; got floats"),
    ],
)
def test_devices_that_cannot_be(toy, options, message):
    with pytest.raises(ModelError) as caught, on_chip(toy, Device(**options), 0):
        pass
    assert str(caught.value) == message


def test_models_that_cannot_be(toy):
    with (
        pytest.raises(ModelError, match="has no linear layers"),
        on_chip(nn.ReLU(), EXACT_PRODUCTS, 0),
    ):
        pass
    nn.init.constant_(toy.blocks[1].u, float("nan"))
    with pytest.raises(ModelError, match="must be finite"), on_chip(toy, EXACT_PRODUCTS, 0):
        pass
    assert isinstance(toy.blocks[0], LowRankLinear)


def test_tokens_have_a_scale_each():
    x = torch.tensor([[1.0, -0.5, 0.004], [100.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert quantized_tokens(x, None) is x
    got = quantized_tokens(x, 8)
    torch.testing.assert_close(got.double(), int8_tokens(x), atol=1e-5, rtol=1e-6)
    assert got[0, 2] == pytest.approx(1 / 127)
    assert got[1, 2] == pytest.approx(100 / 127)
    assert not got[2].any()


def test_wrong_cells_are_those_of_the_levels_held():
    layer = nn.Linear(2, 1)
    layer.weight.data = torch.tensor([[127.0, -1.0]])  # the codes themselves
    block = nn.ModuleDict({"blocks": nn.ModuleList([nn.ModuleDict({"w": layer})])})
    chance = [0.0] + [math.erfc(0.5 / (size * 0.2) / 2**0.5) for size in (1, 2, 3)]
    # 127 is 1 3 3 3 and -1 is -1 3 3 3; in pairs -1 is 0 0 0 1, and the other halves are empty
    plain = wrong_cells(block, Device(noise=MultiplicativeNoise(0.2)))
    assert plain == pytest.approx((2 * chance[1] + 6 * chance[3]) / 8)
    form = CrossbarConfig(sign="differential")
    pairs = wrong_cells(block, Device(noise=MultiplicativeNoise(0.2), crossbar=form))
    assert pairs == pytest.approx((2 * chance[1] + 3 * chance[3]) / 16)
    assert wrong_cells(block, Device(noise=ConductanceModel())) is None
    assert wrong_cells(block, Device(noise=None)) is None
