"""Where low rank makes a token's way longer: two factors are read one after the other.

A matrix in one piece is read at once, whatever its size; its factors are two reads, and conversions
between them. Fewer ranks take fewer arrays, not less time. What a run pays for that is said beside
its latency, from closed forms: times of the steps that a lone token passes in its matrices.
"""

from __future__ import annotations

import networkx as nx

from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.plan import Plan
from hyflexsim.workloads.run.prepare import Prepared, prepare
from hyflexsim.workloads.scenario.scenario import Scenario

PS_PER_US = 1e6


def low_rank_note(scenario: Scenario, ready: Prepared) -> list[str]:
    """The note, if the matrices in one piece would fit and be passed sooner."""
    ranked = {op for op, rank in ready.graph.nodes(data="rank") if rank is not None}
    if not ranked:
        return []
    if scenario.run.fidelity == "bit":  # bit-planes overlap, and whole tokens take as long
        run = scenario.run.model_copy(update={"fidelity": "token"})
        scenario = scenario.model_copy(update={"run": run})
        ready = prepare(scenario, ready.graph)
    try:
        dense = prepare(scenario, _dense(ready.graph))
    except InputError:
        return []  # they would not fit
    now, then = (_way_ps(one.plan, ranked) for one in (ready, dense))
    if now <= then:
        return []
    pieces = [sum(w.pieces for w in one.placement.weights.values()) for one in (ready, dense)]
    return [
        f"low rank: a token passes its {len(ranked)} factorised matrices in "
        f"{now / PS_PER_US:.3g} us, dense ones in {then / PS_PER_US:.3g} us, since two factors are "
        f"read one after the other; one copy of all weights takes {pieces[0]} "
        f"{ready.chip.holder.kind.holds} instead of {pieces[1]}"
    ]


def _dense(graph: nx.DiGraph) -> nx.DiGraph:
    """The graph with matrices in one piece, none of whose outputs is worth more than another."""
    whole = graph.copy()
    for _, op in whole.nodes(data=True):
        if op["rank"] is not None:
            op |= {"rank": None, "importance": None}
    return whole


def _way_ps(plan: Plan, ops: set[str]) -> int:
    """Time in the steps of some ops, one token alone, copies left aside."""
    steps = [step for step in plan.steps if step.op in ops and step.member == 0]
    return sum(step.rate.ps(1) for step in steps)
