"""Analog arrays against measured macros: operations a second and W, at the macros' sizes and bits.

Nothing is fitted to a macro: rows, columns, bits and node are its own, unit energies those of a
preset, scaled by its rules. Counted is the unit that multiplies, alone: no bus, no sums, no memory.
Operations a second and mm²: silicon_area.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import networkx as nx

from hyflexsim.sim import energy
from hyflexsim.sim import graph as g
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.reproduction.claims import Claim, Figure, Switch, paper, table
from hyflexsim.workloads.reproduction.silicon_area import densities
from hyflexsim.workloads.reproduction.silicon_macros import JIA, NEURRAM, WANG
from hyflexsim.workloads.terminal import Say


def one_matrix(rows: int, columns: int) -> nx.DiGraph:
    """A model that is one matrix, rows x columns: tokens (rows,) in, tokens (columns,) out."""
    graph = g.new_graph("macro")
    g.add_op(graph, "in", "input", layer="b.0", width=rows)
    size: dict[str, Any] = {"rows": rows, "cols": columns, "width": columns, "weight": "W"}
    g.add_op(graph, "matrix", "gemv", layer="b.0", **size)
    g.add_op(graph, "out", "output", layer="b.0", width=columns)
    g.connect(graph, "in", "matrix")
    g.connect(graph, "matrix", "out")
    return graph


def matrix_pj(preset: str, changes: Mapping[str, Any], rows: int, columns: int) -> float:
    """pJ of a multiply-accumulate in the unit that holds a matrix of that size.

    >>> round(matrix_pj("hyflexpim", {}, 64, 16), 2)  # ADC 1 mW, Table 2's power x time
    1.42
    """
    chip = load_chip(preset, changes)
    graph = one_matrix(rows, columns)
    plan = build_plan(graph, place(graph, chip, Options(slc_rate=1.0, copies="none")))
    shape = shape_of(plan, 1)
    steps = zip(plan.steps, shape.counts, shape.sizes, strict=True)
    total = sum(
        sum(energy.step_energy_by_kind_pj(chip, step, count, size).values())
        for step, count, size in steps
        if step.unit == chip.holder.name
    )
    return total / (rows * columns)


def tops_per_w(preset: str, changes: Mapping[str, Any], rows: int, columns: int) -> float:
    """Two operations a multiply-accumulate."""
    return 2 / matrix_pj(preset, changes, rows, columns)


def threshold_tops_per_w() -> float:
    """The analog products of queries and keys of the preset ``sprint``, which choose the keys."""
    return 2 / float(load_chip("sprint")["thresholds.energy.threshold_mac"])


OURS: dict[str, Callable[[], float]] = {
    "RRAM, 130 nm: NeuRRAM": lambda: tops_per_w("neurram", NEURRAM, 128, 256),
    "SRAM, 65 nm, 1.2 V": lambda: tops_per_w("hyflexpim", JIA, 2304, 256),
    "SRAM, 65 nm, 0.85 V": lambda: tops_per_w("hyflexpim", JIA, 2304, 256),
    "SRAM, 22 nm": lambda: tops_per_w("hyflexpim", WANG, 64, 16),
    "SRAM, 65 nm, analog core": threshold_tops_per_w,
}
"""By the start of a macro's name in paper.toml."""


def silicon(say: Say) -> Figure:
    """The table and its claims."""
    say("silicon", 0, 1)
    measured = paper("silicon")["tops_per_w"]
    rows, claims = [], []
    for (short, ours), (name, theirs) in zip(OURS.items(), measured.items(), strict=True):
        value = ours()
        rows.append(("TOPS/W", "", short, value, theirs))
        rests, why, switches = _ABOUT[short]()
        claims.append(
            Claim(
                figure="silicon",
                claim=f"TOPS/W, {name}",
                paper=theirs,
                ours=value,
                rests=rests,
                why=why,
                switches=switches,
            )
        )
    chip = load_chip("neurram", NEURRAM)
    cores = chip.holder.values
    # a bit-plane a read cycle, all cores at once
    rate = 2e-12 * 128 * 256 * cores.count / (cores.input_bits * cores.read_cycle * 1e-12)
    (name,) = paper("silicon")["tops"]
    claims.append(
        Claim(
            figure="silicon",
            claim=f"TOPS, {name}",
            paper=paper("silicon")["tops"][name],
            ours=rate,
            rests="one bit-plane a µs, the cycle that CiMLoop's library has for it",
            why="",
        )
    )
    dense_rows, dense_claims = densities()
    rows += dense_rows
    claims += dense_claims
    return Figure(
        "silicon",
        "Silicon: operations a second and W, and a second and mm², ours beside measured ones",
        table(rows),
        ("", "TOPS/W, TOPS/mm²"),
        tuple(claims),
        log=True,
        theirs="measured",
    )


About = tuple[str, str, tuple[Switch, ...]]


def _neurram() -> About:
    return (
        "what a neuron's sample, integration and conversion take (hwcomponents-library)",
        "Neurons alone are 21.8 fJ an operation measured and 27.1 in ours. Measured input pulses "
        "(29.1) and wordlines (11.5) are 0 in the preset, whose source has them inside the sample: "
        "that is refuted, and is the whole gap.",
        (),
    )


def _jia() -> About:
    models = ("isaac-split", "survey")
    return (
        "wordline drivers (Table 2: 0.7 of the energy here), whose energy follows columns alone",
        "A charge-domain SRAM macro, not RRAM: drivers and converters of Table 2 at its size. "
        "Ours has no supply voltage; 1.2 V is nearest to the 1.0 V of general-purpose 65 nm that "
        "its sources assume. At 0.85 V the macro takes half, as V² says.",
        tuple(
            Switch(
                f"adc.model = {model}",
                tops_per_w("hyflexpim", JIA | {"analog.adc.model": model}, 2304, 256),
            )
            for model in models
        ),
    )


def _wang() -> About:
    return (
        "64 conversions of single bits (ours) instead of one of 8-bit inputs and weights",
        "It multiplies 8-bit inputs with ladders of capacitors, so a column is converted once for "
        "what bit-serial arrays convert 8 planes × 8 columns: the gap is this choice of "
        "HyFlexPIM's (ISAAC's), not its unit energies.",
        tuple(
            Switch(
                f"adc.model = {model}",
                tops_per_w("hyflexpim", WANG | {"analog.adc.model": model}, 64, 16),
            )
            for model in ("isaac-split", "survey")
        ),
    )


def _core() -> About:
    return (
        "0.10 pJ a product, as SPRINT (the same laboratory and node) has it in a summary",
        "Bits of its operands are not in the abstract; SPRINT's are the upper 4.",
        (),
    )


_ABOUT: dict[str, Callable[[], About]] = {
    "RRAM, 130 nm: NeuRRAM": _neurram,
    "SRAM, 65 nm, 1.2 V": _jia,
    "SRAM, 65 nm, 0.85 V": lambda: ("the supply voltage, which no preset has", "", ()),
    "SRAM, 22 nm": _wang,
    "SRAM, 65 nm, analog core": _core,
}
