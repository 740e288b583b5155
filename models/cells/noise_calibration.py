"""Which σ of cell noise a published error rate means: closed form, bisection, Monte Carlo.

HyFlexPIM (§5.2) says that σ follows from 4.04 % bit errors (Fan et al., DAC'24) but prints no σ;
:func:`calibrate_sigma` computes it for both readings of that figure, and it is not the 0.025 of the
released code. The noise is :class:`~hyflexsim.models.cells.rram_noise.MultiplicativeNoise`, levels
are read as the nearest one. Left out: error rates of other noises, error correction.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from hyflexsim.models.cells.quantization import check_bits
from hyflexsim.models.cells.rram_noise import MultiplicativeNoise, check_not_negative
from hyflexsim.models.errors import ModelError

BIT_ERROR_RATE = 0.0404
"""Wrong MLC bits (or cells), one day after programming; STATED, HyFlexPIM §5.2 (Fan et al.)."""


Reading = Literal["cell", "bit"]


def error_rate(
    sigma: float, bits_per_cell: int = 2, reading: Reading = "cell", *, saturate: bool = False
) -> float:
    """Share of wrong cells or bits, 0 ... 1, when level L reads as L (1 + σ n), nearest level.

    Levels 0 ... 2^b - 1 are equally likely. saturate=True: a read above the top level is the
    top level, hence right when the top level was meant; False: it is wrong. "cell" counts
    wrong cells. "bit" counts wrong bits of Gray-coded levels over all bits, where an
    unsaturated read above the top counts as one wrong bit. Closed form from the Gaussian tail.

    Raises ModelError for a negative σ, bits_per_cell outside 1 ... 8, an unknown reading.

    >>> round(error_rate(0.112), 4), round(error_rate(0.132, saturate=True), 4)
    (0.0406, 0.0404)
    """
    check_not_negative("sigma", sigma)
    check_bits(bits_per_cell, "bits_per_cell")
    _check_reading(reading)
    if sigma == 0:
        return 0.0
    top = (1 << bits_per_cell) - 1
    wrong = 0.0
    for level in range(1, top + 1):
        above = [_tail((edge + 0.5 - level) / (level * sigma)) for edge in range(top + 1)]
        at = [1 - above[0], *(above[i - 1] - above[i] for i in range(1, top + 1))]
        over = above[top]  # above the top level by half a step
        if reading == "cell":
            wrong += sum(p for i, p in enumerate(at) if i != level)
            wrong += 0 if saturate and level == top else over
        else:
            wrong += sum(p * _gray_distance(i, level) for i, p in enumerate(at))
            wrong += over * (_gray_distance(top, level) if saturate else 1)
    cells = wrong / (top + 1)
    return cells if reading == "cell" else cells / bits_per_cell


def wrong_cells(levels: Tensor, sigma: float) -> float:
    """Share of cells that read wrong, 0 ... 1, when they hold these levels (any shape, not empty).

    As :func:`error_rate` by "cell", unsaturated, for levels as they are instead of equally likely
    ones: a level of 0 is always right, and most cells of a trained weight hold small levels.
    Signed levels count by their size. Raises ModelError for a negative σ.

    >>> round(wrong_cells(torch.tensor([0, 1, 2, 3]), 0.112), 4) == round(error_rate(0.112), 4)
    True
    """
    check_not_negative("sigma", sigma)
    counts = torch.bincount(levels.abs().flatten().long())
    sizes = torch.arange(len(counts), dtype=torch.float64)
    distance = 0.5 / (sizes * sigma * math.sqrt(2)).clamp(min=1e-300)
    return float((torch.erfc(distance) * counts).sum() / counts.sum())


def calibrate_sigma(
    bit_error_rate: float = BIT_ERROR_RATE,
    bits_per_cell: int = 2,
    reading: Reading = "cell",
    *,
    saturate: bool = False,
) -> float:
    """The σ at which :func:`error_rate` is `bit_error_rate` (0 ... 1), by bisection.

    4.04 % of 2-bit cells: 0.112, saturated 0.132; 4.04 % of their bits: 0.143, saturated
    0.173. Report a result together with :func:`noise_report`, which states the rate.

    Raises ModelError for a rate not above 0, a rate no σ below 10 reaches, and as error_rate.

    >>> [round(calibrate_sigma(0.0404, 2, r, saturate=s), 3)
    ...  for r in ("cell", "bit") for s in (False, True)]
    [0.112, 0.132, 0.143, 0.173]
    """
    if not 0 < bit_error_rate < 1:
        raise ModelError(f"bit_error_rate must be between 0 and 1; got {bit_error_rate!r}")
    low, high = 0.0, 1e-3
    while error_rate(high, bits_per_cell, reading, saturate=saturate) < bit_error_rate:
        low, high = high, high * 1.25
        if high > 10:
            most = error_rate(low, bits_per_cell, reading, saturate=saturate)
            raise ModelError(
                f"bit_error_rate must be below {most:.3g}, the rate at sigma {low:.3g}, for "
                f"{bits_per_cell}-bit cells; got {bit_error_rate!r}"
            )
    for _ in range(60):
        middle = (low + high) / 2
        if error_rate(middle, bits_per_cell, reading, saturate=saturate) < bit_error_rate:
            low = middle
        else:
            high = middle
    return high


def simulate_error_rate(
    sigma: float,
    bits_per_cell: int = 2,
    reading: Reading = "cell",
    *,
    saturate: bool = False,
    cells: int = 1_000_000,
    generator: torch.Generator | None = None,
) -> float:
    """:func:`error_rate` by Monte Carlo with `cells` cells, equally many of each level.

    Raises ModelError as error_rate, and for fewer cells than levels.
    """
    check_bits(bits_per_cell, "bits_per_cell")
    _check_reading(reading)
    top = 2**bits_per_cell - 1
    if cells <= top:
        raise ModelError(f"cells must be at least {top + 1}; got {cells!r}")
    stored = torch.arange(cells) % (top + 1)
    noise = MultiplicativeNoise(sigma)
    read = noise.program(stored.double(), bits_per_cell, 0, generator)
    read = (read + 0.5).floor().clamp(0, top if saturate else top + 1).long()
    if reading == "cell":
        return float((read != stored).double().mean())
    gray = torch.tensor([[_gray_distance(i, j) for j in range(top + 1)] for i in range(top + 1)])
    wrong = torch.where(read > top, 1, gray[read.clamp(max=top), stored])
    return float(wrong.double().mean()) / bits_per_cell


def noise_report(sigma: float, bits_per_cell: int = 2) -> str:
    """One line that states σ with the wrong cells and bits it means; to print with each result.

    Raises ModelError as :func:`error_rate`.

    >>> print(noise_report(0.025))
    sigma 0.025 in 2-bit cells: wrong cells 6.54e-10 % (saturating 3.27e-10 %), wrong bits 3.27e-10 % (saturating 1.64e-10 %)
    """  # noqa: E501
    parts = []
    for reading in get_args(Reading):
        plain, saturated = (
            100 * error_rate(sigma, bits_per_cell, reading, saturate=s) for s in (False, True)
        )
        parts.append(f"wrong {reading}s {plain:.3g} % (saturating {saturated:.3g} %)")
    return f"sigma {sigma:g} in {bits_per_cell}-bit cells: {', '.join(parts)}"


def _tail(z: float) -> float:
    """Chance that a standard Gaussian exceeds z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def _gray_distance(a: int, b: int) -> int:
    return ((a ^ a >> 1) ^ (b ^ b >> 1)).bit_count()


def _check_reading(reading: str) -> None:
    if reading not in get_args(Reading):
        raise ModelError(f"reading must be cell or bit; got {reading!r}")
