"""Digital PIM: NOR logic inside RRAM arrays, for products of two activations.

An a-bit times b-bit product is a·b NOR operations on 3 columns each; a row step takes 5 cycles
(4 to write, 1 to read) with one active row per array, hence per module and cycle::

    256 arrays x 1024 columns / (64 x 3) / 5 = 273 INT8 products

The modules of a PU work on one token together. Q, K and V are written into the arrays first.

Source: HyFlexPIM §3.1, §3.3 (12-bit probabilities). Adding up the products is assumed to hide
behind the module's shift-and-add units; the paper gives it no cost.
"""

from __future__ import annotations

from hyflexsim.sim.chip.hardware import Hardware
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.service import Action, Service, cycles


def products_per_cycle(hw: Hardware, bits_a: int, bits_b: int) -> int:
    """Products per cycle of one module; raise :class:`InputError` when not even one fits.

    >>> hw = Hardware.load("hyflexpim")
    >>> products_per_cycle(hw, 8, 8), products_per_cycle(hw, 12, 8)
    (273, 182)
    """
    digital = hw.digital
    columns = digital.columns_per_nor * bits_a * bits_b * digital.cycles_per_step
    products = digital.arrays * digital.columns // columns
    if products < 1:
        raise InputError(
            f"digital.arrays ({digital.arrays}) x digital.columns ({digital.columns}) must be at "
            f"least {columns} for one {bits_a} x {bits_b} bit product"
        )
    return products


def multiply(hw: Hardware, macs: int, bits: tuple[int, int], pus: int) -> Service:
    """``macs`` products per unit of size (per token of context)."""
    speed = products_per_cycle(hw, *bits) * hw.pu.digital_modules * pus
    return Service(
        cycles(hw.digital.clock_period, macs, speed),
        (Action("nor", 0, macs * bits[0] * bits[1]),),
    )


def write(hw: Hardware, elements: int, pus: int) -> Service:
    """Write one token of ``elements`` operands; a row of every module at once."""
    bits = elements * hw.digital.value_bits
    row = hw.digital.columns * hw.pu.digital_modules * pus
    period = hw.digital.clock_period * hw.digital.write_cycles
    return Service(cycles(period, bits, row), (Action("cell_write", 0, bits),))


def look_up(hw: Hardware, elements: int, pus: int) -> Service:
    """Read one row of ``elements`` INT8 values of a table that lies in the modules' storage."""
    bits = elements * hw.digital.value_bits
    row = hw.digital.columns * hw.pu.digital_modules * pus
    return Service(cycles(hw.digital.clock_period, bits, row), (Action("cell_read", 0, bits),))
