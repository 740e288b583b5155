"""From what happened to what it cost: exact counts first, joules last.

The ledger counts actions from the trace: visits and token sizes of every step times the step's
counts per visit. All of it is integer arithmetic, so conservation is tested with ``==``. Two
modes turn counts into energy:

``action``      count x unit energy of the action (a conversion, a driven wordline, a NOR ...).
``power-time``  power of the component (Table 2) x its busy time.

They differ by a factor of 20 for digital PIM (HyFlexPIM Fig. 15 against Table 2), so a result
always names its mode.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from hyflexsim.sim.engine import Played, Request
from hyflexsim.sim.hardware import Hardware
from hyflexsim.sim.plan import Plan, Step
from hyflexsim.sim.shape import Shape

MODES = ("action", "power-time")

ACTION_KIND = {
    "wordline_drive": "bank",
    "array_read": "bank",
    "sample_hold": "bank",
    "unhalved_mac": "bank",
    "input_register": "input_buffer",
    "output_register": "output_buffer",
    "adc_conversion_slc": "adc",
    "adc_conversion_mlc": "adc",
    "shift_add": "shift_add",
    "partial_sum_add": "accumulator",
    "nor": "digital_pim",
    "cell_write": "digital_pim",
    "cell_read": "digital_pim",
    "sfu_element": "sfu",
    "pu_bus_bit": "pu_bus",
    "global_bus_bit": "global_bus",
    "link_bit": "chip_link",
    "host_bit": "host_port",
}
"""The kind of component that performs an action."""

PJ_PER_MW_PS = 1e-3
Row = dict[str, Any]


def totals(plan: Plan, played: Played, requests: list[Request]) -> tuple[list[int], list[int]]:
    """Visits, and sum of token sizes, of every step, from the trace."""
    trace = played.trace
    steps = plan.steps
    visits = np.bincount(trace.step, minlength=len(steps))
    tokens = np.array([r.tokens for r in requests], dtype=np.int64)
    prefill = np.array([r.prefill or r.tokens for r in requests], dtype=np.int64)
    kinds = np.array([("one", "all", "prefix", "wave").index(s.size) for s in steps])
    parts = np.array([s.parts for s in steps], dtype=np.int64)
    extra = np.array([s.context_extra for s in steps], dtype=np.int64)
    wave = np.array([s.wave for s in steps], dtype=np.int64)
    head = np.array([s.head for s in steps])
    split = np.array([s.split for s in steps])
    planes = np.array([s.planes for s in steps], dtype=np.int64)
    sizes = np.zeros(len(steps), dtype=np.int64)
    kind = kinds[trace.step]
    sizes += np.where(kinds == 0, visits, 0)
    for code in (1, 2, 3):
        rows = np.flatnonzero(kind == code)
        step, request = trace.step[rows], trace.request[rows]
        index = trace.token[rows] // parts[step]
        if code == 1:
            size = tokens[request] + extra[step]
        elif code == 2:
            size = index + 1 + extra[step] + np.where(head[step], prefill[request] - 1, 0)
        else:
            pairs = tokens[request] * (tokens[request] + 1) // 2
            real = trace.token[rows] // planes[step] < pairs
            size = np.where(split[step], real, np.minimum(wave[step], pairs - index * wave[step]))
        np.add.at(sizes, step, size)
    return visits.tolist(), sizes.tolist()


def _ledger(steps: tuple[Step, ...], visits: list[int], sizes: list[int]) -> list[Row]:
    counts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for step, visit, size in zip(steps, visits, sizes, strict=True):
        for action in step.actions:
            key = (step.layer, step.op, ACTION_KIND[action.name], action.name)
            counts[key] += action.per_visit * visit + action.per_size * size
    return [
        {"layer": layer, "op": op, "kind": kind, "action": action, "count": count}
        for (layer, op, kind, action), count in counts.items()
    ]


def ledger(plan: Plan, played: Played, requests: list[Request]) -> list[Row]:
    """Counts of actions by (layer, op, kind of component, action), exact."""
    return _ledger(plan.steps, *totals(plan, played, requests))


def _macs(steps: tuple[Step, ...], visits: list[int], sizes: list[int]) -> int:
    return sum(
        (step.macs[0] * visit + step.macs[1] * size) // step.macs_in
        for step, visit, size in zip(steps, visits, sizes, strict=True)
    )


def macs(plan: Plan, played: Played, requests: list[Request]) -> int:
    """Multiply-accumulates that the hardware did; equal to the graph's."""
    return _macs(plan.steps, *totals(plan, played, requests))


