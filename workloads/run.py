"""A scenario from its model to its tables: extract, rank, place, copy, plan, play, count.

Each line of :func:`simulate` is one arrow of docs/architecture.md::

    model ─> graph ─> ranks ─> placement ─> copies ─> plan ─> played ─> tables, summary
"""

from __future__ import annotations

import os
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from hyflexsim.sim import energy, engines
from hyflexsim.sim import graph as g
from hyflexsim.sim.area import chip_area, pu_area
from hyflexsim.sim.copies import apply_copies
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.hardware import Hardware, used_assumptions
from hyflexsim.sim.mapping import Options, Placement, place
from hyflexsim.sim.memory import requests_at_once
from hyflexsim.sim.overlap import layer_serial
from hyflexsim.sim.plan import Plan
from hyflexsim.sim.planner import build_plan
from hyflexsim.sim.played import Played, Request
from hyflexsim.sim.trace import Keep
from hyflexsim.workloads import arrivals, run_dir
from hyflexsim.workloads.columns import Columns
from hyflexsim.workloads.extract import extract, extract_config
from hyflexsim.workloads.jet_sample import sample_lengths
from hyflexsim.workloads.ranks import exact_ops, with_ranks
from hyflexsim.workloads.scenario import Scenario
from hyflexsim.workloads.schema import Generate, Jets

