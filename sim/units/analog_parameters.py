"""Parameters of analog arrays with their converters; what they are: analog_array.py."""

from __future__ import annotations

from typing import Annotated

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, choice, parameter
from hyflexsim.sim.units.rram_module import (
    MANY,
    MM2,
    NODE_AREA,
    ModuleArea,
    ModuleInstances,
    rows_of,
)

RANGES = ("clip", "scale")
SIGNS = ("twos-complement", "biased", "differential", "differential-rows")
NOISES = ("none", "sigma", "error-rate", "conductance")

_PJ = ("pJ", 0, 1e12)
_SHARE = ("", 0, 1)
_SIGMA, _ERROR_RATE, _CONDUCTANCE = (("cells.noise", word) for word in NOISES[1:])
_MW = ("mW", 0, 1e9)
_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_RATE = Follows(rules.proportional, ("adc.rate",))  # energy a conversion stays, power is per second


def _converter(bits: str) -> Follows:
    return Follows(rules.converter_energy, ("adc.model", bits, "adc.rate"))


class Adc(Section):
    """Successive-approximation converter, shared by the columns of an array."""

    slc_bits: Annotated[
        int,
        parameter(
            "bit",
            1,
            16,
            "resolution for single-level columns",
            "energy, area, values",
            [Follows(rules.converter_bits, ("rows", "slc_bits"), "shifts")],
        ),
    ]
    mlc_bits: Annotated[
        int,
        parameter(
            "bit",
            1,
            16,
            "resolution for multi-level columns",
            "energy, area, values",
            [Follows(rules.converter_bits, ("rows", "mlc_bits"), "shifts")],
        ),
    ]
    rate: Annotated[
        int,
        parameter(
            "S/s", 1, 10**15, "conversions per second of one converter", "time, energy, area"
        ),
    ]
    per_array: Annotated[int, parameter("", 1, 65536, "converters per array", "time, energy, area")]
    model: Annotated[
        str,
        choice(
            rules.CONVERTER_MODELS, "how energy and area follow from bits and rate", "energy, area"
        ),
    ]
    range: Annotated[
        str,
        choice(
            RANGES,
            "one level a code, and sums beyond the last code saturate (clip), or codes that cover "
            "the whole span in coarser steps (scale)",
            "values",
        ),
    ]
    offset: Annotated[
        float,
        parameter("", 0, 1e6, "spread of converters' offsets (1 sigma), in codes", "values"),
    ]
    gain: Annotated[
        float, parameter("", 0, 1, "spread of converters' relative gains (1 sigma)", "values")
    ]


class ShiftAdd(Section):
    """Shift-and-add unit behind each converter."""

    partial_sum_bits: Annotated[
        int,
        parameter(
            "bit",
            1,
            64,
            "width of a row tile's partial sum",
            "time, energy",
            [Follows(rules.partial_sum_bits, ("input_bits", "weight_bits", "rows"), "is")],
        ),
    ]


class AnalogRegister(Section):
    """Registers of a module."""

    input_bytes: Annotated[int, parameter("B", 1, 2**30, "input register", "energy, area")]
    output_bytes: Annotated[int, parameter("B", 1, 2**30, "output register", "energy, area")]


