"""Physical units, read once at the door.

A value enters as ``1.28`` with unit ``"GS/s"`` or as the text ``"1.28 GS/s"`` and leaves as
an exact fraction of the *canonical* unit of its dimension; after the door nothing in the
simulator knows a unit.

=============  ============  ===============================================
dimension      canonical     read as well
=============  ============  ===============================================
time           ps            fs, ns, us, ms, s
rate           S/s           kS/s, MS/s, GS/s (samples per second)
bandwidth      GB/s          B/s, kB/s, MB/s, TB/s (powers of ten)
size           B             KiB, MiB, GiB (not KB, which means two things)
energy         pJ            aJ, fJ, nJ, uJ, mJ, J
power          mW            nW, uW, W
area           mm2           um2
voltage        V             mV
resistance     ohm           kohm, Mohm
conductance    uS            nS, mS, S
length         nm            um
count, ratio   (empty)       %
bits, cycles   bit, cycle
=============  ============  ===============================================

µ, Ω and ² may be written as such. Whether a value must be a whole number (of picoseconds,
of bytes) is asked by the field that takes it, in ``hardware.py``; here nothing is rounded.

>>> convert(100, "ns", "ps")
Fraction(100000, 1)
>>> read("1.28 GS/s", "S/s")
Fraction(1280000000, 1)
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from hyflexsim.sim.errors import InputError

Number = int | float

_TEN = Fraction(10)
UNITS: dict[str, dict[str, Fraction]] = {
    "ps": {"fs": _TEN**-3, "ps": _TEN**0, "ns": _TEN**3, "us": _TEN**6, "ms": _TEN**9}
    | {"s": _TEN**12},
    "S/s": {"S/s": _TEN**0, "kS/s": _TEN**3, "MS/s": _TEN**6, "GS/s": _TEN**9},
    "GB/s": {"B/s": _TEN**-9, "kB/s": _TEN**-6, "MB/s": _TEN**-3, "GB/s": _TEN**0}
    | {"TB/s": _TEN**3},
    "B": {"B": _TEN**0, "KiB": Fraction(2**10), "MiB": Fraction(2**20), "GiB": Fraction(2**30)},
    "pJ": {"aJ": _TEN**-6, "fJ": _TEN**-3, "pJ": _TEN**0, "nJ": _TEN**3, "uJ": _TEN**6}
    | {"mJ": _TEN**9, "J": _TEN**12},
    "mW": {"nW": _TEN**-6, "uW": _TEN**-3, "mW": _TEN**0, "W": _TEN**3},
    "mm2": {"um2": _TEN**-6, "mm2": _TEN**0},
    "V": {"mV": _TEN**-3, "V": _TEN**0},
    "ohm": {"ohm": _TEN**0, "kohm": _TEN**3, "Mohm": _TEN**6},
    "uS": {"nS": _TEN**-3, "uS": _TEN**0, "mS": _TEN**3, "S": _TEN**6},
    "nm": {"nm": _TEN**0, "um": _TEN**3},
    "": {"": _TEN**0, "%": _TEN**-2},
    "bit": {"bit": _TEN**0},
    "cycle": {"cycle": _TEN**0},
}
"""Canonical unit -> {unit: how many canonical units it is}."""

BARE = ("", "bit", "cycle", "B", "nm")
"""Canonical units that may be left out: there is no second unit one could mean by the number."""

# micro sign, Greek mu, Greek omega, ohm sign: all four are in use
_SPELLING = str.maketrans(
    {"\u00b5": "u", "\u03bc": "u", "\u03a9": "ohm", "\u2126": "ohm", "²": "2"}
)
_TEXT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*", re.ASCII)


def exact(value: Number) -> Fraction:
    """The decimal number that was written, as a fraction.

    >>> exact(1.28) * 10**9
    Fraction(1280000000, 1)

    Raise :class:`InputError` when it is not a finite number; ``True`` is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise InputError(f"must be a finite number; got {value!r}")
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def convert(value: Number, unit: str, to: str) -> Fraction:
    """``value`` in ``unit`` as an exact number of the canonical unit ``to``.

    An empty unit stands for ``to`` itself where :data:`BARE` has it. Raise
    :class:`InputError` when ``unit`` does not measure what ``to`` measures.
    """
    unit = unit.translate(_SPELLING) or (to if to in BARE else "")
    if unit not in UNITS[to]:
        raise InputError(f"must have {unit_names(to)}; got {f'{value!r} {unit}'.strip()!r}")
    return exact(value) * UNITS[to][unit]


def split(text: str) -> tuple[Number, str]:
    """Number and unit of a text such as ``"100 ns"``; the unit may be missing.

    >>> split("100 ns")
    (100, 'ns')
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise InputError(f"must be a number and a unit; got {text!r}")
    digits, unit = match.groups()
    return (int(digits) if digits.lstrip("+-").isdigit() else float(digits)), unit


def read(text: str, to: str) -> Fraction:
    """A text such as ``"100 ns"`` as an exact number of the canonical unit ``to``."""
    value, unit = split(text)
    return convert(value, unit, to)


def unit_names(to: str) -> str:
    """The units that measure what ``to`` measures, for an error message.

    >>> unit_names("V")
    'unit mV or V'
    """
    *names, last = [unit for unit in UNITS[to] if unit]
    none = "no unit or " if to in BARE else ""
    return f"{none}unit {', '.join(names)} or {last}" if names else f"{none}unit {last}"


def _finite(value: Number) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond the range of floats
        return False
