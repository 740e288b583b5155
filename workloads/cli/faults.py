"""``hyflexsim faults``: accuracy, time and energy before and after, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyflexsim.workloads.terminal import console, progress

if TYPE_CHECKING:
    from rich.table import Table

    from hyflexsim.workloads.compression.faulty_runs import Outcome


def register(app: typer.Typer) -> None:
    """Add the command of this file to the command line."""
    app.command()(faults)


def faults(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Name (see list) or path of a .toml file.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Such as faults.columns=0.01."),
    ] = None,
) -> None:
    """Run a scenario without its faults, with them, and repaired; compare what comes out."""
    from hyflexsim.workloads.compression.faulty_runs import compared  # noqa: PLC0415
    from hyflexsim.workloads.scenario.colocation import load  # noqa: PLC0415

    loaded = load(scenario, changes or ())
    with progress() as say:
        found = list(compared(loaded, say))
    console().print(outcome_table(found), "")
    for note in _notes(found):
        print(f"note: {note}")


def outcome_table(found: Sequence[Outcome]) -> Table:
    """A row a figure, a column a run."""
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415
    from hyflexsim.workloads.cli.terminal_tables import si  # noqa: PLC0415

    rows = terminal_tables.table(
        f"{found[0].summary['scenario']}: {found[0].summary['model']}",
        "",
        *(f">{one.name}" for one in found),
    )
    summaries = [one.summary for one in found]
    for key in ("p50", "p99"):
        rows.add_row(f"latency {key}", *(si(s["latency_ps"][key] * 1e-12, "s") for s in summaries))
    rows.add_row("throughput", *(si(s["throughput_per_s"], "/s") for s in summaries))
    rows.add_row(
        "energy per request", *(si(s["energy_per_request_pj"] * 1e-12, "J") for s in summaries)
    )
    rows.add_row("requests answered", *(f"{s['requests']:,}" for s in summaries))
    rows.add_row("requests lost", *(f"{s['lost']:,}" for s in summaries))
    rows.add_row("arrays of weights", *(f"{one.arrays:,}" for one in found))
    rows.add_row("arrays of copies", *(f"{one.copied:,}" for one in found))
    for name in summaries[0].get("models", ()):
        each = [s["models"][name] for s in summaries]
        p99 = (si(one["latency_ps"]["p99"] * 1e-12, "s") for one in each)
        rows.add_row(f"{name}: latency p99", *p99)
        rows.add_row(f"{name}: requests lost", *(f"{one['lost']:,}" for one in each))
    for name, scores in _scores(summaries).items():
        rows.add_row(name, *scores)
    return rows


def _scores(summaries: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Scores on cells by noise, with half the width of their interval."""
    rows: dict[str, list[str]] = {}
    for summary in summaries:
        for noise in summary.get("accuracy", {}).get("noise", ()):
            half = noise["half_width"]
            text = f"{noise['mean']:.4g}" + ("" if half is None else f" ± {half:.2g}")
            metric = summary["accuracy"]["metric"]["name"]
            rows.setdefault(f"{metric}, noise {noise['name']}", []).append(text)
    return rows


def _notes(found: Sequence[Outcome]) -> Iterator[str]:
    """Notes of the runs, each once; with the names of those that it is of where not of all."""
    said: dict[str, list[str]] = {}
    for one in found:
        for note in [*one.summary["notes"], *one.summary.get("accuracy", {}).get("notes", ())]:
            said.setdefault(note, []).append(one.name)
    for note, names in said.items():
        yield note if len(names) == len(found) else f"{', '.join(names)}: {note}"