class AnalogEnergy(Section):
    """pJ of one action."""

    wordline_drive: Annotated[
        float,
        parameter(
            *_PJ,
            "a row, a read cycle",
            "energy",
            [Follows(rules.wordline_energy, ("columns", "read_cycle")), _NODE],
        ),
    ]
    array_read: Annotated[
        float,
        parameter(
            *_PJ,
            "an array, a read cycle",
            "energy",
            [Follows(rules.array_read_energy, ("rows", "columns", "read_cycle"))],
        ),
    ]
    sample_hold: Annotated[
        float,
        parameter(
            *_PJ,
            "a column, a read cycle",
            "energy",
            [Follows(rules.proportional, ("read_cycle",)), _NODE],
        ),
    ]
    adc_conversion_slc: Annotated[
        float,
        parameter(
            *_PJ,
            "a conversion of a single-level column",
            "energy",
            [_converter("adc.slc_bits"), _NODE],
        ),
    ]
    adc_conversion_mlc: Annotated[
        float,
        parameter(
            *_PJ,
            "a conversion of a multi-level column",
            "energy",
            [
                Follows(
                    rules.mlc_conversion,
                    (
                        "adc.model",
                        "energy.adc_conversion_slc",
                        "adc.slc_bits",
                        "adc.mlc_bits",
                        "adc.rate",
                    ),
                    "is",
                )
            ],
        ),
    ]
    shift_add: Annotated[
        float,
        parameter(
            *_PJ,
            "a converted column",
            "energy",
            [Follows(rules.proportional, ("shift_add.partial_sum_bits",)), _NODE],
        ),
    ]
    input_register: Annotated[
        float,
        parameter(
            *_PJ,
            "an array, a read cycle",
            "energy",
            [
                Follows(rules.proportional, ("registers.input_bytes", "read_cycle")),
                Follows(rules.shared_by, ("arrays",)),
                _NODE,
            ],
        ),
    ]
    output_register: Annotated[
        float,
        parameter(
            *_PJ,
            "an array, a read cycle",
            "energy",
            [
                Follows(rules.proportional, ("registers.output_bytes", "read_cycle")),
                Follows(rules.shared_by, ("arrays",)),
                _NODE,
            ],
        ),
    ]
    unhalved_mac: Annotated[
        float, parameter(*_PJ, "calibration: a MAC, in either cell mode", "energy")
    ]


class Cells(Section):
    """What cells make of the levels written to them; the models are in ``models/cells``.

    ``noise`` says which of the others count: with ``sigma`` a level is level x (1 + sigma n), with
    ``error-rate`` so too, with the sigma at which that share of cells reads as another level, with
    ``conductance`` cells are conductances with errors of programming, drift and reading.
    """

    noise: Annotated[str, choice(NOISES, "model of the cells' errors", "values")]
    slc_sigma: Annotated[
        float,
        parameter(
            "", 0, 10, "relative error of a level, single-level cells", "values", when=_SIGMA
        ),
    ]
    mlc_sigma: Annotated[
        float,
        parameter("", 0, 10, "relative error of a level, multi-level cells", "values", when=_SIGMA),
    ]
    slc_error_rate: Annotated[
        float,
        parameter(
            *_SHARE, "share of single-level cells that read wrong", "values", when=_ERROR_RATE
        ),
    ]
    mlc_error_rate: Annotated[
        float,
        parameter(
            *_SHARE, "share of multi-level cells that read wrong", "values", when=_ERROR_RATE
        ),
    ]
    on_resistance: Annotated[
        float,
        parameter("ohm", 1e-3, 1e15, "of a cell at its top level", "values", when=_CONDUCTANCE),
    ]
    on_off: Annotated[
        float,
        parameter(
            "",
            1.000001,
            1e9,
            "resistance of level 0 over that of the top",
            "values",
            when=_CONDUCTANCE,
        ),
    ]
    program_sigma: Annotated[
        float,
        parameter("uS", 0, 1e9, "error of a programmed conductance", "values", when=_CONDUCTANCE),
    ]
    program_sigma_rel: Annotated[
        float,
        parameter("", 0, 10, "the same, relative to the conductance", "values", when=_CONDUCTANCE),
    ]
    read_sigma_rel: Annotated[
        float,
        parameter(
            "", 0, 10, "error of one read, relative to the conductance", "values", when=_CONDUCTANCE
        ),
    ]
    drift: Annotated[
        float, parameter("", 0, 10, "nu of G(t) = G0 (t / t0)^-nu", "values", when=_CONDUCTANCE)
    ]
    drift_sigma: Annotated[
        float, parameter("", 0, 10, "spread of nu from cell to cell", "values", when=_CONDUCTANCE)
    ]
    drift_start: Annotated[
        int,
        parameter(
            "ps",
            1,
            10**21,
            "t0: time after programming at which G0 holds",
            "values",
            when=_CONDUCTANCE,
        ),
    ]
    age: Annotated[
        int,
        parameter(
            "ps",
            1,
            10**21,
            "time after programming at which cells are read",
            "values",
            when=_CONDUCTANCE,
        ),
    ]
    stuck_on: Annotated[
        float,
        parameter(*_SHARE, "share of cells stuck at their top level", "values"),
    ]
    stuck_off: Annotated[float, parameter(*_SHARE, "share of cells stuck at level 0", "values")]


