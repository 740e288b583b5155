"""Operations a second and mm² of analog arrays against measured macros.

The rate is that of full arrays: two operations a multiply-accumulate, all bit-planes of an input a
vector. The area is the unit's module (arrays, drivers, converters, shift-and-add, registers) by
Table 2 or the preset's source, scaled to the macro's node by the chip's rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hyflexsim.sim.units import crossbar
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.sim.units.tiling import cells_per_weight, factors, height
from hyflexsim.workloads.reproduction.claims import Claim, Switch, paper
from hyflexsim.workloads.reproduction.silicon_macros import JIA, NEURRAM, NODE_28, WANG

Row = tuple[str, str, str, float, float]
PANEL = "TOPS/mm²"


class Density(NamedTuple):
    """One macro: how its name starts in paper.toml, ours, and what is to be said about it."""

    short: str
    preset: str
    changes: Mapping[str, Any]
    rests: str
    why: str
    kind: str = "derived"
    switches: tuple[Switch, ...] = ()


def module(preset: str, changes: Mapping[str, Any]) -> tuple[float, float]:
    """TOPS and mm² of one module of the unit that holds weights, its arrays full.

    >>> tops, area = module("hyflexpim", {})  # 512 arrays of 64 x 16 weights, 800 ns a vector
    >>> round(tops, 3), round(area, 4)
    (1.311, 0.4683)
    """
    chip = load_chip(preset, changes)
    holder = chip.holder
    unit = holder.values
    inputs, outputs = height(unit), unit.columns // cells_per_weight(unit, "slc")
    (full,) = factors(unit, inputs, outputs, None, 1.0, "row-tile")
    vector_s = unit.input_bits * crossbar.beat(unit, full) * 1e-12
    tops = 2e-12 * unit.arrays * inputs * outputs / vector_s
    return tops, sum(holder.kind.area(holder).values())


def tops_per_mm2(preset: str, changes: Mapping[str, Any]) -> float:
    """The first over the second."""
    tops, area = module(preset, changes)
    return tops / area


def densities() -> tuple[list[Row], list[Claim]]:
    """Rows of the figure, and claims, in the order of paper.toml."""
    measured = paper("silicon")["tops_per_mm2"]
    rows: list[Row] = []
    claims = []
    for each, (name, theirs) in zip(_macros(), measured.items(), strict=True):
        value = tops_per_mm2(each.preset, each.changes)
        rows.append((PANEL, "", each.short, value, theirs))
        claims.append(
            Claim(
                figure="silicon",
                claim=f"{PANEL}, {name}",
                paper=theirs,
                ours=value,
                rests=each.rests,
                why=each.why,
                kind=each.kind,
                switches=each.switches,
            )
        )
    return rows, claims


def _macros() -> tuple[Density, ...]:
    neurons = paper("silicon")["tops_per_mm2"]
    (core, *_) = neurons.values()
    return (
        Density(
            "RRAM, 130 nm: NeuRRAM",
            "neurram",
            NEURRAM,
            "neurons alone: no drivers, cells or control are in the preset's area",
            "Neurons are 28 % of a core (0.325 mm² measured, 0.312 here), drivers 21 %, cells "
            "12 %, the rest is not named. Over its neurons alone the measured core has the "
            "switch's value.",
            switches=(Switch("measured, over its neurons", core / 0.28),),
        ),
        Density("SRAM, 65 nm, 1.2 V", "hyflexpim", JIA, *_jia("540 ns")),
        Density("SRAM, 65 nm, 0.85 V", "hyflexpim", JIA, *_jia("1.35 µs")),
        Density(
            "SRAM, 22 nm",
            "hyflexpim",
            WANG,
            "512 arrays in the area of one macro, each far slower",
            "The macro (0.124 mm²: cells with ladders of capacitors 46 %, DACs 30 %) multiplies 64 "
            "x 16 bytes in 4.6 ns; ours has 512 arrays of that many weights in 0.122 mm² and takes "
            "800 ns for 8 bit-planes. So cells that lie close, not speed, make ours denser.",
        ),
        Density(
            "SRAM, 65 nm, analog core",
            "hyflexpim",
            {},
            "HyFlexPIM's module in single-level cells, INT8",
            "Bits of the core's operands are not in the abstract; 8 × 8 bit here.",
            "not derivable",
        ),
        Density(
            "RRAM, 28 nm, hybrid programming",
            "hyflexpim",
            NODE_28,
            "HyFlexPIM's module at 28 nm by Stillmaker and Baas, INT8",
            "To which bits and node the abstract normalises it does not say. Converters of Table 2 "
            "were not scaled to 65 nm, so they shrink here as if they had been.",
            "not derivable",
            (Switch("at 65 nm, as Table 2", tops_per_mm2("hyflexpim", {})),),
        ),
    )


def _jia(cycle: str) -> tuple[str, str]:
    return (
        "cells of RRAM instead of SRAM with a capacitor each, and a cycle of 100 ns",
        f"The macro takes {cycle} a vector, by its rate, and 2.9 mm² for its 589,824 cells with "
        "drivers (4.9 µm² each); Table 2's cells take 0.011 µm². That is 2.7 F² at 65 nm, below "
        "the 4 F² of a crosspoint: FloatPIM's are 4.2 F² at 28 nm, enlarged 3.24 times where F² "
        "grows 5.4 times. The macro's converters (0.50 mm²) are 1.7 times ours. So the gap is SRAM "
        "and its clock, and an area of RRAM that is too small but hardly counts beside converters.",
    )
