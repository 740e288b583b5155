"""What waits in the memory of results, and how many requests fit at once.

Data that a token only passes through lies in buffers. What must wait for other tokens lies in the
unit that serves ``results`` (in HyFlexPIM the digital modules, §3.3): keys, values and
whatever else meets a barrier, and results with several readers, such as residuals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction
from math import ceil

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import CapacityError
from hyflexsim.sim.placement.mapping import Placement


def capacity_bytes(chip: Chip, pus: Fraction | int) -> int:
    """Bytes that wait in so many PUs, or parts; a memory of all PUs of a chip is shared evenly.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> capacity_bytes(load_chip("hyflexpim"), 1) // 2**20       # MiB
    256
    """
    memory = chip.unit("results")
    size = memory.kind.memory_bytes(memory)
    return int(pus * size if memory.where == "pu" else pus * size // chip.values.pus)


def request_bytes(graph: nx.DiGraph, placement: Placement, tokens: int) -> dict[str, int]:
    """Bytes that one request of N ``tokens`` keeps waiting in each layer."""
    sizes = dict.fromkeys(placement.pus, 0)
    for name, op in graph.nodes(data=True):
        if op["kind"] == "output" or op["context"]:
            sizes[op["layer"]] += _scores_bytes(graph, placement, name, tokens)
            continue
        waits = graph.out_degree(name) > 1 or any(
            rule != "stream"
            for reader in graph.successors(name)
            for _, _, rule in graph.in_edges(reader, data="rule")
        )
        if waits:
            width = op["width"] * placement.chip.vector_bits
            sizes[op["layer"]] += _held(graph, name, tokens) * -(-width // 8)
    return sizes


def _scores_bytes(graph: nx.DiGraph, placement: Placement, name: str, tokens: int) -> int:
    """Bytes of scores that wait: products of which a reader wants another token's."""
    op = graph.nodes[name]
    rules = {rule for _, _, rule in graph.out_edges(name, data="rule")}
    if op["context"] != "table" or rules <= {"stream"}:
        return 0
    width = int(op["width"]) * placement.chip.vector_bits
    return g.context_sum(op, tokens) * -(-width // 8)


def _held(graph: nx.DiGraph, name: str, tokens: int) -> int:
    """Tokens of an op's result that wait at once: all, or those of the widest window on them."""
    count = g.token_count(graph.nodes[name], tokens)
    readers = [(graph.nodes[v], rule) for _, v, rule in graph.out_edges(name, data="rule")]
    if any(rule != "window" for _, rule in readers):
        return count
    return min(count, max(int(op["behind"] + 1 + op["ahead"]) for op, _ in readers))


def requests_at_once(graph: nx.DiGraph, placement: Placement, tokens: int) -> int:
    """How many requests of ``tokens`` tokens the fullest PU group can hold.

    Raises :class:`CapacityError` when not even one fits, or when a sequence is longer than the PUs
    of a layer with attention serve (8192 tokens each, HyFlexPIM §3.1); others see a token each.
    """
    fits = [room // need for need, room in _needs(graph, placement, tokens) if need]
    return min(fits, default=2**31)


def memory_and_needs(
    graph: nx.DiGraph, placement: Placement, lengths: Collection[int]
) -> tuple[int, dict[int, int]]:
    """Bytes for requests in the fullest PU group, and of these what a request of each length takes.

    The fullest is that of the longest request. Where another group is the fullest for a shorter
    one, its share of that group counts, so that all that is let in fits everywhere.

    Raises :class:`CapacityError` as :func:`requests_at_once`.
    """
    shares = {
        tokens: max(Fraction(need, room) for need, room in _needs(graph, placement, tokens) if room)
        for tokens in sorted(set(lengths))
    }
    longest = max(lengths)
    memory = next(
        room
        for need, room in _needs(graph, placement, longest)
        if room and Fraction(need, room) == shares[longest]
    )
    return memory, {tokens: max(1, ceil(share * memory)) for tokens, share in shares.items()}


def pages(graph: nx.DiGraph, placement: Placement, size: int, longest: int) -> int:
    """Pages for ``size`` tokens each that the fullest PU group holds.

    What a request keeps beside its tokens, such as an encoder's output, counts in every page.
    Raises :class:`CapacityError` where they are too few for the ``longest`` request.
    """
    needs = [(need, room) for need, room in _needs(graph, placement, size) if need]
    found = min((room // need for need, room in needs), default=2**31)
    wanted = -(-longest // size)
    if wanted > found:
        raise CapacityError(
            f"a request of {longest} tokens takes {wanted} pages of {size}; the memory of results "
            f"holds {found}: {wanted - found} short"
        )
    return found


def _needs(graph: nx.DiGraph, placement: Placement, tokens: int) -> Iterator[tuple[int, int]]:
    """Bytes that one request needs in each PU group, and bytes that are there for requests."""
    chip = placement.chip
    sizes = request_bytes(graph, placement, tokens)
    stored = _beside_results(graph, placement)
    memory = chip.served_by("results").unit
    what = "fetched weights and tables" if chip.served_by("gemv").weights else "tables"
    attending = {op["layer"] for _, op in graph.nodes(data=True) if op["context"]}
    for group, layers in placement.groups().items():
        pus = placement.share(group)
        longest = max(tokens, graph.graph.get("source", 1))
        attends = next((layer for layer in layers if layer in attending), None)
        if attends is not None and longest > chip.values.max_tokens * pus:
            raise CapacityError(
                f"{longest} tokens need {-(-longest // chip.values.max_tokens)} PUs per layer "
                f"(chip.max_tokens = {chip.values.max_tokens}); {attends} has {float(pus):g}"
            )
        tables = sum(stored.get(layer, 0) for layer in layers)
        room = capacity_bytes(chip, pus) - tables
        need = sum(sizes[layer] for layer in layers)
        if need > room:
            beside = f" beside {tables} bytes of {what}" if tables else ""
            raise CapacityError(
                f"{', '.join(layers)}: a request of {tokens} tokens keeps {need} bytes waiting"
                f"{beside}; {memory} of {float(pus):g} PU(s) holds "
                f"{capacity_bytes(chip, pus)} bytes: {need - room} short"
            )
        yield need, room


def _beside_results(graph: nx.DiGraph, placement: Placement) -> dict[str, int]:
    """Bytes by layer that take room in the memory of results: tables that lie there, and weights
    fetched for a request. Tables in another memory are checked against that one.
    """
    chip = placement.chip
    stored = table_bytes(graph, chip)
    holder = chip.unit("lookup") if stored else None
    if holder is not None and holder is not chip.unit("results"):
        room = placement.options.chips * holder.kind.memory_bytes(holder)
        if sum(stored.values()) > room:
            raise CapacityError(
                f"tables of {sum(stored.values())} bytes need {sum(stored.values()) - room} more "
                f"than {holder.name} holds ({room})"
            )
        stored = {}
    gemv = chip.served_by("gemv")
    if gemv.weights and gemv.weights not in (gemv.unit, chip.served_by("results").unit):
        for weight in placement.weights.values():
            stored[weight.layer] = stored.get(weight.layer, 0) + weight.cells("bytes")
    return stored


def table_bytes(graph: nx.DiGraph, chip: Chip) -> dict[str, int]:
    """Bytes of embedding tables by layer, one INT8 value per parameter."""
    values: dict[str, int] = {}
    for _, op in graph.nodes(data=True):
        if op["kind"] == "lookup":
            stored = op.get("stored", op["parameters"])
            values[op["layer"]] = values.get(op["layer"], 0) + stored
    return {layer: int(count * chip.weight_bits // 8) for layer, count in values.items()}
