"""Writing the weights before a run, and how long cells last.

A row of an array is written at once, a pulse for all its cells; multi-level cells are read after
each pulse until all are in range. Modules work side by side, arrays of a module so many at once.

Cells of digital PIM wear by what is written there for every request: operands (keys, values), and
the result of every NOR, if the cells that hold results wear like others. With levelling the writes
of a layer fall evenly on all cells of its PUs; without, operands fall on the same cells in every
request, and results on one row of every array.

Sources: endurance and the claim of years HyFlexPIM §5.2; pulses Wan et al. (Nature 2022). Left out:
energy of reads that verify, cells that never reach their level.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hyflexsim.sim.energy import Row
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.units.analog_parameters import AnalogValues
from hyflexsim.sim.units.nor_parameters import NorValues
from hyflexsim.sim.units.tiling import Factor

DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Programming:
    """Writing all weights of a placement once: cells and pulses by mode, time, energy.

    ``years``: how long the cells last if the weights are written again every ``period`` days.
    """

    cells: dict[str, int]
    pulses: dict[str, float]
    time_ps: int
    energy_pj: float
    endurance: float

    def years(self, days: float) -> float:
        """Years until the most worn cells reach their endurance, a rewrite every so many days."""
        worst = max((pulses / self.cells[mode] for mode, pulses in self.pulses.items()), default=0)
        return self.endurance / worst * days / DAYS_A_YEAR if worst else math.inf


@dataclass(frozen=True)
class Wear:
    """Of the layers whose cells of digital PIM wear most, by request.

    ``operands``, ``results``: cells written, ``levelled`` and ``hottest`` writes of one cell with
    and without levelling, by what is counted ("operands", or "operands and results").
    """

    layer: str
    operands: int
    results: int
    levelled: dict[str, float]
    hottest: dict[str, float]
    endurance: float

    def years(self, writes: float, requests_per_day: float) -> float:
        """Years until a cell that is written so often a request reaches its endurance."""
        if not writes * requests_per_day:
            return math.inf
        return self.endurance / (writes * requests_per_day * DAYS_A_YEAR)


def programming(placement: Placement) -> Programming | None:
    """Writing the weights, copies included; None where they lie in memory, as bytes."""
    holder = placement.chip.holder
    module = holder.values
    if not isinstance(module, AnalogValues):
        return None
    write = module.programming
    mean = {"slc": write.slc_pulses, "mlc": write.mlc_pulses}
    cells = {"slc": 0, "mlc": 0}
    for weight in placement.weights.values():
        for part, copies in zip(weight.parts, weight.part_copies, strict=True):
            assert isinstance(part, Factor)
            cells["slc"] += part.cells_slc * copies
            cells["mlc"] += part.cells_mlc * copies
    pulses = {mode: mean[mode] * count for mode, count in cells.items() if count}
    return Programming(
        cells,
        pulses,
        _longest_module(placement, module),
        sum(pulses.values()) * write.pulse_energy,
        write.endurance,
    )


def _longest_module(placement: Placement, module: AnalogValues) -> int:
    """Time of the module that takes longest; arrays fill the modules of a PU in turn."""
    write = module.programming
    verified = write.pulse + module.read_cycle
    row = {"slc": write.slc_pulses * write.pulse, "mlc": write.mlc_pulses * verified}
    if write.slc_pulses > 1:  # more than one pulse is verified too
        row["slc"] = write.slc_pulses * verified
    waiting: dict[tuple[int, tuple[int, ...]], list[float]] = defaultdict(list)
    for each in placement.rows():
        times = [row["slc"]] * each["arrays_slc"] + [row["mlc"]] * each["arrays_mlc"]
        # neighbours that share a PU have modules of their own there
        waiting[each["pu"], placement.pus[each["layer"]]] += times * each["copies"]
    for pu, pus, slc, mlc in _of_single_factors(placement):
        waiting[pu, pus] += [row["slc"]] * slc + [row["mlc"]] * mlc
    longest = 0.0
    for times in waiting.values():
        for start in range(0, len(times), module.arrays):
            mine = sorted(times[start : start + module.arrays], reverse=True)
            longest = max(longest, sum(mine[:: write.arrays_at_once]) * module.rows)
    return math.ceil(longest)


def _of_single_factors(placement: Placement) -> Iterator[tuple[int, tuple[int, ...], int, int]]:
    """PU, its group, SLC and MLC arrays there of a matrix's copies of one factor alone."""
    for weight, pus, first, slots in placement.dealt():
        further = list(zip(weight.parts, weight.further, strict=False))
        slc, mlc = (
            sum(part.cells()[column] * copies for part, copies in further)
            for column in ("arrays_slc", "arrays_mlc")
        )
        after = first + weight.pieces * weight.copies
        for position, pu in enumerate(pus):
            held = (slots.dealt(after, slc, position), slots.dealt(after + slc, mlc, position))
            yield pu, pus, *held


def wear(placement: Placement, ledger: Sequence[Row], requests: int) -> Wear | None:
    """Wear of digital PIM by a run's ledger (:func:`hyflexsim.sim.energy.ledger`); None: no cells.

    ``requests``: that the run served.
    """
    memory = placement.chip.unit("results")
    module = memory.values
    if not isinstance(module, NorValues):
        return None
    counts: dict[tuple[int, ...], _Counts] = defaultdict(_Counts)
    for row in ledger:
        if row["unit"] == memory.name and row["action"] in ("cell_write", "nor"):
            counts[placement.pus[row["layer"]]].add(row)
    found = [_of_pus(placement, pus, each, requests) for pus, each in counts.items()]
    return max(found, key=lambda each: max(each.hottest.values()), default=None)


class _Counts:
    """What the layers on some PUs write: cells by layer and action."""

    def __init__(self) -> None:
        self.by_layer: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, row: Row) -> None:
        self.by_layer[row["layer"]][row["action"]] += row["count"]

    def total(self, action: str, requests: int) -> int:
        return sum(each[action] for each in self.by_layer.values()) // requests


def _of_pus(placement: Placement, pus: tuple[int, ...], counts: _Counts, requests: int) -> Wear:
    """Layers that share PUs wear them together."""
    unit = placement.chip.unit("results")
    module: NorValues = unit.values
    operands, results = counts.total("cell_write", requests), counts.total("nor", requests)
    modules = unit.working(placement.share(pus))
    cells = modules * module.arrays * module.rows * module.columns
    at_once = modules * module.arrays * (module.columns // module.columns_per_nor)
    levelled = {"operands": operands / cells, "operands and results": (operands + results) / cells}
    writers = sum(1 for each in counts.by_layer.values() if each["cell_write"])
    hottest = {"operands": float(writers)}
    hottest["operands and results"] = max(hottest["operands"], results / at_once)
    layers = "+".join(counts.by_layer)
    return Wear(layers, operands, results, levelled, hottest, module.endurance)
