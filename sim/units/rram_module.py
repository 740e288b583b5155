"""What modules of RRAM arrays have in common, analog or NOR-based: instances, areas, shares.

Rows of ``power`` and ``area`` are what all instances of a part take in one module; ``instances``
says how many instances a row stands for, so that a changed module counts in proportion.
Source of the rows: HyFlexPIM Table 2.
"""

from __future__ import annotations

from typing import Annotated, Any

from hyflexsim.sim.chip import rules
from hyflexsim.sim.chip.parameters import Follows, Section, parameter

MM2 = ("mm2", 0, 1e6)
MANY = ("", 1, 2**50)
NODE_AREA = Follows(rules.node_area, ("chip.technology_nm",))


def rows_of(part: str) -> tuple[str, ...]:
    """The rows whose instances a parameter counts."""
    return (f"power.{part}", f"area.{part}")


class ModuleInstances(Section):
    """Instances in a module that a row of power and area stands for."""

    cells: Annotated[int, parameter(*MANY, "cells", "area, energy", counts=rows_of("arrays"))]
    input_register: Annotated[
        int, parameter("B", 1, 2**40, "bytes", "area, energy", counts=rows_of("input_register"))
    ]
    output_register: Annotated[
        int, parameter("B", 1, 2**40, "bytes", "area, energy", counts=rows_of("output_register"))
    ]
    wordline_drivers: Annotated[
        int, parameter(*MANY, "drivers", "area, energy", counts=rows_of("wordline_drivers"))
    ]


class ModuleArea(Section):
    """Area of a module's parts."""

    arrays: Annotated[float, parameter(*MM2, "RRAM arrays", "area", [NODE_AREA])]
    input_register: Annotated[float, parameter(*MM2, "input register", "area", [NODE_AREA])]
    output_register: Annotated[float, parameter(*MM2, "output register", "area", [NODE_AREA])]
    wordline_drivers: Annotated[float, parameter(*MM2, "wordline drivers", "area", [NODE_AREA])]
    sample_holds: Annotated[float, parameter(*MM2, "sample-and-holds", "area", [NODE_AREA])]


def shares_of(module: Any) -> dict[str, float]:
    """What a module has of each common part, over the instances that its rows stand for."""
    made, registers = module.instances, module.registers
    return {
        "arrays": module.arrays * module.rows * module.columns / made.cells,
        "input_register": registers.input_bytes / made.input_register,
        "output_register": registers.output_bytes / made.output_register,
        "wordline_drivers": module.arrays * module.rows / made.wordline_drivers,
    }
