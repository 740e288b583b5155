"""The chip that a study is about, and chips to compare with it, as a command line names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple, get_args

from hyflexsim.models.cells.quantization import Clip
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.chip.load import resolve
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.scenario.overrides import pairs
from hyflexsim.workloads.scenario.schema import MOVED


class Machine(NamedTuple):
    """The chip that a study is about: a preset or file, what differs, where weights are clipped."""

    preset: str = "hyflexpim"
    changes: Mapping[str, Any] = {}
    clip: Clip = "max"

    def chip(self) -> Chip:
        """As loaded."""
        return load_chip(self.preset, self.changes)

    def variant(self, adc_bits: int) -> Chip:
        """With other converters; 0 and its own bits: as it is.

        Raises InputError for a chip without converters, and for bits that it does not allow.
        """
        chip = self.chip()
        unit = chip.unit("gemv")
        if not adc_bits or adc_bits == own_bits(chip):
            return chip
        if not isinstance(unit.values, AnalogValues):
            raise InputError(f"{chip.name}: {unit.name} has no converters; got {adc_bits} bits")
        bits = {"mlc_bits": adc_bits, "slc_bits": max(1, adc_bits - 1)}
        changed = {f"{unit.name}.adc.{key}": value for key, value in bits.items()}
        return load_chip(self.preset, {**self.changes, **changed})


CLIP = "mapping.weight_clip"


def machine_from(preset: str, overrides: Iterable[str]) -> Machine:
    """A machine from overrides ``key=value``: parameters of the chip, and mapping.weight_clip.

    Raises InputError for another key, and for a value that the chip does not allow.

    >>> machine_from("hyflexpim", ["sign=differential"]).changes
    {'analog.sign': 'differential'}
    """
    changes, clip = {}, "max"
    known = load_chip(preset).parameters
    words = {full.rpartition(".")[2] for full in known} - {"adc_bits"}  # of adc.instances
    for key, value in pairs(overrides):
        if key == CLIP:
            clip = value
            if clip not in get_args(Clip)[:2]:
                raise InputError(f"--set: {CLIP} must be max or second-signed; got {value!r}")
        elif key.removeprefix("accuracy.") in MOVED and key not in words:
            raise InputError(f"--set: {key} is {MOVED[key.removeprefix('accuracy.')]} now")
        else:
            changes[resolve(key, known, "--set")] = value
    load_chip(preset, changes)
    return Machine(preset, changes, clip)  # type: ignore[arg-type]


def machines_from(machine: Machine, grid: Iterable[str]) -> dict[str, Machine]:
    """All combinations of ``key=A,B,…``, by what differs from the machine; itself first."""
    known = load_chip(machine.preset).parameters
    axes = []
    for text in grid:
        key, _, values = text.partition("=")
        texts = [value.strip() for value in values.split(",") if value.strip()]
        if not texts:
            raise InputError(f"--vary must be key=A,B,…; got {text!r}")
        full = resolve(key.strip(), known, "--vary")
        axes.append([(full, value) for _, value in pairs(f"{full}={t}" for t in texts)])
    found = {machine.chip().name: machine}
    for chosen in product(*axes) if axes else ():
        name = ", ".join(f"{key.partition('.')[2]}={value}" for key, value in chosen)
        found[name] = machine._replace(changes={**machine.changes, **dict(chosen)})
        found[name].chip()  # refused before any work
    return found


def own_bits(chip: Chip) -> int:
    """Bits of a chip's converters of multi-level columns; 0 where it has none."""
    values = chip.unit("gemv").values
    return values.adc.mlc_bits if isinstance(values, AnalogValues) else 0
