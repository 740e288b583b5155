"""Parameters of NOR-based digital PIM; what it is: nor_pim.py."""

from __future__ import annotations

from typing import Annotated

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.kind import UnitValues
from hyflexsim.sim.chip.parameters import Follows, Section, parameter
from hyflexsim.sim.units.rram_module import MANY, ModuleArea, ModuleInstances, rows_of

_PJ = ("pJ", 0, 1e12)
_MW = ("mW", 0, 1e9)
_NODE = Follows(rules.node_energy, ("chip.technology_nm",))
_CLOCK = Follows(rules.clocked, ("clock_period",))


class NorRegister(Section):
    """Registers of a module, in which tokens wait for units that work beside it."""

    input_bytes: Annotated[int, parameter("B", 1, 2**40, "input register", "time, energy, area")]
    output_bytes: Annotated[int, parameter("B", 1, 2**40, "output register", "time, energy, area")]


class NorEnergy(Section):
    """pJ of one action."""

    nor: Annotated[float, parameter(*_PJ, "a NOR operation", "energy")]
    cell_read: Annotated[float, parameter(*_PJ, "a bit read from RRAM", "energy")]
    cell_write: Annotated[float, parameter(*_PJ, "a bit written to RRAM", "energy")]


class NorInstances(ModuleInstances):
    """Of these parts too."""

    sample_holds: Annotated[
        int,
        parameter(*MANY, "groups, one a column", "area, energy", counts=rows_of("sample_holds")),
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
    rows_at_once: Annotated[
        int, parameter("", 1, 65536, "rows of an array that compute at once", "time")
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
    area: ModuleArea
