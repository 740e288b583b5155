"""Area (mm²) and peak power (mW) of modules, PUs and the chip: sums over their parts.

The preset gives each part of a module as one row: what all its instances take together. A
changed chip has more or fewer instances, so a row counts as

    row × instances on this chip / instances the row stands for (`Hardware.count`)

and for an unchanged preset the sums are those of the paper's table. Instances are cells for
arrays, bytes for registers, lanes for the SFU; a converter also doubles with each bit of its
larger resolution (inferred: between ASADI and HyFlexPIM one bit doubles both area and power).

Power is that of everything busy at once. Left out, as in HyFlexPIM Table 2: controllers,
buses, ports, clock.

>>> from hyflexsim.sim.chip.hardware import Hardware
>>> hw = Hardware.load("hyflexpim")
>>> round(analog_module_area(hw), 4), round(digital_module_area(hw), 2)
(0.4683, 8.01)
>>> round(chip_area(hw))
1807
>>> half = Hardware.load("hyflexpim", {"analog.arrays": 256})
>>> round(analog_module_area(half), 4)  # half of everything but the registers
0.2351
"""

from __future__ import annotations

import math

from hyflexsim.sim.chip.hardware import Hardware
from hyflexsim.sim.chip.parameters import Area, Power


def analog_module_area(hw: Hardware) -> float:
    """One analog PIM module, mm²."""
    return math.fsum(analog_parts(hw, hw.area).values())


def analog_module_power(hw: Hardware) -> float:
    """One analog PIM module, everything busy, mW."""
    return math.fsum(analog_parts(hw, hw.power).values())


def digital_module_area(hw: Hardware) -> float:
    """One digital PIM module with its SFU, mm²."""
    return math.fsum(digital_parts(hw, hw.area).values())


def digital_module_power(hw: Hardware) -> float:
    """One digital PIM module with its SFU, everything busy, mW."""
    return math.fsum(digital_parts(hw, hw.power).values())


def pu_area(hw: Hardware) -> float:
    """One processing unit, mm²."""
    analog = hw.pu.analog_modules * analog_module_area(hw)
    digital = hw.pu.digital_modules * digital_module_area(hw)
    return analog + digital


def pu_power(hw: Hardware) -> float:
    """One processing unit, everything busy, mW."""
    analog = hw.pu.analog_modules * analog_module_power(hw)
    digital = hw.pu.digital_modules * digital_module_power(hw)
    return analog + digital


def chip_area(hw: Hardware) -> float:
    """One chip, mm²."""
    return hw.chip.pus * pu_area(hw)


def chip_power(hw: Hardware) -> float:
    """One chip, everything busy, mW."""
    return hw.chip.pus * pu_power(hw)


def analog_parts(hw: Hardware, rows: Area | Power) -> dict[str, float]:
    """Part of an analog module -> its share; ``rows`` is ``hw.area`` or ``hw.power``."""
    module, count, buffer = hw.analog, hw.count, hw.buffer
    adcs = module.arrays * hw.adc.per_array
    bits = max(hw.adc.slc_bits, hw.adc.mlc_bits)
    return {
        "arrays": rows.analog_arrays
        * (module.arrays * module.rows * module.columns / count.analog_cells),
        "input_register": rows.analog_input_register
        * (buffer.analog_input_register / count.analog_input_register),
        "output_register": rows.analog_output_register
        * (buffer.analog_output_register / count.analog_output_register),
        "wordline_drivers": rows.analog_wordline_drivers
        * (module.arrays * module.rows / count.analog_wordline_drivers),
        "adcs": rows.analog_adcs
        * (adcs / count.analog_adcs * 2.0 ** (bits - count.analog_adc_bits)),
        "shift_adds": rows.analog_shift_adds * (adcs / count.analog_shift_adds),
        "sample_holds": rows.analog_sample_holds * (module.arrays / count.analog_sample_holds),
    }


def digital_parts(hw: Hardware, rows: Area | Power) -> dict[str, float]:
    """Part of a digital module -> its share; ``rows`` is ``hw.area`` or ``hw.power``."""
    module, count, buffer = hw.digital, hw.count, hw.buffer
    return {
        "arrays": rows.digital_arrays
        * (module.arrays * module.rows * module.columns / count.digital_cells),
        "input_register": rows.digital_input_register
        * (buffer.digital_input_register / count.digital_input_register),
        "output_register": rows.digital_output_register
        * (buffer.digital_output_register / count.digital_output_register),
        "wordline_drivers": rows.digital_wordline_drivers
        * (module.arrays * module.rows / count.digital_wordline_drivers),
        "shift_adds": rows.digital_shift_adds * (module.adders / count.digital_shift_adds),
        "sample_holds": rows.digital_sample_holds * (module.adders / count.digital_sample_holds),
        "sfu": rows.digital_sfu * (hw.sfu.lanes / count.digital_sfu_lanes),
    }
