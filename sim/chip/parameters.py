"""What a chip has: every parameter, its canonical unit, its range, its meaning.

One class a part of the chip, one line a parameter; the numbers are in ``presets/``, loaded
by ``hardware.py``. Values are frozen plain numbers in the canonical unit (``measure.py``), so
times are integer picoseconds.

Not described by any parameter, because nothing is public: sign handling of weights,
controllers, clock distribution, refresh of drifted cells.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hyflexsim.sim.chip import measure


def _in(unit: str, low: float, high: float, meaning: str) -> Any:
    """A field's canonical unit, inclusive range and meaning."""
    extra: dict[str, Any] = {"unit": unit, "low": low, "high": high}
    return Field(ge=low, le=high, description=meaning, json_schema_extra=extra)


class Section(BaseModel):
    """One part of the chip: numbers in canonical units, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Chip(Section):
    """What one chip holds."""

    pus: Annotated[int, _in("", 1, 4096, "processing units per chip; one holds one layer")]
    max_tokens: Annotated[int, _in("", 1, 2**24, "longest sequence one PU serves alone")]
    technology_nm: Annotated[int, _in("nm", 1, 1000, "node of all areas and powers")]


class Pu(Section):
    """What one processing unit holds."""

    analog_modules: Annotated[int, _in("", 1, 65536, "modules for static weights")]
    digital_modules: Annotated[int, _in("", 1, 65536, "modules for products of activations")]


class Analog(Section):
    """Analog PIM module: arrays that multiply an input bit-plane by stored weights."""

    arrays: Annotated[int, _in("", 1, 2**20, "arrays per module")]
    rows: Annotated[int, _in("", 1, 65536, "wordlines per array")]
    columns: Annotated[int, _in("", 1, 65536, "bitlines per array")]
    read_cycle: Annotated[int, _in("ps", 1, 10**12, "time of one bit-plane through an array")]
    input_bits: Annotated[int, _in("bit", 1, 32, "bits of an input, one bit-plane each")]
    weight_bits: Annotated[int, _in("bit", 1, 32, "bits of a stored weight")]
    slc_bits: Annotated[int, _in("bit", 1, 4, "bits per cell, single-level mode")]
    mlc_bits: Annotated[int, _in("bit", 1, 4, "bits per cell, multi-level mode")]

    @model_validator(mode="after")
    def _levels(self) -> Self:
        if self.mlc_bits < self.slc_bits:
            raise ValueError(
                f"analog.mlc_bits must be at least analog.slc_bits ({self.slc_bits} bit);"
                f" got {self.mlc_bits}"
            )
        return self


class Adc(Section):
    """Successive-approximation converter, shared by the columns of an array."""

    slc_bits: Annotated[int, _in("bit", 1, 16, "resolution for single-level columns")]
    mlc_bits: Annotated[int, _in("bit", 1, 16, "resolution for multi-level columns")]
    rate: Annotated[int, _in("S/s", 1, 10**15, "conversions per second of one converter")]
    per_array: Annotated[int, _in("", 1, 65536, "converters per array")]


class ShiftAdd(Section):
    """Shift-and-add unit behind each converter."""

    partial_sum_bits: Annotated[int, _in("bit", 1, 64, "width of a row tile's partial sum")]


class Digital(Section):
    """Digital PIM module: NOR logic in the memory array."""

    arrays: Annotated[int, _in("", 1, 2**20, "arrays per module")]
    rows: Annotated[int, _in("", 1, 65536, "wordlines per array")]
    columns: Annotated[int, _in("", 1, 65536, "bitlines per array")]
    clock_period: Annotated[int, _in("ps", 1, 10**9, "one cycle")]
    columns_per_nor: Annotated[int, _in("", 1, 1024, "two operand bits and the result bit")]
    cycles_per_step: Annotated[int, _in("cycle", 1, 10**6, "one row of NOR: write and read")]
    write_cycles: Annotated[int, _in("cycle", 0, 10**6, "of these, cycles that write")]
    value_bits: Annotated[int, _in("bit", 1, 32, "operand of Q, K and V")]
    probability_bits: Annotated[int, _in("bit", 1, 32, "operand of scores in scores × V")]
    adders: Annotated[int, _in("", 1, 2**20, "shift-and-add units per module")]

    @model_validator(mode="after")
    def _cycles(self) -> Self:
        if self.write_cycles > self.cycles_per_step:
            raise ValueError(
                "digital.write_cycles must be at most digital.cycles_per_step"
                f" ({self.cycles_per_step} cycle); got {self.write_cycles}"
            )
        return self


class Sfu(Section):
    """Special function unit of a digital module: softmax, norm, GELU."""

    lanes: Annotated[int, _in("", 1, 2**20, "elements per cycle of one unit")]
    clock_period: Annotated[int, _in("ps", 1, 10**9, "one cycle")]
    softmax_passes: Annotated[int, _in("", 1, 1024, "times a softmax row goes through")]
    norm_passes: Annotated[int, _in("", 1, 1024, "times a normalised vector goes through")]
    depth: Annotated[int, _in("cycle", 0, 10**6, "pipeline depth")]


class Buffer(Section):
    """Registers, per op and per module."""

    input_bytes: Annotated[int, _in("B", 1, 2**40, "input buffer of an op in a PU")]
    output_bytes: Annotated[int, _in("B", 1, 2**40, "output buffer of an op in a PU")]
    analog_input_register: Annotated[int, _in("B", 1, 2**30, "of an analog module")]
    analog_output_register: Annotated[int, _in("B", 1, 2**30, "of an analog module")]
    digital_input_register: Annotated[int, _in("B", 1, 2**30, "of a digital module")]
    digital_output_register: Annotated[int, _in("B", 1, 2**30, "of a digital module")]


_BANDWIDTH = (1e-6, 1e9)  # GB/s: one kilobyte to one exabyte per second


class Interconnect(Section):
    """Buses: inside a PU, between PUs, between chips, to the host."""

    pu_bandwidth: Annotated[float, _in("GB/s", *_BANDWIDTH, "bus inside a PU")]
    pu_latency: Annotated[int, _in("ps", 0, 10**12, "beyond size / bandwidth")]
    global_bandwidth: Annotated[float, _in("GB/s", *_BANDWIDTH, "bus between the PUs")]
    global_latency: Annotated[int, _in("ps", 0, 10**12, "beyond size / bandwidth")]
    link_bandwidth: Annotated[float, _in("GB/s", *_BANDWIDTH, "chip to chip")]
    link_latency: Annotated[int, _in("ps", 0, 10**12, "beyond size / bandwidth")]
    host_bandwidth: Annotated[float, _in("GB/s", *_BANDWIDTH, "host to chip")]
    host_latency: Annotated[int, _in("ps", 0, 10**12, "beyond size / bandwidth")]


class Device(Section):
    """The RRAM cell."""

    on_resistance: Annotated[float, _in("ohm", 1, 1e9, "low-resistance state")]
    on_off_ratio: Annotated[float, _in("", 1, 1e9, "high over low resistance")]
    set_voltage: Annotated[float, _in("V", 0, 100, "write 1")]
    reset_voltage: Annotated[float, _in("V", 0, 100, "write 0")]
    endurance: Annotated[int, _in("", 1, 10**18, "writes a cell survives")]
    slc_bit_error_rate: Annotated[float, _in("", 0, 1, "single-level, after programming")]
    mlc_bit_error_rate: Annotated[float, _in("", 0, 1, "multi-level, after programming")]
    slc_write_time: Annotated[int, _in("ps", 0, 10**12, "one row, single-level")]
    mlc_pulses: Annotated[float, _in("", 1, 1e6, "programming pulses per cell, mean")]
    mlc_pulse_time: Annotated[int, _in("ps", 0, 10**12, "one programming pulse")]
    mlc_write_time: Annotated[int, _in("ps", 0, 10**12, "one cell, pulses and verifying")]
    mlc_in_range: Annotated[float, _in("", 0, 1, "cells that reach their level")]
    relaxation_sigma: Annotated[float, _in("uS", 0, 1e6, "conductance change after writing")]


_ENERGY = ("pJ", 0, 1e9)


class Energy(Section):
    """Energy of one action."""

    wordline_drive: Annotated[float, _in(*_ENERGY, "a row, a read cycle")]
    array_read: Annotated[float, _in(*_ENERGY, "an array, a read cycle")]
    sample_hold: Annotated[float, _in(*_ENERGY, "a column, a read cycle")]
    adc_conversion_slc: Annotated[float, _in(*_ENERGY, "a conversion of a single-level column")]
    adc_conversion_mlc: Annotated[float, _in(*_ENERGY, "a conversion of a multi-level column")]
    shift_add: Annotated[float, _in(*_ENERGY, "a converted column")]
    input_register: Annotated[float, _in(*_ENERGY, "an array, a read cycle")]
    output_register: Annotated[float, _in(*_ENERGY, "an array, a read cycle")]
    partial_sum_add: Annotated[float, _in(*_ENERGY, "an addition in a digital module")]
    nor: Annotated[float, _in(*_ENERGY, "a NOR operation")]
    cell_read: Annotated[float, _in(*_ENERGY, "a bit read from RRAM")]
    cell_write: Annotated[float, _in(*_ENERGY, "a bit written to RRAM")]
    sfu_element: Annotated[float, _in(*_ENERGY, "an element through the SFU")]
    pu_bus_bit: Annotated[float, _in(*_ENERGY, "a bit over the bus inside a PU")]
    global_bus_bit: Annotated[float, _in(*_ENERGY, "a bit over the bus between PUs")]
    link_bit: Annotated[float, _in(*_ENERGY, "a bit from chip to chip")]
    host_bit: Annotated[float, _in(*_ENERGY, "a bit from or to the host")]
    unhalved_mac: Annotated[float, _in(*_ENERGY, "calibration: a MAC, in either cell mode")]


class Count(Section):
    """How many instances the rows of `Power` and `Area` stand for, per module."""

    analog_cells: Annotated[int, _in("", 1, 2**50, "cells")]
    analog_input_register: Annotated[int, _in("B", 1, 2**40, "bytes")]
    analog_output_register: Annotated[int, _in("B", 1, 2**40, "bytes")]
    analog_wordline_drivers: Annotated[int, _in("", 1, 2**40, "drivers")]
    analog_adcs: Annotated[int, _in("", 1, 2**40, "converters")]
    analog_adc_bits: Annotated[int, _in("bit", 1, 16, "their largest resolution")]
    analog_shift_adds: Annotated[int, _in("", 1, 2**40, "units")]
    analog_sample_holds: Annotated[int, _in("", 1, 2**40, "groups, one per array")]
    digital_cells: Annotated[int, _in("", 1, 2**50, "cells")]
    digital_input_register: Annotated[int, _in("B", 1, 2**40, "bytes")]
    digital_output_register: Annotated[int, _in("B", 1, 2**40, "bytes")]
    digital_wordline_drivers: Annotated[int, _in("", 1, 2**40, "drivers")]
    digital_shift_adds: Annotated[int, _in("", 1, 2**40, "units")]
    digital_sample_holds: Annotated[int, _in("", 1, 2**40, "groups")]
    digital_sfu_lanes: Annotated[int, _in("", 1, 2**40, "inputs per cycle")]


_POWER = ("mW", 0, 1e9)


class Power(Section):
    """Power of a module's parts, everything busy, at the preset's `Count`."""

    analog_arrays: Annotated[float, _in(*_POWER, "RRAM arrays")]
    analog_input_register: Annotated[float, _in(*_POWER, "input register")]
    analog_output_register: Annotated[float, _in(*_POWER, "output register")]
    analog_wordline_drivers: Annotated[float, _in(*_POWER, "wordline drivers")]
    analog_adcs: Annotated[float, _in(*_POWER, "converters")]
    analog_shift_adds: Annotated[float, _in(*_POWER, "shift-and-add units")]
    analog_sample_holds: Annotated[float, _in(*_POWER, "sample-and-holds")]
    digital_arrays: Annotated[float, _in(*_POWER, "RRAM arrays")]
    digital_input_register: Annotated[float, _in(*_POWER, "input register")]
    digital_output_register: Annotated[float, _in(*_POWER, "output register")]
    digital_wordline_drivers: Annotated[float, _in(*_POWER, "wordline drivers")]
    digital_shift_adds: Annotated[float, _in(*_POWER, "shift-and-add units")]
    digital_sample_holds: Annotated[float, _in(*_POWER, "sample-and-holds")]
    digital_sfu: Annotated[float, _in(*_POWER, "special function unit")]


_AREA = ("mm2", 0, 1e6)


class Area(Section):
    """Area of a module's parts at the preset's `Count`."""

    analog_arrays: Annotated[float, _in(*_AREA, "RRAM arrays")]
    analog_input_register: Annotated[float, _in(*_AREA, "input register")]
    analog_output_register: Annotated[float, _in(*_AREA, "output register")]
    analog_wordline_drivers: Annotated[float, _in(*_AREA, "wordline drivers")]
    analog_adcs: Annotated[float, _in(*_AREA, "converters")]
    analog_shift_adds: Annotated[float, _in(*_AREA, "shift-and-add units")]
    analog_sample_holds: Annotated[float, _in(*_AREA, "sample-and-holds")]
    digital_arrays: Annotated[float, _in(*_AREA, "RRAM arrays")]
    digital_input_register: Annotated[float, _in(*_AREA, "input register")]
    digital_output_register: Annotated[float, _in(*_AREA, "output register")]
    digital_wordline_drivers: Annotated[float, _in(*_AREA, "wordline drivers")]
    digital_shift_adds: Annotated[float, _in(*_AREA, "shift-and-add units")]
    digital_sample_holds: Annotated[float, _in(*_AREA, "sample-and-holds")]
    digital_sfu: Annotated[float, _in(*_AREA, "special function unit")]


SECTIONS: dict[str, type[Section]] = {
    "chip": Chip,
    "pu": Pu,
    "analog": Analog,
    "adc": Adc,
    "shift_add": ShiftAdd,
    "digital": Digital,
    "sfu": Sfu,
    "buffer": Buffer,
    "interconnect": Interconnect,
    "device": Device,
    "energy": Energy,
    "count": Count,
    "power": Power,
    "area": Area,
}
"""Name in the TOML file and in `Hardware` -> class."""


class Parameter(NamedTuple):
    """What one parameter may be.

    >>> PARAMETERS["adc.slc_bits"].allowed
    'a whole number from 1 to 16, no unit or unit bit'
    """

    unit: str
    whole: bool
    low: float
    high: float
    meaning: str

    @property
    def allowed(self) -> str:
        """Kind, range and units, for an error message."""
        kind = "a whole number" if self.whole else "a number"
        text = f"{kind} from {self.low:.15g} to {self.high:.15g}"
        if self.unit:
            text += f" {self.unit}" * (self.unit not in measure.BARE)
            return f"{text}, {measure.unit_names(self.unit)}"
        return text if self.whole else f"{text}, {measure.unit_names(self.unit)}"


def _parameters() -> dict[str, Parameter]:
    found = {}
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            extra: Any = field.json_schema_extra
            whole = field.annotation is int
            found[f"{section}.{name}"] = Parameter(
                extra["unit"], whole, extra["low"], extra["high"], field.description or ""
            )
    return found


PARAMETERS = _parameters()
"""Every parameter of a chip by its full name, ``"analog.rows"``."""
