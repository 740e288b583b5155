"""The answers of a point: every number and word of a run's summary, by dotted name.

Names are those of summary.json (docs/architecture.md): ``latency_ps.p99``, ``power_w.mean``,
``bound.kind``. Of a checkpoint's scores: ``accuracy.NOISE``, the mean over the seeds, and
``accuracy.NOISE.half_width`` of its 95 % interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyflexsim.workloads.points.done import Answers

STANDARD = (
    "latency_ps.p50",
    "latency_ps.p99",
    "throughput_per_s",
    "energy_per_request_pj",
    "power_w.mean",
    "area_mm2.used",
    "bound.kind",
)
"""Answers of a table that nobody has chosen."""

BY_KIND = ("energy_by_kind_pj.", "utilisation_by_kind.")
"""Answers that points without a kind of component do not have."""


def answers_of(summary: Mapping[str, Any]) -> Answers:
    """All answers of a summary.

    >>> answers_of({"visits": 3, "latency_ps": {"p50": 7}, "notes": ["none"]})
    {'visits': 3, 'latency_ps.p50': 7}
    """
    found = dict(_flat({key: value for key, value in summary.items() if key != "accuracy"}))
    for row in summary.get("accuracy", {}).get("noise", ()):
        name = f"{row['value']:g}" if row["name"] == "given" else row["name"]
        found[f"accuracy.{name}"] = row["mean"]
        if row["half_width"] is not None:
            found[f"accuracy.{name}.half_width"] = row["half_width"]
    return found


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float | str):
            yield f"{prefix}{key}", value
