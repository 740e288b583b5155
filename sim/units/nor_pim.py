"""Digital PIM: NOR logic inside RRAM arrays, for products of two activations; and memory.

An a-bit times b-bit product is a·b NOR operations on 3 columns each; a row step takes 5 cycles
(4 to write, 1 to read) with one active row per array, hence per module and cycle::

    256 arrays x 1024 columns / (64 x 3) / 5 = 273 INT8 products

NOR logic can also work on many rows of an array at once (``rows_at_once``, one in the paper): as
many times the products a cycle, at the same operations and energy. Operands are still written row
by row.

A floating-point product takes more NOR operations (formats.py). The modules of a place work on one
token together. Operands (keys, values) are written into the arrays first.

Source: HyFlexPIM §3.1, §3.3 (12-bit probabilities). Adding up the products is assumed to hide
behind the module's shift-and-add units; the paper gives it no cost.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

from hyflexsim.sim.chip.formats import FORMATS, float_product_nors
from hyflexsim.sim.chip.kind import Kind, Unit
from hyflexsim.sim.chip.service import Access, Action, Chain, Service, Task, Visit, cycles
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.units.nor_parameters import NorValues
from hyflexsim.sim.units.rram_module import shares_of


class NorPim(Kind):
    """See the head of this file."""

    name = "nor_pim"
    Values = NorValues
    serves = frozenset({"matmul", "scan", "lookup", "results"})
    bit_by_bit = True
    formats = frozenset({"int8", "fp16", "fp32"})  # int8: integers of the unit's own widths
    actions: ClassVar = {
        "nor": "digital_pim",
        "cell_write": "digital_pim",
        "cell_read": "digital_pim",
    }

    def check(self, unit: Unit) -> None:
        """Writing is a part of a row step, and only rows that there are compute."""
        values: NorValues = unit.values
        if values.rows_at_once > values.rows:
            raise InputError(
                f"{unit.name}.rows_at_once must be at most {unit.name}.rows ({values.rows}); "
                f"got {values.rows_at_once}"
            )
        if values.write_cycles > values.cycles_per_step:
            raise InputError(
                f"{unit.name}.write_cycles must be at most {unit.name}.cycles_per_step"
                f" ({values.cycles_per_step} cycle); got {values.write_cycles}"
            )

    def serve(self, unit: Unit, task: Task) -> Chain:
        """Products, or for a lookup one row of a table that lies in the modules' storage."""
        if task.op == "lookup":
            bits = task.width * unit.values.value_bits
            return (_visit(unit, task, _reading(unit, task, bits)),)
        nors, bits = product_nors(unit, task), _parts_of_product(unit, task)
        speed = products_per_cycle(unit, nors) * bits * unit.working(task.group)
        service = Service(
            cycles(unit.values.clock_period, task.macs, speed),
            (Action("nor", 0, task.macs * nors // bits),),
        )
        visit = _visit(unit, task, service, task.macs)
        return (replace(visit, macs_in=bits) if task.by_bit else visit,)

    def write(self, unit: Unit, task: Task) -> Chain:
        """Write one token of operands; a row of every module at once."""
        bits = task.width * operand_bits(unit, task)
        return (_visit(unit, task, _writing(unit, task, bits), label=".write"),)

    def access(self, unit: Unit, access: Access) -> Chain:
        """Bytes that units beside it read from or write to the cells; a row of every module."""
        task = Task("", group=access.group)
        moving = _writing if access.write else _reading
        service = moving(unit, task, 8 * access.size_bytes)
        return (_visit(unit, task, service, label=access.label),)

    def memory_bytes(self, unit: Unit) -> int:
        """All cells of the modules, one bit each."""
        values: NorValues = unit.values
        return int(unit.total * values.arrays * values.rows * values.columns // 8)

    def stored_bits(self, unit: Unit) -> int:
        """Those of a key or value."""
        return int(unit.values.value_bits)

    def waiting_tokens(self, unit: Unit, side: str, token_bytes: int, group: Fraction | int) -> int:
        """Tokens in the modules' registers, at least one: a larger one streams through."""
        register = unit.values.registers
        size = register.input_bytes if side == "input" else register.output_bytes
        return max(1, unit.working(group) * int(size) // token_bytes)

    def area(self, unit: Unit) -> dict[str, float]:
        """Parts of a module."""
        return _parts(unit.values, unit.values.area)

    def power(self, unit: Unit) -> dict[str, float]:
        """Parts of a module, all busy."""
        return _parts(unit.values, unit.values.power)


def _parts_of_product(unit: Unit, task: Task) -> int:
    """Units of size that a product is made of: the bits of its stored operand, one by one, or 1.

    Columns of keys that drop out are taken to serve others at once. Raises :class:`InputError`
    for products in floating point, whose steps are not those of bits.
    """
    if not task.by_bit:
        return 1
    format = FORMATS.get(task.format)
    if format is not None and format.exponent:
        raise InputError(f"{unit.name}: products in {task.format} cannot be made bit by bit")
    return int(unit.values.value_bits)


def operand_bits(unit: Unit, task: Task) -> int:
    """Bits of a key or value: the unit's, or the format's where it floats."""
    floats = task.format and FORMATS[task.format].exponent
    return FORMATS[task.format].bits if floats else int(unit.values.value_bits)


def product_nors(unit: Unit, task: Task) -> int:
    """NOR operations of one product.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> digital = load_chip("hyflexpim").units["digital"]
    >>> [product_nors(digital, Task("matmul", probabilities=p)) for p in (False, True)]
    [64, 96]
    >>> product_nors(digital, Task("matmul", format="fp32"))
    3360
    """
    format = FORMATS.get(task.format)
    if format is not None and format.exponent:
        return float_product_nors(format)
    values: NorValues = unit.values
    other = values.probability_bits if task.probabilities else values.value_bits
    return values.value_bits * other


def products_per_cycle(unit: Unit, nors: int) -> int:
    """Products per cycle of one module; raise :class:`InputError` when not even one fits.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> digital = load_chip("hyflexpim").units["digital"]
    >>> products_per_cycle(digital, 64), products_per_cycle(digital, 96)
    (273, 182)
    """
    values: NorValues = unit.values
    columns = values.columns_per_nor * nors * values.cycles_per_step
    products = values.arrays * values.columns * values.rows_at_once // columns
    if products < 1:
        raise InputError(
            f"{unit.name}.arrays ({values.arrays}) x {unit.name}.columns ({values.columns}) must "
            f"be at least {columns} for one product of {nors} NOR operations"
        )
    return products


def _reading(unit: Unit, task: Task, bits: int) -> Service:
    rate = cycles(unit.values.clock_period, bits, _row_bits(unit, task))
    return Service(rate, (Action("cell_read", 0, bits),))


def _writing(unit: Unit, task: Task, bits: int) -> Service:
    period = unit.values.clock_period * unit.values.write_cycles
    rate = cycles(period, bits, _row_bits(unit, task))
    return Service(rate, (Action("cell_write", 0, bits),))


def _row_bits(unit: Unit, task: Task) -> int:
    """A row of every module."""
    return int(unit.values.columns * unit.working(task.group))


def _visit(unit: Unit, task: Task, service: Service, macs: int = 0, label: str = "") -> Visit:
    busy = ("arrays", "wordline_drivers", "sample_holds", "input_register", "output_register")
    parts = _parts(unit.values, unit.values.power)
    power = sum(parts[name] for name in busy) * unit.working(task.group)
    return Visit("digital_pim", service, label, power_mw=power, macs=(0, macs))


def _parts(values: NorValues, rows: object) -> dict[str, float]:
    """Part of a module -> its share of ``area`` or ``power``, by instances."""
    columns = {"sample_holds": values.columns / values.instances.sample_holds}
    shares = shares_of(values) | columns
    return {name: getattr(rows, name) * share for name, share in shares.items()}
