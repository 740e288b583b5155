"""The chips that are on the front of a Pareto study, as a table of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyflexsim.analysis.studies.chip_axes import chip_axes
from hyflexsim.workloads.cli.terminal_tables import si, table

if TYPE_CHECKING:
    from rich.table import Table

    from hyflexsim.analysis import Study


def fronts(study: Study) -> Table:
    """Points that none beats in score, latency, energy and area, best first, and the own chip's.

    A column for each parameter in which chips were asked to differ; "own" marks the chip that the
    others are compared with, "front" a point on the front.
    """
    axes, own = chip_axes(study.info["chips"]), next(iter(study.info["chips"]))
    rows = study.table[study.table["front"] | (study.table["chip"] == own)]
    rows = rows.sort_values(["noise", "score"], ascending=[True, not study.higher], kind="stable")
    count, chips = int(study.table["front"].sum()), study.table["chip"].nunique()
    result = table(
        f"{count} of {len(study.table)} points of {chips} chips are on the front",
        "",
        *(f">{axis.name}" for axis in axes),
        ">budget",
        ">SLC",
        "noise",
        f">{study.info['metric']['name']}",
        ">latency",
        ">energy",
        ">area",
    )
    for row in rows.itertuples():
        marks = ("own" if row.chip == own else "", "front" if row.front else "")
        half = "" if row.half_width != row.half_width else f" ± {row.half_width:.2g}"
        result.add_row(
            " ".join(mark for mark in marks if mark),
            *(axis.of[row.chip] for axis in axes),
            f"{100 * row.budget:g} %",
            f"{100 * row.slc_rate:g} %",
            row.noise,
            f"{row.score:.4g}{half}",
            si(row.latency_ps * 1e-12, "s"),
            si(row.energy_pj * 1e-12, "J"),
            f"{row.area_mm2:,.0f} mm²",
        )
    return result
