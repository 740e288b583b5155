"""Mappings with copies, played event by event at full size: what the closed forms leave out.

A closed form adds up the turns of a PU group, as if what it needs from others were always there. In
a run tokens wait for the buses between PUs too, which the layers of a chip share, and sentences are
let in as memory allows: as many as the PUs of one layer could hold all at once (memory.py), which
for long ones is fewer than there are layers.

All layers of BERT-Large. The runs at 8,192 tokens take minutes: a study, whose table the figure
reads.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hyflexsim.workloads.reproduction.blocks import Blocks
from hyflexsim.workloads.reproduction.throughput import TURNS
from hyflexsim.workloads.resumable import working
from hyflexsim.workloads.terminal import Say

TABLE = "copies-played"


class Point(NamedTuple):
    """SLC rate, tokens of a sentence, PUs a layer; the answers that a pace is of, at least."""

    rate: float
    tokens: int
    pus: str | float
    answers: int


POINTS = (
    Point(0.05, 128, "auto", 100),
    Point(0.05, 128, 1.5, 100),
    Point(0.05, 128, 3, 100),
    Point(0.5, 128, "auto", 100),
    Point(0.5, 128, 1.5, 100),
    Point(0.5, 128, 3, 100),
    Point(0.5, 8192, "auto", 16),
    Point(0.5, 8192, 1.5, 16),
    Point(0.5, 8192, 3, 16),
)


def played_copies(
    out: Path, *, say: Say, fresh: bool = False, points: tuple[Point, ...] = POINTS
) -> Path:
    """Play all points and write the table into ``out``; its path. Points that are done are kept.

    A row a point: sentences a second of HyFlexPIM and of all-SLC by closed form and played, ratios
    of throughput per area, sentences in flight on both, answers that a pace is of, visits of both.
    """
    settings = {"points": [point._asdict() for point in points]}
    with working(out / TABLE, settings, fresh=fresh) as work:
        rows = []
        for i, point in enumerate(points):
            say(f"{point.tokens} tokens, {point.pus} PUs a layer", i, len(points))
            name = "-".join(map(str, point))
            rows.append(work.fact(name, lambda point=point: _row(point)))  # type: ignore[misc]
        file = out / f"{TABLE}.csv"
        out.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(file, index=False, float_format="%.5g")
    return file


def _row(point: Point) -> dict[str, Any]:
    words = {"slc_rate": point.rate, "tokens": point.tokens, "pus_per_layer": point.pus}
    case = replace(TURNS, **words)  # type: ignore[arg-type]
    ours, other = Blocks.of(case), Blocks.of(replace(case, slc_rate=1.0))
    areas = other.area_mm2 / ours.area_mm2
    mine, theirs = ours.played(point.answers), other.played(point.answers)
    return words | {
        "closed_per_s": ours.per_s,
        "played_per_s": mine.per_s,
        "slc_closed_per_s": other.per_s,
        "slc_played_per_s": theirs.per_s,
        "closed_ratio": ours.per_s / other.per_s * areas,
        "played_ratio": mine.per_s / theirs.per_s * areas,
        "in_flight": mine.in_flight,
        "slc_in_flight": theirs.in_flight,
        "answers": mine.answers,
        "visits": mine.visits + theirs.visits,
    }
