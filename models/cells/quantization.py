"""INT8 numbers as the chip stores them: symmetric quantiser, and slices for its cells.

A tensor becomes integer codes and one scale, w ≈ code · scale. A weight's code is then cut
into slices of as many bits as a cell holds; slice i weighs 2^(b·i), and the top slice carries
the sign of the two's complement::

    code = -75 = 0b10110101      2-bit cells:  10 | 11 | 01 | 01
                                              -2    3    1    1
                                 -2·64 + 3·16 + 1·4 + 1 = -75

An SLC weight takes eight 1-bit slices, an MLC weight four 2-bit slices (HyFlexPIM §3.2).
3-bit cells hold 8 bits in three slices (top slice 2 bits wide), 4-bit cells in two. The
released accuracy code of HyFlexPIM quantises both factors to INT8 with scale 127, clips at the
second-largest entry *in signed order* (clip="second-signed"), leaves activations in floating
point, and cuts with the masks 0xC0, 0x30, 0x0C, 0x03, which are the 2-bit slices above.

Left out: zero points (asymmetric codes) and learned scales.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from hyflexsim.models.errors import ModelError

Clip = Literal["max", "second-signed", "percentile"]
"""Where a tensor is clipped: largest magnitude; second-largest signed entry (as released); a
percentile of the magnitudes."""

Granularity = Literal["tensor", "row"]
"""One scale for the tensor, or one for each row (each output of a weight, each token)."""


class Quantized(NamedTuple):
    """Integer codes with their scale: the tensor is about `codes * scale`."""

    codes: Tensor  # int8, shape of the tensor
    scale: Tensor  # floating point, () or (..., 1); all zeros have scale 1

    def dequantize(self) -> Tensor:
        """codes * scale, in the dtype of the scale."""
        return self.codes.to(self.scale.dtype) * self.scale


def check_finite(tensor: Tensor, key: str) -> None:
    """Raise ModelError if `tensor`, called `key` in the message, holds NaN or infinities."""
    bad = tensor.numel() - int(torch.isfinite(tensor).sum())
    if bad:
        raise ModelError(f"{key} must be finite; got NaN or infinity in {bad} of {tensor.numel()}")


def check_bits(bits: int, key: str, low: int = 1, high: int = 8) -> None:
    """Raise ModelError unless `bits`, called `key` in the message, is in low ... high."""
    if not isinstance(bits, int) or isinstance(bits, bool) or not low <= bits <= high:
        raise ModelError(f"{key} must be an integer from {low} to {high}; got {bits!r}")


def clip_threshold(
    tensor: Tensor,
    clip: Clip = "max",
    *,
    percentile: float = 99.9,
    granularity: Granularity = "tensor",
    key: str = "tensor",
) -> Tensor:
    """Magnitude at which `tensor` is clipped: shape (), or (..., 1) for granularity "row".

    "max": the largest magnitude, nothing is clipped. "second-signed": the second of the
    entries sorted from most positive to most negative, as in HyFlexPIM's released code; it is
    not a magnitude, so a tensor with one positive entry, or none, is refused. "percentile":
    the smallest magnitude which at least `percentile` % of the magnitudes do not exceed.

    Raises ModelError for NaN or infinity, an empty tensor, an unknown clip or granularity, a
    percentile outside (0, 100], a tensor that "second-signed" cannot clip.

    >>> w = torch.tensor([0.5, -3.0, 2.0, 1.0])
    >>> [float(clip_threshold(w, c)) for c in ("max", "second-signed")]
    [3.0, 1.0]
    >>> float(clip_threshold(w, "percentile", percentile=75))
    2.0
    """
    if clip not in get_args(Clip):
        raise ModelError(f"clip must be one of {', '.join(get_args(Clip))}; got {clip!r}")
    if granularity not in get_args(Granularity):
        raise ModelError(f"granularity must be tensor or row; got {granularity!r}")
    if not 0 < percentile <= 100:
        raise ModelError(f"percentile must be above 0 and at most 100; got {percentile!r}")
    if tensor.numel() == 0:
        raise ModelError(f"{key} must have entries; got shape {tuple(tensor.shape)}")
    tensor = tensor.detach()
    rows = tensor.reshape(1, -1) if granularity == "tensor" else tensor  # (..., n)
    n = rows.shape[-1]
    if clip == "max":
        threshold = rows.abs().amax(-1, keepdim=True)
        if not bool(torch.isfinite(threshold).all()):  # sooner than to look at every entry
            check_finite(tensor, key)
        return threshold.reshape(()) if granularity == "tensor" else threshold
    check_finite(tensor, key)
    if clip == "percentile":
        place = max(1, math.ceil(percentile / 100 * n - 1e-9))
        threshold = rows.abs().kthvalue(place, -1, keepdim=True).values
    else:
        if n < 2:
            raise ModelError(f"{key} must have 2 entries or more for clip 'second-signed'; got {n}")
        threshold = rows.topk(2, -1).values[..., 1:]
        if bool((threshold <= 0).any()):
            raise ModelError(
                f"{key} must have two positive entries for clip 'second-signed'; "
                f"got {float(threshold.min()):g} as the second-largest"
            )
    return threshold.reshape(()) if granularity == "tensor" else threshold


def quantize(
    tensor: Tensor,
    clip: Clip = "max",
    *,
    bits: int = 8,
    percentile: float = 99.9,
    granularity: Granularity = "tensor",
    threshold: float | Tensor | None = None,
    key: str = "tensor",
) -> Quantized:
    """Symmetric codes -q ... q with q = 2^(bits-1) - 1 (127 for INT8): round(w · q / threshold).

    `threshold` replaces the one that :func:`clip_threshold` finds by `clip` (static activation
    scales). Halves round to even. bits is 2 ... 8. No gradient; :func:`fake_quantize` has one.

    Raises ModelError for bits outside 2 ... 8, a negative threshold and as clip_threshold.

    >>> quantize(torch.tensor([1.0, -0.5, 0.25])).codes.tolist()
    [127, -64, 32]
    """
    check_bits(bits, "bits", low=2)
    top = 2 ** (bits - 1) - 1
    tensor = tensor.detach()
    at = _threshold(tensor, clip, percentile, granularity, threshold, key)
    step = at / top  # 0 too for a threshold that is almost 0
    scale = torch.where(step > 0, step, torch.ones_like(step))
    codes = (tensor / scale).round_().clamp_(-top, top).to(torch.int8)
    return Quantized(codes, scale)


def fake_quantize(
    tensor: Tensor,
    clip: Clip = "max",
    *,
    bits: int = 8,
    percentile: float = 99.9,
    granularity: Granularity = "tensor",
    threshold: float | Tensor | None = None,
    key: str = "tensor",
) -> Tensor:
    """The tensor after quantising and back: same shape and dtype, values on the grid.

    Straight-through gradient: rounding counts as identity, a clipped entry gets none, the
    threshold is a constant. Arguments and errors as :func:`quantize`.

    >>> w = torch.tensor([2.0, 1.0, -3.0], requires_grad=True)
    >>> fake_quantize(w, "second-signed").sum().backward()
    >>> w.grad.tolist()                                   # clipped at 1
    [0.0, 1.0, 0.0]
    """
    at = _threshold(tensor.detach(), clip, percentile, granularity, threshold, key)
    q = quantize(tensor, clip, bits=bits, threshold=at, key=key)
    if not (torch.is_grad_enabled() and tensor.requires_grad):
        return q.dequantize().to(tensor.dtype)
    inside = (tensor.detach().abs() <= at).to(tensor.dtype)
    return straight_through(q.dequantize().to(tensor.dtype), tensor * inside)


def straight_through(value: Tensor, carrier: Tensor) -> Tensor:
    """`value` bit for bit in the forward pass, the gradient of `carrier` in the backward pass.

    Both have one shape. (value + (carrier - carrier.detach()) would round value's last bit
    only if the bracket were not zero; it is zero exactly, as carrier is finite.)
    """
    if not (torch.is_grad_enabled() and carrier.requires_grad):
        return value.detach()
    return value.detach() + (carrier - carrier.detach())


def _threshold(
    tensor: Tensor,
    clip: Clip,
    percentile: float,
    granularity: Granularity,
    threshold: float | Tensor | None,
    key: str,
) -> Tensor:
    if threshold is None:
        return clip_threshold(tensor, clip, percentile=percentile, granularity=granularity, key=key)
    check_finite(tensor, key)
    at = torch.as_tensor(threshold, dtype=tensor.dtype, device=tensor.device).detach()
    if not bool((at >= 0).all()) or not bool(torch.isfinite(at).all()):
        raise ModelError(f"threshold of {key} must be finite and not negative; got {threshold!r}")
    return at


class ActivationQuantizer(nn.Module):
    """INT8 activations: scale found in each call (dynamic), or once from samples (static).

    Dynamic: one scale per tensor, or per token with granularity "row"; per tensor, a sample's
    codes depend on its batch. Static: call :meth:`calibrate` on representative activations;
    the threshold is the largest of theirs and lives in the buffer `threshold`, so a checkpoint
    keeps it. HyFlexPIM states INT8 activations (§5.1) but not how the scale is found.

    Raises ModelError for an unknown mode, for static rows, and when a static quantiser is
    called before calibration.

    >>> q = ActivationQuantizer("static")
    >>> q.calibrate(torch.tensor([-2.54, 1.0]))
    >>> q.quantize(torch.tensor([1.0, 99.0])).codes.tolist()
    [50, 127]
    """

    threshold: Tensor

    def __init__(
        self,
        mode: Literal["dynamic", "static"] = "dynamic",
        *,
        clip: Literal["max", "percentile"] = "max",
        percentile: float = 99.9,
        granularity: Granularity = "tensor",
        bits: int = 8,
    ):
        super().__init__()
        if mode not in ("dynamic", "static"):
            raise ModelError(f"mode must be dynamic or static; got {mode!r}")
        if clip not in ("max", "percentile"):
            raise ModelError(f"clip of activations must be max or percentile; got {clip!r}")
        if mode == "static" and granularity != "tensor":
            raise ModelError(f"granularity of a static quantiser must be tensor; got {granularity}")
        check_bits(bits, "bits", low=2)
        self.mode, self.clip, self.percentile = mode, clip, percentile
        self.granularity, self.bits = granularity, bits
        self.register_buffer("threshold", torch.tensor(0.0))

    def calibrate(self, x: Tensor) -> None:
        """Widen the static threshold to cover `x` (any shape). Of no effect when dynamic."""
        at = clip_threshold(x, self.clip, percentile=self.percentile, key="activations")
        self.threshold = torch.maximum(self.threshold, at.to(self.threshold))

    def quantize(self, x: Tensor) -> Quantized:
        """Codes of `x` (any shape), without gradient."""
        return quantize(
            x,
            self.clip,
            bits=self.bits,
            percentile=self.percentile,
            granularity=self.granularity,
            threshold=self._static(),
            key="activations",
        )

    def forward(self, x: Tensor) -> Tensor:
        """`x` on the grid, with straight-through gradient."""
        return fake_quantize(
            x,
            self.clip,
            bits=self.bits,
            percentile=self.percentile,
            granularity=self.granularity,
            threshold=self._static(),
            key="activations",
        )

    def _static(self) -> Tensor | None:
        if self.mode == "dynamic":
            return None
        if not float(self.threshold) > 0:
            raise ModelError("static activations need calibrate() on nonzero samples first; got 0")
        return self.threshold


def slice_widths(bits_per_cell: int, bits: int = 8) -> tuple[int, ...]:
    """Bits in each slice of a `bits`-bit code, least significant slice first.

    Raises ModelError if bits_per_cell is not in 1 ... 8, or bits not in 2 ... 8.

    >>> [slice_widths(b) for b in (1, 2, 3, 4)][1:]
    [(2, 2, 2, 2), (3, 3, 2), (4, 4)]
    """
    check_bits(bits_per_cell, "bits_per_cell")
    check_bits(bits, "bits", low=2)
    full, rest = divmod(bits, bits_per_cell)
    return (bits_per_cell,) * full + ((rest,) if rest else ())


def slice_codes(codes: Tensor, bits_per_cell: int, *, bits: int = 8) -> Tensor:
    """Two's-complement codes (...) to slices (S, ...), int8, least significant slice first.

    Slices below the top are 0 ... 2^b - 1; the top one is signed (masks 0xC0 ... 0x03 of the
    released code for 2-bit cells). :func:`join_slices` is the exact inverse for every code in
    -2^(bits-1) ... 2^(bits-1) - 1.

    Raises ModelError for codes that are not integers, codes out of range, bits as slice_widths
    (8-bit cells take the code whole).

    >>> slice_codes(torch.tensor([-75]), 2).flatten().tolist()
    [1, 1, 3, -2]
    """
    widths = slice_widths(bits_per_cell, bits)
    if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
        raise ModelError(f"codes must be integers; got {codes.dtype}")
    half = 2 ** (bits - 1)
    wide = codes.to(torch.int16)
    if codes.numel() and not -half <= int(codes.min()) <= int(codes.max()) < half:
        raise ModelError(
            f"codes must be from {-half} to {half - 1}; "
            f"got {int(codes.min())} to {int(codes.max())}"
        )
    shifts = range(0, bits, bits_per_cell)
    slices = [(wide >> s) & (2**width - 1) for s, width in zip(shifts, widths, strict=True)]
    slices[-1] = wide >> shifts[-1]  # arithmetic shift keeps the sign
    return torch.stack(slices).to(torch.int8)


def slice_weights(bits_per_cell: int, *, bits: int = 8) -> tuple[int, ...]:
    """What one level of each slice is worth, least significant first: 1, 4, 16, 64 for 2 bits.

    Raises ModelError as :func:`slice_widths`.
    """
    return tuple(2 ** (bits_per_cell * i) for i in range(len(slice_widths(bits_per_cell, bits))))


def join_slices(slices: Tensor, bits_per_cell: int, *, bits: int = 8) -> Tensor:
    """Slices (S, ...) back to codes (...): the sum of slice · weight.

    Integers give int16 codes, exactly; floating-point slices (levels with noise) keep their
    dtype. Raises ModelError if S is not the number of slices, bits as slice_widths.
    """
    weights = slice_weights(bits_per_cell, bits=bits)
    if slices.dim() == 0 or slices.shape[0] != len(weights):
        raise ModelError(
            f"slices must have {len(weights)} along axis 0 for {bits_per_cell}-bit cells; "
            f"got shape {tuple(slices.shape)}"
        )
    dtype = slices.dtype if slices.is_floating_point() else torch.int16
    total = torch.zeros(slices.shape[1:], dtype=dtype, device=slices.device)
    for level, weight in zip(slices, weights, strict=True):
        total += level.to(dtype) * weight
    return total
