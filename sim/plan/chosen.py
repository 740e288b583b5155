"""Where keys are chosen in an attention, and which of its ops see only those that were chosen.

An attention is a chain of ops that look at a context::

    q, k -> qk -> (+ U) -> softmax -> pv <- v

A unit that lets a share of the keys through (``Kind.kept``) looks before the product ``qk``, and
all that looks at keys does that share of the work. One that chooses by the values of each request
(``Kind.chooses``) looks where its way has it; the ops behind are counted head by head, since each
head keeps keys of its own, and a request may say how many (work.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx

from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.chip.kind import Unit
from hyflexsim.sim.chip.service import Task, millionths
from hyflexsim.sim.errors import InputError
from hyflexsim.sim.plan.builder import Flow

SEES = {
    "scores": ("softmax", "pv"),
    "bits": ("qk", "softmax", "pv"),
    "bias": ("qk", "add", "softmax", "pv"),
}
"""Stages that do less work, by the way of choosing; the selector stands before the first of them
that is not ``qk`` in bits: before the softmax, or before everything."""


def stage_of(op: dict[str, Any]) -> str:
    """``qk``, ``add``, ``softmax`` or ``pv``; empty for an op that looks at no keys."""
    if not op["context"]:
        return ""
    if op["kind"] == "matmul" and op["multiplies"][1] == "positions":
        return ""  # a term of the bias
    if op["kind"] == "matmul":
        return "pv" if op["multiplies"][0] == "probabilities" else "qk"
    return {"softmax": "softmax", "pointwise": "add"}.get(op["kind"], "")


def heads_of(op: dict[str, Any]) -> int:
    """Heads of an attention's op: a softmax and a sum have one element a head and key."""
    return int(op["heads"] if op["kind"] == "matmul" else op["elements"])


def chooser_of(chip: Chip, graph: nx.DiGraph, name: str) -> Unit | None:
    """The unit that chooses the keys which an op looks at.

    The sum of scores and bias goes with the product. An attention without a bias keeps every key
    where keys are chosen by that.
    """
    op = graph.nodes[name]
    stage = stage_of(op)
    if stage == "add" and not any(stage_of(graph.nodes[u]) for u in graph.predecessors(name)):
        return None  # terms of a bias are added up before scores are
    given = chip.serves.get("matmul" if stage == "add" else op["kind"]) if stage else None
    if given is None or not given.keys:
        return None
    unit = chip.units[given.keys]
    by = unit.kind.chooses(unit)
    if not by:
        return None if stage == "add" else unit
    blind = by == "bias" and bias_of(graph, product_of(graph, name)) is None
    return None if blind else unit


def chosen(chip: Chip, graph: nx.DiGraph, name: str, flow: Flow, server: Unit | None) -> Flow:
    """``flow`` of an op, over the keys it sees; ``server``: the unit that makes the products."""
    unit, op = chooser_of(chip, graph, name), graph.nodes[name]
    if unit is None:
        return flow
    by, stage = unit.kind.chooses(unit), stage_of(op)
    if not by:
        return replace(flow, kept=kept_share(unit))
    if stage not in SEES[by]:
        return flow
    bits = _bits(server) if (by, stage) == ("bits", "qk") else 1
    return replace(flow, each=heads_of(op) * bits, work=name)


def by_head(task: Task, flow: Flow) -> Task:
    """A task whose unit of size is one head and key (or one bit of it) instead of all heads."""
    if not flow.work:
        return task
    heads = task.heads if task.op == "matmul" else task.elements
    return replace(
        task,
        macs=task.macs // heads,
        elements=task.elements // heads,
        width=-(-task.width // heads),
        heads=1,
        by_bit=flow.each > heads,
    )


def looks_before(unit: Unit, op: dict[str, Any]) -> bool:
    """Whether a unit that chooses keys looks just before this op."""
    by = unit.kind.chooses(unit)
    return stage_of(op) == ("softmax" if by in ("scores", "bits") else "qk")


def looking(graph: nx.DiGraph, unit: Unit, name: str, flow: Flow, server: Unit | None) -> Flow:
    """How the tokens of a unit that chooses run, before op ``name`` with ``flow`` over all keys."""
    by, op = unit.kind.chooses(unit), graph.nodes[name]
    if not by:
        return flow
    if by != "bits":
        return replace(flow, each=heads_of(op))
    return replace(flow, each=heads_of(op) * _bits(server), work=product_of(graph, name))


def bias_of(graph: nx.DiGraph, product: str) -> tuple[str, str] | None:
    """Op and edge rule of the bias that is added to the scores of ``product``, if there is one."""
    for add in graph.successors(product):
        if stage_of(graph.nodes[add]) == "add":
            for source, _, rule in graph.in_edges(add, data="rule"):
                if source != product:
                    return source, rule
    return None


def product_of(graph: nx.DiGraph, name: str) -> str:
    """The product of queries and keys of the attention that an op belongs to."""
    while stage_of(graph.nodes[name]) != "qk":
        name = next(u for u in graph.predecessors(name) if stage_of(graph.nodes[u]))
    return name


def _bits(server: Unit | None) -> int:
    if server is None or not server.kind.bit_by_bit:
        name = "nobody" if server is None else server.name
        raise InputError(f"keys cannot be chosen bit by bit: {name} makes whole products")
    return server.kind.stored_bits(server)


def kept_share(unit: Unit) -> tuple[int, int]:
    """The share of keys that a unit lets through, as a fraction."""
    share = millionths(unit.kind.kept(unit))
    return share.numerator, share.denominator
