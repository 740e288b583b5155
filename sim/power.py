"""Power of a component while it works, from the module powers of the preset (Table 2).

A module's printed power divided by its count of parts; for energy mode ``power-time``.
"""

from __future__ import annotations

from hyflexsim.sim.hardware import Hardware


def power_mw(hw: Hardware, kind: str, units: int) -> float:
    """Milliwatts of a component with ``units`` arrays (analog kinds) or modules (digital kinds).

    Kinds without a row in Table 2 (buses, host port) draw nothing.

    >>> hw = Hardware.load("hyflexpim")
    >>> round(power_mw(hw, "adc", units=512), 2)
    512.0
    """
    power, arrays = hw.power, hw.analog.arrays
    if kind == "bank":
        module = (
            power.analog_arrays
            + power.analog_wordline_drivers
            + power.analog_sample_holds
            + power.analog_input_register
            + power.analog_output_register
        )
        return module * units / arrays
    if kind == "adc":
        return power.analog_adcs * units / arrays
    if kind == "shift_add":
        return power.analog_shift_adds * units / arrays
    if kind == "digital_pim":
        module = (
            power.digital_arrays
            + power.digital_wordline_drivers
            + power.digital_sample_holds
            + power.digital_input_register
            + power.digital_output_register
        )
        return module * units
    if kind == "accumulator":
        return power.digital_shift_adds * units
    if kind == "sfu":
        return power.digital_sfu * units
    return 0.0
