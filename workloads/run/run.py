"""A scenario from its model to its tables: prepare, play, count, save.

What happens before the first event: prepare.py; what is told of a run: summary.py.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import networkx as nx

from hyflexsim.sim import energy
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine import engines
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.engine.trace import Filter, Keep
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.workloads import outputs
from hyflexsim.workloads.run import run_dir
from hyflexsim.workloads.run.column_table import Row
from hyflexsim.workloads.run.idle_settings import Ran, idle_note
from hyflexsim.workloads.run.kept import Kept
from hyflexsim.workloads.run.low_rank_note import low_rank_note
from hyflexsim.workloads.run.one_more_note import one_more_note
from hyflexsim.workloads.run.painter import Painter
from hyflexsim.workloads.run.precision import Streams, enough
from hyflexsim.workloads.run.precision import notes as precision_notes
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.run.stream import stream
from hyflexsim.workloads.run.summary import NOTES, bound_by, request_table, summarize
from hyflexsim.workloads.run.trace_writer import TraceWriter, write_trace
from hyflexsim.workloads.scenario.experiment import Experiment
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.terminal import Say

Judge = Callable[[Scenario, nx.DiGraph, Placement, Say], dict[str, Any]]
"""Scores a scenario's checkpoint on its placement: "accuracy" of summary.json."""


@dataclass(frozen=True)
class Result:
    """What a run gave; ``tables`` and ``summary`` are those of docs/architecture.md.

    ``tables`` maps ``components``, ``energy``, ``requests`` and ``placement`` to sequences of
    rows; the trace is ``played.trace``. ``seconds``: wall time of each phase. ``trace_file``: what
    still writes the trace of a run that was given a folder.
    """

    scenario: Experiment
    chip: Chip
    graph: nx.DiGraph
    placement: Placement
    plan: Plan
    played: Played
    requests: list[Request]
    tables: dict[str, Sequence[Row]]
    summary: dict[str, Any]
    seconds: dict[str, float]
    trace_file: TraceWriter | None = None

    def save(self, out_dir: str | Path, *, pictures: bool = False) -> Path:
        """Write the run directory and return its path; ``pictures``: with the PNG files.

        An older run directory is replaced, anything else refused (:class:`InputError`).
        """
        with outputs.new_folder(out_dir, run_dir.MARKS) as folder:
            self.fill(folder, Painter() if pictures else None)
        return Path(out_dir)

    def fill(self, folder: Path, painter: Painter | None = None) -> None:
        """Write into an empty folder, or that which the run was given, and have pictures drawn."""
        from hyflexsim.workloads.run import run_tables  # noqa: PLC0415 (pyarrow)

        with timed(self.seconds, "write"):
            for name, rows in self.tables.items():
                run_tables.write_table(folder, name, rows)
            run_dir.write_json(folder / "scenario.json", self._resolved())
            run_dir.write_json(folder / "summary.json", self.summary)
            if painter is not None:
                painter.tables_are_there(folder)
            if self.trace_file is None:
                write_trace(folder, self.plan, self.played)
            else:
                self.trace_file.finish()
        if painter is not None:
            with timed(self.seconds, "pictures"):
                painter.draw(folder)
        run_dir.write_json(folder / "host.json", _host(self.seconds))

    def _repr_html_(self) -> str:
        """What a notebook shows: the headline and, of runs that are not long, its pictures."""
        from hyflexsim.analysis.run import run, shown  # noqa: PLC0415 (pandas, matplotlib)

        if self.trace_file is not None or len(self.played.trace) > shown.DRAWN:
            return shown.headline(self.summary)
        with TemporaryDirectory() as folder:
            path = replace(self, seconds={}).save(Path(folder) / self.scenario.name)
            return shown.html(run.load(path))

    def _resolved(self) -> dict[str, Any]:
        return self.scenario.resolved() | {
            "op_kinds": dict(self.graph.nodes(data="kind")),
            "hardware": {row.key: row._asdict() for row in self.chip.describe()},
        }


