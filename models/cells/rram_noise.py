"""What RRAM cells make of the weights they hold: noise per slice, and weights read through it.

HyFlexPIM (§5.2, eq. 5) makes every stored weight W ⊙ (1 + η), η Gaussian. Its released code
does so slice by slice (quantization.py): W̃ = Σ slice_i · (1 + σ n_i) · 4^i, n_i ~ N(0, 1)
independent per weight and slice, σ = 0.025, for ranks in MLC; ranks in SLC are left as they
are. Where σ comes from: noise_calibration.py.

A noise is any object with the two methods of :class:`CellNoise`. Here are
:class:`MultiplicativeNoise`, the equation above, :class:`ConductanceModel`, cells with
conductances, programming error, drift and read noise, and :class:`StuckCells` over any of them.

Factors are laid out as two nn.Linear weights, y = up · (down · x): down is VᵀΣ (k, in), up is
U (out, k). Rank r is row r of down and column r of up; its mode covers both. Which ranks are
protected: :func:`~hyflexsim.models.lowrank.redistribution.select`.

Every draw comes from a torch.Generator of the caller. Draws are made for all weights and then
masked, so one seed gives one chip: a weight has the same noise at every SLC rate.

Left out: wire resistance, temperature, correlation between cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from hyflexsim.models.cells.cell_columns import Layout, Sign, layout, levels
from hyflexsim.models.cells.quantization import (
    Clip,
    check_bits,
    fake_quantize,
    quantize,
    straight_through,
)
from hyflexsim.models.errors import ModelError

SIGMA_RELEASED = 0.025
"""Relative σ per slice, HyFlexPIM's released accuracy code; STATED there."""


class CellNoise(Protocol):
    """What the rest of the code asks of a noise; pass any object with these two methods.

    Levels are in units of one level step, `bits` wide; `lowest` is the level that the
    empty cell stands for: 0, or -2^(bits-1) for a signed top slice.
    """

    def program(
        self, levels: Tensor, bits: int, lowest: int, generator: torch.Generator | None
    ) -> Tensor:
        """Levels as the cells hold them from now on, same shape, floating point."""
        ...

    def read_std(self, levels: Tensor, bits: int, lowest: int) -> Tensor | None:
        """Standard deviation of one read of each programmed level, or None for no read noise."""
        ...


@dataclass(frozen=True)
class MultiplicativeNoise:
    """level · (1 + σ n), n ~ N(0, 1), on the signed level, so that a level of 0 is exact.

    Raises ModelError for a negative or non-finite σ.
    """

    sigma: float = SIGMA_RELEASED
    """Relative standard deviation; no unit; 0.025 STATED in the released code."""

    def __post_init__(self) -> None:
        check_not_negative("sigma", self.sigma)

    def program(
        self, levels: Tensor, bits: int, lowest: int, generator: torch.Generator | None
    ) -> Tensor:
        """As :class:`CellNoise`; `bits` and `lowest` do not matter."""
        return _normal(levels, generator).mul_(self.sigma).add_(1).mul_(levels)

    def read_std(self, levels: Tensor, bits: int, lowest: int) -> Tensor | None:
        """None: the noise is drawn once, when the cell is programmed."""
        return None


@dataclass(frozen=True)
class StuckCells:
    """Cells of another noise, a share of which holds its top level or none whatever is written.

    Raises ModelError for shares outside 0 ... 1, and for more than all cells.

    >>> noise = StuckCells(None, on=1.0)
    >>> noise.program(torch.tensor([0.0, 2.0]), 2, 0, None).tolist()
    [3.0, 3.0]
    """

    noise: CellNoise | None
    """What the other cells do; None: they are exact."""

    on: float = 0.0
    """Share of cells stuck at their top level."""

    off: float = 0.0
    """Share of cells stuck at level 0 (of a signed column: its lowest)."""

    def __post_init__(self) -> None:
        for key in ("on", "off"):
            check_not_negative(key, getattr(self, key))
        if self.on + self.off > 1:
            raise ModelError(f"on + off must be from 0 to 1; got {self.on + self.off!r}")

    def program(
        self, levels: Tensor, bits: int, lowest: int, generator: torch.Generator | None
    ) -> Tensor:
        """As :class:`CellNoise`."""
        held = levels.clone()
        if self.noise is not None:
            held = self.noise.program(levels, bits, lowest, generator)
        draw = torch.rand(held.shape, generator=generator, dtype=held.dtype, device=held.device)
        held = torch.where(draw < self.on, lowest + 2**bits - 1, held)
        return torch.where(draw >= 1 - self.off, lowest, held)

    def read_std(self, levels: Tensor, bits: int, lowest: int) -> Tensor | None:
        """As :class:`CellNoise`: of a read of what the cells hold, stuck or not."""
        return None if self.noise is None else self.noise.read_std(levels, bits, lowest)


