"""A sweep from its file to its table: check, lay out points, compute them, keep them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.extraction.extract import extract
from hyflexsim.workloads.nearest import nearest
from hyflexsim.workloads.points.chosen import executor_of
from hyflexsim.workloads.points.done import Done
from hyflexsim.workloads.points.engine import Listed, Source, explore
from hyflexsim.workloads.scenario.experiment import Experiment
from hyflexsim.workloads.sweeping.answers import BY_KIND
from hyflexsim.workloads.sweeping.axes import Axis
from hyflexsim.workloads.sweeping.designs import Settings, plan_of
from hyflexsim.workloads.sweeping.results import Results, results
from hyflexsim.workloads.sweeping.scenario_point import scenario_of, scenario_point
from hyflexsim.workloads.sweeping.sweep_file import Sweep
from hyflexsim.workloads.terminal import Say

FORMAT = "hyflexsim-sweep-1"
CHECKED = 100
"""Most values of an axis that are tried before the first point is computed."""
_ALMOST = 1 - sys.float_info.epsilon


def sweep(
    what: Sweep | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    workers: int | None = None,
    dask: str | None = None,
    fresh: bool = False,
    retry: bool = False,
    progress: Say | None = None,
) -> Path:
    """Compute the points of a sweep that are not there yet; return its results folder.

    `what`: a file or the name of one that comes with hyflexsim, or the content of one
    (:mod:`~hyflexsim.workloads.sweeping.sweep_file`). `out`: the folder, runs/<name> by default; a
    sweep that was stopped goes on where it was. `workers`: processes, as many as there are cores by
    default; 0: none beside this one. `dask`: the address of a scheduler whose workers compute
    instead, such as ``tcp://host:8786`` (``hyflexsim[cluster]``). `fresh`: forget what is there.
    `retry`: compute failed points again.

    Raises InputError, before any point is computed, for what cannot be run: one line. A point that
    fails later has an error instead of answers.
    """
    loaded = as_sweep(what)
    first = check(loaded)
    target = Path(out) if out is not None else Path("runs") / loaded.name
    with results(target, _job(loaded, first), fresh=fresh) as kept:
        if retry:
            kept.forget(kept.failed())
        source = source_of(loaded, kept)
        if source.total > len(kept.rows()):
            with closing(executor_of(scenario_point, workers, dask)) as executor:
                explore(
                    *(source, executor, kept),
                    common=loaded.common,
                    seen=lambda done: _check_names(loaded, done),
                    say=progress,
                )
        kept.finish()
    return target


def as_sweep(what: Sweep | str | Path | Mapping[str, Any]) -> Sweep:
    """A sweep from its file, its name, or its content."""
    if isinstance(what, Sweep):
        return what
    return Sweep.of(what) if isinstance(what, Mapping) else Sweep.load(what)


def check(loaded: Sweep) -> Experiment:
    """The scenario of the first point, when every value of every axis has been tried beside it.

    Raises InputError for an unknown key, and for a value that is not allowed.
    """
    start = {axis.key: axis.at(0.0) for axis in loaded.axes}
    first = scenario_of({**loaded.common, **start})
    first.hardware()
    for axis in loaded.axes:
        for value in _some(axis):
            scenario_of({**loaded.common, **start, axis.key: value}).hardware()
    for model in first.sources:
        if model.name is not None:  # once, and not by all workers at the same time
            extract(model.name, leave_out=model.leave_out)
    return first


def _some(axis: Axis) -> Iterator[Any]:
    if axis.choices is None:
        yield from (axis.at(0.0), axis.at(_ALMOST))
        return
    step = -(-len(axis.choices) // CHECKED)
    yield from (axis.choices[place] for place in range(0, len(axis.choices), step))


def source_of(loaded: Sweep, kept: Results) -> Source:
    """Says which point is next."""
    if loaded.design.kind != "optuna":
        return Listed(loaded.points(), kept, plan_of)
    from hyflexsim.workloads.sweeping.search import Search  # noqa: PLC0415 (its extra)

    design = loaded.design
    return Search(loaded.axes, loaded.objectives, design.points or 0, design.seed, kept)


def first_and_last(loaded: Sweep) -> tuple[int, Settings, Settings]:
    """How many points a sweep has, and the settings of two far apart."""
    if loaded.design.kind == "optuna":
        ends = [{axis.key: axis.at(share) for axis in loaded.axes} for share in (0.0, _ALMOST)]
        return loaded.design.points or 0, ends[0], ends[1]
    points = loaded.points()
    return len(points), points[0], points[-1]


def _check_names(loaded: Sweep, done: Done) -> None:
    """Raise InputError for an answer that no point can have, when the first has come."""
    for name in (*loaded.objectives, *loaded.answers):
        if done.answers and name not in done.answers and not name.startswith(BY_KIND):
            raise InputError(f"{loaded.name}: no answer {name!r}; {nearest(name, done.answers)}")
    for name in loaded.objectives:
        if isinstance(done.answers.get(name, 0), str):
            raise InputError(f"{loaded.name}: an objective must be a number; {name} is a text")


def _job(loaded: Sweep, first: Experiment) -> dict[str, Any]:
    chip = {row.key: row.value for row in first.hardware().describe()}
    points = {
        "hyflexsim": metadata.version("hyflexsim"),
        "scenario": first.resolved(),
        "chip": chip,
        "set": loaded.common,
        "vary": {axis.key: _values(axis) for axis in loaded.axes},
        "design": loaded.design.model_dump(),
        "search": dict(loaded.objectives) if loaded.design.kind == "optuna" else None,
    }
    return {
        "format": FORMAT,
        "title": loaded.title,
        "settings": [axis.key for axis in loaded.axes],
        "linear": [axis.key for axis in loaded.axes if axis.high > axis.low and not axis.log],
        "answers": list(loaded.answers),
        "objectives": dict(loaded.objectives),
        "points": points,
    }


def _values(axis: Axis) -> Any:
    if isinstance(axis.choices, list):
        return axis.choices
    return {"from": axis.low, "to": axis.high, "log": axis.log, "unit": axis.unit}
