"""Bits of everything that a chip multiplies as integers, for the reference: read off the chip."""

from __future__ import annotations

from dataclasses import dataclass

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.chip.formats import FORMATS
from hyflexsim.sim.errors import InputError


@dataclass(frozen=True)
class Widths:
    """``inputs``, ``weights``: of static products. ``values``, ``probabilities``: of products of
    activations; None: these are floating point. ``table``: of a row of a table, None: FP16.
    """

    inputs: int
    weights: int
    values: int | None
    probabilities: int | None
    table: int | None


def widths_of(chip: Chip) -> Widths:
    """Raises InputError for a chip whose numbers have no meaning here yet, naming the unit."""
    holder = chip.holder
    if holder.kind.name != "analog_array":
        raise InputError(
            f"values: matrices must lie in analog arrays; {holder.name} is of kind "
            f"{holder.kind.name}"
        )
    module = holder.values
    values, probabilities = _products(chip)
    unit = chip.units[chip.served_by("lookup", "").unit]
    table = int(unit.values.value_bits) if unit.kind.name == "nor_pim" else None
    return Widths(int(module.input_bits), int(module.weight_bits), values, probabilities, table)


def _products(chip: Chip) -> tuple[int | None, int | None]:
    given = chip.served_by("matmul", "values")
    both = {given.keys, chip.served_by("matmul", "probabilities").keys} - {""}
    if any(not chip.units[name].kind.chooses(chip.units[name]) for name in both):
        raise InputError(
            "values: attention that leaves a share of keys out (serves.matmul keys) is not executed"
        )
    unit = chip.units[given.unit]
    format = FORMATS.get(given.format)
    if format is not None and format.exponent:
        return None, None
    if unit.kind.name == "nor_pim":
        return int(unit.values.value_bits), int(unit.values.probability_bits)
    if format is None:
        raise InputError(f"values: matmul on {unit.name} needs a format of numbers (serves.matmul)")
    return format.bits, format.bits
