"""What a compressed model costs on the chip: ranks into its graph, the graph through the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.placement.mapping import Placement
from hyflexsim.workloads.compression.recipe import Recipe
from hyflexsim.workloads.extraction.extract import TRAINED, extract_config
from hyflexsim.workloads.extraction.ranks import exact_ops, with_ranks
from hyflexsim.workloads.run.run import simulate
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Model, Placing


class Cost(NamedTuple):
    """Of one workload: arrays of one copy of everything, median latency, end of the last request,
    requests a second, energy of a request, area of the chips, MACs of all requests."""

    arrays: int
    latency_ps: int
    makespan_ps: int
    throughput_per_s: float
    energy_pj: float
    area_mm2: float
    macs: int


def cost(
    recipe: Recipe, graph: nx.DiGraph, slc_rate: float, chip: Chip | None = None
) -> tuple[Cost, Placement]:
    """Run the recipe's workload with a graph of its model, and how that was placed.

    `slc_rate` from 0 to 1 holds for the blocks' matrices, everything else is in SLC, as
    :mod:`.accuracy` computes it. `chip` None: the default one.
    """
    placing = Placing(slc_rate=slc_rate, slc_rates=dict.fromkeys(exact_ops(graph), 1.0))
    scenario = Scenario(
        name=recipe.name,
        model=Model(name=recipe.name),
        mapping=placing,
        workload=recipe.workload,
    )
    result = simulate(scenario, graph=graph, chip=chip)
    summary = result.summary
    found = Cost(
        arrays=sum(weight.pieces for weight in result.placement.weights.values()),
        latency_ps=summary["latency_ps"]["p50"],
        makespan_ps=summary["makespan_ps"],
        throughput_per_s=summary["throughput_per_s"],
        energy_pj=summary["energy_per_request_pj"],
        area_mm2=summary["area_mm2"]["chip"],
        macs=summary["macs"],
    )
    return found, result.placement


def ranked(name: str, config: Mapping[str, Any], ranks: Mapping[str, int]) -> nx.DiGraph:
    """The graph of a configuration with ranks by path in the model."""
    graph = extract_config(name, config, leave_out=TRAINED)
    prefix = graph.graph["prefix"]
    known = {op for op, kind in graph.nodes(data="kind") if kind == "gemv"}
    chosen = {path.removeprefix(prefix): rank for path, rank in ranks.items()}
    if not chosen.keys() <= known:
        raise g.GraphError(f"{name}: the graph has no op {min(chosen.keys() - known)!r}")
    return with_ranks(graph, chosen)
