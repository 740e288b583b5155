"""Placement: which layer sits on which PUs, in which arrays and modes, in how many copies.

A layer (a transformer block) takes whole PUs; PUs are numbered through the chips, and layers
follow each other in the order of the model, so that tokens flow from PU to PU as in a pipeline
(HyFlexPIM §3.1). Small layers outside the blocks (embedding, pair features, classifier) get PUs
of their own while any are left, else they move in with the nearest block that has free arrays.
Packed, neighbouring blocks share PUs by arrays: each is then spread over all PUs of its group, and
its partial sums cross between them. With a number that is not whole a block takes a part of a PU
more, and its neighbour the rest of that PU (extent.py).

Arrays that a layer leaves free hold *copies*: a matrix with c copies serves c tokens at once, each
copy its share of them; its two factors may have copies of their own (weight.py). On several PUs a
layer, three copies of a matrix on two PUs are one and a half a PU. The paper does not say how freed
arrays are used; copies of the bottleneck are our reading.

Arrays and PUs that are broken (faults.py) are left out: copies go first, then spare arrays are
used, then a layer takes one more PU. What does not fit is refused with the shortfall in arrays.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from fractions import Fraction
from math import ceil
from typing import Any

import networkx as nx

from hyflexsim.sim import graph as g
from hyflexsim.sim.chip.chip import Chip
from hyflexsim.sim.errors import CapacityError, InputError
from hyflexsim.sim.placement.extent import (
    WHOLE,
    Extent,
    extent_of,
    is_number,
    number_of,
    refuse_split_units,
)
from hyflexsim.sim.placement.faults import FaultMap, Faults
from hyflexsim.sim.placement.slots import Slots
from hyflexsim.sim.placement.weight import Weight

COPIES = ("none", "fill", "fill-factors", "even")
"""Words for how many copies there are, beside numbers."""
WAYS = ("auto", "fill", "packed")
"""To give PUs to layers, beside a number."""
DEALS = ("by-token", "in-turn")
"""To deal tokens to the copies of a matrix (sim/plan/dealing.py)."""
MOST_PUS = 2**17
"""PUs that a placement may use; how many a machine has beside them costs nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to place. ``slc_rate``: share of ranks (of outputs, where dense) kept in SLC, 0 to 1.

    ``slc_rates``: other rates by pattern of op name, the first that matches counts.
    ``copies``: ``"none"``, ``"fill"`` (copy the bottleneck until it is none, or arrays run out),
    ``"fill-factors"`` (the same, the two factors of a matrix each for itself), ``"even"`` (as many
    of every matrix of the blocks as fit), a number for every matrix of the blocks, or numbers by
    pattern of op name, or of op name and factor (``*.fc1.V``). ``pus_per_layer``:
    ``"auto"`` (as many as the layer needs), ``"fill"`` (share all PUs among the blocks),
    ``"packed"`` (blocks share PUs, so that all take as few as possible) or a number from 1, with a
    part of a PU or without (extent.py). ``chips``: how many there are, and ``share`` the PUs of
    them that the model may use (None: all).
    ``spare_arrays``: of each PU, for what is broken (pieces of another unit, where that holds the
    weights). ``deal``: which copy of a matrix takes which token: ``"by-token"`` (the first one
    token 0 of every request) or ``"in-turn"`` (the next request begins one copy further on).
    ``faults``: what is broken, and of how many machines of ``chips`` chips, whose PUs it numbers
    through, this is which one (``machines``, ``machine``).
    """

    slc_rate: float = 1.0
    slc_rates: dict[str, float] = field(default_factory=dict)
    tiles: str = "row-tile"
    copies: str | int | dict[str, int] = "fill"
    pus_per_layer: str | float = "auto"
    chips: int = 1
    share: range | None = None
    spare_arrays: int = 0
    deal: str = "by-token"
    faults: Faults = field(default_factory=Faults)
    machine: int = 0
    machines: int = 1

    def __post_init__(self) -> None:
        copies = self.copies
        each = copies.values() if isinstance(copies, dict) else [copies]
        if copies not in COPIES and not all(map(_positive, each)):
            raise InputError(
                f"copies must be {', '.join(COPIES)}, a positive integer or a table of such by "
                f"pattern; got {copies!r}"
            )
        if not is_number(self.pus_per_layer) and self.pus_per_layer not in WAYS:
            raise InputError(
                "pus_per_layer must be auto, fill, packed or a number from 1; "
                f"got {self.pus_per_layer!r}"
            )
        if not _positive(self.chips):
            raise InputError(f"chips must be a positive integer; got {self.chips!r}")
        if self.spare_arrays < 0:
            raise InputError(f"spare_arrays must be at least 0; got {self.spare_arrays!r}")
        if self.deal not in DEALS:
            raise InputError(f"deal must be {' or '.join(DEALS)}; got {self.deal!r}")

    def rate(self, op: str) -> float:
        """SLC rate of one op."""
        matches = (rate for pattern, rate in self.slc_rates.items() if fnmatch(op, pattern))
        return next(matches, self.slc_rate)


def _positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@dataclass(frozen=True)
class Placement:
    """Layers on PUs. ``pus[layer]``: global PU numbers, several layers may name the same ones.

    ``order``: the graph's ops as :func:`hyflexsim.sim.graph.order` has them. ``faults``: what of
    the machine is broken. ``extents``: of groups of PUs that share one with their neighbours.
    """

    chip: Chip
    options: Options
    pus: dict[str, tuple[int, ...]]
    weights: dict[str, Weight]
    order: tuple[str, ...]
    faults: FaultMap
    extents: Mapping[tuple[int, ...], Extent] = field(default_factory=dict)

    def share(self, pus: tuple[int, ...]) -> Fraction:
        """How many PUs a group has: those that it shares count by its part of them."""
        return self._extent(pus).share(pus)

    def _extent(self, pus: tuple[int, ...]) -> Extent:
        return self.extents.get(pus, WHOLE)

    def chip_of(self, pu: int) -> int:
        """Number of the chip that a PU is on."""
        return pu // self.chip.values.pus

    def chip_of_group(self, pus: tuple[int, ...]) -> int:
        """Number of the chip that the first PU of a group is on."""
        return self.chip_of(pus[0])

    @property
    def pus_used(self) -> int:
        """PUs that hold something."""
        return len({pu for pus in self.pus.values() for pu in pus})

    @property
    def chips_used(self) -> int:
        """Chips that hold something."""
        return len({self.chip_of(pu) for pus in self.pus.values() for pu in pus})

    def groups(self) -> dict[tuple[int, ...], list[str]]:
        """Layers by the PUs they share."""
        shared: dict[tuple[int, ...], list[str]] = {}
        for layer, pus in self.pus.items():
            shared.setdefault(pus, []).append(layer)
        return shared

    def free(self, pus: tuple[int, ...]) -> int:
        """Pieces on a group of PUs that copies may take; below 0 where spare ones are in use."""
        layers = self.groups()[pus]
        used = sum(w.taken for w in self.weights.values() if w.layer in layers)
        spare = ceil(self.options.spare_arrays * self.share(pus))
        return room(self.chip, self.faults, pus, self._extent(pus)) - spare - used

    def slots(self, pus: tuple[int, ...]) -> Slots:
        """Where the arrays of a group of PUs lie."""
        return Slots(self._extent(pus).left_out(self.faults, pus, pieces_per_pu(self.chip)))

    def with_copies(self, copies: dict[str, int]) -> Placement:
        """The same with other numbers of copies, whole ones."""
        weights = {
            name: replace(weight, copies=copies[name], further=()) if name in copies else weight
            for name, weight in self.weights.items()
        }
        return replace(self, weights=weights)

    def with_part_copies(self, copies: dict[str, tuple[int, ...]]) -> Placement:
        """The same with other numbers of copies of each part: as many whole ones as all have."""
        placement = self.with_copies({name: min(each) for name, each in copies.items()})
        weights = dict(placement.weights)
        for name, each in copies.items():
            further = tuple(number - min(each) for number in each)
            weights[name] = replace(weights[name], further=further if any(further) else ())
        return replace(placement, weights=weights)

    def dealt(self) -> Iterator[tuple[Weight, tuple[int, ...], int, Slots]]:
        """Each matrix, its PUs, the number of its first piece there, and where pieces lie."""
        following: dict[tuple[int, ...], int] = {}
        slots = {pus: self.slots(pus) for pus in self.groups()}
        for weight in self.weights.values():
            pus = self.pus[weight.layer]
            first = following.get(pus, 0)
            following[pus] = first + weight.taken
            yield weight, pus, first, slots[pus]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row per matrix and PU for tables; its pieces are dealt to the PUs of a layer in turn.

        ``arrays_slc``, ``arrays_mlc``: of one copy; ``copies``: whole ones; ``arrays_total``: of
        all, those of single factors included; ``bytes``: of weights that lie in memory instead of
        arrays.
        """
        for weight, pus, first, slots in self.dealt():
            slc, mlc = weight.cells("arrays_slc"), weight.cells("arrays_mlc")
            for position, pu in enumerate(pus):
                place = slots.dealt
                yield {
                    "layer": weight.layer,
                    "op": weight.op,
                    "weight": weight.name,
                    "pu": pu,
                    "chip": self.chip_of(pu),
                    "rows": weight.parts[0].rows,
                    "cols": weight.parts[-1].outputs,
                    "rank": -1 if weight.rank is None else weight.rank,
                    "arrays_slc": place(first, slc, position),
                    "arrays_mlc": place(first + slc, mlc, position),
                    "copies": weight.copies,
                    "arrays_total": place(first, weight.taken if slc + mlc else 0, position),
                    "bytes": place(first, weight.cells("bytes"), position),
                }


