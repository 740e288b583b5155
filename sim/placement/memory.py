"""What waits in digital-PIM memory, and how many requests fit at once.

Data that a token only passes through lies in buffers. What must wait for other tokens lies in the
arrays of the digital modules (HyFlexPIM §3.3 keeps all intermediates there): keys, values and
whatever else meets a barrier, and results with several readers, such as residuals.
"""

from __future__ import annotations

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.hardware import Hardware
from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.mapping import Placement


def capacity_bytes(hw: Hardware, pus: int) -> int:
    """Bytes in the digital modules of so many PUs.

    >>> capacity_bytes(Hardware.load("hyflexpim"), 1) // 2**20       # MiB
    256
    """
    bits = hw.digital.arrays * hw.digital.rows * hw.digital.columns
    return pus * hw.pu.digital_modules * bits // 8


def request_bytes(graph: nx.DiGraph, placement: Placement, tokens: int) -> dict[str, int]:
    """Bytes that one request of N ``tokens`` keeps waiting in each layer."""
    sizes = dict.fromkeys(placement.pus, 0)
    for name, op in graph.nodes(data=True):
        if op["kind"] == "output" or op["context"]:
            continue
        waits = graph.out_degree(name) > 1 or any(
            rule != "stream"
            for reader in graph.successors(name)
            for _, _, rule in graph.in_edges(reader, data="rule")
        )
        if waits:
            width = op["width"] * placement.hw.analog.input_bits
            sizes[op["layer"]] += g.token_count(op, tokens) * -(-width // 8)
    return sizes


def requests_at_once(graph: nx.DiGraph, placement: Placement, tokens: int) -> int:
    """How many requests of ``tokens`` tokens the fullest PU group can hold.

    Raises :class:`CapacityError` when not even one fits, or when a sequence is longer than the PUs
    of a layer serve (8192 tokens each, HyFlexPIM §3.1).
    """
    hw = placement.hw
    sizes = request_bytes(graph, placement, tokens)
    stored = _tables(graph, hw)
    fits = []
    for pus, layers in placement.groups().items():
        if tokens > hw.chip.max_tokens * len(pus):
            raise CapacityError(
                f"{tokens} tokens need {-(-tokens // hw.chip.max_tokens)} PUs per layer "
                f"(chip.max_tokens = {hw.chip.max_tokens}); {layers[0]} has {len(pus)}"
            )
        tables = sum(stored.get(layer, 0) for layer in layers)
        room = capacity_bytes(hw, len(pus)) - tables
        need = sum(sizes[layer] for layer in layers)
        if need > room:
            beside = f" beside {tables} bytes of tables" if tables else ""
            raise CapacityError(
                f"{', '.join(layers)}: a request of {tokens} tokens keeps {need} bytes waiting"
                f"{beside}; the digital modules of {len(pus)} PU(s) hold "
                f"{capacity_bytes(hw, len(pus))} bytes: {need - room} short"
            )
        fits.append(room // need if need else None)
    return min((n for n in fits if n is not None), default=2**31)


def _tables(graph: nx.DiGraph, hw: Hardware) -> dict[str, int]:
    """Bytes of embedding tables by layer, one INT8 value per parameter."""
    values: dict[str, int] = {}
    for _, op in graph.nodes(data=True):
        if op["kind"] == "lookup":
            stored = op.get("stored", op["parameters"])
            values[op["layer"]] = values.get(op["layer"], 0) + stored
    return {layer: int(count * hw.analog.weight_bits // 8) for layer, count in values.items()}
