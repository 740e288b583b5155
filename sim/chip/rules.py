"""Rules: how a parameter follows from others. Each is a plain function with its source.

A rule is named where the parameter is declared (``Follows`` in sim/units). At a chip's own point
the stated value holds exactly; rules only say what changes away from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONVERTER_MODELS = ("doubling", "isaac-split", "survey")
"""Ways to count a converter's energy and area against its resolution, chosen by the chip."""

_ISAAC_BITS = (4, 5, 6, 7, 8, 9, 10)
_ISAAC_PJ = (0.79, 0.99, 1.20, 1.42, 1.67, 1.97, 2.38)
_ISAAC_UM2 = (361.0, 477.0, 627.0, 845.0, 1200.0, 1828.0, 3002.0)


def converter_bits(rows: int, cell_bits: int) -> int:
    """Bits of a converter for a column of ``rows`` cells read by one input bit.

    ``log2(rows) + cell bits - 1`` (HyFlexPIM §3.2); ISAAC §V has one bit more and saves it by its
    encoding of weights. As a shift, both say the same.

    >>> converter_bits(64, 1), converter_bits(64, 2), converter_bits(128, 2)
    (6, 7, 8)
    """
    return math.ceil(math.log2(rows)) + cell_bits - 1


def partial_sum_bits(input_bits: int, weight_bits: int, rows: int) -> int:
    """Bits of the sum of ``rows`` products of inputs and weights.

    >>> partial_sum_bits(8, 8, 64)
    22
    """
    return input_bits + weight_bits + math.ceil(math.log2(rows))


def converter_energy(model: str, bits: int, rate: int) -> float:
    """Energy of a conversion against resolution (bits) and rate (S/s), in units of the model.

    ``doubling``: twice a bit (HyFlexPIM §3.2), whatever the rate.
    ``isaac-split``: reference, memory and clock linear, the capacitive DAC exponential (ISAAC §VI
    after Saberi et al. 2011); pJ at 32 nm, as tabulated in hwcomponents-library, isaac.py.
    ``survey``: pJ; Schreier's figure of merit on the front of published converters (Murmann's
    survey) as fitted by Andrulis et al., accelergy-adc-plug-in, model.yaml: four times a bit.

    >>> converter_energy("doubling", 7, 1) / converter_energy("doubling", 6, 1)
    2.0
    >>> round(converter_energy("isaac-split", 7, 1) / converter_energy("isaac-split", 6, 1), 2)
    1.18
    >>> round(converter_energy("survey", 6, 1_280_000_000), 3)
    0.058
    """
    if model == "isaac-split":
        return _along(_ISAAC_BITS, _ISAAC_PJ, bits)
    if model == "survey":
        merit = min(180.14159, 302.73870 - 6.4607909 * math.log(rate))  # dB
        noise = 6.02 * bits + 1.76  # dB
        return 1e12 / (2 * 10 ** ((merit - noise) / 10))
    return 2.0**bits


def converter_area(model: str, bits: int, rate: int, nm: int) -> float:
    """Area of a converter of a resolution (bits); models and sources as :func:`converter_energy`."""
    if model == "isaac-split":
        return _along(_ISAAC_BITS, _ISAAC_UM2, bits)
    if model == "survey":
        energy = converter_energy(model, bits, rate)
        return math.exp(
            0.06665852 * math.log(rate)
            + 0.79732396 * math.log(nm)
            - 0.13437279 * bits
            + 0.42365718 * math.log(energy)
            + 4.85056707
        )
    return 2.0**bits


def mlc_conversion(model: str, slc_pj: float, slc_bits: int, mlc_bits: int, rate: int) -> float:
    """pJ of a multi-level conversion by the converter that takes ``slc_pj`` a single-level one.

    >>> mlc_conversion("doubling", 0.78125, 6, 7, 1_280_000_000)
    1.5625
    """
    ratio = converter_energy(model, mlc_bits, rate) / converter_energy(model, slc_bits, rate)
    return slc_pj * ratio


def array_read_energy(rows: int, columns: int, read_cycle: int) -> float:
    """Relative energy of a read: every cell conducts for the cycle (HyFlexPIM Table 2's 1.45 fJ
    a cell and 100 ns). Levels equally spaced conduct the same on average, whatever their number.
    """
    return float(rows * columns * read_cycle)


def wordline_energy(columns: int, read_cycle: int) -> float:
    """Relative energy of a driven row: wire and gates of its ``columns`` cells, for the cycle."""
    return float(columns * read_cycle)


def proportional(*factors: float) -> float:
    """The product of its arguments.

    >>> proportional(2, 3)
    6.0
    """
    return float(math.prod(factors))


def per_second(count: float, seconds: float) -> float:
    """``count / seconds``: shared by so many, or spread over so long."""
    return count / seconds


def sram_energy(capacity: int) -> float:
    """Relative energy of an access to an SRAM of ``capacity`` bytes: its wires grow with the root.

    Source: CACTI's trend for arrays of equal aspect (Muralimanohar et al., HPL-2009-85).
    """
    return math.sqrt(capacity)


def _along(xs: Sequence[int], ys: Sequence[float], x: float) -> float:
    """Between points (and beyond the ends): straight in the logarithm."""
    i = min(max(0, next((i for i, at in enumerate(xs) if at >= x), len(xs) - 1) - 1), len(xs) - 2)
    share = (x - xs[i]) / (xs[i + 1] - xs[i])
    return math.exp(math.log(ys[i]) * (1 - share) + math.log(ys[i + 1]) * share)


# Stillmaker and Baas, Integration 58 (2017) 74-81, as tabulated in hwcomponents, techscaling.py:
# energy of a node is a V^2 + b V + c, here at V = 0.8; area relative to 32 nm.
_NODE_NM = (7, 10, 14, 16, 20, 32, 45, 65, 90, 130)
_NODE_ENERGY = (
    (0.1776, -0.09097, 0.02447),
    (0.2068, -0.09311, 0.02375),
    (0.2363, -0.09675, 0.02239),
    (0.2958, -0.1241, 0.03024),
    (0.373, -0.1582, 0.04104),
    (0.9559, -0.7823, 0.471),
    (1.103, -0.362, 0.2767),
    (3.755, -4.398, 1.975),
    (4.762, -4.781, 2.092),
    (7.171, -6.709, 2.904),
)
_NODE_AREA = (0.13, 0.22, 0.38, 0.41, 0.46, 1.0, 2.2, 3.3, 6.1, 14.0)
_VOLTS = 0.8


def node_energy(nm: int) -> float:
    """Energy of switching against the technology node (nm), at 0.8 V.

    >>> round(node_energy(65) / node_energy(32), 2)
    1.88
    """
    energies = [(a * _VOLTS + b) * _VOLTS + c for a, b, c in _NODE_ENERGY]
    return _along(_NODE_NM, energies, nm)


def node_area(nm: int) -> float:
    """Area of logic against the technology node (nm).

    >>> round(node_area(65) / node_area(32), 2)
    3.3
    """
    return _along(_NODE_NM, _NODE_AREA, nm)