def pieces_per_pu(chip: Chip) -> int:
    """Capacity of one PU for static weights, in what its unit counts (arrays, bytes).

    A unit that all PUs of a chip share is shared evenly.

    >>> from hyflexsim.sim.units.catalogue import load_chip
    >>> pieces_per_pu(load_chip("hyflexpim"))
    12288
    """
    holder = chip.holder
    capacity = holder.kind.capacity(holder)
    return capacity if holder.where == "pu" else capacity // chip.values.pus


def room(chip: Chip, faults: FaultMap, pus: Sequence[int], extent: Extent = WHOLE) -> int:
    """Pieces that a layer has on some PUs, without what is broken."""
    size = pieces_per_pu(chip)
    return sum(size - len(out) for out in extent.left_out(faults, pus, size))


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


def place(graph: nx.DiGraph, chip: Chip, options: Options) -> Placement:
    """Put every layer of ``graph`` on PUs, one copy each (see :mod:`hyflexsim.sim.plan.copies`).

    Raises :class:`~hyflexsim.sim.errors.CapacityError` with the shortfall in arrays, and
    :class:`~hyflexsim.sim.errors.InputError` for a part of a PU that the chip cannot give.
    """
    _refuse_idle_patterns(graph, options)
    refuse_split_units(chip, number_of(options.pus_per_layer) or Fraction(1))
    order = g.order(graph)
    weights = weights_on(chip, graph, options, order)
    layers = layer_order(graph, order)
    pieces = dict.fromkeys(layers, 0)
    for weight in weights.values():
        pieces[weight.layer] += weight.pieces
    each = chip.values.pus * options.chips
    first, total = options.machine * each, options.machines * each
    faults = FaultMap(options.faults, chip, each, options.share, first, total)
    pus, extents = _assign(layers, pieces, faults, options)
    return Placement(chip, options, pus, weights, tuple(order), faults, extents)


