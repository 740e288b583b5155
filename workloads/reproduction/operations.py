"""Fig 2: operations of one encoder layer by stage, over the length."""

from __future__ import annotations

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.placement.mapping import is_block
from hyflexsim.workloads.extraction.extract import extract
from hyflexsim.workloads.reproduction.claims import Claim, Figure, paper, table
from hyflexsim.workloads.terminal import Say

MODEL = "bert-base"
STAGES = {
    "Q, K, V": ("self.query", "self.key", "self.value"),
    "QKᵀ": ("self.qk",),
    "PV": ("self.pv",),
    "projection": ("attention.output.dense",),
    "FFN1": ("intermediate.dense",),
    "FFN2": ("0.output.dense",),
}
"""By the ends of op names; the figure's axis fits a hidden size of 768."""
STATIC = ("Q, K, V", "projection", "FFN1", "FFN2")


def stages(graph: nx.DiGraph, tokens: int) -> dict[str, int]:
    """Multiply-accumulates of the first block by stage.

    >>> stages(extract("bert-base"), 3072)["FFN1"]  # the figure's axis ends at 80e8
    7247757312
    """
    macs = g.macs(graph, tokens)
    first = next(layer for _, layer in graph.nodes(data="layer") if is_block(layer))
    return {
        stage: sum(
            count
            for op, count in macs.items()
            if graph.nodes[op]["layer"] == first and op.endswith(ends)
        )
        for stage, ends in STAGES.items()
    }


def static_share(graph: nx.DiGraph, tokens: int) -> float:
    """Share of the static matrices in a block's multiply-accumulates."""
    found = stages(graph, tokens)
    return sum(found[stage] for stage in STATIC) / sum(found.values())


def fig2(say: Say) -> Figure:
    """The table and its claims; softmax does no multiply-accumulates."""
    say("fig2", 0, 1)
    about, graph = paper("fig2"), extract(MODEL)
    rows = [
        ("", stage, str(tokens), count / 1e8, float("nan"))
        for tokens in about["tokens"]
        for stage, count in stages(graph, tokens).items()
    ]
    longest, least = max(about["tokens"]), about["static_share"]
    until = max(n for n in range(1, longest + 1) if static_share(graph, n) > least)
    claim = Claim(
        figure="fig2",
        claim=f"static matrices do over 70 % of a layer's MACs (here: N = {longest})",
        paper=least,
        ours=static_share(graph, longest),
        rests="the hidden size alone",
        why=f"It holds up to N = {until:,} for BERT-Base; the figure goes on to {longest:,}.",
    )
    title = "Fig 2: operations of a layer of BERT-Base"
    return Figure("fig2", title, table(rows), ("tokens N", "10⁸ MACs"), (claim,))
