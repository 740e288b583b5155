"""Which part of a model the work of a step is: the parts that sparse attention could save."""

from __future__ import annotations

import networkx as nx

from hyflexsim.sim.plan.plan import Plan, Step

QK, SOFTMAX, PV, WRITES, PAIRS, REST = "QKᵀ", "softmax", "PV", "operand writes", "pairs", "rest"
ATTENTION = (QK, SOFTMAX, PV, WRITES)
PARTS = (*ATTENTION, PAIRS, REST)
"""Products of queries and keys; softmax, with the sum of scores and U before it; probabilities
times values; bringing queries, keys and values to where they are multiplied; all that runs once a
pair of particles, its transfers included; everything else."""


def part_of(graph: nx.DiGraph, step: Step) -> str:
    """Of :data:`PARTS`."""
    op = graph.nodes[step.op]
    if step.axis == "pair":
        return PAIRS
    if step.name.endswith(".write"):
        return WRITES
    if op["kind"] == "matmul":
        return PV if op["multiplies"][0] == "probabilities" else QK
    if op["kind"] == "softmax" or (op["kind"] == "pointwise" and op["context"]):
        return SOFTMAX
    return REST


def steps_of(graph: nx.DiGraph, plan: Plan, parts: tuple[str, ...]) -> list[int]:
    """Steps, by number, whose work is of these parts."""
    return [i for i, step in enumerate(plan.steps) if part_of(graph, step) in parts]
