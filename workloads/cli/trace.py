"""``hyflexsim trace``: a run in a viewer that one can zoom in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hyflexsim.sim.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command of this file to the command line."""
    app.command()(trace)


def trace(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR")],
    requests: Annotated[
        str | None,
        typer.Option(metavar="0,1,…", help="Only these [default: the first, 100,000 visits]."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: RUN_DIR/trace.pftrace]")
    ] = None,
) -> None:
    """Write a run's visits, queues and power as a Perfetto trace; open it at ui.perfetto.dev."""
    from hyflexsim.analysis import load  # noqa: PLC0415
    from hyflexsim.analysis.run.perfetto import write_perfetto  # noqa: PLC0415

    file = out or run_dir / "trace.pftrace"
    visits = write_perfetto(load(run_dir), file, _numbers(requests))
    print(f"{visits:,} visits written to {file}; there, 1 ns is 1 ps of the run")


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--requests must be whole numbers with commas between; got {text!r}"
        ) from None