def simulate(
    scenario: Scenario | str | Path,
    *,
    graph: nx.DiGraph | None = None,
    progress: Say | None = None,
    servers: engines.Servers | None = None,
    chip: Chip | None = None,
    judge: Judge | None = None,
    folder: Path | None = None,
    kept: Kept | None = None,
    explain: bool = False,
    values: bool = False,
) -> Result:
    """Run a scenario as :func:`hyflexsim.workloads.simulate` does, which hands in the judge.

    ``judge``: says how right the scenario's checkpoint is; without it only how long and how much.
    ``folder``: where the trace is written while the engine plays, for :meth:`Result.fill`.
    ``explain``: with notes on low rank, on one token more and on settings without effect;
    ``values``: for these, see idle_settings.py.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    seconds: dict[str, float] = {}
    kept = Kept() if kept is None else kept
    say = progress or (lambda what, done, total: None)
    with timed(seconds, "prepare"):
        what = scenario.model.name or scenario.model.graph or scenario.model.checkpoint
        say(f"placing {what}", 0, 0)
        ready = prepare(scenario, graph, chip, kept)
    most = len(ready.requests)

    def streams_of(part: Prepared, played: Played, components: Sequence[Row]) -> Streams:
        if len(played.lost) == len(played.finished):
            return [None]
        busiest = bound_by(part.chip, components)
        return [stream(scenario, part, played, busiest["utilisation"])]

    ready = as_precise(scenario, ready, streams_of, seconds, say, servers)
    result = played_and_counted(scenario, ready, seconds, say, servers, folder)
    summary = result.summary
    summary["notes"] += precision_notes(scenario, summary["stream"], len(result.requests), most)
    if judge is not None and scenario.model.checkpoint is not None:
        with timed(seconds, "accuracy"):
            summary["accuracy"] = judge(scenario, ready.graph, ready.placement, say)
            summary["notes"] = [note for note in summary["notes"] if note != NOTES[0]]
    if explain:
        scored = judge is not None and scenario.model.checkpoint is not None
        summary["notes"] += low_rank_note(scenario, ready)
        if servers is None:  # else another run would need components of their kind
            summary["notes"] += one_more_note(scenario, ready, result.played)
        summary["notes"] += idle_note(Ran(scenario, ready, result.played, values or scored, kept))
    return result


def as_precise(
    scenario: Experiment,
    ready: Prepared,
    streams_of: Callable[[Prepared, Played, Sequence[Row]], Streams],
    seconds: dict[str, float],
    say: Say,
    servers: engines.Servers | None = None,
) -> Prepared:
    """As few of the requests as ``run.precision`` takes (precision.py); all where it is not asked.

    ``streams_of``: tells of what was played, and of its components, model by model.
    """
    asked = scenario.run.precision
    if asked is None:
        return ready
    most = len(ready.requests)

    def played_streams(part: Prepared) -> Streams:
        say("simulating for run.precision", len(part.requests), most)
        played = _play(scenario, part, servers, keep=Keep(requests=(0, 0)))
        return streams_of(part, played, energy.components(part.plan, played))

    with timed(seconds, "precision"):
        return enough(scenario, ready, asked, played_streams)


def played_and_counted(
    scenario: Experiment,
    ready: Prepared,
    seconds: dict[str, float],
    say: Say,
    servers: engines.Servers | None = None,
    folder: Path | None = None,
) -> Result:
    """What happens after :func:`prepare`; ``seconds``: is told how long each phase takes."""
    plan, requests = ready.plan, ready.requests
    keep = checked_keep(scenario, ready)
    with timed(seconds, "play"):
        engine = engines.choose(plan, requests, scenario.run.engine, servers)
        say("simulating", 0, len(requests))
        finished = 0

        def count(_: int) -> None:
            nonlocal finished
            finished += 1
            say("simulating", finished, len(requests))

        trace_file = None if folder is None else TraceWriter(folder, plan)
        try:
            watch = None if trace_file is None else trace_file.add
            played = _play(scenario, ready, servers, progress=count, keep=keep, watch=watch)
        except BaseException:
            if trace_file is not None:
                trace_file.abandon()
            raise
    if len(played.lost) == len(played.finished):
        raise dead_before(plan, ready.deaths)
    with timed(seconds, "count"):
        say("counting", len(requests), len(requests))
        mode = scenario.run.energy
        tables: dict[str, Sequence[Row]] = {
            "components": energy.components(plan, played),
            "energy": energy.energy_rows(plan, played, ready.chip, mode),
            "requests": request_table(ready, played, mode),
            "placement": list(ready.placement.rows()),
        }
        summary = summarize(scenario, ready, played, tables, engine)
    return Result(
        scenario=scenario,
        chip=ready.chip,
        graph=ready.graph,
        placement=ready.placement,
        plan=plan,
        played=played,
        requests=requests,
        tables=tables,
        summary=summary,
        seconds=seconds,
        trace_file=trace_file,
    )


def _play(
    scenario: Experiment, ready: Prepared, servers: engines.Servers | None, **options: Any
) -> Played:
    return engines.play(
        ready.plan,
        ready.requests,
        engine=scenario.run.engine,
        window=ready.window,
        servers=servers,
        deaths=ready.deaths,
        host=ready.host,
        **options,
    )


def dead_before(plan: Plan, deaths: Mapping[int, int]) -> InputError:
    """What to say where the first of ``deaths`` (components, ps) comes before any answer."""
    first = min(deaths, key=deaths.__getitem__)
    return InputError(
        f"faults.deaths: no request is answered before {plan.components[first].name} dies at "
        f"{deaths[first]} ps; let it die later"
    )


def checked_keep(scenario: Experiment, ready: Prepared) -> Keep:
    """Which visits are written. Raises InputError where that would be none."""
    keep, requests = scenario.keep(), len(ready.requests)
    if not keep.all:
        Filter(ready.plan, keep)
    first, stop = keep.requests or (0, requests)
    if first >= min(stop, requests):
        raise InputError(
            f"trace.first must be below {min(stop, requests)} (trace.stop, and the requests); "
            f"got {first}"
        )
    return keep


# --- wall clock ----------------------------------------------------------------------------------


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Note the wall time of a phase."""
    started = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - started


def _host(seconds: dict[str, float]) -> dict[str, Any]:
    packages = ("simpy", "numpy", "networkx", "pyarrow", "pydantic")
    return {
        "seconds": {phase: round(time, 3) for phase, time in seconds.items()},
        "versions": {"python": platform.python_version(), "hyflexsim": _version("hyflexsim")}
        | {name: _version(name) for name in packages},
        "machine": {
            "system": platform.system(),
            "cpu": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
