"""Placement: which layer sits on which PUs, in which arrays and modes, in how many copies.

A layer (a transformer block) takes whole PUs; PUs are numbered through the chips, and layers
follow each other in the order of the model, so that tokens flow from PU to PU as in a pipeline
(HyFlexPIM §3.1). Small layers outside the blocks (embedding, pair features, classifier) get PUs
of their own while any are left, else they move in with the nearest block that has free arrays.

Arrays that a layer leaves free hold *copies*: a matrix with c copies serves c tokens at once.
The paper does not say how freed arrays are used; copies of the bottleneck are our reading.

What does not fit is refused with the shortfall in arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from typing import Any

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.hardware import Hardware
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.units.tiling import Factor, factors


@dataclass(frozen=True, slots=True)
class Options:
    """How to place. ``slc_rate``: share of ranks (of outputs, where dense) kept in SLC, 0 to 1.

    ``slc_rates``: other rates by pattern of op name, the first that matches counts.
    ``copies``: ``"none"``, ``"fill"`` (copy the bottleneck until it is none, or arrays run out)
    or a number for every matrix. ``pus_per_layer``: ``"auto"`` (as many as the layer needs),
    ``"fill"`` (share all PUs among the blocks) or a number. ``chips``: how many there are.
    """

    slc_rate: float = 1.0
    slc_rates: dict[str, float] = field(default_factory=dict)
    tiles: str = "row-tile"
    copies: str | int = "fill"
    pus_per_layer: str | int = "auto"
    chips: int = 1

    def __post_init__(self) -> None:
        for key, value, words in (
            ("copies", self.copies, ("none", "fill")),
            ("pus_per_layer", self.pus_per_layer, ("auto", "fill")),
        ):
            if not _positive(value) and value not in words:
                raise InputError(
                    f"{key} must be {', '.join(words)} or a positive integer; got {value!r}"
                )
        if not _positive(self.chips):
            raise InputError(f"chips must be a positive integer; got {self.chips!r}")

    def rate(self, op: str) -> float:
        """SLC rate of one op."""
        matches = (rate for pattern, rate in self.slc_rates.items() if fnmatch(op, pattern))
        return next(matches, self.slc_rate)


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@dataclass(frozen=True, slots=True)
class Weight:
    """One matrix on the chip; ``ops`` are the graph's nodes that share it."""

    name: str
    layer: str
    ops: tuple[str, ...]
    rank: int | None
    factors: tuple[Factor, ...]
    copies: int = 1

    @property
    def arrays(self) -> int:
        """Arrays of one copy."""
        return sum(factor.arrays for factor in self.factors)


