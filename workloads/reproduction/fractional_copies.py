"""Fractional copies: what a mapping makes of freed arrays that hold no whole second layer.

A fraction of a matrix serves no token, since each needs all of its columns. What is left are
fractions that serve some, all of them in arrays and in turns (``mapping.copies``):

``fill``            whole copies of some matrices and not of others
``fill-factors``    of a matrix V twice, and U once: each has turns of its own
``even``            on q PUs a layer K copies of every matrix, K / q a PU; each serves 1 / K of the
                    tokens

Beside them stands the bound of uniform copies, ρ(s) = 2 / (1 + s), which whole copies of those
matrices that save most per array may pass; and some of it played (played_copies.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from hyflexsim.workloads.reproduction.blocks import Blocks, Case
from hyflexsim.workloads.reproduction.claims import Claim, Figure, Switch, paper, table
from hyflexsim.workloads.reproduction.played_copies import TABLE
from hyflexsim.workloads.reproduction.study_tables import read
from hyflexsim.workloads.reproduction.throughput import TURNS, at
from hyflexsim.workloads.terminal import Say

PUS: tuple[Literal["auto"] | float, ...] = ("auto", 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 6)
"""PUs a layer; ``auto`` is one, and two for a layer of ASADI† in row tiles. Of a PU and a part, the
part is in modules that a neighbour leaves (sim/placement/extent.py)."""
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
HALF = replace(TURNS, pus_per_layer=1.5)
RHO = 2 / 1.5
"""The bound of uniform copies at 50 % SLC."""
NAN = float("nan")
NEAR_BOTH = 0.05
"""How far a mapping may be from either end of the paper's range to be counted as near both."""


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
                rows.append((panel, way, str(pus), ours, ends[end] if end else NAN))
        rows += [
            (panel, "of single matrices, played", pus, row["played_ratio"], NAN)
            for pus, row in played(rate, tokens).items()
        ]
    return Figure(
        "copies",
        "Fractional copies: throughput per area over ASADI† with copies, by PUs a layer",
        table(rows),
        ("PUs a layer", "ratio of TOPS/mm²"),
        _claims(ends),
    )


def played(rate: float, tokens: int) -> dict[str, dict[str, Any]]:
    """Rows of the table of ``hyflexsim reproduce played`` by PUs a layer."""
    rows = read(TABLE, "played")
    mine = rows[(rows["slc_rate"] == rate) & (rows["tokens"] == tokens)]
    return {str(row["pus_per_layer"]): row for row in mine.to_dict("records")}  # type: ignore[misc]


def copies_a_pu(case: Case) -> float:
    """Arrays with copies over those of one copy, by PUs a layer: the blocks' mean.

    >>> five = replace(TURNS, slc_rate=0.05, copies="even", tiles="ideal", pus_per_layer=6)
    >>> round(copies_a_pu(five), 3)  # eleven copies on six PUs
    1.833
    """
    blocks = Blocks.of(case)
    placement = blocks.ready.placement
    mine = [w for w in placement.weights.values() if placement.pus[w.layer][0] in blocks.groups]
    groups = {placement.pus[weight.layer] for weight in mine}
    pus = sum(placement.share(group) for group in groups) / len(groups)
    return sum(w.taken for w in mine) / sum(w.pieces for w in mine) / float(pus)


def _others(rate: float, tokens: int) -> tuple[Switch, ...]:
    """The same for other mappings, as one would set them."""
    found = []
    for case in WAYS.values():
        for pus in ("auto", 3):
            words = f"copies = {case.copies}, pus_per_layer = {pus}, tiles = {case.tiles}"
            found.append(Switch(words, at(rate, tokens, replace(case, pus_per_layer=pus))))
    return tuple(found)


def _over_pus(rate: float, tokens: int) -> tuple[Switch, ...]:
    """Copies of single matrices on every number of PUs a layer."""
    return tuple(
        Switch(f"pus_per_layer = {pus}", at(rate, tokens, replace(TURNS, pus_per_layer=pus)))
        for pus in PUS
    )


def near_both(ends: dict[str, float]) -> dict[tuple[str, str], float]:
    """Mappings of the table that are near both ends of the paper's range, by way and PUs a layer;
    and what they give at 50 % and N = 128 over ρ.
    """
    wanted = {(0.05, 128): ends["best"], (0.5, 8192): ends["worst"]}
    found = {}
    for way, case in WAYS.items():
        for pus in PUS:
            mapping = replace(case, pus_per_layer=pus)
            away = (at(*point, mapping) / value for point, value in wanted.items())
            if all(max(each, 1 / each) - 1 <= NEAR_BOTH for each in away):
                found[way, str(pus)] = at(0.5, 128, mapping) / RHO
    return found


