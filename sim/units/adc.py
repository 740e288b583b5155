"""SAR ADC: one per array, shared by its columns through a multiplexer.

While the bank reads the next bit-plane, the converter takes the held columns of the last one
after the other, 0.78 ns each: 128 columns in 100 ns. For MLC columns it resolves 7 bits, for SLC
6: the capacitor of the largest bit is skipped, the sampling rate stays. Only used columns are
converted.

At fidelity ``token`` the visit is the last plane's conversion, the part that sticks out behind
the bank's visit; the seven planes before it are its lead.

Source: HyFlexPIM §3.2, §5.4, Table 2.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import ceil

from hyflexsim.sim.chip.service import Action, Rate, Service
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.tiling import Factor

PICOSECONDS = 10**12


def slot(module: AnalogValues) -> Fraction:
    """Time of one conversion in ps, exact: 781.25 at 1.28 GS/s."""
    return _slot(module.adc.rate)


@cache
def _slot(rate: int) -> Fraction:
    return Fraction(PICOSECONDS, rate)


def plane(module: AnalogValues, factor: Factor) -> int:
    """Picoseconds to convert one bit-plane of the fullest array.

    >>> from hyflexsim.sim.units.tiling import factors
    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> module = load_chip("hyflexpim").units["analog"].values
    >>> plane(module, factors(module, 64, 16, None, 1.0, "row-tile")[0])      # 128 columns
    100000
    """
    return _conversions(-(-factor.fullest // module.adc.per_array), module.adc.rate)


def whole_plane(module: AnalogValues) -> int:
    """The same of an array whose columns are all used."""
    return _conversions(-(-module.columns // module.adc.per_array), module.adc.rate)


@cache
def _conversions(count: int, rate: int) -> int:
    return ceil(count * _slot(rate))


def convert(module: AnalogValues, factor: Factor, planes: int, beat: int) -> Service:
    """Convert ``planes`` bit-planes, one every ``beat`` ps; the visit is the last of them."""
    return Service(
        Rate(fixed=plane(module, factor)),
        (
            Action("adc_conversion_slc", planes * factor.columns_slc),
            Action("adc_conversion_mlc", planes * factor.columns_mlc),
        ),
        lead_ps=(planes - 1) * beat,
    )