NOTES = (
    "timing and energy only: values are not computed, accuracy is not affected by the devices",
    "weights are on the chip when the run starts: programming them is not counted",
    "controllers, clock distribution and leakage are not in time, energy or area",
)
"""What no run models."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """Everything that is decided before the first event."""

    hw: Hardware
    graph: nx.DiGraph
    placement: Placement
    plan: Plan
    requests: list[Request]
    labels: list[str]
    window: int


@dataclass(frozen=True)
class Result:
    """What a run gave; ``tables`` and ``summary`` are those of docs/architecture.md.

    ``tables`` maps ``components``, ``energy``, ``requests`` and ``placement`` to sequences of
    rows; the trace is ``played.trace``. ``seconds``: wall time of each phase.
    """

    scenario: Scenario
    hw: Hardware
    graph: nx.DiGraph
    placement: Placement
    plan: Plan
    played: Played
    requests: list[Request]
    tables: dict[str, Sequence[Row]]
    summary: dict[str, Any]
    seconds: dict[str, float]

    def save(self, out_dir: str | Path, *, pictures: bool = False) -> Path:
        """Write the run directory and return its path; ``pictures``: with the PNG files.

        An older run directory is replaced, anything else refused (:class:`InputError`).
        """
        from hyflexsim.workloads import run_tables  # noqa: PLC0415 (pyarrow)

        with run_dir.new_run_dir(out_dir) as folder:
            with _timed(self.seconds, "write"):
                run_tables.write_trace(folder, self.plan, self.played)
                for name, rows in self.tables.items():
                    run_tables.write_table(folder, name, rows)
                run_dir.write_json(folder / "scenario.json", self._resolved())
                run_dir.write_json(folder / "summary.json", self.summary)
            if pictures:
                with _timed(self.seconds, "pictures"):
                    from hyflexsim.analysis import draw_all  # noqa: PLC0415 (matplotlib)

                    draw_all(folder)
            run_dir.write_json(folder / "host.json", _host(self.seconds))
        return Path(out_dir)

    def _resolved(self) -> dict[str, Any]:
        return self.scenario.resolved() | {
            "op_kinds": dict(self.graph.nodes(data="kind")),
            "hardware": {row.key: row._asdict() for row in self.hw.describe()},
        }


def simulate(
    scenario: Scenario | str | Path,
    *,
    graph: nx.DiGraph | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    servers: engines.Servers | None = None,
) -> Result:
    """Run a scenario (or the one of that name or path).

    ``graph``: runs instead of the scenario's model. ``progress`` is called with (what is being
    done, requests finished, requests in all).
    ``servers``: components written in Python, by kind (:func:`hyflexsim.sim.engine.play`).

    Raises :class:`~hyflexsim.sim.errors.InputError` for what the user has to mend, and
    :class:`~hyflexsim.sim.errors.DeadlockError` when tokens stop moving.
    """
    if not isinstance(scenario, Scenario):
        scenario = Scenario.load(scenario)
    seconds: dict[str, float] = {}
    say = progress or (lambda what, done, total: None)
    with _timed(seconds, "prepare"):
        what = scenario.model.name or scenario.model.graph or scenario.model.checkpoint
        say(f"placing {what}", 0, 0)
        ready = prepare(scenario, graph)
    plan, requests = ready.plan, ready.requests
    keep = _keep(scenario, len(requests))
    with _timed(seconds, "play"):
        engine = engines.choose(plan, requests, scenario.run.engine, servers)
        say("simulating", 0, len(requests))
        finished = 0

        def count(_: int) -> None:
            nonlocal finished
            finished += 1
            say("simulating", finished, len(requests))

        played = engines.play(
            plan,
            requests,
            engine=engine,
            window=ready.window,
            progress=count,
            keep=keep,
            servers=servers,
        )
    with _timed(seconds, "count"):
        say("counting", len(requests), len(requests))
        mode = scenario.run.energy
        tables: dict[str, Sequence[Row]] = {
            "components": energy.components(plan, played),
            "energy": energy.energy_rows(plan, played, ready.hw, mode),
            "requests": _request_table(ready, played, mode),
            "placement": list(ready.placement.rows()),
        }
        summary = _summary(scenario, ready, played, tables, engine)
    if scenario.model.checkpoint is not None:
        with _timed(seconds, "accuracy"):
            from hyflexsim.workloads.accuracy import accuracy_of_run  # noqa: PLC0415 (torch)

            summary["accuracy"] = accuracy_of_run(scenario, ready.graph, ready.placement, say)
            summary["notes"] = [note for note in summary["notes"] if note != NOTES[0]]
    return Result(
        scenario=scenario,
        hw=ready.hw,
        graph=ready.graph,
        placement=ready.placement,
        plan=plan,
        played=played,
        requests=requests,
        tables=tables,
        summary=summary,
        seconds=seconds,
    )


def prepare(scenario: Scenario, graph: nx.DiGraph | None = None) -> Prepared:
    """Everything up to the first event: also what ``hyflexsim validate`` and ``map`` do.

    Copies are chosen for a request of mean length, memory is checked for the longest.
    """
    hw = scenario.hardware()
    graph = load_graph(scenario) if graph is None else graph
    requests, labels = load_requests(scenario, graph)
    lengths = [request.tokens for request in requests]
    placement = place(graph, hw, _options(scenario, graph))
    placement = apply_copies(graph, placement, -(-sum(lengths) // len(lengths)))
    window = requests_at_once(graph, placement, max(lengths))
    if scenario.run.window is not None:
        window = min(window, scenario.run.window)
    plan = build_plan(
        graph,
        placement,
        fidelity=scenario.run.fidelity,
        generate=isinstance(scenario.workload, Generate),
        split_pairs=scenario.run.split_pairs,
    )
    if scenario.run.overlap == "layer-serial":
        plan = layer_serial(plan)
    return Prepared(hw, graph, placement, plan, requests, labels, window)


def _options(scenario: Scenario, graph: nx.DiGraph) -> Options:
    """How to place; what a checkpoint computes exactly is in SLC unless the scenario says else."""
    options = scenario.options()
    if scenario.model.checkpoint is None:
        return options
    exact = {op: 1.0 for op in exact_ops(graph) if op not in options.slc_rates}
    return replace(options, slc_rates={**options.slc_rates, **exact})


def load_graph(scenario: Scenario) -> nx.DiGraph:
    """The model's graph, with the scenario's ranks."""
    model = scenario.model
    if model.checkpoint is not None:
        return checkpoint_graph(model.checkpoint)
    graph = g.load(model.graph) if model.graph is not None else extract(str(model.name))
    return graph if model.rank == "dense" else with_ranks(graph, model.rank)


def checkpoint_graph(checkpoint: str) -> nx.DiGraph:
    """The graph of a compressed checkpoint: its model's, with the ranks that the file holds."""
    from hyflexsim.models.checkpoint import read_ranks  # noqa: PLC0415 (torch)
    from hyflexsim.workloads.compression import (  # noqa: PLC0415
        find_checkpoint,
        read_about,
    )

    folder = find_checkpoint(checkpoint)
    about = read_about(folder)
    graph = extract_config(about["recipe"]["name"], about["config"])
    prefix = graph.graph["prefix"]
    layers = {
        path.removeprefix(prefix): layer for path, layer in read_ranks(folder)["layers"].items()
    }
    return with_ranks(
        graph,
        {op: layer["rank"] for op, layer in layers.items()},
        importance={
            op: layer["scores"]["gradient"]
            for op, layer in layers.items()
            if "gradient" in layer["scores"]
        },
    )


def load_requests(scenario: Scenario, graph: nx.DiGraph) -> tuple[list[Request], list[str]]:
    """Requests in order of arrival, and a label for each (a jet's class, else nothing)."""
    workload = scenario.workload
    labels: list[str] = []
    prefill: int | None = None
    if isinstance(workload, Jets):
        lengths, labels = _jets(workload)
        if len(lengths) < workload.count:
            raise InputError(
                f"workload.count must be at most {len(lengths)}, the jets of the chosen classes "
                f"in {workload.file or 'the sample'}; got {workload.count}"
            )
    elif isinstance(workload, Generate):
        prefill = workload.prefill
        lengths = [workload.prefill + workload.decode - 1] * workload.requests
    else:
        lengths = [workload.tokens] * workload.requests
    fixed = graph.graph.get("tokens")
    if fixed is not None and set(lengths) != {fixed}:
        raise InputError(
            f"workload.tokens must be {fixed}: {graph.graph['name']} takes inputs of one length; "
            f"got {lengths[0]}"
        )
    times = arrivals.times(workload.arrivals, len(lengths), scenario.run.seed)
    requests = [Request(at, tokens, prefill) for at, tokens in zip(times, lengths, strict=True)]
    return requests, labels or [""] * len(requests)


