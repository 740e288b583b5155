"""``hyflexsim sparsity``: what sparse attention is worth on a chip (docs/sparsity.md)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.outputs import owned
from hyflexsim.workloads.terminal import console, progress

if TYPE_CHECKING:
    import pandas as pd

STUDIES = ("bound",)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sparsity")(sparsity)


def sparsity(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=", ".join(STUDIES))],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder whose results/ and pictures/ are written."),
    ] = Path("runs/sparsity"),
) -> None:
    """What sparse attention is worth in hardware."""
    if what not in STUDIES:
        raise InputError(f"sparsity: must be one of {', '.join(STUDIES)}; got {what!r}")
    _bound(out)


def _bound(out: Path) -> None:
    import pandas as pd  # noqa: PLC0415

    from hyflexsim.analysis.sparsity.bound import bound_plot  # noqa: PLC0415
    from hyflexsim.workloads.sparsity.bound import bounds  # noqa: PLC0415

    with progress() as say:
        table = pd.DataFrame(bounds(say=say))
    _write(out, "sparsity-bound", table, bound_plot(table))
    _show("what costs nothing saves at most (%)", table[table["what"] != "all"])


def _write(out: Path, name: str, table: pd.DataFrame, axes: Any) -> None:
    """A table and its picture, both or none of each."""
    from hyflexsim.analysis import save  # noqa: PLC0415

    for folder, suffix in (("results", "csv"), ("pictures", "png")):
        (out / folder).mkdir(parents=True, exist_ok=True)
        with owned(out / folder / f"{name}.{suffix}") as output, output.new() as file:
            if suffix == "csv":
                table.to_csv(file, index=False, float_format="%.4g")
            else:
                save(axes, file)
        print(f"written to {out / folder / f'{name}.{suffix}'}")


def _show(title: str, table: pd.DataFrame) -> None:
    from hyflexsim.workloads.cli.terminal_tables import table as rich_table  # noqa: PLC0415

    shares = ("energy", "answer", "pace")
    rows = rich_table(title, "model", ">tokens", "what", *(f">{name}" for name in shares))
    for _, row in table.iterrows():
        values = ("" if row[name] != row[name] else f"{100 * row[name]:.1f}" for name in shares)
        rows.add_row(row["model"], f"{row['tokens']:,}", row["what"], *values)
    console().print(rows, "")