def _played_claim(ends: dict[str, float], panel: str, rests: str, why: str) -> Claim:
    """Whole PUs a layer, played; others beside, and closed forms."""
    rate, tokens, end = POINTS[panel]
    rows, switches = played(rate, tokens), []
    for pus, row in rows.items():
        flight = f"{row['in_flight']} and {row['slc_in_flight']} in flight"
        for what, how in ((f"played, {flight}", "played_ratio"), ("closed form", "closed_ratio")):
            switches.append(Switch(f"pus_per_layer = {pus}, {what}", row[how]))
    return Claim(
        figure="copies",
        claim=f"played, all layers: {panel}, pus_per_layer = auto",
        paper=ends[end] if end else NAN,
        ours=rows["auto"]["played_ratio"],
        rests=rests,
        why=why,
        kind="derived" if end else "shape",
        how="run",
        switches=tuple(switches),
    )


def _claims(ends: dict[str, float]) -> tuple[Claim, ...]:
    near = near_both(ends)
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
            claim="a part of a PU more: 5 % SLC, N = 128, one and a half PUs a layer",
            paper=ends["best"],
            ours=at(0.05, 128, HALF),
            rests="ASADI† fitting into one and a half PUs, a third of which is left for copies",
            why="Two neighbours share a PU by its modules. The paper says nothing of it, and how "
            "much comes out hangs on the number:",
            switches=_over_pus(0.05, 128),
        ),
        Claim(
            figure="copies",
            claim="the same: 50 % SLC, N = 8192, one and a half PUs a layer",
            paper=ends["worst"],
            ours=at(0.5, 8192, HALF),
            rests="the same",
            why="The other numbers:",
            switches=_over_pus(0.5, 8192),
        ),
        Claim(
            figure="copies",
            claim=f"mappings within {100 * NEAR_BOTH:g} % of both ends, of the "
            f"{len(WAYS) * len(PUS)} in the table",
            paper=NAN,
            ours=len(near),
            rests="the same mapping for both chips",
            why="So the two ends do not say which mapping the paper meant. As many copies of all "
            "matrices are none of these: on one and three quarters of a PU ours has three and "
            "ASADI† one. What each gives at 50 % and N = 128, over the bound of uniform copies:",
            kind="shape",
            switches=tuple(
                Switch(f"copies {way}, pus_per_layer = {pus}", over)
                for (way, pus), over in near.items()
            ),
        ),
        _played_claim(
            ends,
            "5 % SLC, N = 128",
            "tokens waiting for the buses between PUs, which the closed form leaves out",
            "Layers on several PUs send what they gather over the bus of the chip, which all of "
            "its layers share.",
        ),
        _played_claim(
            ends,
            "50 % SLC, N = 8192",
            "sentences in flight, fewer than layers: as many as the memory of one layer's PUs "
            "could hold all at once",
            "Layers without a sentence stand idle, so the pace is that of so many on their way "
            "through all layers, not of the slowest layer. On two PUs a layer ASADI† has memory "
            "for more than twice as many as ours has on one, and the gain is undone; on the same "
            "number of PUs both have as many. The closed form is of layers that all have one.",
        ),
        _played_claim(ends, "50 % SLC, N = 128", "the same as at 5 %", "ρ is 1.333."),
        Claim(
            figure="copies",
            claim="copies where they save most, over the bound of uniform ones (50 %, N = 128)",
            paper=NAN,
            ours=at(0.5, 128) / RHO,
            rests="square matrices, which take as long as those of the FFN and fewer arrays",
            why="ρ bounds the mean over arrays of equal worth. It is passed on one PU a layer and "
            "on two; on more, ASADI† has arrays for such copies, too.",
            kind="shape",
            switches=_others(0.5, 128),
        ),
        Claim(
            figure="copies",
            claim="copies a PU of each matrix: 5 % SLC, as many of all, six PUs a layer",
            paper=NAN,
            ours=copies_a_pu(even),
            rests="eleven copies in the arrays of six PUs",
            kind="shape",
            switches=(
                Switch("mapping.slc_rate = 0.5", copies_a_pu(replace(even, slc_rate=0.5))),
                Switch("mapping.slc_rate = 1", copies_a_pu(replace(even, slc_rate=1.0))),
            ),
        ),
    )
