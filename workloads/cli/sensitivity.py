"""``hyflexsim sensitivity``: what an answer of a scenario hangs on, parameter by parameter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli.options import Workers
from hyflexsim.workloads.terminal import console, progress, resumable

if TYPE_CHECKING:
    from rich.table import Table

    from hyflexsim.workloads.sweeping.sensitivity import Row

ANSWERS = {
    "energy": "energy_per_request_pj",
    "latency": "latency_ps.p50",
    "throughput": "throughput_per_s",
    "area": "area_mm2.used",
    "power": "power_w.mean",
}
"""Short words for answers of summary.json."""
LEAST = 1.001
"""Parameters that move the answer by less have no line in the terminal."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sensitivity")(sensitivity_)


def sensitivity_(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="Name (see list) or path of a .toml file.")
    ],
    of: Annotated[
        str,
        typer.Option(metavar="ANSWER", help=f"{', '.join(ANSWERS)}, or a number of summary.json."),
    ] = "energy",
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Of a ratio: the scenario with this changed, over the scenario as it is.",
        ),
    ] = None,
    status: Annotated[
        str, typer.Option(metavar="A,B", help="Of the parameters that move.")
    ] = "third-party,fitted,inferred,assumed",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key or a parameter."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="[default: runs/<name of the scenario>-sensitivity]."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew what was interrupted.")
    ] = False,
    workers: Workers = None,
) -> None:
    """Move each parameter that its paper does not give to half and double; rank what that does."""
    from hyflexsim.sim.chip.provenance import STATUSES  # noqa: PLC0415
    from hyflexsim.workloads.scenario.colocation import load  # noqa: PLC0415
    from hyflexsim.workloads.sweeping import sensitivity_study as study  # noqa: PLC0415

    statuses = status.split(",")
    for word in statuses:
        if word not in STATUSES:
            raise InputError(f"--status must be of {', '.join(STATUSES)}; got {word!r}")
    asked = study.Question(
        scenario, ANSWERS.get(of, of), tuple(changes or ()), tuple(against or ())
    )
    name = load(scenario, changes or ()).name
    target = out or Path("runs") / f"{name}-sensitivity"
    with progress() as say, resumable():
        rows, still = study.sensitivity(
            asked, target, statuses=statuses, workers=workers, fresh=fresh, say=say
        )
    console().print(_table(str(asked), rows), "")
    if still:
        print(f"note: 0, so without half and double: {', '.join(still)}")
    for file in (study.TABLE, study.PICTURE):
        print(f"written to {target / file}")


def _table(title: str, rows: Sequence[Row]) -> Table:
    """A row a parameter, those that move the answer most first."""
    from hyflexsim.workloads.cli.terminal_tables import table  # noqa: PLC0415
    from hyflexsim.workloads.sweeping.sensitivity import span  # noqa: PLC0415

    base = next(row["answer"] for row in rows if not row["parameter"])
    shown = table(title, "parameter", "status", "set to", ">answer", ">of the base")
    shown.add_row("as it is", "", "", f"{base:.5g}", "1")
    spans = span(rows)
    for name in (name for name, width in spans.items() if width >= LEAST):
        for row in (row for row in rows if row["parameter"] == name):
            answer = row["answer"]
            shown.add_row(
                name, row["status"], row["change"], f"{answer:.5g}", f"{answer / base:.4g}"
            )
    quiet = sum(width < LEAST for width in spans.values())
    shown.caption = f"{quiet} other parameters move it by less than a thousandth" if quiet else None
    return shown
