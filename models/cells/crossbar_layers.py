"""Linear layers on the crossbars: INT8 inputs and weights, SLC and MLC parts, bias in digital.

A weight, or a pair of factors, is quantised and programmed once (crossbar.py); each call quantises
the inputs, reads the cells bit-plane by bit-plane and brings the sums back to numbers. Ranks that
are protected sit in SLC, as columns of the first factor and rows of the second, in arrays of
their own, since a column has one ADC setting. Between the factors the numbers become INT8 again.

Left out: gradients (train with rram_noise.noisy_weight), fused projections as one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from hyflexsim.models.cells.broken import Broken, Damage, built
from hyflexsim.models.cells.converter_errors import ConverterErrors, Place
from hyflexsim.models.cells.crossbar import (
    CrossbarConfig,
    Programmed,
    program_crossbar,
    read_crossbar,
)
from hyflexsim.models.cells.quantization import ActivationQuantizer, Clip, Quantized, quantize
from hyflexsim.models.cells.rram_noise import CellNoise
from hyflexsim.models.errors import ModelError
from hyflexsim.models.lowrank.layers import bias_of, is_linear, linear_weight


class CrossbarLinear(nn.Module):
    """Stands in for nn.Linear at inference: cells are programmed once, then read in each call.

    Give `weight` (out, in), or (down, up) as a pair: (k, in) and (out, k). `protected` marks
    SLC: ranks (k,) of a pair, outputs (out,) of a dense weight; or a mask for each factor, where
    ranks that are not protected share the row tiles of those that are. `noise` and `slc_noise` are
    drawn at construction from `generator`, which also draws read noise later: one module is one
    programmed chip. Memory: 4 bytes a slice, so 16 a weight in MLC, 32 in SLC; cells are not
    part of the state dict and stay on the device of the weights.

    x and weights become codes (activations: dynamic, per tensor, unless a quantiser is given), run
    bit by bit, and come back in x's dtype; the bias is added in floating point. SLC inputs get row
    tiles of their own. Noise is drawn for every cell as SLC and as MLC, from seeds that `generator`
    gives, so one seed is one chip: a cell has the same error whatever is protected. No gradient
    passes. `quantizers` (one a factor) may be static: :meth:`calibrate` sets their thresholds.
    `damage`: cells that are broken. `errors`: of converters, `place`: which ones they are.

    Raises ModelError for NaN, for shapes that do not fit, for broken cells of another matrix.

    >>> layer = nn.Linear(8, 3)
    >>> chip = CrossbarLinear.from_linear(layer, protected=torch.tensor([True, False, True]))
    >>> chip(torch.ones(5, 8)).shape
    torch.Size([5, 3])
    """

    bias: Tensor | None

    def __init__(
        self,
        weight: Tensor | tuple[Tensor, Tensor],
        bias: Tensor | None = None,
        *,
        config: CrossbarConfig | None = None,
        protected: Tensor | Sequence[Tensor] | None = None,
        noise: CellNoise | None = None,
        slc_noise: CellNoise | None = None,
        clip: Clip = "max",
        quantizer: ActivationQuantizer | None = None,
        inner_quantizer: ActivationQuantizer | None = None,
        generator: torch.Generator | None = None,
        damage: Damage | None = None,
        errors: ConverterErrors | None = None,
        place: Place = Place(0, "", 0),  # noqa: B008 (frozen)
    ):
        super().__init__()
        config = config or CrossbarConfig()
        self.generator = generator
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        if isinstance(weight, tuple):
            named = [("down", weight[0], 0), ("up", weight[1], 1)]
            _check_factors(*weight)
        else:
            named = [("weight", weight, 0)]
        masks: list[Tensor | None]
        if protected is None or isinstance(protected, Tensor):
            masks = [protected] * len(named)
        else:
            masks = list(protected)
        self._matrices = [
            _Matrix(w.detach(), config, mask, axis, noise, slc_noise, clip, generator, key)
            for (key, w, axis), mask in zip(named, masks, strict=True)
        ]
        for number, matrix in enumerate(self._matrices):
            broken = {slc: some for (of, slc), some in (damage or {}).items() if of == number}
            matrix.build(broken, errors or ConverterErrors(), replace(place, factor=number))
        given = (quantizer, inner_quantizer)
        self.quantizers = nn.ModuleList(q or ActivationQuantizer() for q in given[: len(named)])
        self.in_features, self.out_features = named[0][1].shape[1], named[-1][1].shape[0]

    @classmethod
    def from_linear(
        cls,
        linear: nn.Module,
        *,
        config: CrossbarConfig | None = None,
        protected: Tensor | Sequence[Tensor] | None = None,
        noise: CellNoise | None = None,
        slc_noise: CellNoise | None = None,
        clip: Clip = "max",
        quantizer: ActivationQuantizer | None = None,
        generator: torch.Generator | None = None,
    ) -> CrossbarLinear:
        """A Linear or Conv1D on the chip; arguments and errors as the constructor's."""
        if not is_linear(linear):
            got = type(linear).__name__
            raise ModelError(f"from_linear needs a Linear or Conv1D layer; got {got}")
        return cls(
            linear_weight(linear),
            bias_of(linear),
            config=config,
            protected=protected,
            noise=noise,
            slc_noise=slc_noise,
            clip=clip,
            quantizer=quantizer,
            generator=generator,
        )

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out), in x's dtype."""
        return self._run(x, calibrating=False)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> Tensor:
        """Widen static thresholds to cover `x` (..., in) and what follows from it; (..., out)."""
        return self._run(x, calibrating=True)

    def _run(self, x: Tensor, calibrating: bool) -> Tensor:
        y = x
        for quantizer, matrix in zip(self.quantizers, self._matrices, strict=True):
            assert isinstance(quantizer, ActivationQuantizer)
            if calibrating:
                quantizer.calibrate(y)
            y = matrix(quantizer.quantize(y), quantizer.bits, self.generator).to(x.dtype)
        return y if self.bias is None else y + self.bias


