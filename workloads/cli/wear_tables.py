"""What ``hyflexsim wear`` prints: writing the weights, refreshing them, how long cells last."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from hyflexsim.sim.wear import Programming, Wear
from hyflexsim.workloads.cli import terminal_tables
from hyflexsim.workloads.cli.terminal_tables import si

SECONDS_A_DAY = 86_400


def programming_table(found: Programming, energy_per_request_pj: float) -> Table:
    """Cells, pulses, time and energy of writing all weights once."""
    rows = terminal_tables.table("writing the weights", "", ">", "")
    for mode, cells in found.cells.items():
        if cells:
            mean = found.pulses[mode] / cells
            rows.add_row(f"{mode.upper()} cells", si(cells), f"{mean:.3g} pulses each")
    rows.add_row("time", si(found.time_ps * 1e-12, "s"), "modules side by side")
    energy = found.energy_pj
    worth = energy / energy_per_request_pj if energy_per_request_pj else math.inf
    rows.add_row("energy", si(energy * 1e-12, "J"), f"that of {si(worth)} requests")
    return rows


def refresh_table(found: Programming, every_days: Sequence[float]) -> Table:
    """Writing all weights again, against drift: power on average, and years to the endurance."""
    rows = terminal_tables.table("refresh", ">every", ">power", ">busy", ">cells last")
    for days in every_days:
        seconds = days * SECONDS_A_DAY
        power = found.energy_pj * 1e-12 / seconds
        busy = found.time_ps * 1e-12 / seconds
        rows.add_row(
            f"{days:g} d", si(power, "W"), f"{100 * busy:.2g} %", _years(found.years(days))
        )
    return rows


def wear_table(found: Wear, per_day: float) -> Table:
    """Years that the most worn cells of digital PIM last, by what is counted as a write."""
    title = f"digital PIM of {found.layer}, {si(per_day)} requests a day"
    names = (">a cell, levelled", ">last", ">hottest cell", ">last")
    rows = terminal_tables.table(title, "writes of", *names)
    for what, level in found.levelled.items():
        hot = found.hottest[what]
        cells = [(f"{w:.3g}", _years(found.years(w, per_day))) for w in (level, hot)]
        rows.add_row(what, *cells[0], *cells[1])
    return rows


def _years(years: float) -> str:
    return "for ever" if math.isinf(years) else f"{years:,.3g} years"
