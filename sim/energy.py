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
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.engine.result import Played
from hyflexsim.sim.plan.dealing import Lanes
from hyflexsim.sim.plan.plan import Plan, Step
from hyflexsim.sim.plan.unrolled import Shape

MODES = ("action", "power-time")

PJ_PER_MW_PS = 1e-3
Row = dict[str, Any]


def totals(played: Played) -> tuple[list[int], list[int]]:
    """Visits, and sum of token sizes, of every step."""
    return played.tally.visits.tolist(), played.tally.sizes.tolist()


class ActionCounts:
    """The actions of steps, laid out so that many runs of them are counted soon.

    ``keys``: (layer, op, unit, action) of each count; ``unit_pj``: what one costs, by key.
    """

    def __init__(self, chip: Chip, steps: Sequence[Step]) -> None:
        self.chip = chip
        numbers: dict[tuple[str, str, str, str], int] = {}
        entries = []
        for index, step in enumerate(steps):
            counted = [
                (action.name, action.per_visit, action.per_size, 1) for action in step.actions
            ]
            extra = _per_mac(chip, step)
            if extra:
                counted.append((extra, *step.macs, step.macs_in))
            for name, per_visit, per_size, parts in counted:
                key = (step.layer, step.op, step.unit, name)
                number = numbers.setdefault(key, len(numbers))
                entries.append((number, index, per_visit, per_size, parts))
        self.keys = list(numbers)
        priced = {key[2:] for key in numbers}
        prices = {key: chip.action_energy(*key)[0] for key in priced}
        self.unit_pj = [prices[key[2:]] for key in numbers]
        self._steps = len(steps)
        columns = np.array(entries, dtype=np.int64).reshape(-1, 5).T
        self._number, self._step, self._per_visit, self._per_size, self._parts = columns

    def counts(self, visits: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """How often each of ``keys`` happens in so many visits and token sizes of each step."""
        each = self._each(visits, sizes)
        total = np.zeros(len(self.keys), dtype=each.dtype)
        np.add.at(total, self._number, each)
        found: list[int] = total.tolist()
        return found

    def energy_pj(self, visits: Sequence[int], sizes: Sequence[int]) -> float:
        """Energy of all of them, pJ; ``visits``, ``sizes``: of each step."""
        counts = self.counts(visits, sizes)
        return float(sum(count * pj for count, pj in zip(counts, self.unit_pj, strict=True)))

    def step_energies_pj(self, visits: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
        """Energy of each step's, pJ: (steps,)."""
        spent = self._each(visits, sizes).astype(float) * np.array(self.unit_pj)[self._number]
        return np.bincount(self._step, spent, minlength=self._steps)

    def _each(self, visits: Sequence[int], sizes: Sequence[int]) -> np.ndarray:
        """Counts of each action of each step, exact: in 64 bits, or as Python's integers."""
        if not self.keys:
            return np.zeros(0, dtype=np.int64)
        most = max(visits) * int(self._per_visit.max()) + max(sizes) * int(self._per_size.max())
        kind = np.int64 if most * len(self._step) < 2**63 else object
        each = self._per_visit * np.array(visits, dtype=kind)[self._step]
        each += self._per_size * np.array(sizes, dtype=kind)[self._step]
        found: np.ndarray = each // self._parts
        return found


def action_counts_of(plan: Plan, chip: Chip) -> ActionCounts:
    """The actions of a plan's steps on a chip, laid out once."""
    # they keep the chip, so that no other gets its number while the plan lives
    return plan.once(("action counts", id(chip)), lambda: ActionCounts(chip, plan.steps))


def _per_mac(chip: Chip, step: Step) -> str:
    """An action that every MAC of the step's unit counts, where it costs something."""
    if not any(step.macs) or step.unit not in chip.units:
        return ""
    action = chip.units[step.unit].kind.per_mac
    return action if action and chip.action_energy(step.unit, action)[0] else ""


def ledger(plan: Plan, played: Played, chip: Chip) -> list[Row]:
    """Counts of actions by (layer, op, kind of component, action), exact."""
    actions = action_counts_of(plan, chip)
    return [
        {
            "layer": layer,
            "op": op,
            "kind": chip.component_kind(unit, action),
            "action": action,
            "count": count,
            "unit": unit,
        }
        for (layer, op, unit, action), count in zip(
            actions.keys, actions.counts(*totals(played)), strict=True
        )
    ]


def counted(plan: Plan, played: Played, chip: Chip) -> dict[tuple[str, str], int]:
    """Counts of actions by (unit or link, action), exact."""
    actions, total = action_counts_of(plan, chip), defaultdict[tuple[str, str], int](int)
    for (*_, unit, action), count in zip(
        actions.keys, actions.counts(*totals(played)), strict=True
    ):
        total[unit, action] += count
    return total


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


def _action_rows(rows: list[Row], chip: Chip) -> list[Row]:
    prices: dict[tuple[str, str], tuple[float, str]] = {}
    for row in rows:
        key = row.pop("unit"), row["action"]
        if key not in prices:
            prices[key] = chip.action_energy(*key)
        row["unit_pj"], row["status"] = prices[key]
        row["energy_pj"] = row["count"] * row["unit_pj"]
    return rows


def step_energy_by_kind_pj(chip: Chip, step: Step, visits: int, size: int) -> dict[str, float]:
    """Energy of one step's visits, which had tokens of ``size`` in all, by kind of component."""
    actions, found = ActionCounts(chip, (step,)), defaultdict[str, float](float)
    counts = actions.counts([visits], [size])
    for (*_, unit, action), count, pj in zip(actions.keys, counts, actions.unit_pj, strict=True):
        found[chip.component_kind(unit, action)] += count * pj
    return found


def energy_rows(plan: Plan, played: Played, chip: Chip, mode: str) -> list[Row]:
    """Rows of ``energy.parquet``: counts, unit energies and energies (pJ)."""
    if mode == "power-time":
        return _busy_rows(plan, totals(played)[0], played.tally.served_ps.tolist())
    return _action_rows(ledger(plan, played, chip), chip)


def request_energy_pj(plan: Plan, shape: Shape, chip: Chip, mode: str) -> float:
    """Energy of one request of a given shape, in closed form; all add up to the ledger's."""
    if mode == "action":
        return action_counts_of(plan, chip).energy_pj(shape.served, shape.sizes)
    served = [
        sum(time[begin:]) if isinstance(time, list) else time * count
        for time, begin, count in zip(shape.durations, shape.begins, shape.served, strict=True)
    ]
    rows = _busy_rows(plan, shape.served, served)
    return float(sum(row["energy_pj"] for row in rows))


def cell_writes(counts: Mapping[tuple[str, str], int]) -> int:
    """RRAM cells written, of :func:`counted` (a cell holds one bit in digital PIM)."""
    return sum(count for (_, action), count in counts.items() if action == "cell_write")


class ServedBy:
    """Finds the component of a visit."""

    def __init__(self, plan: Plan) -> None:
        self._lanes = Lanes(plan)
        self._table = self._lanes.table([step.lanes for step in plan.steps], np.int32)

    def __call__(self, step: np.ndarray, request: np.ndarray, token: np.ndarray) -> np.ndarray:
        """Index of the component of every visit, int32."""
        where: np.ndarray = self._table[step, self._lanes(step, request, token)]
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
