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

    def chip(self, asked: str = "overrides") -> Chip:
        """As loaded; ``asked``: who asked for the changes, for an InputError."""
        return load_chip(self.preset, self.changes, source=asked)

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
        return load_chip(self.preset, {**self.changes, **changed}, source="--adc")


CLIP = "mapping.weight_clip"


def machine_from(preset: str, overrides: Iterable[str], asked: str = "--set") -> Machine:
    """A machine from overrides ``key=value``: parameters of the chip, and mapping.weight_clip.

    ``asked``: the option that gives them. Raises InputError for another key, and for a value that
    the chip does not allow.

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
                raise InputError(f"{asked}: {CLIP} must be max or second-signed; got {value!r}")
        elif key.removeprefix("accuracy.") in MOVED and key not in words:
            raise InputError(f"{asked}: {key} is {MOVED[key.removeprefix('accuracy.')]} now")
        else:
            changes[resolve(key, known, asked)] = value
    machine = Machine(preset, changes, clip)  # type: ignore[arg-type]
    machine.chip(asked)
    return machine


def machines_from(machine: Machine, grid: Iterable[str]) -> dict[str, Machine]:
    """All combinations of ``key=A,B,…``, by what differs from the machine; itself first, and once.

    ``one:other=A:B,C:D`` varies parameters together. A combination that makes a chip that is there
    already is left out. Raises InputError for an unknown key, one that is varied twice, a number of
    values that is not that of the keys, and a value that the chip does not allow.

    >>> [*machines_from(Machine(), ["adc.slc_bits:adc.mlc_bits=5:6,6:7"])]
    ['hyflexpim', 'adc.slc_bits=5, adc.mlc_bits=6']
    """
    known = load_chip(machine.preset).parameters
    axes = [_axis(text, known) for text in grid]
    keys = [key for axis in axes for key in axis[0]]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice:
        raise InputError(f"--vary must name a parameter once; got {twice} twice")
    own = machine.chip()
    found, seen = {_name(own, machine): machine}, {_point(own)}
    for chosen in product(*axes) if axes else ():
        changes = {key: value for place in chosen for key, value in place.items()}
        one = machine._replace(changes={**machine.changes, **changes})
        point = _point(one.chip("--vary"))  # refused before any work
        if point not in seen:
            seen.add(point)
            found[_differing(changes)] = one
    return found


def varied(machines: Mapping[str, Machine]) -> dict[str, dict[str, Any]]:
    """Of each chip the parameters in which these chips were asked to differ, in canonical units.

    >>> varied(machines_from(Machine(), ["analog.rows=64,128"]))
    {'hyflexpim': {'analog.rows': 64}, 'rows=128': {'analog.rows': 128}}
    """
    chips = {name: machine.chip() for name, machine in machines.items()}
    asked = dict.fromkeys(key for machine in machines.values() for key in machine.changes)
    keys = [key for key in asked if len({chip[key] for chip in chips.values()}) > 1]
    return {name: {key: chip[key] for key in keys} for name, chip in chips.items()}


def _axis(text: str, known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What one --vary puts in place of the chip's own, place by place."""
    key, _, values = text.partition("=")
    places = [value.strip() for value in values.split(",") if value.strip()]
    if not places:
        raise InputError(f"--vary must be key=A,B,…; got {text!r}")
    keys = [resolve(one.strip(), known, "--vary") for one in key.split(":")]
    found = []
    for place in places:
        each = [value.strip() for value in place.split(":")]
        if len(each) != len(keys) or not all(each):
            wanted = f"{len(keys)} value{'s'[: len(keys) - 1]}, one a parameter, with : between"
            raise InputError(f"--vary {key}: must be {wanted}; got {place!r}")
        found.append(dict(pairs(f"{k}={v}" for k, v in zip(keys, each, strict=True))))
    return found


def _name(chip: Chip, machine: Machine) -> str:
    """The chip of a machine: its preset's name, and what differs."""
    return chip.name if not machine.changes else f"{chip.name}, {_differing(machine.changes)}"


def _differing(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.partition('.')[2]}={value}" for key, value in changes.items())


def _point(chip: Chip) -> tuple[Any, ...]:
    """All parameters of a chip."""
    return tuple(chip[key] for key in chip.parameters)


def own_bits(chip: Chip) -> int:
    """Bits of a chip's converters of multi-level columns; 0 where it has none."""
    values = chip.unit("gemv").values
    return values.adc.mlc_bits if isinstance(values, AnalogValues) else 0
