"""What a setting of levers costs: latency, energy, pace and area of a jet on one chip.

Energy and pace are closed forms over the jets' lengths: of each step the visits, their times and
counts. The pace is that of the busiest component when all copies are dealt their share. Latency is
played, jets one by one. What concerns the pair network alone (fewer pairs, weights of fewer bits, U
made anew in each block) is put together from two plans: steps of pairs of one, all others of the
other. So energies are exact, and the pace but for buses that both use. The latency is that with all
pairs, which less work there does not make longer but by anomalies of scheduling; where U is made
anew it is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import NamedTuple

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from hyflexsim.sim import energy
from hyflexsim.sim.chip.area import pu_area, shared_area
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.sim.plan.unrolled import shape_of
from hyflexsim.workloads.extraction.extract import extract_config
from hyflexsim.workloads.extraction.ranks import break_even, exact_ops, with_ranks
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.sparsity.levers import Setting
from hyflexsim.workloads.sparsity.ways import run_apart

Floats = NDArray[np.float64]


class Cost(NamedTuple):
    """Of a jet: µs (median of jets alone; NaN: not known), µJ; jets/s; mm² of what is in use."""

    latency_us: float
    energy_uj: float
    pace_per_s: float
    area_mm2: float


def graph_of(model: str, setting: Setting) -> nx.DiGraph:
    """The dataflow graph of ``part-full`` or ``part-small`` in a setting, with its ranks."""
    config = {"model_type": "part", "published": model, **setting.shape}
    if setting.pairs == 0:
        config["pair_input_dim"] = 0
    graph = extract_config(model, config)
    return with_ranks(graph, ranks_of(graph, setting))


def ranks_of(graph: nx.DiGraph, setting: Setting) -> dict[str, int]:
    """Rank of each matrix that a setting gives one, by op."""
    found: dict[str, int] = {}
    for name, op in graph.nodes(data=True):
        if op["kind"] != "gemv" or "@" in name:
            continue
        most = break_even(op["rows"], op["cols"])
        share = next((x for p, x in setting.ranks.items() if fnmatch(name, p)), None)
        if share is not None:
            found[name] = max(1, int(share * most))
        elif op["axis"] == "pair" and setting.pair_rank and setting.pair_rank <= most:
            found[name] = setting.pair_rank
    return found


def scenario_of(setting: Setting, graph: nx.DiGraph) -> Scenario:
    """A setting's scenario; what is outside the blocks is in SLC unless the setting says else."""
    return setting.scenario(dict.fromkeys(exact_ops(graph), 1.0))


def ready_of(setting: Setting, graph: nx.DiGraph) -> Prepared:
    """A setting placed and planned."""
    return prepare(scenario_of(setting, graph), graph)


def cost_of(model: str, setting: Setting, particles: int, graph: nx.DiGraph | None = None) -> Cost:
    """The cost of a setting of a model that reads so many particles.

    ``graph``: of the setting, where it is known with more than ranks.
    """
    graph = graph_of(model, setting) if graph is None else graph
    ready = ready_of(setting, graph)
    few = min(particles, setting.particles or particles)
    tokens = [min(request.tokens, few) for request in ready.requests]
    spent, loads = _spent(ready, tokens), step_loads(ready.plan, tokens)
    own = np.array([step.axis != "pair" for step in ready.plan.steps])
    energy_pj, busy = spent[own].sum(), busiest(ready.plan, loads, own)
    other, cut, times = _pairs_of(ready, setting, graph, tokens)
    own = np.array([step.axis != "pair" for step in other.plan.steps])
    energy_pj += times * _spent(other, cut)[~own].sum()
    if other is ready and cut == tokens and times == 1:
        busy = busiest(ready.plan, loads)
    else:
        busy = max(busy, times * busiest(other.plan, step_loads(other.plan, cut), ~own))
    latency = float("nan") if times > 1 else _latency_us(ready, tokens)
    used = ready.placement
    area = pu_area(ready.chip) * used.pus_used + shared_area(ready.chip) * used.chips_used
    return Cost(latency, float(energy_pj) / 1e6, 1e12 / busy, area)


def _pairs_of(
    ready: Prepared, setting: Setting, graph: nx.DiGraph, tokens: list[int]
) -> tuple[Prepared, list[int], int]:
    """The plan that the pair network is of, particles whose pairs it makes, and how often."""
    cut = tokens if setting.pairs is None else [min(n, setting.pairs) for n in tokens]
    blocks = {op["layer"] for _, op in graph.nodes(data=True) if op["layer"].startswith("blocks.")}
    times = len(blocks) if setting.anew else 1
    if setting.pair_bits is None:
        return ready, cut if setting.pairs else tokens, times
    narrow = setting.changed({"chip": {"analog.weight_bits": setting.pair_bits}})
    return ready_of(narrow, graph), cut, times


def _latency_us(ready: Prepared, tokens: Sequence[int]) -> float:
    took, _, _ = run_apart(ready, tokens, [None] * len(tokens))
    return float(np.median(took)) / 1e6


def _spent(ready: Prepared, tokens: Sequence[int]) -> Floats:
    """Mean pJ of a jet by step."""
    counts = energy.action_counts_of(ready.plan, ready.chip)
    total = np.zeros(len(ready.plan.steps))
    for n, jets in Counter(tokens).items():
        shape = shape_of(ready.plan, n)
        total += jets * counts.step_energies_pj(shape.counts, shape.sizes)
    return total / len(tokens)


def step_loads(plan: Plan, tokens: Sequence[int]) -> list[Floats]:
    """Mean ps of a jet on each lane of every step, over jets without number.

    By token each jet begins at the first lane, in turn all lanes get the same in the end.
    """
    loads = [np.zeros(len(step.lanes)) for step in plan.steps]
    for n, jets in Counter(tokens).items():
        shape = shape_of(plan, n)
        visits = zip(plan.steps, shape.counts, shape.durations, strict=True)
        for i, (step, count, took) in enumerate(visits):
            each = np.full(count, took, dtype=float) if isinstance(took, int) else np.array(took)
            lanes = np.arange(count) // step.planes % len(step.lanes)
            loads[i] += jets * np.bincount(lanes, weights=each, minlength=len(step.lanes))
    for load in loads if plan.in_turn else ():
        load[:] = load.mean()
    return [load / len(tokens) for load in loads]


def busiest(plan: Plan, loads: Sequence[Floats], wanted: NDArray[np.bool_] | None = None) -> float:
    """ps of a jet on the busiest component, of the steps that are wanted."""
    busy = np.zeros(len(plan.components))
    for i, step in enumerate(plan.steps):
        if wanted is None or wanted[i]:
            np.add.at(busy, list(step.lanes), loads[i])
    return float(busy.max())
