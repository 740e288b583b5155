"""What fewer ranks buy on the chip, for models of published shape: no weights are needed.

SoftLMs reports 1.33 to 1.72 times the speed at half of all parameters (arXiv 2411.10543, abstract;
on which machine is not known). Here a model runs dense and with its blocks' matrices at a share of
their values (the same share of every break-even rank), on the same number of chips, free arrays
holding copies. Two readings of the share: of the blocks' linear weights, or of all parameters,
which leaves the blocks less since embeddings stay. "rounded": ranks to multiples of 64, the
wordlines of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

import networkx as nx
from pydantic import ValidationError

from hyflexsim.sim import graph as g
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.workloads.extraction.extract import extract
from hyflexsim.workloads.extraction.ranks import (
    SKIP,
    block_matrices,
    break_even,
    exact_ops,
    with_ranks,
)
from hyflexsim.workloads.run.run import Result, simulate
from hyflexsim.workloads.scenario.refusals import refusal
from hyflexsim.workloads.scenario.scenario import Scenario
from hyflexsim.workloads.scenario.schema import Chip, Model, Placing, Run, Tokens
from hyflexsim.workloads.terminal import Say

MODELS = ("bert-base", "gpt2", "tinyllama-1.1b", "mamba-130m")
"""Those of SoftLMs."""

TILE = 64


class Gain(NamedTuple):
    """Dense over compressed: latency (p50), throughput (inverted), energy a request, arrays."""

    model: str
    what: str
    overlap: str
    chips: int
    linears: float
    total: float
    latency: float
    throughput: float
    energy: float
    arrays: float


def gains(
    models: Sequence[str],
    *,
    share: float = 0.5,
    slc_rate: float = 1.0,
    tokens: int = 128,
    requests: int = 4,
    overlaps: Sequence[str] = ("pipelined", "layer-serial"),
    say: Say | None = None,
) -> list[Gain]:
    """A row for each model, way to cut and overlap.

    `share` and `slc_rate` from 0 to 1. Chips: as few as hold the dense model. Raises InputError for
    a share outside (0, 1) and unknown models.
    """
    if not 0 < share < 1:
        raise InputError(f"--share must be above 0 and below 1; got {share:g}")
    if not 0 <= slc_rate <= 1:
        raise InputError(f"--slc-rate must be from 0 to 100 per cent; got {100 * slc_rate:g}")
    if not models:
        raise InputError("--models must name a model; got none")
    try:
        Tokens(tokens=tokens, requests=requests)
    except ValidationError as error:
        raise refusal(Tokens, "speedup", error) from None
    rows: list[Gain] = []
    for name in models:
        graph = extract(name)
        variants = _variants(graph, share)
        for overlap in overlaps:
            if say is not None:
                say(f"{name}, {overlap}", len(rows), 0)
            chips, dense = _fitting(graph, slc_rate, tokens, requests, overlap)
            for what, ranks in variants.items():
                cut = with_ranks(graph, ranks)
                result = _run(cut, slc_rate, tokens, requests, overlap, chips)
                rows.append(_gain(name, what, overlap, chips, dense, result))
    return rows


def _variants(graph: nx.DiGraph, share: float) -> dict[str, dict[str, int]]:
    """Ranks by weight for each reading of the share, as they are and rounded."""
    matrices = {
        weight: shape
        for weight, shape in block_matrices(graph).items()
        if weight.removesuffix(".weight").rsplit(".", 1)[-1] not in SKIP
    }
    held = sum(rows * cols for rows, cols in matrices.values())
    every = g.parameters(graph)
    of_total = (share * every - (every - held)) / held
    readings = {f"{share:.0%} of the linears": share}
    if of_total > 0:
        readings[f"{share:.0%} of all"] = of_total
    variants = {}
    for what, part in readings.items():
        ranks = {w: max(1, int(part * m * n / (m + n))) for w, (m, n) in matrices.items()}
        variants[what] = ranks
        whole = {w: max(1, round(rank / TILE)) * TILE for w, rank in ranks.items()}
        variants[f"{what}, rounded"] = {
            w: rank for w, rank in whole.items() if rank <= break_even(*matrices[w])
        }
    return variants


def _fitting(
    graph: nx.DiGraph, slc_rate: float, tokens: int, requests: int, overlap: str
) -> tuple[int, Result]:
    for chips in count(1):
        try:
            return chips, _run(graph, slc_rate, tokens, requests, overlap, chips)
        except CapacityError:
            continue
    raise AssertionError


def _run(
    graph: nx.DiGraph, slc_rate: float, tokens: int, requests: int, overlap: Any, chips: int
) -> Result:
    name = graph.graph["name"]
    scenario = Scenario(
        name=name,
        model=Model(name=name),
        chip=Chip(chips=chips),
        mapping=Placing(slc_rate=slc_rate, slc_rates=dict.fromkeys(exact_ops(graph), 1.0)),
        workload=Tokens(tokens=graph.graph.get("tokens") or tokens, requests=requests),
        run=Run(overlap=overlap),
    )
    return simulate(scenario, graph=graph)


def _gain(name: str, what: str, overlap: str, chips: int, dense: Result, cut: Result) -> Gain:
    before, after = dense.summary, cut.summary
    return Gain(
        name,
        what,
        overlap,
        chips,
        sum(_block_values(cut.graph)) / sum(_block_values(dense.graph)),
        g.parameters(cut.graph) / g.parameters(dense.graph),
        before["latency_ps"]["p50"] / after["latency_ps"]["p50"],
        after["throughput_per_s"] / before["throughput_per_s"],
        before["energy_per_request_pj"] / after["energy_per_request_pj"],
        _arrays(dense) / _arrays(cut),
    )


def _block_values(graph: nx.DiGraph) -> list[int]:
    matrices = block_matrices(graph)
    ranks = {op["weight"]: op["rank"] for _, op in graph.nodes(data=True) if "weight" in op}
    return [
        rows * cols if ranks[weight] is None else ranks[weight] * (rows + cols)
        for weight, (rows, cols) in matrices.items()
    ]


def _arrays(result: Result) -> int:
    return sum(weight.pieces for weight in result.placement.weights.values())