@dataclass(frozen=True)
class Placement:
    """Layers on PUs. ``pus[layer]``: global PU numbers, several layers may name the same ones.

    ``order``: the graph's ops as :func:`hyflexsim.sim.graph.order` has them.
    """

    hw: Hardware
    options: Options
    pus: dict[str, tuple[int, ...]]
    weights: dict[str, Weight]
    order: tuple[str, ...]

    def chip(self, pu: int) -> int:
        """Chip that a PU is on."""
        return pu // self.hw.chip.pus

    @property
    def pus_used(self) -> int:
        """PUs that hold something."""
        return len({pu for pus in self.pus.values() for pu in pus})

    def groups(self) -> dict[tuple[int, ...], list[str]]:
        """Layers by the PUs they share."""
        shared: dict[tuple[int, ...], list[str]] = {}
        for layer, pus in self.pus.items():
            shared.setdefault(pus, []).append(layer)
        return shared

    def free(self, pus: tuple[int, ...]) -> int:
        """Free arrays on a group of PUs."""
        layers = self.groups()[pus]
        used = sum(w.arrays * w.copies for w in self.weights.values() if w.layer in layers)
        return arrays_per_pu(self.hw) * len(pus) - used

    def with_copies(self, copies: dict[str, int]) -> Placement:
        """The same with other numbers of copies."""
        weights = {
            name: replace(weight, copies=copies.get(name, weight.copies))
            for name, weight in self.weights.items()
        }
        return replace(self, weights=weights)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row per matrix and PU for tables; arrays are dealt to the PUs of a layer in turn."""
        dealt: dict[tuple[int, ...], int] = {}
        for weight in self.weights.values():
            pus = self.pus[weight.layer]
            first = dealt.get(pus, 0)
            dealt[pus] = first + weight.arrays * weight.copies
            slc = sum(factor.arrays_slc for factor in weight.factors)
            for position, pu in enumerate(pus):
                turn = position, len(pus)
                yield {
                    "layer": weight.layer,
                    "op": weight.ops[0],
                    "weight": weight.name,
                    "pu": pu,
                    "chip": self.chip(pu),
                    "rows": weight.factors[0].rows,
                    "cols": weight.factors[-1].outputs,
                    "rank": -1 if weight.rank is None else weight.rank,
                    "arrays_slc": _dealt(first, slc, *turn),
                    "arrays_mlc": _dealt(first + slc, weight.arrays - slc, *turn),
                    "copies": weight.copies,
                    "arrays_total": _dealt(first, weight.arrays * weight.copies, *turn),
                }


def _dealt(first: int, count: int, position: int, parts: int) -> int:
    """How many of the things first, first + 1, ... fall to a position when dealt in turn."""
    return (first + count - 1 - position) // parts - (first - 1 - position) // parts


def arrays_per_pu(hw: Hardware) -> int:
    """Arrays of one PU.

    >>> arrays_per_pu(Hardware.load("hyflexpim"))
    12288
    """
    return hw.pu.analog_modules * hw.analog.arrays


def is_block(layer: str) -> bool:
    """True for one of a row of equal layers (``h.3``), False for ``embed``.

    >>> is_block("encoder.layer.11"), is_block("pooler")
    (True, False)
    """
    return layer.rpartition(".")[2].isdigit()


def layer_order(graph: nx.DiGraph, order: Sequence[str]) -> list[str]:
    """Layers in the order in which they end: a class-attention block comes after the blocks it
    reads, though some of its ops need nothing but the class token.
    """
    last = {graph.nodes[name]["layer"]: i for i, name in enumerate(order)}
    return sorted(last, key=last.__getitem__)


def place(graph: nx.DiGraph, hw: Hardware, options: Options) -> Placement:
    """Put every layer of ``graph`` on PUs, one copy each (see :mod:`hyflexsim.sim.plan.copies`).

    Raises :class:`~hyflexsim.sim.errors.CapacityError` with the shortfall in arrays.
    """
    _refuse_idle_patterns(graph, options)
    order = g.order(graph)
    weights = _weights(graph, order, hw, options)
    layers = layer_order(graph, order)
    arrays = dict.fromkeys(layers, 0)
    for weight in weights.values():
        arrays[weight.layer] += weight.arrays
    pus = _assign(layers, arrays, hw, options)
    return Placement(hw, options, pus, weights, tuple(order))


def _refuse_idle_patterns(graph: nx.DiGraph, options: Options) -> None:
    ops = [name for name, kind in graph.nodes(data="kind") if kind == "gemv"]
    for pattern in options.slc_rates:
        if not any(fnmatch(op, pattern) for op in ops):
            raise InputError(
                f"slc_rates: no matrix matches {pattern!r}; names are like {', '.join(ops[:3])}"
            )


def _weights(
    graph: nx.DiGraph, order: Sequence[str], hw: Hardware, options: Options
) -> dict[str, Weight]:
    weights: dict[str, Weight] = {}
    for name in order:
        op = graph.nodes[name]
        if op["kind"] != "gemv":
            continue
        key = op["weight"]
        if key in weights:
            weights[key] = replace(weights[key], ops=(*weights[key].ops, name))
            continue
        grids = factors(hw, op["rows"], op["cols"], op["rank"], options.rate(name), options.tiles)
        weights[key] = Weight(key, op["layer"], (name,), op["rank"], grids)
    return weights


def _assign(
    layers: list[str], arrays: dict[str, int], hw: Hardware, options: Options
) -> dict[str, tuple[int, ...]]:
    """Numbers of PUs, then the PUs themselves in the order of the model.

    One block a PU at first; where the PUs do not suffice, two neighbours share, then three ...
    """
    size = arrays_per_pu(hw)
    total = hw.chip.pus * options.chips
    blocks = [layer for layer in layers if is_block(layer) and arrays[layer]]
    _refuse_narrow(blocks, arrays, size, options)
    runs = (
        range(1, len(blocks) + 1) if options.pus_per_layer in ("auto", "fill") and blocks else (1,)
    )
    for run in runs:
        leaders = {layer: blocks[i - i % run] for i, layer in enumerate(blocks)}
        joint = dict(arrays)
        for layer, leader in leaders.items():
            if layer != leader:
                joint[leader] += joint.pop(layer)
        owners = [layer for layer in layers if layer in joint]
        lodgers, wanted = _share_out(owners, joint, total, size, options)
        needed = _needed(owners, lodgers, wanted)
        if run == 1:
            apart = needed
        if needed <= total:
            lodgers |= {layer: leader for layer, leader in leaders.items() if layer != leader}
            return _number(layers, lodgers, wanted, total, hw.chip.pus)
    least = max(-(-sum(arrays.values()) // size), min(apart, needed))
    raise CapacityError(
        f"the model's {sum(arrays.values())} arrays take {least} PUs ({least * size} arrays), "
        f"since layers take whole ones; {options.chips} chip(s) have {total} PUs "
        f"({total * size} arrays): "
        f"{least - total} PU(s) ({(least - total) * size} arrays) short"
    )


def _refuse_narrow(blocks: list[str], arrays: dict[str, int], size: int, options: Options) -> None:
    each = options.pus_per_layer
    if not isinstance(each, int):
        return
    for block in blocks:
        if arrays[block] > each * size:
            raise CapacityError(
                f"{block} needs {arrays[block]} arrays; {each} PU(s) per layer hold "
                f"{each * size}: {arrays[block] - each * size} arrays short"
            )


def _share_out(
    layers: list[str], arrays: dict[str, int], total: int, size: int, options: Options
) -> tuple[dict[str, str], dict[str, int]]:
    """Layers that live with another, and how many PUs each of the rest gets."""
    blocks = [layer for layer in layers if is_block(layer) and arrays[layer]]
    wanted = {layer: -(-arrays[layer] // size) for layer in layers}
    least = 1
    if isinstance(options.pus_per_layer, int):
        least = options.pus_per_layer
    elif options.pus_per_layer == "fill" and blocks:
        least = max(1, total // len(blocks))
    while True:
        given = wanted | {layer: max(wanted[layer], least) for layer in blocks}
        lodgers = _lodgers(layers, blocks, arrays, given, total, size)
        fits = _needed(layers, lodgers, given) <= total
        if fits or least == 1 or options.pus_per_layer != "fill":
            return lodgers, given
        least -= 1


def _needed(layers: list[str], lodgers: dict[str, str], wanted: dict[str, int]) -> int:
    return sum(wanted[layer] for layer in layers if layer not in lodgers)


def _lodgers(
    layers: list[str],
    blocks: list[str],
    arrays: dict[str, int],
    wanted: dict[str, int],
    total: int,
    size: int,
) -> dict[str, str]:
    """Layers without PUs of their own, and with whom they live (the nearest that has room)."""
    lodgers: dict[str, str] = {}
    spare = total - sum(wanted[layer] for layer in blocks)
    room = {layer: wanted[layer] * size - arrays[layer] for layer in layers}
    hosts = list(blocks)
    others = [layer for layer in layers if layer not in blocks]
    for layer in sorted(others, key=lambda layer: -arrays[layer]):
        near = sorted(hosts, key=lambda host: abs(layers.index(host) - layers.index(layer)))
        host = next((host for host in near if room[host] >= arrays[layer]), None)
        if host is None or 0 < wanted[layer] <= spare:
            # a PU of its own while there are some; if there are none, the refusal counts it
            wanted[layer] = max(wanted[layer], 1)
            spare -= wanted[layer]
            hosts.append(layer)
        else:
            room[host] -= arrays[layer]
            lodgers[layer] = host
    return lodgers


def _number(
    layers: list[str],
    lodgers: dict[str, str],
    wanted: dict[str, int],
    total: int,
    per_chip: int,
) -> dict[str, tuple[int, ...]]:
    """PU numbers in model order; a layer does not straddle chips if that costs no chip."""
    owners = [layer for layer in layers if layer not in lodgers]
    for whole in (True, False):
        pus: dict[str, tuple[int, ...]] = {}
        following = 0
        for layer in owners:
            left = per_chip - following % per_chip
            if whole and left < wanted[layer] <= per_chip:
                following += left
            pus[layer] = tuple(range(following, following + wanted[layer]))
            following += wanted[layer]
        if following <= total:
            break
    return {layer: pus[lodgers.get(layer, layer)] for layer in layers}
