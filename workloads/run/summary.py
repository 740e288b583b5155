"""What a run adds up to: its table of requests, and its headline numbers with their notes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import networkx as nx
import numpy as np

from hyflexsim.sim import energy, power
from hyflexsim.sim.chip.area import chip_area, pu_area, shared_area
from hyflexsim.sim.chip.chip import Chip, used_assumptions
from hyflexsim.sim.chip.links import between_units
from hyflexsim.sim.engine.request import Request
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.workloads.run.column_table import Columns, Row
from hyflexsim.workloads.run.prepare import Prepared
from hyflexsim.workloads.run.stream import lost_by, stream
from hyflexsim.workloads.run.stream import notes as stream_notes
from hyflexsim.workloads.scenario.experiment import Experiment

NOTES = (
    "how long and how much only: no checkpoint is scored (model.checkpoint), no values (--values)",
    "weights are on the chip when the run starts: programming them is not counted",
    "controllers, clock distribution and leakage are not in time, energy or area",
)
"""What no run models."""


def request_table(ready: Prepared, played: Played, mode: str) -> Columns:
    """A row a request that was answered, as in docs/architecture.md; ``mode``: of energy."""
    numbers = _answered(played)
    requests = [ready.requests[number] for number in numbers]
    energies = _request_energies(ready, played, numbers, mode)
    arrival, start, first, finish = (
        np.array(times, dtype=np.int64)[numbers]
        for times in (played.arrived, played.entered, played.first_output, played.finished)
    )
    return Columns(
        {
            "request": numbers,
            "label": [ready.labels[number] for number in numbers],
            "tokens": np.array([r.tokens for r in requests]),
            "prefill": np.array([r.prefill or r.tokens for r in requests]),
            "session": _sessions(ready.requests)[numbers],
            "found": np.array(played.found)[numbers],
            "arrival_ps": arrival,
            "start_ps": start,
            "first_token_ps": first,
            "finish_ps": finish,
            "latency_ps": finish - arrival,
            "energy_pj": np.array(energies),
        }
    )


def _sessions(requests: Sequence[Request]) -> np.ndarray:
    """Of each request, the first turn of its conversation: itself where it stands alone."""
    begun = list(range(len(requests)))
    for i, request in enumerate(requests):
        if request.after is not None:
            begun[i] = begun[request.after]
    return np.array(begun)


def _request_energies(
    ready: Prepared, played: Played, numbers: np.ndarray, mode: str
) -> list[float]:
    """pJ of each request, with all that it computed before it gave its pages up."""
    parts: dict[int, list[tuple[int, int | None]]] = defaultdict(list)
    for request, entered, computed in played.preemptions:
        parts[request].append((computed, entered))
    known: dict[tuple[Any, ...], float] = {}

    def spent(number: int, tokens: int, prefill: int | None, held: int) -> float:
        request = ready.requests[number]
        size = tokens, prefill, ready.host.serving[request.model][0], request.work, held
        if size not in known:
            shape = shape_of(ready.plan, *size)
            known[size] = energy.request_energy_pj(ready.plan, shape, ready.chip, mode)
        return known[size]

    energies = []
    for number in numbers.tolist():
        request, before = ready.requests[number], parts[number]
        prefill = before[-1][0] + 1 if before else request.prefill
        held = [played.found[number]] + [0] * len(before)
        each = [*before, (request.tokens, prefill)]
        energies.append(
            sum(spent(number, *part, there) for part, there in zip(each, held, strict=True))
        )
    return energies


def _answered(played: Played) -> np.ndarray:
    """Numbers of the requests that were answered in full."""
    return np.flatnonzero(np.array(played.finished) >= 0)


def _latencies(played: Played) -> np.ndarray:
    """From arrival to answer, in ps, of the requests that were answered in full."""
    arrived, finished = np.array(played.arrived), np.array(played.finished)
    latencies: np.ndarray = (finished - arrived)[finished >= 0]
    return latencies


def summarize(
    scenario: Experiment,
    ready: Prepared,
    played: Played,
    tables: dict[str, Sequence[Row]],
    engine: str,
) -> dict[str, Any]:
    """The content of summary.json; ``engine``: the one that has played."""
    requests = [ready.requests[number] for number in _answered(played)]
    count = len(requests)
    makespan = played.tally.end_ps
    latency = _latencies(played)
    p50, p95, p99 = (round(float(q)) for q in np.quantile(latency, (0.5, 0.95, 0.99)))
    by_kind: dict[str, float] = defaultdict(float)
    for row in tables["energy"]:
        by_kind[row["kind"]] += row["energy_pj"] / count
    shares: dict[str, list[float]] = defaultdict(list)
    for row in tables["components"]:
        shares[row["kind"]].append(row["utilisation"])
    spent, mode = sum(by_kind.values()) * count, scenario.run.energy
    merit = figures_of_merit(ready, played, spent, tables["components"], mode)
    counts = energy.counted(ready.plan, played, ready.chip)
    priced = {
        f"{unit}.energy.{'bit' if unit in ready.chip.links else action}"
        for (unit, action), number in counts.items()
        if number
    }
    result = {
        "scenario": scenario.name,
        "model": ready.graph.graph["name"],
        "preset": ready.chip.name,
        "requests": count,
        "lost": len(played.lost),
        "lost_by": lost_by(played),
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
        "stream": stream(scenario, ready, played, merit["bound"]["utilisation"]),
        "energy_per_request_pj": sum(by_kind.values()),
        "energy_by_kind_pj": dict(by_kind),
        "utilisation_by_kind": {kind: sum(s) / len(s) for kind, s in shares.items()},
        **merit,
        "area_mm2": {
            "chip": chip_area(ready.chip) * ready.placement.options.chips * ready.plan.replicas,
            "used": _used_area(ready),
        },
        "writes_per_request": energy.cell_writes(counts) / count,
        "visits": int(played.tally.visits.sum()),
        "macs": energy.macs(ready.plan, played),
        "assumptions": _assumptions(ready.chip, priced, scenario.run.energy, scenario.scored),
    }
    lost = lost_note(ready, result["lost_by"]["death"], ready.deaths)
    said = [*lost, *broken_notes(ready.placement), *_kept(played)]
    streamed = stream_notes(ready, result)
    return result | {"notes": [*_notes(ready), *streamed, *said]}


def figures_of_merit(
    ready: Prepared, played: Played, energy_pj: float, components: Sequence[Row], mode: str
) -> dict[str, Any]:
    """What users of simulators ask first.

    ``power_w``: mean over the run, and with everything that it uses busy. ``tops``: two
    operations a multiply-accumulate, over the makespan, and per W and mm² of the used PUs.
    ``energy_delay_pj_s``: of one request, energy times mean latency. ``bound``: the kind of
    component that holds the run up (:func:`bound_by`).
    """
    seconds = max(played.tally.end_ps, 1) * 1e-12
    used = ready.placement
    tera = 2 * energy.macs(ready.plan, played) / seconds * 1e-12
    watts = energy_pj * 1e-12 / seconds
    peak = power.peak_mw(ready.plan, played, used, mode)
    area = _used_area(ready)
    answered = _answered(played)
    tokens = sum(ready.requests[number].tokens for number in answered)
    latency, each = int(_latencies(played).sum()), len(answered)
    return {
        "power_w": {"mean": watts, "peak": peak * 1e-3},
        "tops": {
            "achieved": tera,
            "per_w": tera / watts if watts else 0.0,
            "per_mm2": tera / area if area else 0.0,
        },
        "energy_per_token_pj": energy_pj / tokens,
        "energy_delay_pj_s": energy_pj / each * (latency * 1e-12 / each),
        "bound": bound_by(ready.chip, components),
    }


def _used_area(ready: Prepared) -> float:
    """mm² of all PUs in use, and of what the chips in use share, in every replica."""
    used = ready.placement
    one = pu_area(ready.chip) * used.pus_used + shared_area(ready.chip) * used.chips_used
    return one * ready.plan.replicas


def bound_by(chip: Chip, components: Sequence[Row]) -> dict[str, Any]:
    """The busiest component of a run, and what a roofline would call that.

    ``memory`` where it is a link or a unit that only stores and moves, ``compute`` where it
    multiplies, ``latency`` where even the busiest idles more than half of the time. Of one that
    does both, near-bank units, the slower of the two counts.
    """
    buffers = ("input_buffer", "output_buffer")
    rows = [row for row in components if row["kind"] not in buffers]
    if not rows:
        return {"kind": "", "component": "", "utilisation": 0.0, "roofline": "latency"}
    busiest = max(rows, key=lambda row: float(row["utilisation"]))
    moves = {*chip.links} | {
        shown
        for unit in chip.units.values()
        if unit.kind.moves(unit)
        for shown in unit.kind.actions.values()
    }
    word = "memory" if busiest["kind"] in moves else "compute"
    share = float(busiest["utilisation"])
    return {
        "kind": busiest["kind"],
        "component": busiest["component"],
        "utilisation": share,
        "roofline": word if share >= 0.5 else "latency",
    }


def _assumptions(chip: Chip, priced: set[str], mode: str, values: bool) -> list[str]:
    """Parameters that no paper gives or a rule has made, but for energies that were not priced.

    ``values``: also those of the cells, by which a checkpoint is scored.
    """
    counted = priced if mode == "action" else set()
    names = {*used_assumptions(chip, values), *chip.derived}
    return sorted(key for key in names if ".energy." not in key or key in counted)


def lost_note(ready: Prepared, lost: int, died: Iterable[int]) -> list[str]:
    """Requests that nobody answers because of a death; ``died``: components."""
    if not lost:
        return []
    dead = sorted({ready.plan.components[i].name.partition(".")[0] for i in died})
    return [
        f"{lost} of {len(ready.requests)} requests are lost: {', '.join(dead)} died, "
        "and no other PU holds what it held; they are in no figure but the energy of what was "
        "done for them"
    ]


def broken_notes(placement: Placement) -> list[str]:
    """What is not used because it is broken, and spare arrays that stand in."""
    dead = len(placement.faults.share) - len(placement.faults.working)
    used = {pu for pus in placement.groups() for pu in pus}
    out = sum(len(placement.faults.left_out(pu)) for pu in used)
    spare = sum(max(0, -placement.free(pus)) for pus in placement.groups())
    notes = []
    if dead or out:
        notes.append(f"left out as broken: {dead} PUs, and {out} arrays of the PUs in use")
    if spare:
        notes.append(f"{spare} spare arrays stand in for broken ones")
    return notes


def _kept(played: Played) -> list[str]:
    """What the trace leaves out, if it does."""
    kept, visits = len(played.trace), int(played.tally.visits.sum())
    if kept == visits:
        return []
    return [f"the trace keeps {kept} of {visits} visits; all sums are over all visits"]


def _notes(ready: Prepared) -> list[str]:
    derived = [f"{key} was derived by {how}" for key, how in ready.chip.derived.items()]
    told = [*ready.graph.graph.get("notes", ()), *beyond_positions(ready.graph, ready.requests)]
    return [*NOTES, *told, *_idle_links(ready), *derived]


def beyond_positions(graph: nx.DiGraph, requests: Sequence[Request]) -> list[str]:
    """Requests that are longer than a model's table of positions."""
    positions = graph.graph.get("positions")
    longest = max(request.tokens for request in requests)
    if positions is None or longest <= positions:
        return []
    return [
        f"{graph.graph['name']} has {positions} positions: a request of {longest} tokens is "
        "counted as if it had as many (model.positions)"
    ]


def _idle_links(ready: Prepared) -> list[str]:
    """Links between units that nothing has crossed; others may well wait for a larger model."""
    used = {step.unit for step in ready.plan.steps}
    return [
        f"no transfer used link {link.name} ({' and '.join(link.joins)})"
        for link in ready.chip.links.values()
        if link.name not in used and between_units(link.joins, ready.chip.units)
    ]