def _refuse_idle_patterns(graph: nx.DiGraph, options: Options) -> None:
    ops = [name for name, kind in graph.nodes(data="kind") if kind == "gemv"]
    for pattern in options.slc_rates:
        if not any(fnmatch(op, pattern) for op in ops):
            raise InputError(
                f"slc_rates: no matrix matches {pattern!r}; names are like {', '.join(ops[:3])}"
            )


def weights_on(
    chip: Chip, graph: nx.DiGraph, options: Options, order: Sequence[str] | None = None
) -> dict[str, Weight]:
    """Every matrix of a graph as the chip holds it, by name; on which PUs is decided after.

    ``order``: the graph's ops as :func:`hyflexsim.sim.graph.order` has them.
    """
    holder = chip.holder
    order = g.order(graph) if order is None else order
    weights: dict[str, Weight] = {}
    for name in order:
        op = graph.nodes[name]
        if op["kind"] != "gemv":
            continue
        key = op["weight"]
        if key in weights:
            weights[key] = replace(weights[key], ops=(*weights[key].ops, name))
            continue
        shape = op["rows"], op["cols"], op["rank"]
        parts = holder.kind.hold(holder, *shape, options.rate(name), options.tiles)
        weights[key] = Weight(key, op["layer"], (name,), op["rank"], parts, protection(op))
    return weights