@dataclass(frozen=True)
class ConductanceModel:
    """Cells as conductances: levels equally spaced from 1/R_off to 1/R_on.

    In order: target, programming error, drift, read noise (stuck cells: :class:`StuckCells`).
    A conductance below zero is cut to zero. A signed top slice is stored as level - lowest and
    read against a reference that subtracts `lowest` exactly.

    Raises ModelError for a value outside the allowed ones.

    >>> [round(float(g), 1) for g in ConductanceModel().target(torch.arange(4.0), bits=2)]
    [1.1, 56.3, 111.5, 166.7]
    """

    r_on_kohm: float = 6.0
    """Resistance of the top level, kΩ; STATED, HyFlexPIM §5.4."""

    on_off: float = 150.0
    """R_off / R_on; STATED, HyFlexPIM §5.4 (so R_off is 900 kΩ, DERIVED)."""

    program_sigma_us: float = 2.8
    """Additive Gaussian error of a programmed conductance with its relaxation, µS;
    THIRD-PARTY, NeuRRAM (2 after three programming rounds). ASSUMED to hold for this device."""

    program_sigma_rel: float = 0.0
    """Programming error relative to the target; no unit; ASSUMED option, off."""

    read_sigma_rel: float = 0.0
    """Noise of one read relative to the conductance, new in each read; ASSUMED option, off."""

    drift_nu: float = 0.0
    """ν of G(t) = G0 (t / t0)^-ν; no unit; UNKNOWN for this device, off."""

    drift_nu_sigma: float = 0.0
    """Spread of ν from cell to cell; no unit; ASSUMED option, off."""

    drift_t0_s: float = 1.0
    """Time after programming at which G0 holds, s; ASSUMED (NeuRRAM: most relaxation in 1 s)."""

    time_s: float = 1.0
    """Time after programming at which cells are read, s, not before drift_t0_s; ASSUMED.
    A day is 86400."""

    cancel_offset: bool = True
    """Whether a reference removes the current of 1/R_off from every level; ASSUMED."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name != "cancel_offset":
                check_not_negative(field.name, getattr(self, field.name))
        if not self.r_on_kohm > 0:
            raise ModelError(f"r_on_kohm must be above 0; got {self.r_on_kohm!r}")
        if not self.on_off > 1:
            raise ModelError(f"on_off must be above 1; got {self.on_off!r}")
        if not 0 < self.drift_t0_s <= self.time_s:
            raise ModelError(
                f"time_s must be at least drift_t0_s={self.drift_t0_s!r}, which must be above 0; "
                f"got {self.time_s!r}"
            )

    @property
    def g_on_us(self) -> float:
        """Conductance of the top level, µS."""
        return 1000 / self.r_on_kohm

    @property
    def g_off_us(self) -> float:
        """Conductance of level 0, µS."""
        return self.g_on_us / self.on_off

    def step_us(self, bits: int) -> float:
        """Distance of two neighbouring levels of a `bits`-bit cell, µS."""
        check_bits(bits, "bits")
        return (self.g_on_us - self.g_off_us) / ((1 << bits) - 1)

    def target(self, levels: Tensor, bits: int) -> Tensor:
        """Conductances, µS, meant for levels 0 ... 2^bits - 1; same shape."""
        return self.g_off_us + levels * self.step_us(bits)

    def program_us(self, levels: Tensor, bits: int, generator: torch.Generator | None) -> Tensor:
        """Conductances, µS, at `time_s` after programming levels 0 ... 2^bits - 1; same shape."""
        target = self.target(levels, bits)
        g = target
        if self.program_sigma_us or self.program_sigma_rel:
            std: Tensor | float = self.program_sigma_us
            if self.program_sigma_rel:
                std = (self.program_sigma_rel * target).square_().add_(std**2).sqrt_()
            g = _normal(target, generator).mul_(std).add_(target)
        g = g.clamp(min=0)
        if self.drift_nu or self.drift_nu_sigma:
            nu = self.drift_nu + self.drift_nu_sigma * _normal(target, generator)
            g = g * (self.time_s / self.drift_t0_s) ** -nu
        return g

    def program(
        self, levels: Tensor, bits: int, lowest: int, generator: torch.Generator | None
    ) -> Tensor:
        """As :class:`CellNoise`: programmed conductances in level steps, without read noise."""
        g = self.program_us(levels - lowest, bits, generator)
        return g.sub_(self._reference_us()).div_(self.step_us(bits)).add_(lowest)

    def read_std(self, levels: Tensor, bits: int, lowest: int) -> Tensor | None:
        """As :class:`CellNoise`: read_sigma_rel · conductance, in level steps."""
        if not self.read_sigma_rel:
            return None
        g = (levels - lowest) + self._reference_us() / self.step_us(bits)
        return self.read_sigma_rel * g

    def _reference_us(self) -> float:
        return self.g_off_us if self.cancel_offset else 0.0


def program_column(
    noise: CellNoise | None,
    level: Tensor,
    form: Layout,
    column: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor | None]:
    """One column of levels (any shape) as cells hold it, and the variance of a read of it.

    In level steps, squared for the variance (None: reads are exact). A level that is a pair's
    difference is two cells, the negative one programmed second.
    """
    if noise is None:
        return level, None
    width = form.widths[column]
    if not form.paired:
        held = noise.program(level, width, form.lowest[column], generator)
        std = noise.read_std(held, width, form.lowest[column])
        return held, None if std is None else std.square()
    cells = [noise.program(side.clamp(min=0), width, 0, generator) for side in (level, -level)]
    stds = [noise.read_std(cell, width, 0) for cell in cells]
    variances = [std.square() for std in stds if std is not None]
    return cells[0] - cells[1], sum(variances[1:], variances[0]) if variances else None


def noisy_codes(
    codes: Tensor,
    noise: CellNoise | None,
    bits_per_cell: int,
    generator: torch.Generator | None = None,
    sign: Sign = "twos-complement",
    bits: int = 8,
) -> Tensor:
    """Codes of `bits` bits as the cells return them: same shape, float32, in units of one code.

    Each column is programmed and read once. `noise` None: the codes themselves. Raises
    ModelError for codes that are not integers or out of range, bits_per_cell outside 1 ... 8, and
    an unknown sign.
    """
    form, held = layout(bits_per_cell, sign, bits), levels(codes, bits_per_cell, sign, bits)
    if noise is None:
        return codes.float()
    total = torch.full(codes.shape, -float(form.bias), device=codes.device)
    for column, (level, worth) in enumerate(zip(held, form.worth, strict=True)):
        read, variance = program_column(noise, level, form, column, generator)
        if variance is not None:
            read = read + variance.sqrt() * _normal(read, generator)
        total.add_(read, alpha=worth)
    return total


def noise_std(
    codes: Tensor, sigma: float, bits_per_cell: int = 2, sign: Sign = "twos-complement"
) -> Tensor:
    """Theory for :class:`MultiplicativeNoise`: σ · sqrt(Σ (level · worth)²), float32, per code.

    Raises ModelError as :func:`noisy_codes`, and for a negative σ.

    >>> round(float(noise_std(torch.tensor(-75), 0.1)), 4)     # -128 + 48 + 4 + 1
    13.6766
    >>> round(float(noise_std(torch.tensor(-75), 0.1, sign="differential")), 4)    # 64 + 8 + 3
    6.4568
    """
    check_not_negative("sigma", sigma)
    worth = torch.tensor(layout(bits_per_cell, sign).worth, dtype=torch.float32)
    worth = worth.to(codes.device).view(-1, *[1] * codes.dim())
    return sigma * (levels(codes, bits_per_cell, sign) * worth).square().sum(0).sqrt()


def noisy_weight(
    weight: Tensor,
    protected: Tensor | bool = False,
    *,
    noise: CellNoise | None = None,
    slc_noise: CellNoise | None = None,
    bits_per_cell: int = 2,
    slc_bits: int = 1,
    weight_bits: int = 8,
    clip: Clip = "max",
    sign: Sign = "twos-complement",
    generator: torch.Generator | None = None,
) -> Tensor:
    """`weight` quantised to `weight_bits` bits and read from the chip: same shape and dtype.

    `protected` (bool, broadcast to the weight's shape) marks entries in SLC: they see
    `slc_noise` in `slc_bits`-bit cells, and with None are the quantised value bit for bit. The
    others see `noise` in `bits_per_cell`-bit cells. Gradient: straight-through, as
    :func:`~hyflexsim.models.cells.quantization.fake_quantize`; call under no_grad for none.

    Raises ModelError for NaN, bits_per_cell outside 1 ... 8, and a mask that does not fit.

    >>> w = torch.tensor([1.0, -0.5, 0.25])
    >>> g = torch.Generator().manual_seed(0)
    >>> noisy = noisy_weight(w, torch.tensor([True, True, False]), generator=g,
    ...                      noise=MultiplicativeNoise(0.1))
    >>> (noisy == fake_quantize(w)).tolist()
    [True, True, False]
    """
    mask = torch.as_tensor(protected, device=weight.device)
    try:
        mask = mask.expand(weight.shape)
    except RuntimeError:
        raise ModelError(
            f"protected must broadcast to the weight's shape {tuple(weight.shape)}; "
            f"got {tuple(mask.shape)}"
        ) from None
    if mask.dtype != torch.bool:
        raise ModelError(f"protected must be boolean; got {mask.dtype}")
    check_bits(bits_per_cell, "bits_per_cell")
    q = quantize(weight, clip, bits=weight_bits, key="weight")
    value = q.dequantize().to(weight.dtype)
    for cells, bits, where in ((noise, bits_per_cell, ~mask), (slc_noise, slc_bits, mask)):
        if cells is not None:
            read = noisy_codes(q.codes, cells, bits, generator, sign, weight_bits)
            read = read.to(weight.dtype).mul_(q.scale)
            value = torch.where(where, read, value)
    if not (torch.is_grad_enabled() and weight.requires_grad):
        return value
    return straight_through(value, fake_quantize(weight, clip, bits=weight_bits, key="weight"))


def noisy_factors(
    down: Tensor,
    up: Tensor,
    protected: Tensor,
    *,
    noise: CellNoise | None = None,
    slc_noise: CellNoise | None = None,
    bits_per_cell: int = 2,
    clip: Clip = "max",
    sign: Sign = "twos-complement",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`noisy_weight` of both factors: down = VᵀΣ (k, in) and up = U (out, k).

    `protected` (k,) bool marks ranks in SLC: row r of down, column r of up. clip
    "second-signed" and :class:`MultiplicativeNoise` give the released procedure. Raises
    ModelError if the shapes do not share k, and as noisy_weight.
    """
    k = protected.shape
    if down.dim() != 2 or up.dim() != 2 or down.shape[:1] != k or up.shape[1:] != k:
        raise ModelError(
            f"down (k, in), up (out, k) and protected (k,) must share k; got "
            f"{tuple(down.shape)}, {tuple(up.shape)}, {tuple(protected.shape)}"
        )
    new_down, new_up = (
        noisy_weight(
            w,
            mask,
            noise=noise,
            slc_noise=slc_noise,
            bits_per_cell=bits_per_cell,
            clip=clip,
            generator=generator,
        )
        for w, mask in ((down, protected[:, None]), (up, protected[None, :]))
    )
    return new_down, new_up


def check_not_negative(key: str, value: float) -> None:
    """Raise ModelError unless `value`, called `key` in the message, is finite and at least 0."""
    if not 0 <= value < math.inf:
        raise ModelError(f"{key} must be finite and not negative; got {value!r}")


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
