"""Several models of one scenario in numbers: each by itself, on its own share of the PUs.

What models have in common (ports, buses) moves numbers and changes none, and what a visit may read
is what its plan lets it wait for, whenever that comes. So each model's plan is played alone, as it
was placed beside the others. A model that is a graph has no weights: it is left out, and said so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.run.colocated import prepare, refused_by_name
from hyflexsim.workloads.scenario.colocation import Colocation
from hyflexsim.workloads.terminal import Say
from hyflexsim.workloads.values.executed import REQUESTS, Cells, Executed, execute
from hyflexsim.workloads.values.results import Row, save


@dataclass(frozen=True)
class ExecutedModels:
    """How the numbers of each model agree; ``without``: names of models that have no weights."""

    models: dict[str, Executed]
    without: list[str]

    @property
    def notes(self) -> list[str]:
        """Notes of all, with the model's name before each."""
        return [
            *(f"{name}: no values: model.graph has no weights" for name in self.without),
            *(f"{name}: {note}" for name, done in self.models.items() for note in done.notes),
        ]

    def by_op(self) -> Iterator[tuple[str, Row]]:
        """A row an op of each model, with the model's name."""
        for name, done in self.models.items():
            yield from ((name, row) for row in done.by_op())

    def save(self, folder: Path) -> None:
        """Write values.parquet: model, op, what, elements, equal, largest_difference."""
        rows = [(name, *row) for name, done in self.models.items() for row in done.rows]
        columns = zip(*rows, strict=True)
        save(folder, dict(zip(("model", *Row._fields), columns, strict=True)))


def execute_each(
    colocation: Colocation,
    *,
    cells: Cells | str = "ideal",
    requests: int = REQUESTS,
    progress: Say | None = None,
) -> ExecutedModels:
    """Play the plan of each model in numbers (:func:`~hyflexsim.workloads.values.execute`).

    ``requests``: at most so many of each model. Raises InputError for what a model lacks, with its
    name, and where none has weights.
    """
    parts = prepare(colocation).parts
    without = [part.name for part in parts if part.scenario.model.graph is not None]
    if len(without) == len(parts):
        raise InputError(
            f"values: model.graph has no weights, and none of models {', '.join(without)} has a "
            "model.name or model.checkpoint"
        )
    done = {}
    for part in parts:
        if part.name not in without:
            with refused_by_name(part.name):
                done[part.name] = execute(
                    part.scenario,
                    cells=cells,
                    requests=requests,
                    ready=part.alone(),
                    progress=progress,
                )
    return ExecutedModels(done, without)