def busy_ps(plan: Plan, step: Step, visits: int, served_ps: int) -> int:
    """Busy time of a step's component: of analog parts by beats, of others the time served."""
    component = plan.components[_shown(step)[0]]
    return served_ps if component.busy_ps is None else visits * component.busy_ps


def _busy_rows(plan: Plan, visits: list[int], served: list[int]) -> list[Row]:
    counts: dict[tuple[str, str, str, float], int] = defaultdict(int)
    for step, visit, time in zip(plan.steps, visits, served, strict=True):
        component = plan.components[_shown(step)[0]]
        key = (step.layer, step.op, step.kind, component.power_mw)
        counts[key] += busy_ps(plan, step, visit, time)
        for kind, beat, power in component.shadow:
            counts[(step.layer, step.op, kind, power)] += visit * beat
    return [
        {
            "layer": layer,
            "op": op,
            "kind": kind,
            "action": "busy_ps",
            "count": count,
            "unit_pj": power * PJ_PER_MW_PS,
            "energy_pj": count * (power * PJ_PER_MW_PS),
            "status": "derived",
        }
        for (layer, op, kind, power), count in counts.items()
        if power
    ]


def _action_rows(rows: list[Row], work: int, hw: Hardware) -> list[Row]:
    if hw.energy.unhalved_mac:
        rows = [*rows, _calibration(work)]
    for row in rows:
        key = f"energy.{row['action']}"
        row["unit_pj"] = float(getattr(hw.energy, row["action"]))
        row["energy_pj"] = row["count"] * row["unit_pj"]
        row["status"] = hw.provenance[key].status
    return rows


def _calibration(work: int) -> Row:
    return {"layer": "", "op": "", "kind": "bank", "action": "unhalved_mac", "count": work}


def energy_rows(
    plan: Plan, played: Played, requests: list[Request], hw: Hardware, mode: str
) -> list[Row]:
    """Rows of ``energy.parquet``: counts, unit energies and energies (pJ)."""
    visits, sizes = totals(plan, played, requests)
    if mode == "power-time":
        trace = played.trace
        served = np.zeros(len(plan.steps), dtype=np.int64)
        np.add.at(served, trace.step, trace.end - trace.start)
        return _busy_rows(plan, visits, served.tolist())
    return _action_rows(_ledger(plan.steps, visits, sizes), _gemv_macs(plan, visits, sizes), hw)


def _gemv_macs(plan: Plan, visits: list[int], sizes: list[int]) -> int:
    banks = [i for i, step in enumerate(plan.steps) if step.kind == "bank"]
    return _macs(
        tuple(plan.steps[i] for i in banks), [visits[i] for i in banks], [sizes[i] for i in banks]
    )


def request_energy_pj(plan: Plan, shape: Shape, hw: Hardware, mode: str) -> float:
    """Energy of one request of a given shape, in closed form; all add up to the ledger's."""
    visits, sizes = shape.counts, shape.sizes
    if mode == "power-time":
        served = [
            sum(time) if isinstance(time, list) else time * count
            for time, count in zip(shape.durations, visits, strict=True)
        ]
        rows = _busy_rows(plan, visits, served)
    else:
        rows = _action_rows(_ledger(plan.steps, visits, sizes), _gemv_macs(plan, visits, sizes), hw)
    return float(sum(row["energy_pj"] for row in rows))