class Programming(Section):
    """Writing weights before a run: pulses until each cell is verified; wear.py counts them."""

    slc_pulses: Annotated[float, parameter("", 1, 1e6, "a single-level cell, on average", "wear")]
    mlc_pulses: Annotated[
        float, parameter("", 1, 1e6, "a multi-level cell, each verified, on average", "wear")
    ]
    pulse: Annotated[int, parameter("ps", 1, 10**12, "one pulse", "wear")]
    pulse_energy: Annotated[float, parameter(*_PJ, "a pulse on one cell", "wear")]
    arrays_at_once: Annotated[
        int, parameter("", 1, 65536, "arrays of a module that are written together", "wear")
    ]
    endurance: Annotated[float, parameter("", 1, 1e18, "writes that a cell survives", "wear")]


class AnalogInstances(ModuleInstances):
    """Of these parts too."""

    adcs: Annotated[int, parameter(*MANY, "converters", "area, energy", counts=rows_of("adcs"))]
    adc_bits: Annotated[
        int,
        parameter("bit", 1, 16, "their largest resolution", "area, energy", counts=rows_of("adcs")),
    ]
    shift_adds: Annotated[
        int, parameter(*MANY, "units", "area, energy", counts=rows_of("shift_adds"))
    ]
    sample_holds: Annotated[
        int,
        parameter(*MANY, "groups, one per array", "area, energy", counts=rows_of("sample_holds")),
    ]


class AnalogPower(Section):
    """Power of a module's parts, everything busy."""

    arrays: Annotated[float, parameter(*_MW, "RRAM arrays", "energy")]
    input_register: Annotated[float, parameter(*_MW, "input register", "energy", [_NODE])]
    output_register: Annotated[float, parameter(*_MW, "output register", "energy", [_NODE])]
    wordline_drivers: Annotated[float, parameter(*_MW, "wordline drivers", "energy", [_NODE])]
    adcs: Annotated[float, parameter(*_MW, "converters", "energy", [_RATE, _NODE])]
    shift_adds: Annotated[float, parameter(*_MW, "shift-and-add units", "energy", [_RATE, _NODE])]
    sample_holds: Annotated[float, parameter(*_MW, "sample-and-holds", "energy", [_NODE])]


class AnalogArea(ModuleArea):
    """Area of these parts too."""

    adcs: Annotated[float, parameter(*MM2, "converters", "area", [NODE_AREA])]
    shift_adds: Annotated[float, parameter(*MM2, "shift-and-add units", "area", [NODE_AREA])]


class AnalogValues(UnitValues):
    """A module: arrays that multiply an input bit-plane by stored weights. ``count``: modules."""

    count: Annotated[
        int, parameter("", 1, 2**20, "modules in each place", "capacity, time, energy, area, wear")
    ]
    arrays: Annotated[
        int, parameter("", 1, 2**20, "arrays per module", "capacity, area, time, energy, wear")
    ]
    rows: Annotated[
        int,
        parameter(
            "", 1, 65536, "wordlines per array", "capacity, energy, area, time, values, wear"
        ),
    ]
    columns: Annotated[
        int, parameter("", 1, 65536, "bitlines per array", "capacity, energy, area, time, wear")
    ]
    read_cycle: Annotated[
        int, parameter("ps", 1, 10**12, "one bit-plane through an array", "time, energy, wear")
    ]
    input_bits: Annotated[
        int,
        parameter(
            "bit", 1, 32, "of an input, one bit-plane each", "time, energy, capacity, values"
        ),
    ]
    weight_bits: Annotated[
        int, parameter("bit", 1, 32, "of a stored weight", "capacity, time, energy, values, wear")
    ]
    slc_bits: Annotated[
        int,
        parameter(
            "bit", 1, 4, "per cell, single-level mode", "capacity, time, energy, values, wear"
        ),
    ]
    mlc_bits: Annotated[
        int,
        parameter(
            "bit", 1, 4, "per cell, multi-level mode", "capacity, time, energy, area, values, wear"
        ),
    ]
    sign: Annotated[
        str,
        choice(
            SIGNS,
            "how negative weights are held; pairs of cells take two columns a slice, which are "
            "subtracted after conversion, or two rows, which are subtracted on the bitline",
            "capacity, time, energy, values, wear",
        ),
    ]
    adc: Adc
    cells: Cells
    programming: Programming
    shift_add: ShiftAdd
    registers: AnalogRegister
    energy: AnalogEnergy
    instances: AnalogInstances
    power: AnalogPower
    area: AnalogArea
