"""Buses: inside a PU, between the PUs of a chip, from chip to chip, to the host.

A bus carries one token at a time for size / bandwidth plus a fixed latency; it is a component like
any other, so contention is queueing and arbitration is the serving order. It knows neither
sender nor receiver, and every listener hears a token in the same transfer (K, Q and V read one
input).

Source: HyFlexPIM §5.4 (1000 GB/s inside a PU, 128 GB/s outside). Latency, arbitration and energy
per bit are not public; see the preset for what is assumed.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from hyflexsim.sim.chip.hardware import Hardware
from hyflexsim.sim.units.service import Action, Rate, Service

BUSES = {
    "pu_bus": ("pu_bandwidth", "pu_latency", "pu_bus_bit"),
    "global_bus": ("global_bandwidth", "global_latency", "global_bus_bit"),
    "chip_link": ("link_bandwidth", "link_latency", "link_bit"),
    "host_port": ("host_bandwidth", "host_latency", "host_bit"),
}
"""Kind of bus: its bandwidth, its latency, the action that a bit costs."""


def transfer(hw: Hardware, kind: str, size_bytes: int, width: int = 1) -> Service:
    """Move ``size_bytes`` per unit of size; ``width`` buses of that kind side by side.

    >>> transfer(Hardware.load("hyflexpim"), "global_bus", 768).rate.ps(1)     # 6 cycles of 1 ns
    6000
    """
    bandwidth, latency, action = BUSES[kind]
    speed = _exact(getattr(hw.interconnect, bandwidth)) * width
    return Service(
        Rate(
            fixed=getattr(hw.interconnect, latency),
            work=1000 * size_bytes * speed.denominator,
            speed=speed.numerator,
        ),
        (Action(action, 0, 8 * size_bytes),),
    )


@cache
def _exact(bandwidth: float) -> Fraction:
    return Fraction(bandwidth).limit_denominator(10**6)