class _Matrix:
    """One weight on the chip: its SLC part, its MLC part, or both, and the scale of its codes."""

    def __init__(
        self,
        weight: Tensor,  # (out, in)
        config: CrossbarConfig,
        protected: Tensor | None,
        axis: int,  # of `protected`: 0 outputs, 1 inputs
        noise: CellNoise | None,
        slc_noise: CellNoise | None,
        clip: Clip,
        generator: torch.Generator | None,
        key: str,
    ):
        if weight.dim() != 2:
            raise ModelError(f"{key} must have shape (out, in); got {tuple(weight.shape)}")
        self.config, self.out = config, weight.shape[0]
        self.weight = quantize(weight, clip, bits=config.weight_bits, key=key)
        self.parts: list[tuple[Programmed, int | None, Tensor | None, Tensor | None]] = []
        self.modes: list[bool] = []
        draws: dict[bool, torch.Generator | None] = {True: None, False: None}
        if noise is not None or slc_noise is not None:
            draws = {slc: offspring(generator, weight.device) for slc in draws}
        for slc, outputs, inputs in _halves(weight, protected, axis):
            programmed = program_crossbar(
                self.weight.codes,
                config.slc_bits if slc else config.mlc_bits,
                rows=config.rows,
                sign=config.sign,
                bits=config.weight_bits,
                outputs=outputs,
                inputs=inputs,
                noise=slc_noise if slc else noise,
                generator=draws[slc],
            )
            adc_bits = config.slc_adc_bits if slc else config.mlc_adc_bits
            self.parts.append((programmed, adc_bits, outputs, inputs))
            self.modes.append(slc)

    def build(
        self, broken: Mapping[bool, Sequence[Broken]], errors: ConverterErrors, place: Place
    ) -> None:
        """Break cells (by whether they are in SLC), and read them through converters that differ.

        SLC and MLC outputs lie side by side, SLC and MLC inputs in row tiles below each other.
        """
        for slc in broken:
            if slc not in self.modes:
                raise ModelError(f"broken cells must be of the matrix; no part has slc={slc}")
        for at, slc in enumerate(self.modes):
            programmed, adc_bits, outputs, inputs = self.parts[at]
            tiles, _, slices, out = programmed.cells.shape
            made = built(
                programmed, broken.get(slc, ()), outputs, errors, place, self.config, adc_bits
            )
            self.parts[at] = made, adc_bits, outputs, inputs
            if inputs is None:
                place = replace(place, column=slices * out)
            else:
                place = replace(place, tile=tiles)

    def __call__(self, x: Quantized, input_bits: int, generator: torch.Generator | None) -> Tensor:
        """Codes (..., in) to products (..., out) in the units of x times weight."""
        y: Tensor | None = None
        for programmed, adc_bits, outputs, inputs in self.parts:
            part = read_crossbar(
                x.codes if inputs is None else x.codes[..., inputs],
                programmed,
                adc_bits=adc_bits,
                adc_mode=self.config.adc_mode,
                input_bits=input_bits,
                generator=generator,
            )
            if len(self.parts) > 1:  # one alone may be float32, what they add up to may not
                part = part.double()
            if outputs is not None:
                y = part.new_zeros(*part.shape[:-1], self.out) if y is None else y
                y[..., outputs] += part
            else:
                y = part if y is None else y.add_(part)
        assert y is not None
        return y.mul_((x.scale.double() * self.weight.scale.double()).to(y.dtype))


def offspring(generator: torch.Generator | None, device: torch.device) -> torch.Generator:
    """A generator of its own, seeded by a draw: `generator` None: by torch's own."""
    place = None if generator is None else generator.device
    seed = torch.randint(2**62, (), generator=generator, device=place)
    return torch.Generator(device).manual_seed(int(seed))


def _halves(
    weight: Tensor, protected: Tensor | None, axis: int
) -> Iterator[tuple[bool, Tensor | None, Tensor | None]]:
    """(is SLC, output places, input places) of the parts that are not empty; None: all places."""
    if protected is None:
        yield False, None, None
        return
    size = weight.shape[axis]
    if protected.dtype != torch.bool or protected.shape != (size,):
        raise ModelError(
            f"protected must be boolean of shape ({size},); "
            f"got {protected.dtype} {tuple(protected.shape)}"
        )
    for slc, chosen in ((True, protected), (False, ~protected)):
        places = chosen.nonzero()[:, 0]
        if places.numel() == size:
            yield slc, None, None
        elif places.numel():
            yield (slc, places, None) if axis == 0 else (slc, None, places)


def _check_factors(down: Tensor, up: Tensor) -> None:
    if down.dim() != 2 or up.dim() != 2 or down.shape[0] != up.shape[1]:
        raise ModelError(
            f"down (k, in) and up (out, k) must share k; "
            f"got {tuple(down.shape)} and {tuple(up.shape)}"
        )
