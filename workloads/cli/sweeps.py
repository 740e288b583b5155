"""``hyflexsim sweep``: many runs from one file, on every core or a cluster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli.options import Workers
from hyflexsim.workloads.outputs import owned
from hyflexsim.workloads.terminal import console, progress, resumable

if TYPE_CHECKING:
    from rich.table import Table

    from hyflexsim.workloads.sweeping.estimate import Estimate

SHOWN = 40
"""Rows that fit a terminal; all are in points.parquet."""
FAILURES = 5
"""Kinds of errors that are printed."""
WIDE = 12
"""Characters of a line of a column's name."""
UNITS = {"ps": ("s", 1e-12), "pj": ("J", 1e-12), "w": ("W", 1.0)}
"""By the end of an answer's name."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sweep")(sweep_)


def sweep_(
    file: Annotated[
        str, typer.Argument(metavar="SWEEP", help="Name (see list) or path of a .toml file.")
    ],
    workers: Workers = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, as tcp://host:8786.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many points, how long, how much memory.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results folder [default: runs/<name of the sweep>]."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget the points that are there.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Compute failed points again.")] = False,
    plots: Annotated[bool, typer.Option(help="Draw pictures into the results folder.")] = True,
) -> None:
    """Run every point of a sweep that is not there yet; table, Pareto front, pictures."""
    from hyflexsim.workloads.sweeping.sweep import sweep  # noqa: PLC0415
    from hyflexsim.workloads.sweeping.sweep_file import Sweep  # noqa: PLC0415

    loaded = Sweep.load(file)
    if dry_run:
        from hyflexsim.workloads.sweeping.estimate import estimate  # noqa: PLC0415

        with progress() as say:
            _print_estimate(estimate(loaded, workers=workers, dask=dask, progress=say))
        return
    target = out or Path("runs") / loaded.name
    with progress() as say, resumable(target):
        sweep(*(loaded, target), workers=workers, dask=dask, fresh=fresh, retry=retry, progress=say)
    show(target)
    if plots:
        draw(target)
    print(f"written to {target}")


def show(folder: Path) -> None:
    """Print the points of a sweep, those on the front first, and what failed."""
    from hyflexsim.analysis import load_sweep  # noqa: PLC0415

    swept = load_sweep(folder)
    table = swept.table()
    if len(table):
        console().print(_frame(swept.title, table.head(SHOWN)), "")
        front = int(table["front"].eq("*").sum())
        aims = " and ".join(f"{aim} {name}" for name, aim in swept.objectives.items())
        print(f"{front} of {len(table)} points are on the front of {aims}")
    if len(table) > SHOWN:
        print(f"{len(table)} points in all are in {folder / 'points.parquet'}")
    errors = list(swept.errors().items())
    for error, count in errors[:FAILURES]:
        print(f"{count} point{'s'[: count - 1]} failed: {error}")
    if len(errors) > FAILURES:
        print(f"{len(errors) - FAILURES} other errors are in {folder / 'points.parquet'}")


def draw(folder: Path) -> None:
    """Draw the pictures of a sweep, finished or not, into its folder."""
    from hyflexsim.analysis import draw_sweep  # noqa: PLC0415

    with owned(folder):
        for path in draw_sweep(folder):
            print(f"written to {path}")


def _frame(title: str, frame: Any) -> Table:
    from hyflexsim.workloads.cli.terminal_tables import table  # noqa: PLC0415

    texts = [_texts(name, frame[name]) for name in frame.columns]
    rows = table(title, *(_header(name) for name in frame.columns))
    for row in zip(*texts, strict=True):
        rows.add_row(*row)
    return rows


def _header(name: str) -> str:
    """A long name in lines, aligned right as numbers are.

    >>> _header("latency_ps.p99"), _header("energy_per_request_pj")
    ('>latency_ps.\\np99', '>energy_per_\\nrequest_pj')
    """
    lines = [""]
    for piece in re.findall(r"[^._]+[._]?", name):
        if lines[-1].endswith(".") or len(lines[-1] + piece) > WIDE:
            lines.append("")
        lines[-1] += piece
    return name if name == "front" else ">" + "\n".join(filter(None, lines))


def _texts(name: str, column: Any) -> list[str]:
    """Times, energies and powers with their units, all else as it is."""
    from hyflexsim.workloads.cli.terminal_tables import si  # noqa: PLC0415

    units = [piece.rpartition("_")[2] for piece in name.split(".")]
    symbol, factor = next((UNITS[unit] for unit in units if unit in UNITS), ("", 0.0))
    if symbol and column.dtype.kind in "if":
        return [si(float(value) * factor, symbol) for value in column]
    return [f"{value:.4g}" if isinstance(value, float) else str(value) for value in column]


def _print_estimate(found: Estimate) -> None:
    if found.error is not None:
        raise InputError(f"a point fails: {found.error}")
    print(f"{found.points:,} points, at {found.seconds:.3g} s for one of them")
    print(f"about {duration(found.total_s)} on {found.workers} workers")
    print(f"up to {found.memory_mb:,.0f} MiB: {found.peak_mb:,.0f} for each of them")


def duration(seconds: float) -> str:
    """A time to wait, in the unit that one would say.

    >>> duration(3.2), duration(200), duration(7300), duration(200_000)
    ('3 s', '3 min', '2.0 h', '2.3 days')
    """
    for unit, least, places in (("days", 86400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= 1.5 * least:
            return f"{seconds / least:.{places}f} {unit}"
    return f"{seconds:.0f} s"