def protection(op: Mapping[str, Any]) -> Sequence[int]:
    """Ranks (outputs, where dense) of a matrix, most important first; equal ones in their order.

    >>> protection({"rank": 3, "cols": 9, "importance": [0.1, 0.7, 0.7]})
    (1, 2, 0)
    """
    size = op["cols"] if op["rank"] is None else op["rank"]
    scores = op["importance"]
    if scores is None:
        return range(size)
    return tuple(sorted(range(size), key=lambda i: -scores[i]))


_Pus = dict[str, tuple[int, ...]]
_Extents = dict[tuple[int, ...], Extent]
_Wanted = dict[str, Fraction]


def _assign(
    layers: list[str], pieces: dict[str, int], faults: FaultMap, options: Options
) -> tuple[_Pus, _Extents]:
    """Numbers of PUs, then the PUs themselves in the order of the model.

    One block a PU at first; where the PUs do not suffice, two neighbours share, then three ...
    ``packed``: as many share as makes the fewest PUs in all, and of these as few as possible.
    """
    chip = faults.chip
    size = _size(chip, sum(pieces.values()), options)
    total = len(faults.working)
    blocks = [layer for layer in layers if is_block(layer) and pieces[layer]]
    _refuse_narrow(blocks, pieces, size, chip.holder.kind.holds, options)
    worded = isinstance(options.pus_per_layer, str)
    runs = range(1, len(blocks) + 1) if worded and blocks else (1,)
    tried = []
    for lodgers, wanted, needed in _shared(layers, blocks, pieces, runs, total, size, options):
        if needed <= total:
            _refuse_wide(needed, options)
            return _number(layers, lodgers, wanted, pieces, faults, options)
        tried.append(needed)
    least = max(-(-sum(pieces.values()) // size), min(tried[0], tried[-1]))
    word = chip.holder.kind.holds
    _refuse_full(pieces, chip, options)
    each = number_of(options.pus_per_layer) or Fraction(1)
    why = "whole ones" if each.denominator == 1 else f"{float(each):g} each"
    raise CapacityError(
        f"the model's {sum(pieces.values())} {word} take {least} PUs ({least * size} {word}), "
        f"since layers take {why}; {_there(faults, options)} ({total * size} {word}): "
        f"{least - total} PU(s) ({(least - total) * size} {word}) short"
    )


def _there(faults: FaultMap, options: Options) -> str:
    """The PUs that there are for a model, in words."""
    total = len(faults.working)
    dead = len(faults.share) - total
    there = f"{total} " + (f"working PUs, {dead} dead" if dead else "PUs")
    if options.share is not None:
        return f"its share is {there}"
    return f"{options.chips} chip(s) have {there}"


def _shared(
    layers: list[str],
    blocks: list[str],
    pieces: dict[str, int],
    runs: Sequence[int],
    total: int,
    size: int,
    options: Options,
) -> Iterator[tuple[dict[str, str], _Wanted, int]]:
    """Ways to let neighbours share, best first: who lives with whom, PUs of each, of all."""
    ways = (_sharing(layers, blocks, pieces, run, total, size, options) for run in runs)
    return iter(sorted(ways, key=lambda way: way[2])) if options.pus_per_layer == "packed" else ways


def _sharing(
    layers: list[str],
    blocks: list[str],
    pieces: dict[str, int],
    run: int,
    total: int,
    size: int,
    options: Options,
) -> tuple[dict[str, str], _Wanted, int]:
    """The same for one number of neighbours."""
    leaders = {layer: blocks[i - i % run] for i, layer in enumerate(blocks)}
    joint = dict(pieces)
    for layer, leader in leaders.items():
        if layer != leader:
            joint[leader] += joint.pop(layer)
    owners = [layer for layer in layers if layer in joint]
    lodgers, wanted = _share_out(owners, joint, total, size, options)
    needed = _needed(owners, lodgers, wanted)
    lodgers |= {layer: leader for layer, leader in leaders.items() if layer != leader}
    return lodgers, wanted, needed


def _size(chip: Chip, needed: int, options: Options) -> int:
    """Pieces of a PU that weights may take where nothing is broken."""
    holder, spare = chip.holder, options.spare_arrays
    size = pieces_per_pu(chip)
    if not size and needed:
        raise CapacityError(
            f"{holder.name} holds less than one of its {holder.kind.holds} a PU; the model needs "
            f"{needed}"
        )
    if spare and spare >= size:
        raise InputError(
            f"spare_arrays must be below {size}, the {holder.kind.holds} of a PU; got {spare}"
        )
    return max(1, size - spare)  # where it was 0, nothing needs any


def _refuse_full(pieces: dict[str, int], chip: Chip, options: Options) -> None:
    """A model that is larger than a memory which PUs share, however it is spread over them."""
    holder = chip.holder
    room = options.chips * holder.kind.capacity(holder)
    short = sum(pieces.values()) - room
    if holder.where != "pu" and short > 0:
        word = holder.kind.holds
        raise CapacityError(
            f"the model's {sum(pieces.values())} {word} are more than {holder.name} of "
            f"{options.chips} chip(s) holds ({room} {word}): {short} {word} short"
        )


def _refuse_narrow(
    blocks: list[str], pieces: dict[str, int], size: int, word: str, options: Options
) -> None:
    each = number_of(options.pus_per_layer)
    if each is None:
        return
    hold = int(each * size)
    for block in blocks:
        if pieces[block] > hold:
            raise CapacityError(
                f"{block} needs {pieces[block]} {word}; {float(each):g} PU(s) per layer hold "
                f"{hold}: {pieces[block] - hold} {word} short"
            )


def _refuse_wide(needed: int, options: Options) -> None:
    """A machine may have more; but each PU in use has rows of its own in the tables."""
    if needed > MOST_PUS:
        raise CapacityError(
            f"mapping.pus_per_layer = {options.pus_per_layer} would spread the model over {needed} "
            f"PUs; at most {MOST_PUS} can be in use: give auto or a smaller number"
        )


def _share_out(
    layers: list[str], pieces: dict[str, int], total: int, size: int, options: Options
) -> tuple[dict[str, str], _Wanted]:
    """Layers that live with another, and how many PUs each of the rest gets."""
    blocks = [layer for layer in layers if is_block(layer) and pieces[layer]]
    wanted = {layer: Fraction(-(-pieces[layer] // size)) for layer in layers}
    least = number_of(options.pus_per_layer) or Fraction(1)
    if options.pus_per_layer == "fill" and blocks:
        least = Fraction(max(1, total // len(blocks)))
    while True:
        given = wanted | {layer: _at_least(wanted[layer], least) for layer in blocks}
        lodgers = _lodgers(layers, blocks, pieces, given, total, size)
        over = _needed(layers, lodgers, given) - total
        if over > 0 and least.denominator > 1:
            # a layer with a PU of its own between blocks leaves a gap before and after it
            lodgers = _lodgers(layers, blocks, pieces, given, total - over, size)
        fits = _needed(layers, lodgers, given) <= total
        if fits or least == 1 or options.pus_per_layer != "fill":
            return lodgers, given
        least -= 1


def _at_least(wanted: Fraction, least: Fraction) -> Fraction:
    """A number that is not whole is not enlarged: what does not fit into it was refused."""
    return max(wanted, least) if least.denominator == 1 else least


def _needed(layers: list[str], lodgers: dict[str, str], wanted: _Wanted) -> int:
    end = Fraction(0)
    for layer in layers:
        if layer not in lodgers:
            end = _begin(end, wanted[layer]) + wanted[layer]
    return ceil(end)


def _begin(following: Fraction, wanted: Fraction) -> Fraction:
    """Where on the line of PUs a layer begins: whole ones begin with a PU."""
    return following if wanted.denominator > 1 else Fraction(ceil(following))


def _lodgers(
    layers: list[str],
    blocks: list[str],
    pieces: dict[str, int],
    wanted: _Wanted,
    total: int,
    size: int,
) -> dict[str, str]:
    """Layers without PUs of their own, and with whom they live (the nearest that has room)."""
    lodgers: dict[str, str] = {}
    spare = total - ceil(sum(wanted[layer] for layer in blocks))
    room = {layer: int(wanted[layer] * size) - pieces[layer] for layer in layers}
    hosts = list(blocks)
    others = [layer for layer in layers if layer not in blocks]
    for layer in sorted(others, key=lambda layer: -pieces[layer]):
        near = sorted(hosts, key=lambda host: abs(layers.index(host) - layers.index(layer)))
        host = next((host for host in near if room[host] >= pieces[layer]), None)
        if host is None or 0 < wanted[layer] <= spare:
            # a PU of its own while there are some; if there are none, the refusal counts it
            wanted[layer] = max(wanted[layer], Fraction(1))
            spare -= int(wanted[layer])
            hosts.append(layer)
        else:
            room[host] -= pieces[layer]
            lodgers[layer] = host
    return lodgers


def _number(
    layers: list[str],
    lodgers: dict[str, str],
    wanted: _Wanted,
    pieces: dict[str, int],
    faults: FaultMap,
    options: Options,
) -> tuple[_Pus, _Extents]:
    """PU numbers in model order; a layer does not straddle chips if that costs no chip."""
    joint = dict.fromkeys(layers, 0)
    for layer in layers:
        joint[lodgers.get(layer, layer)] += pieces[layer]
    owners = [layer for layer in layers if layer not in lodgers]
    for whole in (True, False):
        pus: _Pus = {}
        extents: _Extents = {}
        following = Fraction(0)
        for layer in owners:
            begin = _begin(following, wanted[layer])
            first, count, extent = extent_of(begin, wanted[layer])
            if whole and (moved := _start(first, count, faults)) != first:
                first, count, extent = extent_of(Fraction(moved), wanted[layer])
            pus[layer] = _working(first, count, joint[layer], faults, options, extent)
            following = first + len(pus[layer]) - (1 - extent.end)
            if extent != WHOLE:
                extents[pus[layer]] = extent
        needed = ceil(following)
        if needed <= len(faults.working):
            return {layer: pus[lodgers.get(layer, layer)] for layer in layers}, extents
    short = needed - len(faults.working)
    raise CapacityError(
        f"what is broken leaves {len(faults.working)} PUs with too few "
        f"{faults.chip.holder.kind.holds} for the model: {short} PU(s) short"
    )


def _start(following: int, wanted: int, faults: FaultMap) -> int:
    """The first working PU from which on so many are on one chip, if a chip has so many."""
    working, per_chip = faults.working, faults.chip.values.pus
    if following + wanted > len(working) or wanted > per_chip:
        return following
    chip = working[following] // per_chip
    if working[following + wanted - 1] // per_chip == chip:
        return following
    return bisect_left(working, (chip + 1) * per_chip, following)


def _working(
    first: int, wanted: int, needed: int, faults: FaultMap, options: Options, extent: Extent
) -> tuple[int, ...]:
    """So many working PUs, or more where they have too much that is broken.

    Beyond the last one they are numbered on, which tells how many are missing.
    """
    working, holder = faults.working, faults.chip.holder
    pus = tuple(working[first : first + wanted])
    missing = wanted - len(pus)
    while not missing and needed > room(faults.chip, faults, pus, extent):
        short = needed - room(faults.chip, faults, pus, extent)
        if not isinstance(options.pus_per_layer, str):
            raise CapacityError(
                f"PU {', '.join(map(str, pus))} lacks {short} {holder.kind.holds} for what is "
                f"broken; mapping.pus_per_layer = {options.pus_per_layer} forbids another PU"
            )
        if first + len(pus) == len(working):
            missing = -(-short // pieces_per_pu(faults.chip))
        else:
            pus += (working[first + len(pus)],)
    return pus + tuple(range(faults.pus, faults.pus + missing))
