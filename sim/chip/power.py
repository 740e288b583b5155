"""Power of a component while it works: its share of the module powers (HyFlexPIM Table 2).

For energy mode ``power-time``.
"""

from __future__ import annotations

from hyflexsim.sim.chip.area import analog_parts, digital_parts
from hyflexsim.sim.chip.hardware import Hardware

ANALOG_PARTS = {
    "bank": ("arrays", "wordline_drivers", "sample_holds", "input_register", "output_register"),
    "adc": ("adcs",),
    "shift_add": ("shift_adds",),
}
DIGITAL_PARTS = {
    "digital_pim": (
        "arrays",
        "wordline_drivers",
        "sample_holds",
        "input_register",
        "output_register",
    ),
    "accumulator": ("shift_adds",),
    "sfu": ("sfu",),
}
"""Parts of a module that a kind of component consists of; other kinds have no row in Table 2."""


def power_mw(hw: Hardware, kind: str, units: int) -> float:
    """Milliwatts of a component with ``units`` arrays (analog kinds) or modules (digital kinds).

    >>> hw = Hardware.load("hyflexpim")
    >>> round(power_mw(hw, "adc", units=512), 2), power_mw(hw, "global_bus", units=1)
    (512.0, 0.0)
    """
    if kind in ANALOG_PARTS:
        parts = analog_parts(hw, hw.power)
        return sum(parts[name] for name in ANALOG_PARTS[kind]) * units / hw.analog.arrays
    parts = digital_parts(hw, hw.power)
    return units * sum((parts[name] for name in DIGITAL_PARTS.get(kind, ())), start=0.0)
