"""``hyflexsim report``: a run, a sweep or a study as one file to hand to others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command of this file to the command line."""
    app.command()(report)


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What run, sweep, accuracy, ranks … wrote.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: DIR/report.html]")
    ] = None,
) -> None:
    """Write one HTML file with pictures, sortable tables and a timeline to zoom in."""
    from hyflexsim.analysis import write_report  # noqa: PLC0415

    print(f"written to {write_report(folder, out)}")