def cell_writes(rows: list[Row]) -> int:
    """RRAM cells written, from a ledger (a cell holds one bit in digital PIM)."""
    return sum(row["count"] for row in rows if row["action"] == "cell_write")


def _shown(step: Step) -> tuple[int, ...]:
    return step.shown or step.lanes


def served_by(plan: Plan, played: Played) -> np.ndarray:
    """Index of the component of every visit of the trace."""
    lanes = [_shown(step) for step in plan.steps]
    table = np.zeros((len(lanes), max(map(len, lanes))), dtype=np.int32)
    for i, row in enumerate(lanes):
        table[i, : len(row)] = row
    counts = np.array([len(row) for row in lanes])
    planes = np.array([step.planes for step in plan.steps])
    step = played.trace.step
    where: np.ndarray = table[step, played.trace.token // planes[step] % counts[step]]
    return where


def components(plan: Plan, played: Played) -> list[Row]:
    """Rows of ``components.parquet``: visits, busy and waiting time, longest queue of each."""
    trace = played.trace
    makespan = int(trace.end[-1]) if len(trace) else 0
    where = served_by(plan, played)
    order = np.argsort(where, kind="stable")
    edges = np.searchsorted(where[order], np.arange(len(plan.components) + 1))
    rows = []
    for index, component in enumerate(plan.components):
        mine = order[edges[index] : edges[index + 1]]
        if component.kind == "sequencer":
            continue
        arrival, start = np.sort(trace.arrival[mine]), np.sort(trace.start[mine])
        busy = component.busy_ps
        served = int((trace.end[mine] - trace.start[mine]).sum())
        queue = np.arange(1, len(mine) + 1) - np.searchsorted(start, arrival, side="right")
        row = {
            "component": component.name,
            "kind": component.kind,
            "layer": component.layer,
            "pu": component.pu,
            "chip": component.chip,
            "visits": len(mine),
            "busy_ps": served if busy is None else len(mine) * busy,
            "wait_ps": int((trace.start[mine] - trace.arrival[mine]).sum()),
            "peak_queue": int(queue.max(initial=0)),
        }
        rows.append(_utilised(row, makespan))
        for kind, beat, _ in component.shadow:
            name = component.name.replace(f".{component.kind}", f".{kind}")
            shadow = row | {"component": name, "kind": kind, "wait_ps": 0, "peak_queue": 0}
            rows.append(_utilised(shadow | {"busy_ps": len(mine) * beat}, makespan))
    return rows + _buffers(plan, played, makespan)


def _utilised(row: Row, makespan: int) -> Row:
    return row | {"utilisation": row["busy_ps"] / makespan if makespan else 0.0}


def _buffers(plan: Plan, played: Played, makespan: int) -> list[Row]:
    """Buffers: the time tokens wait in them, mean share of places taken, most places taken."""
    trace = played.trace
    parts = np.array([step.parts for step in plan.steps])
    wait = trace.start - trace.arrival
    wait[trace.token % parts[trace.step] != 0] = 0  # a token leaves its buffer with its first part
    waits = np.zeros(len(plan.steps), dtype=np.int64)
    np.add.at(waits, trace.step, wait)
    visits = np.bincount(trace.step, minlength=len(plan.steps))
    rows = []
    for index, peak in played.peak_places.items():
        step = plan.steps[index]
        component = plan.components[_shown(step)[0]]
        kind = "input_buffer" if step.kind == "bank" else "output_buffer"
        group = component.name.partition(".")[0]
        row = {
            "component": f"{group}.{step.name}.{kind}",
            "kind": kind,
            "layer": step.layer,
            "pu": component.pu,
            "chip": component.chip,
            "visits": int(visits[index]) // step.parts,
            "busy_ps": int(waits[index]),
            "wait_ps": int(waits[index]),
            "peak_queue": peak,
        }
        rows.append(_utilised(row, makespan * (step.places or 1)))
    return rows
