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

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.plan.plan import Plan, Step
from hyflexsim.sim.plan.unrolled import Shape

MODES = ("action", "power-time")

PJ_PER_MW_PS = 1e-3
Row = dict[str, Any]


def totals(played: Played) -> tuple[list[int], list[int]]:
    """Visits, and sum of token sizes, of every step."""
    return played.tally.visits.tolist(), played.tally.sizes.tolist()


def _ledger(chip: Chip, steps: tuple[Step, ...], visits: list[int], sizes: list[int]) -> list[Row]:
    counts: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for step, visit, size in zip(steps, visits, sizes, strict=True):
        for action in step.actions:
            key = (step.layer, step.op, step.unit, action.name)
            counts[key] += action.per_visit * visit + action.per_size * size
        extra = _per_mac(chip, step)
        if extra:
            key = (step.layer, step.op, step.unit, extra)
            counts[key] += _macs((step,), [visit], [size])
    return [
        {
            "layer": layer,
            "op": op,
            "kind": chip.component_kind(unit, action),
            "action": action,
            "count": count,
            "unit": unit,
        }
        for (layer, op, unit, action), count in counts.items()
    ]


def _per_mac(chip: Chip, step: Step) -> str:
    """An action that every MAC of the step's unit counts, where it costs something."""
    if not any(step.macs) or step.unit not in chip.units:
        return ""
    action = chip.units[step.unit].kind.per_mac
    return action if action and chip.action_energy(step.unit, action)[0] else ""


def ledger(plan: Plan, played: Played, chip: Chip) -> list[Row]:
    """Counts of actions by (layer, op, kind of component, action), exact."""
    return _ledger(chip, plan.steps, *totals(played))


def step_macs(step: Step, visits: int, size: int) -> int:
    """Multiply-accumulates of one step's visits, which had tokens of ``size`` in all."""
    return (step.macs[0] * visits + step.macs[1] * size) // step.macs_in


def _macs(steps: tuple[Step, ...], visits: list[int], sizes: list[int]) -> int:
    return sum(map(step_macs, steps, visits, sizes))


def macs(plan: Plan, played: Played) -> int:
    """Multiply-accumulates that the hardware did; equal to the graph's."""
    return _macs(plan.steps, *totals(played))


def busy_ps(plan: Plan, step: Step, visits: int, served_ps: int) -> int:
    """Busy time of a step's component: of analog parts by beats, of others the time served."""
    component = plan.server(step)
    return served_ps if component.busy_ps is None else visits * component.busy_ps


def _busy_rows(plan: Plan, visits: list[int], served: list[int]) -> list[Row]:
    counts: dict[tuple[str, str, str, float], int] = defaultdict(int)
    for step, visit, time in zip(plan.steps, visits, served, strict=True):
        component = plan.server(step)
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


Prices = dict[tuple[str, str], tuple[float, str]]
"""(unit or link, action) -> pJ and status, as far as anybody has asked."""


def _action_rows(rows: list[Row], chip: Chip, prices: Prices | None = None) -> list[Row]:
    prices = {} if prices is None else prices
    for row in rows:
        key = row.pop("unit"), row["action"]
        if key not in prices:
            prices[key] = chip.action_energy(*key)
        row["unit_pj"], row["status"] = prices[key]
        row["energy_pj"] = row["count"] * row["unit_pj"]
    return rows


def step_rows(chip: Chip, step: Step, visits: int, size: int, prices: Prices) -> list[Row]:
    """Rows of one step's visits, which had tokens of ``size`` in all (mode ``action``).

    ``prices``: kept from step to step.
    """
    return _action_rows(_ledger(chip, (step,), [visits], [size]), chip, prices)


def step_energy_pj(chip: Chip, step: Step, visits: int, size: int, prices: Prices) -> float:
    """Energy of the same."""
    return float(sum(row["energy_pj"] for row in step_rows(chip, step, visits, size, prices)))


