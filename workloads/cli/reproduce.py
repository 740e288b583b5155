"""``hyflexsim reproduce``: the paper's figures beside ours, and the studies of other pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.cli.options import Device, Workers
from hyflexsim.workloads.terminal import console, progress, resumable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from hyflexsim.workloads.reproduction.claims import Claim

STUDIES = ("accuracy", "attention", "binary", "played")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reproduce")(reproduce_)


def reproduce_(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WHAT…",
            help="headline, sensitivity, table2, fig2, fig11 to fig17, copies, reviewers, silicon, "
            "all [default]; or accuracy, attention, binary: the studies behind docs/accuracy.md "
            "and docs/attention.md, some hours; or played: the runs behind copies, ten minutes.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of page, tables and pictures [default: runs/reproduction]."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="Of accuracy: only these recipes.")
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of the studies: folder of runs [default: runs]."),
    ] = None,
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="Of the studies: run nothing.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew what was interrupted.")
    ] = False,
    device: Device = "cpu",
    workers: Workers = None,
) -> None:
    """Make the paper's evaluation again: ours and theirs in tables, pictures and one page."""
    wanted = what or ["all"]
    if device != "cpu" and wanted != ["binary"]:
        raise InputError("--device goes with binary")
    target = out or Path("runs") / "reproduction"
    if not set(wanted) & set(STUDIES):
        if recipe is not None or runs is not None or tables_only:
            raise InputError(f"--recipe, --runs and --tables-only go with {', '.join(STUDIES)}")
        _figures(wanted, target, fresh, workers)
        return
    if workers is not None:
        raise InputError(f"--workers goes with figures, not with {', '.join(STUDIES)}")
    if len(wanted) > 1:
        raise InputError(f"{' and '.join(STUDIES)} go alone; got {' '.join(wanted)}")
    folder = runs or Path("runs")
    if recipe is not None and wanted[0] != "accuracy":
        raise InputError("--recipe goes with accuracy")
    if wanted[0] == "played":
        if runs is not None or tables_only:
            raise InputError("--runs and --tables-only do not go with played")
        _played(target / "results", fresh)
        return
    if not folder.is_dir() and (tables_only or folder.exists()):
        raise InputError(f"--runs must be a folder of runs; got {folder}")
    if wanted[0] == "binary":
        failed = _binary(folder, target, device, tables_only)
    else:
        failed = _studies(wanted[0], recipe, folder, target / "results", tables_only)
    if failed:
        print(f"{failed} steps failed; the same command tries them again")
        raise typer.Exit(1)


def _figures(wanted: list[str], target: Path, fresh: bool, workers: int | None) -> None:
    from hyflexsim.workloads.reproduction.reproduce import (  # noqa: PLC0415
        PAGE,
        is_whole,
        reproduce,
    )

    with progress() as say, resumable():
        figures = reproduce(wanted, target, say=say, fresh=fresh, workers=workers)
    console().print(_table([claim for figure in figures for claim in figure.claims]), "")
    for figure in figures:
        print(f"written to {target / 'pictures' / f'reproduction-{figure.name}.png'}")
    if is_whole(wanted):
        print(f"written to {target / PAGE}")


def _played(out: Path, fresh: bool) -> None:
    from hyflexsim.workloads.reproduction.played_copies import played_copies  # noqa: PLC0415

    with progress() as say, resumable():
        file = played_copies(out, say=say, fresh=fresh)
    print(f"written to {file}")


def _studies(what: str, recipe: str | None, runs: Path, out: Path, tables_only: bool) -> int:
    from hyflexsim.workloads.reproduction import (  # noqa: PLC0415
        accuracy_studies,
        attention_studies,
    )

    if what == "accuracy":
        names = recipe.split(",") if recipe is not None else list(accuracy_studies.STUDIES)
        return accuracy_studies.run(names, runs, out, tables_only=tables_only)
    return attention_studies.run(runs, out, tables_only=tables_only)


def _binary(runs: Path, target: Path, device: str, tables_only: bool) -> int:
    from hyflexsim.analysis import save  # noqa: PLC0415
    from hyflexsim.analysis.attention.arms import arms_plot  # noqa: PLC0415
    from hyflexsim.models.device import device_of  # noqa: PLC0415
    from hyflexsim.workloads.reproduction import binary_studies  # noqa: PLC0415

    if not tables_only:
        device_of(device)  # before eight trainings say the same
    failed = binary_studies.run(runs, target / "results", device, tables_only=tables_only)
    found = binary_studies.tables(runs / binary_studies.FOLDER)
    if found:
        picture = target / "pictures" / "part-small-arms.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        save(arms_plot(found["part-small-arms"], found["part-small-arms-curve"]), picture)
        print(f"written to {picture}")
    return failed


def _table(claims: Sequence[Claim]) -> Table:
    from hyflexsim.workloads.cli.terminal_tables import table  # noqa: PLC0415
    from hyflexsim.workloads.reproduction.page import number  # noqa: PLC0415

    rows = table("the paper and ours", "figure", "claim", ">paper", ">ours", ">ratio", "verdict")
    for each in claims:
        values = (number(value) for value in (each.paper, each.ours, each.ratio))
        rows.add_row(each.figure, each.claim, *values, each.verdict)
    return rows
