"""Fractional copies: what a mapping makes of freed arrays that hold no whole second layer.

A fraction of a matrix serves no token, since each needs all of its columns. What is left are
fractions that serve some, all of them in arrays and in turns (``mapping.copies``):

``fill``            whole copies of some matrices and not of others
``fill-factors``    of a matrix V twice, and U once: each has turns of its own
``even``            on q PUs a layer K copies of every matrix, K / q a PU; each serves 1 / K of the
                    tokens

Beside them stands the bound of uniform copies, ρ(s) = 2 / (1 + s), which whole copies of those
matrices that save most per array may pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hyflexsim.workloads.reproduction.blocks import Blocks, Case
from hyflexsim.workloads.reproduction.claims import Claim, Figure, Switch, paper, table
from hyflexsim.workloads.reproduction.throughput import TURNS, at
from hyflexsim.workloads.terminal import Say

PUS: tuple[Literal["auto"] | int, ...] = ("auto", 2, 3, 4, 6)
"""PUs a layer; ``auto`` is one, and two for a layer of ASADI† in row tiles."""
WAYS = {
    "of single matrices": TURNS,
    "of single factors": replace(TURNS, copies="fill-factors"),
    "of all alike (ideal tiles)": replace(TURNS, copies="even", tiles="ideal"),
}
POINTS = {
    "5 % SLC, N = 128": (0.05, 128, "best"),
    "50 % SLC, N = 8192": (0.5, 8192, "worst"),
    "50 % SLC, N = 128": (0.5, 128, ""),
}
THREE = replace(TURNS, pus_per_layer=3)


def fractional_copies(say: Say) -> Figure:
    """The table and its claims."""
    ends = paper("fig16")
    rows, done = [], 0
    for panel, (rate, tokens, end) in POINTS.items():
        for way, case in WAYS.items():
            say(f"copies: {panel}", done, len(POINTS) * len(WAYS))
            done += 1
            for pus in PUS:
                ours = at(rate, tokens, replace(case, pus_per_layer=pus))
                rows.append((panel, way, str(pus), ours, ends[end] if end else float("nan")))
    return Figure(
        "copies",
        "Fractional copies: throughput per area over ASADI† with copies, by PUs a layer",
        table(rows),
        ("PUs a layer", "ratio of TOPS/mm²"),
        _claims(ends),
    )


def copies_a_pu(case: Case) -> float:
    """Arrays with copies over those of one copy, by PUs a layer: the blocks' mean.

    >>> five = replace(TURNS, slc_rate=0.05, copies="even", tiles="ideal", pus_per_layer=6)
    >>> round(copies_a_pu(five), 3)  # eleven copies on six PUs
    1.833
    """
    blocks = Blocks.of(case)
    placement = blocks.ready.placement
    mine = [w for w in placement.weights.values() if placement.pus[w.layer][0] in blocks.groups]
    layers = {weight.layer for weight in mine}
    pus = sum(len(placement.pus[layer]) for layer in layers) / len(layers)
    return sum(w.taken for w in mine) / sum(w.pieces for w in mine) / pus


def _others(rate: float, tokens: int) -> tuple[Switch, ...]:
    """The same for other mappings, as one would set them."""
    found = []
    for case in WAYS.values():
        for pus in (PUS[0], PUS[2]):
            words = f"copies = {case.copies}, pus_per_layer = {pus}, tiles = {case.tiles}"
            found.append(Switch(words, at(rate, tokens, replace(case, pus_per_layer=pus))))
    return tuple(found)


def _claims(ends: dict[str, float]) -> tuple[Claim, ...]:
    even = replace(WAYS["of all alike (ideal tiles)"], slc_rate=0.05, pus_per_layer=6)
    return (
        Claim(
            figure="copies",
            claim="throughput per area over ASADI†, 5 % SLC, N = 128, three PUs a layer",
            paper=ends["best"],
            ours=at(0.05, 128, THREE),
            rests="freed arrays of several PUs together holding copies that one PU has no room for",
            why="Whole copies on several PUs are fractions a PU. On one, ASADI† overflows into a "
            "second; on two it has room for one copy of the FFN only. From three on none reaches "
            "ρ = 1.905: a last round of tokens leaves copies idle, and partial sums on the PU's "
            "bus do not get fewer.",
            switches=_others(0.05, 128),
        ),
        Claim(
            figure="copies",
            claim="throughput per area over ASADI†, 50 % SLC, N = 8192, three PUs a layer",
            paper=ends["worst"],
            ours=at(0.5, 8192, THREE),
            rests="the same, and the share of attention, which copies do not help",
            why="On one PU copies of square matrices alone give more; on several the larger ones "
            "get copies as well.",
            switches=_others(0.5, 8192),
        ),
        Claim(
            figure="copies",
            claim="copies where they save most, over the bound of uniform ones (50 %, N = 128)",
            paper=float("nan"),
            ours=at(0.5, 128) / (2 / 1.5),
            rests="square matrices, which take as long as those of the FFN and fewer arrays",
            why="ρ bounds the mean over arrays of equal worth. It is passed on one PU a layer and "
            "on two; on more, ASADI† has arrays for such copies, too.",
            kind="shape",
            switches=_others(0.5, 128),
        ),
        Claim(
            figure="copies",
            claim="copies a PU of each matrix: 5 % SLC, as many of all, six PUs a layer",
            paper=float("nan"),
            ours=copies_a_pu(even),
            rests="eleven copies in the arrays of six PUs",
            kind="shape",
            switches=(
                Switch("mapping.slc_rate = 0.5", copies_a_pu(replace(even, slc_rate=0.5))),
                Switch("mapping.slc_rate = 1", copies_a_pu(replace(even, slc_rate=1.0))),
            ),
        ),
    )
