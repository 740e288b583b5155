"""How much of its PUs a layer has: whole ones, or of the first and the last a part.

With a number of PUs a layer that is not whole, blocks lie on the line of PUs without gaps, and two
neighbours share a PU by its modules, each unit of it in proportion::

    PU      0      1      2      3      4
          |------|------|------|------|------|      pus_per_layer = 2.5
    layer    b.0          :   b.1            of PU 2: b.0 modules 0 to 11 and half of the NOR
                                             modules, b.1 the other halves

So neighbours have arrays, NOR modules and SFUs of their own, and each the same share of the PU's
bus (in time slots: our reading, the paper knows whole PUs only). What lies in the shared PU crosses
the bus between PUs like what lies in any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd, isfinite

import numpy as np

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.faults import FaultMap
from hyflexsim.sim.units.analog_parameters import AnalogValues


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a layer begins in the first of its PUs, and ends in the last: shares from 0 to 1."""

    begin: Fraction = Fraction(0)
    end: Fraction = Fraction(1)

    def share(self, pus: Sequence[int]) -> Fraction:
        """PUs that the layer has of these.

        >>> Extent(Fraction(1, 2)).share((2, 3, 4))
        Fraction(5, 2)
        """
        return len(pus) - self.begin - (1 - self.end)

    def left_out(self, faults: FaultMap, pus: Sequence[int], pieces: int) -> list[np.ndarray]:
        """Of each PU the numbers (n,) of its ``pieces`` that are broken or the neighbours'."""
        each = [faults.left_out(pu) for pu in pus]
        first, last = int(self.begin * pieces), int(self.end * pieces)
        if first:
            each[0] = np.union1d(np.arange(first), each[0])
        if last < pieces:
            each[-1] = np.union1d(each[-1], np.arange(last, pieces))
        return each


WHOLE = Extent()


def extent_of(begin: Fraction, wanted: Fraction) -> tuple[int, int, Extent]:
    """First PU, number of PUs and extent of a layer that begins so far along the line of PUs.

    >>> extent_of(Fraction(5, 2), Fraction(5, 2))
    (2, 3, Extent(begin=Fraction(1, 2), end=Fraction(1, 1)))
    """
    first, last = floor(begin), ceil(begin + wanted)
    return first, last - first, Extent(begin - first, 1 - (last - begin - wanted))


def number_of(pus_per_layer: str | float) -> Fraction | None:
    """The number that an option gives; None for a word.

    >>> number_of(2.5), number_of("auto")
    (Fraction(5, 2), None)
    """
    return None if isinstance(pus_per_layer, str) else Fraction(str(pus_per_layer))


def is_number(value: object) -> bool:
    """Whether it may be PUs a layer: 1 or more, whole or not.

    >>> [is_number(x) for x in (2, 2.5, 0.5, True, float("inf"))]
    [True, True, False, False, False]
    """
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and isfinite(value)
        and value >= 1
    )


def refuse_split_units(chip: Chip, each: Fraction) -> None:
    """Raise :class:`InputError` where so many PUs a layer would take a unit apart.

    Also where weights do not lie in arrays of the PUs.
    """
    if each.denominator == 1:
        return
    holder = chip.holder
    if holder.where != "pu" or not isinstance(holder.values, AnalogValues):
        raise InputError(
            f"mapping.pus_per_layer must be a whole number for {chip.name}, whose weights lie in "
            f"{holder.name} as bytes: a part of a PU is a part of its arrays; got {float(each):g}"
        )
    units = [unit for unit in chip.units.values() if unit.where == "pu"]
    if all((each * unit.total).denominator == 1 for unit in units):
        return
    parts = gcd(*(unit.total for unit in units))
    fewest = min(units, key=lambda unit: unit.total)
    allowed = "a whole number" if parts == 1 else f"a multiple of 1/{parts}"
    raise InputError(
        f"mapping.pus_per_layer must be {allowed} for {chip.name}, so that no unit of a PU is "
        f"split (it has {fewest.total} of {fewest.name}); got {float(each):g}"
    )
