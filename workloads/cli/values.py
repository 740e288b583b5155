"""``hyflexsim run --values``: what is computed, kept and shown, of one model or of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from hyflexsim.workloads.cli import terminal_tables
from hyflexsim.workloads.scenario.colocation import Colocation
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.terminal import Say
from hyflexsim.workloads.values import execute, execute_each
from hyflexsim.workloads.values.executed import Executed


class Computed(NamedTuple):
    """A table by op, lines that sum it up, and notes."""

    table: Table
    lines: Sequence[str]
    notes: Sequence[str]


def computed(scenario: Scenario | Colocation, cells: str, say: Say, folder: Path) -> Computed:
    """Play the plan in numbers and keep values.parquet in the run directory ``folder``."""
    if isinstance(scenario, Scenario):
        one = execute(scenario, cells=cells, progress=say)
        one.save(folder)
        return Computed(terminal_tables.values(one.by_op()), _lines(one), one.notes)
    each = execute_each(scenario, cells=cells, progress=say)
    each.save(folder)
    lines = [f"{name}: {line}" for name, one in each.models.items() for line in _lines(one)]
    return Computed(terminal_tables.values_by_model(each.by_op()), lines, each.notes)


def _lines(one: Executed) -> list[str]:
    apart = f"outputs are within {one.output_error:.3g} of those in floating point"
    return [one.summary(), apart]
