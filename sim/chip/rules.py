"""Rules: how a parameter follows from others. Each is a plain function with its source.

A rule is named where the parameter is declared (``Follows`` in sim/units). At a chip's own point
the stated value holds exactly; rules only say what changes away from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONVERTER_MODELS = ("doubling", "isaac-split", "survey")
"""Ways to count a converter's energy and area against its resolution, chosen by the chip."""


def converter_bits(rows: int, cell_bits: int) -> int:
    """Bits of a converter for a column of ``rows`` cells read by one input bit.

    ``log2(rows) + cell bits - 1`` (HyFlexPIM §3.2); ISAAC has one bit more and saves it by its
    encoding of weights. As a shift, both say the same. Exact sums would take one bit more.

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

    Only ratios count: absolute levels of public models differ by a factor of ten.
    ``doubling``: twice a bit (HyFlexPIM §3.2), whatever the rate.
    ``isaac-split``: reference, memory, latches and clock linear, the capacitive DAC (0.2 of 3.1 mW
    at 8 bit) exponential: Kull et al. (ISSCC 2013) by Saberi et al. (2011), as scaled for ISAAC in
    accelergy-library-plug-in, isaac_adc.xlsx. 4 to 10 bit, about 1.2 GS/s.
    ``survey``: fit to 215 converters of Murmann's survey (Andrulis et al., arXiv 2404.06553,
    constants of hwcomponents-adc). From 4 bit.

    >>> converter_energy("doubling", 7, 1) / converter_energy("doubling", 6, 1)
    2.0
    >>> round(converter_energy("isaac-split", 7, 1) / converter_energy("isaac-split", 6, 1), 3)
    1.185
    >>> e = [converter_energy("survey", bits, 1_280_000_000) for bits in (6, 7)]
    >>> round(e[1] / e[0], 3)
    1.232
    """
    if model == "isaac-split":
        return (2.9 / 3.1) * bits / 8 + (0.2 / 3.1) * 2.0 ** (bits - 8)
    if model == "survey":
        merit = min(213.7806687 - 2.871903040 * math.log(rate), 128.3068287 + 3.220511516 * bits)
        noise = 20 * math.log10(2) * bits + 10 * math.log10(1.5)  # dB, as the figure of merit
        return float(10 ** ((noise - merit) / 10) * bits**-2.829125605)
    return 2.0**bits


def converter_area(model: str, bits: int, rate: int) -> float:
    """Area of a converter against resolution (bits) and rate (S/s), in units of the model.

    Models and sources as in ``converter_energy``; of the split, the DAC is 340 of 747 parts.

    >>> round(converter_area("isaac-split", 7, 1) / converter_area("isaac-split", 6, 1), 2)
    1.35
    """
    if model == "isaac-split":
        return (407 / 747) * bits / 8 + (340 / 747) * 2.0 ** (bits - 8)
    if model == "survey":
        return float(rate**0.180715384 * converter_energy(model, bits, rate) ** 0.299124262)
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


def shared_by(count: int) -> float:
    """One over ``count``: what so many share."""
    return 1 / count


def clocked(period: int) -> float:
    """Relative power of logic that works once a ``period``: as often as the clock ticks.

    Energy an action stays, so power x time gives the same joules at any clock; leakage is left out.

    >>> clocked(500) / clocked(1000)
    2.0
    """
    return 1 / period


def sram_energy(capacity: int) -> float:
    """Relative energy of an access to an SRAM of ``capacity`` bytes: its wires grow with the root.

    Source: exponents 0.36 to 0.59 of CACTI's tables in MNSIM 2.0; Horowitz (ISSCC 2014): 8 KB to
    32 KB doubles it.
    """
    return math.sqrt(capacity)


def _along(xs: Sequence[int], ys: Sequence[float], x: float) -> float:
    """Between points (and beyond the ends): straight in the logarithm."""
    i = min(max(0, next((i for i, at in enumerate(xs) if at >= x), len(xs) - 1) - 1), len(xs) - 2)
    share = (x - xs[i]) / (xs[i + 1] - xs[i])
    return math.exp(math.log(ys[i]) * (1 - share) + math.log(ys[i + 1]) * share)


# Stillmaker and Baas, Integration 58 (2017) 74-81, high-performance curves, as tabulated in
# nodeScale and hwcomponents: energy of a node is a V^2 + b V + c, here at V = 1.0, where 32 to
# 65 nm gives 2.326, the factor between ISAAC's and HyFlexPIM's tables. Area relative to 32 nm.
# RRAM arrays follow in area: a cell is as large as its access transistor and wires, and a cell of
# HyFlexPIM's Table 2 (65 nm) takes 3.46 times one of ASADI's Table I (32 nm), 3.3 by this curve.
# Their energy does not: what a cell conducts or takes to switch is the device's, not the node's
# (Table 2 has 2.326 times ASADI's power a cell, as if it were logic; that is not followed).
_NODE_NM = (7, 10, 14, 16, 20, 32, 45, 65, 90, 130)
_NODE_ENERGY = (
    (0.1776, -0.09097, 0.02447),
    (0.2068, -0.09311, 0.02375),
    (0.2363, -0.09675, 0.02239),
    (0.2958, -0.1241, 0.03024),
    (0.373, -0.1582, 0.04104),
    (0.8367, -0.4341, 0.1701),
    (1.018, -0.3107, 0.1539),
    (3.755, -4.398, 1.975),
    (4.762, -4.781, 2.092),
    (7.171, -6.709, 2.904),
)
_NODE_AREA = (0.13, 0.22, 0.38, 0.41, 0.46, 1.0, 2.2, 3.3, 6.1, 14.0)
_VOLTS = 1.0


def node_energy(nm: int) -> float:
    """Energy of switching against the technology node (nm), at 1.0 V.

    >>> round(node_energy(65) / node_energy(32), 3), round(node_energy(65) / node_energy(45), 3)
    (2.326, 1.547)
    """
    energies = [(a * _VOLTS + b) * _VOLTS + c for a, b, c in _NODE_ENERGY]
    return _along(_NODE_NM, energies, nm)


def node_area(nm: int) -> float:
    """Area of logic against the technology node (nm).

    >>> round(node_area(65) / node_area(32), 2)
    3.3
    """
    return _along(_NODE_NM, _NODE_AREA, nm)
