"""RRAM bank: the arrays of one matrix, multiplying a vector bit-plane by bit-plane.

Each wordline driver puts one bit of its input on 64 cells; the currents of a bitline add up
and are held by 128 sample-and-holds while the ADC converts them::

    plane     0       1       2            7
    bank   |-100ns-|-100ns-|-100ns- ... -100ns-|
    ADC            |-100ns-|-100ns- ...         |-100ns-|
                                                        ^ first result after 900 ns
    next vector                                |-100ns- ...          one every 800 ns

A read cannot stop halfway: the held charge would leak. So a bank starts a vector only when its
output buffer has a place, and bank, ADC and shift-and-add then run in step without any further
waiting. That rigidity is why one visit of 800 ns (fidelity ``token``) and eight of 100 ns
(fidelity ``bit``) give the same times.

Source: HyFlexPIM §3.1, §5.4. SLC and MLC mode differ in cells per weight, not in time.
Left out: wire resistance, settling, sneak currents (accuracy, not time).
"""

from __future__ import annotations

from hyflexsim.sim.chip.service import Action, Rate, Service
from hyflexsim.sim.units import adc
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.tiling import Factor


def beat(module: AnalogValues, factor: Factor) -> int:
    """Picoseconds from one bit-plane to the next: the read cycle, or the ADC where it is slower."""
    return max(module.read_cycle, adc.plane(module, factor))


def read(module: AnalogValues, factor: Factor, planes: int) -> Service:
    """Read ``planes`` bit-planes of one vector (8 at fidelity ``token``, 1 at ``bit``).

    >>> from hyflexsim.sim.units.tiling import factors
    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> module = load_chip("hyflexpim").units["analog"].values
    >>> (weight,) = factors(module, 64, 16, None, 1.0, "row-tile")
    >>> read(module, weight, planes=8).rate.ps(1)
    800000
    """
    return Service(
        Rate(fixed=planes * beat(module, factor)),
        (
            Action("wordline_drive", planes * factor.wordlines),
            Action("array_read", planes * factor.arrays),
            Action("sample_hold", planes * factor.conversions),
            Action("input_register", planes * factor.arrays),
        ),
    )
