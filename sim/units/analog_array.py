"""Analog arrays with their converters: static weights times a vector, in SLC and MLC cells.

A module is a number of arrays; each has wordline drivers, sample-and-holds, converters and
shift-and-add units. One vector through a matrix::

    link -> input buffer -> bank -> ADC, shift-and-add -> output buffer -> link -> partial sums
    (vector)               planes                         (one a row tile)

How a weight is cut into arrays is in tiling.py, the parts in crossbar.py, adc.py, shift_add.py.
Source: HyFlexPIM §3.1, §5.4; ISAAC (ISCA 2016) for the pipeline of array, converter, shift-and-add.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import Kind, Part, Unit
from hyflexsim.sim.chip.parameters import Section
from hyflexsim.sim.chip.service import Chain, Hop, Shadow, Sum, Task, Visit
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units import adc, crossbar, shift_add
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.rram_module import shares_of
from hyflexsim.sim.units.tiling import Factor, factors, height


class AnalogArray(Kind):
    """See the head of this file."""

    name = "analog_array"
    Values = AnalogValues
    serves = frozenset({"gemv"})
    holds = "arrays"
    copied = True
    crosses = True
    per_mac = "unhalved_mac"
    actions: ClassVar = {
        "wordline_drive": "bank",
        "array_read": "bank",
        "sample_hold": "bank",
        "unhalved_mac": "bank",
        "input_register": "input_buffer",
        "output_register": "output_buffer",
        "adc_conversion_slc": "adc",
        "adc_conversion_mlc": "adc",
        "shift_add": "shift_add",
    }

    def check(self, unit: Unit) -> None:
        """Multi-level cells hold at least as much as single-level ones; pairs have two rows."""
        module: AnalogValues = unit.values
        if not height(module):
            raise InputError(
                f"{unit.name}.rows must be at least 2 for {unit.name}.sign = {module.sign}; "
                f"got {module.rows}"
            )
        if module.mlc_bits < module.slc_bits:
            raise InputError(
                f"{unit.name}.mlc_bits must be at least {unit.name}.slc_bits "
                f"({module.slc_bits} bit); got {module.mlc_bits}"
            )

    def hold(
        self, unit: Unit, rows: int, outputs: int, rank: int | None, slc_rate: float, tiles: str
    ) -> tuple[Factor, ...]:
        """Grids of arrays."""
        return factors(unit.values, rows, outputs, rank, slc_rate, tiles)

    def capacity(self, unit: Unit) -> int:
        """Arrays of one place."""
        return int(unit.total * unit.values.arrays)

    def input_bits(self, unit: Unit, format: str) -> int:
        """Bit-planes of an element."""
        return int(unit.values.input_bits)

    def weight_bits(self, unit: Unit, format: str) -> int:
        """Bits of a weight, over all its cells."""
        return int(unit.values.weight_bits)

    def partial_bits(self, unit: Unit) -> int:
        """Of a row tile's sum."""
        return int(unit.values.shift_add.partial_sum_bits)

    def interval_ps(self, unit: Unit, parts: tuple[Part, ...]) -> int:
        """All bit-planes of the slowest part."""
        module: AnalogValues = unit.values
        beats = (crossbar.beat(module, part) for part in parts if isinstance(part, Factor))
        return module.input_bits * max(beats)

    def multiply(self, unit: Unit, part: Part, task: Task, planes: bool) -> Chain:
        """The chain above; ``planes``: bank, ADC and shift-and-add serve them one by one."""
        assert isinstance(part, Factor)
        module: AnalogValues = unit.values
        each = module.input_bits if planes else 1
        whole = 1 if planes else module.input_bits
        beat = crossbar.beat(module, part)
        power = part_power(unit, part)
        label = f".{part.part}"
        size = -(-part.rows * module.input_bits // 8)
        bank = Visit(
            "bank",
            crossbar.read(module, part, whole),
            f"{label}.bank",
            f"{part.part}.bank",
            power["bank"],
            own=True,
            planes=each,
            waiting_bytes=part.rows,
            macs=(part.macs, 0),
            busy_ps=beat * whole,
        )
        out = -(-part.row_tiles * part.outputs * module.shift_add.partial_sum_bits // 8)
        return (
            Hop(".in", size),
            bank,
            *_conversion(unit, part, planes, power),
            Hop(f"{label}.out", out, waiting_bytes=part.outputs),
            *((Sum(f"{label}.sum", (part.row_tiles - 1) * part.outputs),) * (part.row_tiles > 1)),
        )

    def area(self, unit: Unit) -> dict[str, float]:
        """Parts of a module; a converter grows with its larger resolution."""
        return _parts(unit.values, unit.values.area)

    def power(self, unit: Unit) -> dict[str, float]:
        """Parts of a module, all busy."""
        return _parts(unit.values, unit.values.power)


def _conversion(unit: Unit, part: Factor, planes: bool, power: dict[str, float]) -> Chain:
    module: AnalogValues = unit.values
    label = f".{part.part}"
    beat = crossbar.beat(module, part)
    whole = 1 if planes else module.input_bits
    service = adc.convert(module, part, whole, beat)
    visit = Visit(
        "adc",
        service,
        f"{label}.adc",
        f"{part.part}.adc",
        power["adc"],
        own=True,
        planes=1 if not planes else module.input_bits,
        rigid=True,
        busy_ps=beat * whole,
    )
    if not planes:
        both = (*service.actions, *shift_add.actions(module, part, whole))
        shadow = (Shadow("shift_add", beat * whole, power["shift_add"]),)
        return (replace(visit, service=replace(service, actions=both), shadow=shadow),)
    # hand a plane over while its last column is converted
    early = adc.plane(module, part) - shift_add.last_column(module, part)
    rate = replace(service.rate, fixed=early)
    adding = replace(
        visit,
        kind="shift_add",
        service=shift_add.add(module, part),
        label=f"{label}.shift_add",
        part=f"{part.part}.shift_add",
        power_mw=power["shift_add"],
    )
    return (replace(visit, service=replace(service, rate=rate)), adding)


def part_power(unit: Unit, part: Factor) -> dict[str, float]:
    """mW of a matrix's bank, converters and shift-and-add units while they work.

    A converter draws what its conversions take, energy times rate (1 mW in HyFlexPIM's Table 2 for
    single-level columns, by its energies twice that for multi-level ones), as long as it works. A
    bank conducts for its read cycle, and idles where converters take longer; shift-and-add units
    work at the pace of converters.
    """
    module: AnalogValues = unit.values
    rows = _parts(module, module.power)
    share = part.arrays / module.arrays
    energy = module.energy
    single = part.columns_slc * energy.adc_conversion_slc
    multi = part.columns_mlc * energy.adc_conversion_mlc
    mean = (single + multi) / part.conversions  # pJ
    beat = crossbar.beat(module, part)
    working = Fraction(adc.plane(module, part), beat)
    reading = Fraction(module.read_cycle, beat)
    adding = Fraction(adc.whole_plane(module), beat)
    converters = part.arrays * module.adc.per_array * working
    bank = ("arrays", "wordline_drivers", "sample_holds", "input_register", "output_register")
    return {
        "bank": sum(rows[name] for name in bank) * share * float(reading),
        "adc": float(converters) * module.adc.rate * mean * 1e-9,
        "shift_add": rows["shift_adds"] * share * float(adding),
    }


def _parts(module: AnalogValues, rows: Section) -> dict[str, float]:
    """Part of a module -> its share of ``area`` or ``power``, by instances."""
    made, adc_ = module.instances, module.adc
    adcs = module.arrays * adc_.per_array
    now, then = max(adc_.slc_bits, adc_.mlc_bits), made.adc_bits
    grows = rules.converter_area if rows is module.area else rules.converter_energy
    grown, stated = (grows(adc_.model, bits, adc_.rate) for bits in (now, then))
    shares = shares_of(module) | {
        "adcs": adcs / made.adcs * (grown / stated),
        "shift_adds": adcs / made.shift_adds,
        "sample_holds": module.arrays / made.sample_holds,
    }
    return {name: getattr(rows, name) * share for name, share in shares.items()}