def _jets(workload: Jets) -> tuple[list[int], list[str]]:
    """Token counts and classes; a file of the user's is read and checked whole."""
    if workload.file is None:
        return sample_lengths(workload.classes, workload.count)
    from hyflexsim.workloads import jets  # noqa: PLC0415 (a third of a second)

    loaded = jets.load_jets(workload.file, workload.classes, workload.count)
    return loaded.counts.tolist(), [str(label) for label in loaded.labels]


# --- tables --------------------------------------------------------------------------------------


def _request_table(ready: Prepared, played: Played, mode: str) -> Columns:
    requests = ready.requests
    sizes = [(request.tokens, request.prefill) for request in requests]
    energies = {
        size: energy.request_energy_pj(ready.plan, ready.plan.shape(*size), ready.hw, mode)
        for size in dict.fromkeys(sizes)
    }
    arrival = np.array([request.arrival for request in requests], dtype=np.int64)
    finish = np.array(played.finished, dtype=np.int64)
    return Columns(
        {
            "request": np.arange(len(requests)),
            "label": ready.labels,
            "tokens": np.array([tokens for tokens, _ in sizes]),
            "prefill": np.array([prefill or tokens for tokens, prefill in sizes]),
            "arrival_ps": arrival,
            "start_ps": np.array(played.entered, dtype=np.int64),
            "first_token_ps": np.array(played.first_output, dtype=np.int64),
            "finish_ps": finish,
            "latency_ps": finish - arrival,
            "energy_pj": np.array([energies[size] for size in sizes]),
        }
    )


def _summary(
    scenario: Scenario,
    ready: Prepared,
    played: Played,
    tables: dict[str, Sequence[Row]],
    engine: str,
) -> dict[str, Any]:
    requests = ready.requests
    count = len(requests)
    makespan = played.tally.end_ps
    arrivals_ps = [request.arrival for request in requests]
    latency = np.array(played.finished, dtype=np.int64) - np.array(arrivals_ps, dtype=np.int64)
    p50, p95, p99 = (round(float(q)) for q in np.quantile(latency, (0.5, 0.95, 0.99)))
    by_kind: dict[str, float] = defaultdict(float)
    for row in tables["energy"]:
        by_kind[row["kind"]] += row["energy_pj"] / count
    shares: dict[str, list[float]] = defaultdict(list)
    for row in tables["components"]:
        shares[row["kind"]].append(row["utilisation"])
    ledger = energy.ledger(ready.plan, played)
    actions = {row["action"] for row in ledger if row["count"]}
    return {
        "scenario": scenario.name,
        "model": ready.graph.graph["name"],
        "preset": scenario.chip.preset,
        "requests": count,
        "tokens": sum(request.tokens for request in requests),
        "fidelity": scenario.run.fidelity,
        "overlap": scenario.run.overlap,
        "engine": engine,
        "energy_mode": scenario.run.energy,
        "makespan_ps": makespan,
        "latency_ps": {
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "mean": round(float(latency.mean())),
            "max": int(latency.max()),
        },
        "throughput_per_s": count / (makespan * 1e-12),
        "energy_per_request_pj": sum(by_kind.values()),
        "energy_by_kind_pj": dict(by_kind),
        "utilisation_by_kind": {kind: sum(s) / len(s) for kind, s in shares.items()},
        "area_mm2": {
            "chip": chip_area(ready.hw) * scenario.chip.chips,
            "used": pu_area(ready.hw) * ready.placement.pus_used,
        },
        "writes_per_request": energy.cell_writes(ledger) / count,
        "visits": int(played.tally.visits.sum()),
        "macs": energy.macs(ready.plan, played),
        "assumptions": _assumptions(ready.hw, actions, scenario.run.energy),
        "notes": [*_notes(ready), *_kept(played)],
    }


def _assumptions(hw: Hardware, actions: set[str], mode: str) -> list[str]:
    """Parameters that no paper gives, but for energies of actions that were not priced."""
    priced = {f"energy.{action}" for action in actions} if mode == "action" else set()
    return [
        key
        for key in used_assumptions(hw)
        if not key.startswith(("energy.", "device.")) or key in priced
    ]


def _keep(scenario: Scenario, requests: int) -> Keep:
    keep = scenario.keep()
    first, stop = keep.requests or (0, requests)
    if first >= min(stop, requests):
        raise InputError(
            f"trace.first must be below {min(stop, requests)} (trace.stop, and the requests); "
            f"got {first}"
        )
    return keep


def _kept(played: Played) -> list[str]:
    """What the trace leaves out, if it does."""
    kept, visits = len(played.trace), int(played.tally.visits.sum())
    if kept == visits:
        return []
    return [f"the trace keeps {kept} of {visits} visits; all sums are over all visits"]


def _notes(ready: Prepared) -> list[str]:
    stale = [
        f"{key} was derived from a parameter that the scenario has changed, and kept"
        for key in ready.hw.stale
    ]
    return [*NOTES, *ready.graph.graph.get("notes", ()), *stale]


# --- wall clock ----------------------------------------------------------------------------------


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
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
