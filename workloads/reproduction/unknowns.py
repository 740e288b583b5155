"""What the headline hangs on: every parameter that is not printed, at half and double.

Also those that were derived from printed ones, since a power says nothing of an energy until one
knows when it is drawn, and the model by which a converter's energy follows from its bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from hyflexsim.sim.units.catalogue import load_chip
from hyflexsim.workloads.reproduction import end_to_end, linear_energy, throughput
from hyflexsim.workloads.reproduction.blocks import Case, Changes, with_set
from hyflexsim.workloads.reproduction.claims import Claim, Figure, Switch, paper
from hyflexsim.workloads.sweeping.sensitivity import (
    UNSURE,
    Move,
    movable,
    moves,
    span,
    tornado,
)
from hyflexsim.workloads.terminal import Say

STATUSES = (*UNSURE, "derived")
ALSO = ("analog.adc.model", "digital.cycles_per_step", "pu_bus.bandwidth")
"""Stated, but read in more than one way, or nothing is said of what they count."""
ENERGY = end_to_end.OURS["BERT-Large, 5 % SLC"]
FIVE = replace(throughput.TURNS, slc_rate=0.05)
WORST = replace(throughput.TURNS, slc_rate=0.5, tokens=8192)


def _over(
    ours: Case, other: Case, measure: Callable[[Case], float]
) -> Callable[[Sequence[Move]], float]:
    """A ratio of two chips, other over ours, as a function of what is moved on both."""
    known = [movable(load_chip(case.preset)) for case in (ours, other)]

    def answer(moved: Sequence[Move]) -> float:
        sides = []
        for case, names in zip((ours, other), known, strict=True):
            changes: Changes = tuple(
                (m.parameter, m.setting) for m in moved if m.parameter in names
            )
            sides.append(measure(with_set(case, changes)))
        return sides[1] / sides[0]

    return answer


def _questions() -> dict[str, tuple[tuple[str, ...], Callable[[Sequence[Move]], float]]]:
    """Panels: what parameters must act on, and the number as a function of them."""

    def area_time(case: Case) -> float:
        return 1 / throughput.per_s_mm2(case)

    linear, whole = linear_energy.mac_pj, end_to_end.energy_pj
    late = replace(ENERGY, tokens=1024)
    slc = end_to_end.other(ENERGY, "hyflexpim-slc")
    energy, pace = ("energy",), ("time", "area")
    return {
        "1.24: linear energy, 5 % SLC": (energy, _over(ENERGY, linear_energy.SLC, linear)),
        "1.45: energy end to end, 5 % SLC, N = 128": (energy, _over(ENERGY, slc, whole)),
        "1.67: the same, N = 1024": (energy, _over(late, replace(slc, tokens=1024), whole)),
        "1.86: throughput per area, 5 % SLC, N = 128": (
            pace,
            _over(FIVE, replace(FIVE, slc_rate=1.0), area_time),
        ),
        "1.10: the same, 50 % SLC, N = 8192": (
            pace,
            _over(WORST, replace(WORST, slc_rate=1.0), area_time),
        ),
    }


def sensitivity(say: Say) -> Figure:
    """A tornado for each number of the headline, and for the other ends of its figures."""
    parts, claims = [], []
    spans: dict[str, float] = defaultdict(lambda: 1.0)
    printed = (1.245, 1.45, 1.67, paper("fig16")["best"], paper("fig16")["worst"])
    for (panel, (acts, answer)), theirs in zip(_questions().items(), printed, strict=True):
        found: dict[tuple[str, str], Move] = {}
        for name in ("hyflexpim", "hyflexpim-slc"):
            listed, _ = moves(load_chip(name), statuses=STATUSES, acts=acts, also=ALSO)
            new = {move.parameter for move in listed} - {move.parameter for move in found.values()}
            found |= {(m.parameter, str(m.setting)): m for m in listed if m.parameter in new}
        rows = list(tornado(answer, found.values(), say))
        parts.append(pd.DataFrame(rows).assign(panel=panel))
        widths = span(rows)
        for name, width in widths.items():
            spans[name] *= width
        first, second = list(widths)[:2]
        values = [row for row in rows if row["parameter"] in (first, second)]
        claims.append(
            Claim(
                figure="sensitivity",
                claim=panel,
                paper=theirs,
                ours=rows[0]["answer"],
                rests=f"`{first}` more than on any other parameter, then `{second}`",
                why="Both at half and double, or with their other words:",
                switches=tuple(
                    Switch(f"{row['parameter']} = {row['change']}", row["answer"]) for row in values
                ),
            )
        )
    most = max(spans, key=spans.__getitem__)
    claims[0] = replace(
        claims[0],
        why=f"Of all that is not printed, `{most}` would settle most: its spans of the five "
        f"numbers multiply to {spans[most]:.3g}. {claims[0].why}",
    )
    return Figure(
        "sensitivity",
        "What the headline hangs on: each parameter that is not printed, at half and double",
        pd.concat(parts, ignore_index=True),
        ("", "ratio over ASADI†"),
        tuple(claims),
        picture="tornado",
    )
