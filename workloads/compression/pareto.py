"""Accuracy, latency, energy and area, over the SLC rate, the budget of parameters, and the chip.

A model of every budget (:mod:`.subjects`) is placed on every chip at every SLC rate: the points
(:mod:`.pareto_point`), computed by as many processes as there are cores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hyflexsim.analysis import on_front
from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.compression.accuracy import notes
from hyflexsim.workloads.compression.devices import device_of, noises_of
from hyflexsim.workloads.compression.judged_models import score
from hyflexsim.workloads.compression.machines import Machine, machines_from, varied
from hyflexsim.workloads.compression.pareto_point import (
    OPEN,
    as_read,
    label,
    noise_labelled,
    pareto_point,
)
from hyflexsim.workloads.compression.subjects import Subject
from hyflexsim.workloads.outputs import check_folder
from hyflexsim.workloads.points.study import computed
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.scenario.schema import Accuracy
from hyflexsim.workloads.terminal import Say

MARKS = ("pareto.json", "pareto.parquet")
KEY = ("budget", "chip", "slc_rate", "noise")
"""Columns that tell rows apart; ``chip``: its name, or what differs, as ``key=value, …``."""
COSTS = ("latency_ps", "energy_pj", "area_mm2")
"""What a point of the front is to have little of, beside a good score."""
_SCHEMA = {
    "budget": pa.float64(),
    "chip": pa.string(),
    "slc_rate": pa.float64(),
    "noise": pa.string(),
    "sigma": pa.float64(),
    "seeds": pa.int32(),
    "score": pa.float64(),
    "half_width": pa.float64(),
    "latency_ps": pa.int64(),
    "energy_pj": pa.float64(),
    "area_mm2": pa.float64(),
    "arrays": pa.int64(),
    "throughput_per_s": pa.float64(),
    "front": pa.bool_(),
}
Row = dict[str, Any]


def pareto(
    subject: Subject,
    rates: Sequence[float],
    settings: Accuracy,
    out: str | Path,
    *,
    machines: Mapping[str, Machine] | None = None,
    workers: int | None = None,
    say: Say | None = None,
    fresh: bool = False,
    draw: Callable[[Path], object] = lambda folder: None,
) -> Path:
    """Write directory `out` (pareto.parquet, pareto.json); resumed where it was interrupted.

    `rates`: SLC shares from 0 to 1. `settings`: noise, seeds and how many items are scored.
    `machines`: chips to compare, by what a row is to call them, the one they are compared with
    first; None: the default one. `workers`: processes, as many as there are cores by default; 0:
    none beside this one. `draw` adds pictures before the directory appears.
    """
    for rate in rates:
        if not 0 <= rate <= 1:
            raise InputError(f"--slc-rate must be from 0 to 100 per cent; got {100 * rate:g}")
    if not rates:
        raise InputError("--slc-rate must have a value; got none")
    machines = machines or machines_from(Machine(), ())
    chips = {name: machine.chip() for name, machine in machines.items()}
    for name, chip in chips.items():  # refused before any work
        device_of(chip, noises_of(chip, settings)[0], machines[name].clip)
    check_folder(out, MARKS)
    say = say or (lambda what, done, total: None)
    described = {name: [row._asdict() for row in chip.describe()] for name, chip in chips.items()}
    job = subject.job | {
        "rates": list(rates),
        "accuracy": settings.model_dump(),
        "chips": described,
    }
    with working(out, job, fresh=fresh) as work:
        opened = subject.opened(work, say)
        figures = work.fact("reference", lambda: score(opened.model, opened.task, settings.limit))
        subject.compress(opened, work, say)
        try:
            rows = computed(
                work.rows(KEY),
                _points(subject, machines, rates, settings),
                pareto_point,
                common={
                    "subject": subject.job,
                    "folder": str(work.folder.resolve()),
                    "accuracy": settings.model_dump(mode="json"),
                },
                workers=workers,
                group=lambda point: _device(point, settings),
                say=say,
            )
        finally:
            OPEN.close()
        metric = opened.task.metric
        with work.result() as target:
            table = _with_front(rows, metric.higher_is_better)
            run_dir.write_rows(target / "pareto.parquet", _SCHEMA, table)
            run_dir.write_json(
                target / "pareto.json",
                {
                    "title": subject.recipe.title or subject.recipe.name,
                    "model": opened.about,
                    "data": subject.recipe.data["name"],
                    "metric": metric._asdict(),
                    "reference": {"name": subject.reference, "score": figures[metric.name]},
                    "chips": varied(machines),
                    "accuracy": settings.model_dump(mode="json"),
                    "subject": subject.job,
                    "notes": [*notes(settings), *subject.unlike_training(opened)],
                },
            )
            draw(target)
    return Path(out)


def _points(
    subject: Subject, machines: Mapping[str, Machine], rates: Sequence[float], settings: Accuracy
) -> list[Row]:
    """All points, as :func:`pareto_point` takes them; ``chip``: what a row calls its machine."""
    return [
        {
            "budget": budget,
            "chip": name,
            "slc_rate": rate,
            "noise": label(noise),
            "machine": machine._asdict(),
        }
        for budget in subject.budgets
        for name, machine in machines.items()
        for rate in rates
        for noise in noises_of(machine.chip(), settings)
    ]


def _device(point: Mapping[str, Any], settings: Accuracy) -> str:
    """What points have in common that are scored alike, as far as their settings say that."""
    machine = Machine(**point["machine"])
    chip = machine.chip()
    device = device_of(chip, noise_labelled(chip, settings, point["noise"]), machine.clip)
    rate = point["slc_rate"]
    return repr((point["budget"], rate, as_read(device, in_slc=rate == 1)))


def _with_front(rows: Sequence[Row], higher: bool) -> list[Row]:
    """Rows with ``front``: whether none of the same noise is better in score and all costs."""
    found: dict[int, bool] = {}
    for noise in {row["noise"] for row in rows}:
        own = [i for i, row in enumerate(rows) if row["noise"] == noise]
        sign = -1 if higher else 1
        costs = [[rows[i][cost] for cost in COSTS] for i in own]
        losses = [sign * rows[i]["score"] for i in own]
        found |= dict(zip(own, on_front(costs, losses).tolist(), strict=True))
    return [row | {"front": found[i]} for i, row in enumerate(rows)]
