"""Parameters of NOR-based digital PIM; what it is: nor_pim.py."""

from __future__ import annotations

from typing import Annotated

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, parameter

_PJ = ("pJ", 0, 1e12)
_MW = ("mW", 0, 1e9)
_MM2 = ("mm2", 0, 1e6)
_MANY = ("", 1, 2**50)
_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))
_CLOCK = Follows(rules.clocked, ("clock_period",))


def _rows(part: str) -> tuple[str, str]:
    """The rows of a module's part, which a count of instances goes with."""
    return f"power.{part}", f"area.{part}"


class NorRegister(Section):
    """Registers of a module, in which tokens wait for units that work beside it."""

    input_bytes: Annotated[int, parameter("B", 1, 2**40, "input register", "time, energy, area")]
    output_bytes: Annotated[int, parameter("B", 1, 2**40, "output register", "time, energy, area")]


class NorEnergy(Section):
    """pJ of one action."""

    nor: Annotated[float, parameter(*_PJ, "a NOR operation", "energy")]
    cell_read: Annotated[float, parameter(*_PJ, "a bit read from RRAM", "energy")]
    cell_write: Annotated[float, parameter(*_PJ, "a bit written to RRAM", "energy")]


class NorInstances(Section):
    """Instances in a module that a row of power and area stands for."""

    cells: Annotated[int, parameter(*_MANY, "cells", "area, energy", counts=_rows("arrays"))]
    input_register: Annotated[
        int, parameter("B", 1, 2**40, "bytes", "area, energy", counts=_rows("input_register"))
    ]
    output_register: Annotated[
        int, parameter("B", 1, 2**40, "bytes", "area, energy", counts=_rows("output_register"))
    ]
    wordline_drivers: Annotated[
        int, parameter(*_MANY, "drivers", "area, energy", counts=_rows("wordline_drivers"))
    ]
    sample_holds: Annotated[
        int, parameter(*_MANY, "groups, one a column", "area, energy", counts=_rows("sample_holds"))
    ]


class NorPower(Section):
    """Power of a module's parts, everything busy."""

    arrays: Annotated[float, parameter(*_MW, "RRAM arrays", "energy", [_CLOCK])]
    input_register: Annotated[float, parameter(*_MW, "input register", "energy", [_CLOCK, _NODE])]
    output_register: Annotated[float, parameter(*_MW, "output register", "energy", [_CLOCK, _NODE])]
    wordline_drivers: Annotated[
        float, parameter(*_MW, "wordline drivers", "energy", [_CLOCK, _NODE])
    ]
    sample_holds: Annotated[float, parameter(*_MW, "sample-and-holds", "energy", [_CLOCK, _NODE])]


class NorArea(Section):
    """Area of a module's parts."""

    arrays: Annotated[float, parameter(*_MM2, "RRAM arrays", "area", [_NODE_AREA])]
    input_register: Annotated[float, parameter(*_MM2, "input register", "area", [_NODE_AREA])]
    output_register: Annotated[float, parameter(*_MM2, "output register", "area", [_NODE_AREA])]
    wordline_drivers: Annotated[float, parameter(*_MM2, "wordline drivers", "area", [_NODE_AREA])]
    sample_holds: Annotated[float, parameter(*_MM2, "sample-and-holds", "area", [_NODE_AREA])]


class NorValues(UnitValues):
    """A module. ``count``: modules."""

    count: Annotated[
        int, parameter("", 1, 2**20, "modules in each place", "capacity, time, energy, area, wear")
    ]
    arrays: Annotated[
        int, parameter("", 1, 2**20, "per module", "capacity, time, energy, area, wear")
    ]
    rows: Annotated[
        int, parameter("", 1, 65536, "wordlines per array", "capacity, energy, area, wear")
    ]
    columns: Annotated[
        int, parameter("", 1, 65536, "bitlines per array", "capacity, time, energy, area, wear")
    ]
    clock_period: Annotated[int, parameter("ps", 1, 10**9, "one cycle", "time, energy")]
    columns_per_nor: Annotated[
        int, parameter("", 1, 1024, "two operand bits and the result bit", "time, wear")
    ]
    cycles_per_step: Annotated[
        int, parameter("cycle", 1, 10**6, "one row of NOR: write and read", "time")
    ]
    write_cycles: Annotated[int, parameter("cycle", 0, 10**6, "of these, that write", "time")]
    value_bits: Annotated[
        int, parameter("bit", 1, 32, "operand of Q, K and V", "time, energy, values, wear")
    ]
    probability_bits: Annotated[
        int,
        parameter("bit", 1, 32, "operand of scores in scores × V", "time, energy, values, wear"),
    ]
    endurance: Annotated[float, parameter("", 1, 1e18, "writes that a cell survives", "wear")]
    registers: NorRegister
    energy: NorEnergy
    instances: NorInstances
    power: NorPower
    area: NorArea
