"""Shift-and-add: weighs a conversion by its column and its bit-plane and adds it to the result.

It takes each column's code while the ADC converts the next column, so it ends one conversion
slot after the ADC begins its last column: together exactly the ADC's time for the plane. At
fidelity ``bit`` the ADC therefore hands a plane over one slot early; at fidelity ``token`` the
shift-and-add has no visit of its own and is busy in the ADC's shadow.

Source: HyFlexPIM §3.2, Fig. 6, Table 2.
"""

from __future__ import annotations

from math import ceil

from hyflexsim.sim.chip.service import Action, Rate, Service
from hyflexsim.sim.units import adc
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.tiling import Factor


def last_column(module: AnalogValues, factor: Factor) -> int:
    """Picoseconds of the last column's shift-and-add, at most the plane's time less 1 ps."""
    return max(1, min(ceil(adc.slot(module)), adc.plane(module, factor) - 1))


def actions(module: AnalogValues, factor: Factor, planes: int) -> tuple[Action, ...]:
    """What adding ``planes`` bit-planes costs; results go to the output register plane by plane."""
    return (
        Action("shift_add", planes * factor.conversions),
        Action("output_register", planes * factor.arrays),
    )


def add(module: AnalogValues, factor: Factor) -> Service:
    """Add one bit-plane (fidelity ``bit``)."""
    last = last_column(module, factor)
    return Service(
        Rate(fixed=last),
        actions(module, factor, 1),
        lead_ps=adc.plane(module, factor) - last,
    )
