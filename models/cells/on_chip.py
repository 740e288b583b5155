"""A whole model as the chip computes it: every matrix of its blocks quantised, on noisy cells.

::

    x --codes--> [ V diag(sigma) ] --codes--> [ U^T ] --> + bias      a factorised layer
    x --codes--> [ W ] --> + bias                                     a dense one

Outputs of V (of W, where a layer is dense) and inputs of U that are marked as protected are in SLC,
all others in MLC cells, HyFlexPIM §3.2, §4; the placement says which. Inputs go in bit by bit and
column sums through converters. Without converters (``converters=False``) the products are exact:
weights and activations carry the errors, which is the released accuracy code with INT8 activations
added (§5.1 states them; the code has none: ``input_bits=None``).

One seed is one chip: each matrix draws from a generator of its own (seed and path), for all of its
cells, so a cell has the same error at every SLC rate and however many layers take part. What the
authors leave exact stays exact: embeddings, norms, biases, heads, attention's own products.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn import functional

from hyflexsim.models.cells import noise_calibration
from hyflexsim.models.cells.broken import Damage
from hyflexsim.models.cells.cell_columns import levels
from hyflexsim.models.cells.converter_errors import ConverterErrors, Place
from hyflexsim.models.cells.crossbar import CrossbarConfig
from hyflexsim.models.cells.crossbar_layers import CrossbarLinear
from hyflexsim.models.cells.quantization import ActivationQuantizer, Clip, check_bits, quantize
from hyflexsim.models.cells.rram_noise import CellNoise, MultiplicativeNoise, noisy_weight
from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.compress import SKIP, block_paths, in_block, replace
from hyflexsim.models.lowrank.layers import LowRankLinear, bias_of, is_linear, linear_weight


@dataclass(frozen=True)
class Device:
    """What stands between a weight in the checkpoint and a product on the chip."""

    noise: CellNoise | None = field(default_factory=MultiplicativeNoise)
    """Of MLC cells; None: none."""

    slc_noise: CellNoise | None = None
    """Of SLC cells; None: none, as released."""

    crossbar: CrossbarConfig = field(default_factory=CrossbarConfig)
    """Arrays, cells and converters."""

    converters: bool = True
    """False: the products of what the cells hold are exact."""

    errors: ConverterErrors = field(default_factory=ConverterErrors)
    """How converters differ from each other."""

    clip: Clip = "max"
    """Where weights are clipped; the released code clips at "second-signed"."""

    input_bits: int | None = 8
    """Of the numbers that enter a matrix, one scale a token; None: floating point, as released."""

    weights: bool = True
    """False: weights are floating point, neither quantised nor on cells."""

    def __post_init__(self) -> None:
        if self.input_bits is not None:
            check_bits(self.input_bits, "input_bits", low=2)


Masks = Sequence[Tensor]
"""What of a matrix is in SLC: a mask a factor."""


class Chip:
    """The block matrices of a model on cells; made by :func:`on_chip`.

    `held`: the layers that were there before, by path.
    """

    def __init__(
        self, layers: Mapping[str, _CellLinear | _CrossbarLayer], held: Mapping[str, nn.Module]
    ):
        self.layers = layers
        self.held = held
        self.damage: Mapping[str, Damage] = {}

    @property
    def sizes(self) -> dict[str, int]:
        """How many ranks (outputs of a dense layer) each matrix has, by path."""
        return {path: layer.size for path, layer in self.layers.items()}

    def protect(self, masks: Mapping[str, Masks]) -> None:
        """Put what is marked true in SLC, all others in MLC.

        `masks` by path: one a factor, bool, (r,) over the outputs of V and over the inputs of U,
        or (n,) over the outputs of a dense W. Raises ModelError unless there is one of the right
        length for each factor of each matrix.
        """
        for path, layer in self.layers.items():
            given, size = masks.get(path, ()), layer.size
            if len(given) != layer.factors:
                raise ModelError(f"{path}: masks must be {layer.factors}; got {len(given)}")
            for mask in given:
                if mask.dtype != torch.bool or mask.shape != (size,):
                    got = f"{mask.dtype} {tuple(mask.shape)}"
                    raise ModelError(f"{path}: mask must be boolean of shape ({size},); got {got}")
        for path, layer in self.layers.items():
            layer.protect(masks[path], self.damage.get(path))

    def break_cells(self, damage: Mapping[str, Damage]) -> None:
        """Break cells by path; it lasts, and counts from the next :meth:`protect` on.

        Raises ModelError for a matrix that is not there, and where products are exact.
        """
        for path in damage:
            if not isinstance(self.layers.get(path), _CrossbarLayer):
                raise ModelError(f"{path}: no matrix that is read through converters")
        self.damage = damage


@contextmanager
def on_chip(model: nn.Module, device: Device, seed: int) -> Iterator[Chip]:
    """Put the blocks' linear layers of `model` on cells for the length of a with-block.

    All ranks are in MLC at first; see :meth:`Chip.protect`. Afterwards the model is as it was.
    Raises ModelError for a model without linear layers in blocks, and for weights not finite.

    >>> model = nn.Sequential(nn.ModuleList([nn.Linear(8, 4)])[0], nn.ReLU())
    >>> block = nn.ModuleDict({"blocks": nn.ModuleList([model])})
    >>> with on_chip(block, Device(), seed=0) as chip:
    ...     chip.sizes
    {'blocks.0.0': 4}
    """
    held = matrices(model)
    kind = _CrossbarLayer if device.converters else _CellLinear
    layers = {path: kind(path, layer, device, seed) for path, layer in held.items()}
    modes = {module: module.training for module in model.modules()}
    chip = Chip(layers, held)
    for layer in layers.values():
        layer.protect([torch.zeros(layer.size, dtype=torch.bool)] * layer.factors)
    replace(model, layers)
    try:
        yield chip
    finally:
        replace(model, held)
        for module, training in modes.items():
            module.training = training


def matrices(model: nn.Module) -> dict[str, nn.Module]:
    """What goes on cells: factorised layers, and dense linear ones in blocks, by path.

    Layers whose weight is read by other code than their own forward (Mamba's ``dt_proj``) are left
    out. Raises ModelError if nothing is left.
    """
    blocks = block_paths(model)
    found = {
        path: layer
        for path, layer in model.named_modules()
        if isinstance(layer, LowRankLinear) or (is_linear(layer) and in_block(path, blocks))
    }
    found = {p: m for p, m in found.items() if not any(fnmatchcase(p, x) for x in SKIP)}
    if not found:
        raise ModelError(f"{type(model).__name__} has no linear layers in blocks to put on cells")
    return found


def wrong_cells(model: nn.Module, device: Device) -> float | None:
    """Share of a model's own cells that read wrong, 0 ... 1, with all of them in MLC.

    None for a noise that is not multiplicative. The rate by which σ is calibrated (HyFlexPIM §5.2)
    has all levels equally likely; a model's weights, and how signs are held, make it another.
    Raises ModelError as :func:`matrices`.
    """
    if not isinstance(device.noise, MultiplicativeNoise):
        return None
    wrong, cells, form = 0.0, 0, device.crossbar
    for path, layer in matrices(model).items():
        for weight in factors(layer):
            codes = quantize(weight.detach(), device.clip, bits=form.weight_bits, key=path).codes
            held = levels(codes, form.mlc_bits, form.sign, form.weight_bits)
            wrong += noise_calibration.wrong_cells(held, device.noise.sigma) * held.numel()
            cells += held.numel()
    return wrong / cells


class _CellLinear(nn.Module):
    """A layer with exact products of quantised inputs and weights as cells return them."""

    def __init__(self, path: str, layer: nn.Module, device: Device, seed: int):
        super().__init__()
        generator = generator_of(path, seed)
        self.bias = bias_of(layer)
        self.bits = device.input_bits
        self.slc: list[Tensor] = []
        self.mlc: list[Tensor] = []
        for weight in factors(layer):
            for cells, protected in ((self.slc, True), (self.mlc, False)):
                cells.append(_held(weight.detach(), protected, device, generator))
        self.factors = len(self.mlc)
        self.size = self.mlc[0].shape[0]
        self.weights = self.mlc

    def protect(self, masks: Masks, damage: Damage | None = None) -> None:
        assert not damage  # refused by Chip.break_cells
        # a rank is a row of V^T (or of W), and a column of U
        axes = (masks[0][:, None], masks[-1][None, :])
        both = zip(axes, self.slc, self.mlc, strict=False)
        self.weights = [torch.where(axis, slc, mlc) for axis, slc, mlc in both]

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            x = functional.linear(quantized_tokens(x, self.bits), weight)
        return x if self.bias is None else x + self.bias


def _held(weight: Tensor, protected: bool, device: Device, generator: torch.Generator) -> Tensor:
    """A matrix as cells of one mode return it."""
    if not device.weights:
        return weight
    form = device.crossbar
    return noisy_weight(
        weight,
        protected,
        noise=None if protected else device.noise,
        slc_noise=device.slc_noise if protected else None,
        bits_per_cell=form.mlc_bits,
        slc_bits=form.slc_bits,
        weight_bits=form.weight_bits,
        clip=device.clip,
        sign=form.sign,
        generator=generator,
    )


class _CrossbarLayer(nn.Module):
    """A layer read bit by bit through arrays and converters."""

    def __init__(self, path: str, layer: nn.Module, device: Device, seed: int):
        super().__init__()
        if device.input_bits is None or not device.weights:
            raise ModelError("converters need inputs and weights of a number of bits; got floats")
        weights = [weight.detach() for weight in factors(layer)]
        self.factors = len(weights)
        self.size = weights[0].shape[0]
        self._made = (path, seed, weights, bias_of(layer), device)

    def protect(self, masks: Masks, damage: Damage | None = None) -> None:
        path, seed, weights, bias, device = self._made
        self.inner = CrossbarLinear(
            (weights[0], weights[1]) if len(weights) == 2 else weights[0],
            bias,
            config=device.crossbar,
            protected=masks,
            noise=device.noise,
            slc_noise=device.slc_noise,
            clip=device.clip,
            quantizer=_tokens(device),
            inner_quantizer=_tokens(device),
            generator=generator_of(path, seed),
            damage=damage,
            errors=device.errors,
            place=Place(seed, path, 0),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


def factors(layer: nn.Module) -> list[Tensor]:
    """The matrices a layer has on the chip: diag(sigma) V^T (r, m) and U (n, r), or W (n, m)."""
    if not isinstance(layer, LowRankLinear):
        return [linear_weight(layer)]
    folded = layer.folded()
    return [folded.v.T, folded.u]


def quantized_tokens(x: Tensor, bits: int | None) -> Tensor:
    """`x` (..., m) rounded to `bits` bits with one scale a token; None: as it is."""
    if bits is None:
        return x
    top = 2 ** (bits - 1) - 1
    # not fake_quantize, whose checks and gradient cost more than this whole function
    scale = x.abs().amax(-1, keepdim=True).clamp_(min=1e-30) / top
    rounded: Tensor = (x / scale).round_().mul_(scale)
    return rounded


def _tokens(device: Device) -> ActivationQuantizer:
    assert device.input_bits is not None
    return ActivationQuantizer(granularity="row", bits=device.input_bits)


def generator_of(path: str, seed: int) -> torch.Generator:
    """What the cells of the matrix at `path` of a model draw from on chip number `seed`."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}:{path}".encode()))