def energy_rows(plan: Plan, played: Played, chip: Chip, mode: str) -> list[Row]:
    """Rows of ``energy.parquet``: counts, unit energies and energies (pJ)."""
    visits, sizes = totals(played)
    if mode == "power-time":
        return _busy_rows(plan, visits, played.tally.served_ps.tolist())
    return _action_rows(_ledger(chip, plan.steps, visits, sizes), chip)


def request_energy_pj(plan: Plan, shape: Shape, chip: Chip, mode: str) -> float:
    """Energy of one request of a given shape, in closed form; all add up to the ledger's."""
    visits, sizes = shape.counts, shape.sizes
    if mode == "power-time":
        served = [
            sum(time) if isinstance(time, list) else time * count
            for time, count in zip(shape.durations, visits, strict=True)
        ]
        rows = _busy_rows(plan, visits, served)
    else:
        rows = _action_rows(_ledger(chip, plan.steps, visits, sizes), chip)
    return float(sum(row["energy_pj"] for row in rows))


def cell_writes(rows: list[Row]) -> int:
    """RRAM cells written, from a ledger (a cell holds one bit in digital PIM)."""
    return sum(row["count"] for row in rows if row["action"] == "cell_write")


class ServedBy:
    """Finds the component of a visit."""

    def __init__(self, plan: Plan) -> None:
        lanes = [step.lanes for step in plan.steps]
        self._width = max(map(len, lanes))
        self._table = np.zeros(len(lanes) * self._width, dtype=np.int32)  # row by row
        for i, row in enumerate(lanes):
            self._table[i * self._width : i * self._width + len(row)] = row
        self._counts = np.array([len(row) for row in lanes], dtype=np.int32)
        self._planes = np.array([step.planes for step in plan.steps], dtype=np.int32)

    def __call__(self, step: np.ndarray, token: np.ndarray) -> np.ndarray:
        """Index of the component of every visit, int32."""
        lane = token // self._planes[step] % self._counts[step]
        where: np.ndarray = self._table[step * self._width + lane]
        return where


def components(plan: Plan, played: Played) -> list[Row]:
    """Rows of ``components.parquet``: visits, busy and waiting time, longest queue of each."""
    tally = played.tally
    rows = []
    for index, component in enumerate(plan.components):
        if component.kind == "sequencer":
            continue
        visits, busy = int(tally.component_visits[index]), component.busy_ps
        row = {
            "component": component.name,
            "kind": component.kind,
            "layer": component.layer,
            "pu": component.pu,
            "chip": component.chip,
            "visits": visits,
            "busy_ps": int(tally.component_served_ps[index]) if busy is None else visits * busy,
            "wait_ps": int(tally.component_wait_ps[index]),
            "peak_queue": int(tally.peak_queue[index]),
        }
        rows.append(_utilised(row, tally.end_ps))
        for kind, beat, _ in component.shadow:
            name = component.name.replace(f".{component.kind}", f".{kind}")
            shadow = row | {"component": name, "kind": kind, "wait_ps": 0, "peak_queue": 0}
            rows.append(_utilised(shadow | {"busy_ps": visits * beat}, tally.end_ps))
    return rows + _buffers(plan, played)


def _utilised(row: Row, makespan: int) -> Row:
    return row | {"utilisation": row["busy_ps"] / makespan if makespan else 0.0}


def _buffers(plan: Plan, played: Played) -> list[Row]:
    """Buffers: the time tokens wait in them, mean share of places taken, most places taken."""
    tally = played.tally
    rows = []
    for index, peak in played.peak_places.items():
        step = plan.steps[index]
        component = plan.server(step)
        kind = "output_buffer" if step.unit == step.kind else "input_buffer"  # links have their own
        group = component.name.partition(".")[0]
        wait = int(tally.first_wait_ps[index])
        row = {
            "component": f"{group}.{step.name}.{kind}",
            "kind": kind,
            "layer": step.layer,
            "pu": component.pu,
            "chip": component.chip,
            "visits": int(tally.visits[index]) // step.parts,
            "busy_ps": wait,
            "wait_ps": wait,
            "peak_queue": peak,
        }
        assert step.places is not None
        rows.append(_utilised(row, tally.end_ps * step.places))
    return rows
