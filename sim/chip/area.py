"""Area (mm²) and peak power (mW) of units, PUs and the chip: sums over their parts.

A unit's kind says what its parts take; for an unchanged preset the sums are those of its paper's
table. Power is that of everything busy at once. What a chip's file has no row for is left out (in
HyFlexPIM's Table 2: controllers, buses, ports, clock); units beside the chip (``system``) are too.
The peak of a run has them, and its links: ``sim/power.py``.

>>> from hyflexsim.sim.units.catalogue import load_chip
>>> chip = load_chip("hyflexpim")
>>> round(unit_area(chip.units["analog"]), 4)
0.4683
>>> round(chip_area(chip)), round(chip_power(chip) / 1000)
(1807, 1790)
>>> half = load_chip("hyflexpim", {"analog.arrays": 256})
>>> round(unit_area(half.units["analog"]), 4)  # half of everything but the registers
0.2351
"""

from __future__ import annotations

import math

from hyflexsim.sim.chip.chip import Chip, Link
from hyflexsim.sim.chip.kind import Unit
from hyflexsim.sim.chip.service import bandwidth_power


def unit_area(unit: Unit) -> float:
    """One of a unit (a module), mm²."""
    return math.fsum(unit.kind.area(unit).values())


def unit_power(unit: Unit) -> float:
    """One of a unit, everything busy, mW."""
    return math.fsum(unit.kind.power(unit).values())


def link_power(link: Link) -> float:
    """One link at full bandwidth, mW."""
    return bandwidth_power(link.values.bandwidth, 8 * link.values.energy.bit)


def pu_area(chip: Chip) -> float:
    """One processing unit, mm²."""
    return math.fsum(unit.total * unit_area(unit) for unit in _at(chip, "pu"))


def pu_power(chip: Chip) -> float:
    """One processing unit, everything busy, mW."""
    return math.fsum(unit.total * unit_power(unit) for unit in _at(chip, "pu"))


def shared_area(chip: Chip) -> float:
    """What all PUs of a chip share, mm²."""
    return math.fsum(unit.total * unit_area(unit) for unit in _at(chip, "chip"))


def chip_area(chip: Chip) -> float:
    """One chip, mm²."""
    return chip.values.pus * pu_area(chip) + shared_area(chip)


def shared_power(chip: Chip) -> float:
    """What all PUs of a chip share, everything busy, mW."""
    return math.fsum(unit.total * unit_power(unit) for unit in _at(chip, "chip"))


def chip_power(chip: Chip) -> float:
    """One chip, everything busy, mW."""
    return chip.values.pus * pu_power(chip) + shared_power(chip)


def _at(chip: Chip, where: str) -> list[Unit]:
    return [unit for unit in chip.units.values() if unit.where == where]
