"""Formats of numbers that units multiply: their bits, and what a NOR-based product of them
takes.
"""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """``bits`` in all; ``exponent`` and ``mantissa`` bits, 0 for integers."""

    bits: int
    exponent: int = 0
    mantissa: int = 0


FORMATS = {
    "int4": Format(4),
    "int8": Format(8),
    "int12": Format(12),
    "int16": Format(16),
    "fp16": Format(16, 5, 10),
    "fp32": Format(32, 8, 23),
}


def float_product_nors(format: Format) -> int:
    """NOR steps of one floating-point product, ``12 e + 6.5 m² - 7.5 m - 2``.

    Source: FloatPIM (ISCA 2019), as quoted for ASADI.

    >>> float_product_nors(FORMATS["fp32"])
    3360
    """
    e, m = format.exponent, format.mantissa
    return 12 * e + (13 * m * m - 15 * m) // 2 - 2
