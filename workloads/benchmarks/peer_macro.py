"""The linear layers of BERT-Base on the same analog macro, by AccelForge and here.

``make peers`` (``python -m hyflexsim.workloads.benchmarks.peer_macro``) takes two macros of arrays
with 2-bit cells and one converter each, weights and inputs of 8 bits: ISAAC's (128 x 128, 8 bits,
32 nm) and HyFlexPIM's (64 x 128, 7 bits, 65 nm). Both sides get the same sizes and as many arrays
as hold a matrix; unit energies are each side's own. So what agrees are counts and cycles, and where
energies part is seen component by component.

AccelForge has cells and drivers from NeuroSim 1.3, buffers from CACTI and converters from a survey;
it searches a mapping and knows no bus between arrays and buffer. Here they are Table I of ISAAC and
Table 2 of HyFlexPIM. AccelForge needs an environment of its own (Python 3.12)::

    pip install accelforge hwcomponents-library hwcomponents-adc
    pip install --no-binary hwcomponents-neurosim,hwcomponents-cacti hwcomponents-neurosim \\
        hwcomponents-cacti
    python -m hyflexsim.workloads.benchmarks.peer_macro --python accelforge=PATH --out FILE.csv
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from hyflexsim.sim import energy
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine.engines import play
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.placement.mapping import Options, place
from hyflexsim.sim.plan.copies import component_loads
from hyflexsim.sim.plan.planner import build_plan
from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.benchmarks.peers import measure, products
from hyflexsim.workloads.reproduction.silicon import one_matrix

TOKENS = 128


class Macro(NamedTuple):
    """A preset, what of it differs, and the same in AccelForge's words."""

    preset: str
    changes: Mapping[str, float]
    rows: int
    adc_bits: int
    nm: int


MACROS = {
    "ISAAC, 32 nm": Macro("isaac", {}, 128, 8, 32),
    "HyFlexPIM in 2-bit cells, 65 nm": Macro("hyflexpim", {}, 64, 7, 65),
}
PARTS = {
    "converters": ("ADC", "adc_conversion_slc", "adc_conversion_mlc"),
    "cells": ("CimUnit", "array_read"),
    "drivers, sample-and-hold": ("RowDrivers", "ColumnDrivers", "wordline_drive", "sample_hold"),
    "shift-and-add": ("ShiftAdd", "shift_add"),
    "registers": ("InputBuffer", "OutputBuffer", "input_register", "output_register"),
}
"""Parts of a macro: the first names are AccelForge's components, the others our actions."""
COLUMNS = ("macro", "product", "what", "unit", "hyflexsim", "accelforge")


class Found(NamedTuple):
    """fJ a multiply-accumulate by part; ns a vector in the arrays; the same with buses."""

    fj: dict[str, float]
    ns: float
    played_ns: float
    arrays: int


def linear() -> list[tuple[str, int, int, int]]:
    """Products with weights (name, tokens, inputs, outputs): 48, 12 and 12 in BERT-Base."""
    return products(TOKENS)[:3]


def ours(macro: Macro, product: tuple[str, int, int, int]) -> Found:
    """One matrix, dense, in multi-level cells; the plan that any run would play."""
    _, tokens, inputs, outputs = product
    chip = load_chip(macro.preset, dict(macro.changes))
    graph = one_matrix(inputs, outputs)
    placement = place(graph, chip, Options(slc_rate=0.0, copies="none"))
    plan = build_plan(graph, placement)
    played = play(plan, [Request(0, tokens)])
    counts = energy.counted(plan, played, chip)
    loads = component_loads(plan, tokens)
    banks = [load for part, load in zip(plan.components, loads, strict=True) if part.kind == "bank"]
    (finished,) = played.finished
    return Found(
        _by_part(chip, counts, tokens * inputs * outputs),
        max(banks) / tokens / 1e3,
        finished / tokens / 1e3,
        placement.weights["W"].pieces,
    )


def _by_part(chip: Chip, counts: Mapping[tuple[str, str], int], macs: int) -> dict[str, float]:
    """fJ a multiply-accumulate by part, of what the arrays' unit counts."""
    holder = chip.holder.name
    found: dict[str, float] = defaultdict(float)
    for (unit, action), count in counts.items():
        part = next((part for part, names in PARTS.items() if action in names), None)
        if unit == holder and part:
            found[part] += 1e3 * count * chip.action_energy(unit, action)[0] / macs
    return {part: found[part] for part in PARTS}


def theirs(macro: Macro, python: str) -> dict[str, Any]:
    """What AccelForge says, by its own interpreter."""
    asked = {"rows": macro.rows, "adc_bits": macro.adc_bits, "nm": macro.nm, "products": linear()}
    script = str(Path(__file__).with_name("peer_macro_run.py"))
    return measure([python, script, json.dumps(asked)])


def rows(name: str, macro: Macro, peer: Mapping[str, Any]) -> Iterator[tuple[str | float, ...]]:
    """The table of one macro, in the order of :data:`COLUMNS`; ``peer``: nothing where missing."""
    by_name = {each["name"]: each for each in peer.get("products", ())}
    for product in linear():
        mine, other = ours(macro, product), by_name.get(product[0])
        parts = _grouped(other["fj"]) if other else dict.fromkeys(PARTS, float("nan"))
        for part in PARTS:
            yield name, product[0], part, "fJ/MAC", mine.fj[part], parts[part]
        total = (sum(mine.fj.values()), sum(parts.values()))
        yield name, product[0], "all parts", "fJ/MAC", *total
        cycle = other["seconds"] / product[1] * 1e9 if other else float("nan")
        yield name, product[0], "a vector, arrays alone", "ns", mine.ns, cycle
        yield name, product[0], "a vector, buses too", "ns", mine.played_ns, float("nan")
        arrays = other["arrays"] if other else float("nan")
        yield name, product[0], "arrays", "", mine.arrays, arrays


def _grouped(fj: Mapping[str, float]) -> dict[str, float]:
    """AccelForge's components by part. Raises ValueError for one that has no part."""
    known = {name for names in PARTS.values() for name in names}
    if set(fj) - known:
        raise ValueError(f"accelforge names {', '.join(sorted(set(fj) - known))}")
    return {part: sum(fj.get(name, 0.0) for name in names) for part, names in PARTS.items()}


def main(
    python: Annotated[
        list[str] | None, typer.Option(metavar="accelforge=PATH", help="Its interpreter.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The table as CSV.")] = None,
) -> None:
    """Print both sides, part by part."""
    interpreters = dict(item.split("=", 1) for item in python or [])
    table = Table(*COLUMNS, "theirs / ours")
    found = []
    for name, macro in MACROS.items():
        peer = theirs(macro, interpreters.get("accelforge", sys.executable))
        if "missing" in peer or "failed" in peer:
            why = peer.get("failed", "not installed here; see the head of this file")
            print(f"accelforge: skipped, {why}")
        for row in rows(name, macro, peer):
            found.append(row)
            mine, other = float(row[4]), float(row[5])
            table.add_row(*map(str, row[:4]), f"{mine:,.4g}", *_shown(mine, other))
    Console(width=130).print(table)
    if out is not None:
        _write(out, found)


def _shown(mine: float, other: float) -> tuple[str, str]:
    if math.isnan(other):
        return "–", "–"
    return f"{other:,.4g}", f"{other / mine:.2f}"


def _write(out: Path, found: list[tuple[str | float, ...]]) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in found:
            numbers = ["" if math.isnan(float(x)) else f"{float(x):.5g}" for x in row[4:]]
            writer.writerow([*row[:4], *numbers])


if __name__ == "__main__":
    typer.run(main)
