"""Accumulation of row tiles: the shift-and-add units of the digital modules add partial sums.

A vector longer than 64 rows lies over several arrays; each gives a partial sum of 22 bits per
output (8 + 8 + log2 64), which crosses the PU's bus and is added in the digital modules.

Source: HyFlexPIM §3.3 (where), Table 2 (1024 units a module). The paper gives no time; one
addition per unit and cycle is assumed.
"""

from __future__ import annotations

from hyflexsim.sim.chip.hardware import Hardware
from hyflexsim.sim.units.service import Action, Service, cycles
from hyflexsim.sim.units.tiling import Factor


def partial_bytes(hw: Hardware, outputs: int, tiles: int) -> int:
    """Bytes of the partial sums of ``tiles`` row tiles.

    >>> partial_bytes(Hardware.load("hyflexpim"), outputs=1024, tiles=1)
    2816
    """
    return -(-tiles * outputs * hw.shift_add.partial_sum_bits // 8)


def accumulate(hw: Hardware, factor: Factor, pus: int) -> Service:
    """Add the row tiles of one vector, in the digital modules of ``pus`` PUs."""
    additions = (factor.row_tiles - 1) * factor.outputs
    adders = hw.digital.adders * hw.pu.digital_modules * pus
    return Service(
        cycles(hw.digital.clock_period, additions, adders),
        (Action("partial_sum_add", 0, additions),),
    )
