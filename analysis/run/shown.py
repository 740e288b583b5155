"""A run in a notebook: its headline, and where its time and energy go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyflexsim.analysis.notebook import block
from hyflexsim.analysis.run.figures import energy_breakdown
from hyflexsim.analysis.run.measures import typical_request
from hyflexsim.analysis.run.run import COLUMNS, Run
from hyflexsim.analysis.run.timeline import timeline
from hyflexsim.analysis.style import si

DRAWN = 300_000
"""Visits of the largest trace that is drawn unasked: within a second or two."""


def facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """The headline of summary.json: what it is, and the number with its unit."""
    latency = summary["latency_ps"]
    found = {
        "latency p50": si(latency["p50"] * 1e-12, "s"),
        "latency p99": si(latency["p99"] * 1e-12, "s"),
        "throughput": si(summary["throughput_per_s"], "/s"),
        "energy a request": si(summary["energy_per_request_pj"] * 1e-12, "J"),
        "mean power": si(summary["power_w"]["mean"], "W"),
        "TOPS/W": f"{summary['tops']['per_w']:,.3g}",
        "area used": f"{summary['area_mm2']['used']:,.4g} mm²",
        "bound by": str(summary["bound"]["kind"]),
    }
    for noise in summary.get("accuracy", {}).get("noise", ()):
        metric = summary["accuracy"]["metric"]["name"]
        width = "" if noise["half_width"] is None else f" ± {noise['half_width']:.3f}"
        found[f"{metric}, {noise['name']} noise"] = f"{noise['mean']:.3f}{width}"
    return found


def title(summary: Mapping[str, Any]) -> str:
    """What ran on what."""
    return f"{summary['scenario']}: {summary['model']} on {summary['preset']}"


def html(run: Run) -> str:
    """The headline, and of runs that are read whole and not long, two pictures."""
    pictures = []
    if set(COLUMNS["trace"]) <= set(run.trace.columns) and len(run.trace) <= DRAWN:
        pictures = [
            ("The request of median latency", timeline(run, request=typical_request(run))),
            ("Energy a request, by kind of component and layer", energy_breakdown(run)),
        ]
    return block(title(run.summary), facts(run.summary), pictures=pictures)


def headline(summary: Mapping[str, Any]) -> str:
    """The headline alone."""
    return block(title(summary), facts(summary))
