"""``hyflexsim large``: models that take many chips, pipeline beside tensor parallel."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from hyflexsim.sim.errors import InputError
from hyflexsim.workloads.outputs import new_file
from hyflexsim.workloads.terminal import console, progress

MOST_CONTEXT = 2**20
MOST_WAYS = 1024
PICTURES = (".png", ".svg", ".pdf")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("large")(large)


def large(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL…", help="Paths of config.json, or names (see list)."),
    ],
    preset: Annotated[str, typer.Option(help="Chip: a preset (see list) or a .toml file.")] = (
        "hyflexpim"
    ),
    slc_rate: Annotated[
        str, typer.Option(metavar="A,B,…", help="Shares of outputs in SLC, per cent.")
    ] = "0,20",
    tensor: Annotated[
        str, typer.Option(metavar="A,B,…", help="Chips that share a layer; empty: none do.")
    ] = "2,4,8",
    context: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 2048,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as CSV.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="Also as a picture.")] = None,
) -> None:
    """How many chips a decoder takes, how late and with how much energy it answers there."""
    from hyflexsim.workloads.large.table import rows  # noqa: PLC0415

    rates = [rate / 100 for rate in _numbers("--slc-rate", slc_rate, float, 0, 100)]
    ways = _numbers("--tensor", tensor, int, 2, MOST_WAYS) if tensor else []
    if not 1 <= context <= MOST_CONTEXT:
        raise InputError(f"--context must be an integer from 1 to {MOST_CONTEXT}; got {context}")
    if picture is not None and picture.suffix not in PICTURES:
        raise InputError(f"--picture must end in {', '.join(PICTURES)}; got {str(picture)!r}")
    with (
        progress() as say,
        nullcontext() if out is None else new_file(out) as table_file,
        nullcontext() if picture is None else new_file(picture) as picture_file,
    ):
        found, notes = rows(
            models, preset=preset, slc_rates=rates, ways=ways, context=context, say=say
        )
        _write(found, table_file, picture_file, picture)
    _print(found, notes)
    for path in (out, picture):
        if path is not None:
            print(f"written to {path}")


def _write(found: Any, table_file: Any, picture_file: Any, picture: Path | None) -> None:
    if table_file is None and picture_file is None:
        return
    import pandas as pd  # noqa: PLC0415

    frame = pd.DataFrame(found)
    if table_file is not None:
        frame.to_csv(table_file, index=False, float_format="%.4g")
    if picture is not None:
        from hyflexsim.analysis.studies.large_figure import chips_plot  # noqa: PLC0415
        from hyflexsim.analysis.studies.score_axes import figure_of  # noqa: PLC0415

        figure_of(chips_plot(frame)).savefig(picture_file, format=picture.suffix[1:])


def _print(found: Any, notes: list[str]) -> None:
    from hyflexsim.workloads.cli import terminal_tables  # noqa: PLC0415
    from hyflexsim.workloads.cli.terminal_tables import si  # noqa: PLC0415

    names = ("SLC", "chips a layer", ">chips", ">PUs", ">first token", ">further", ">energy")
    shown = terminal_tables.table("", "model", *names, "bound by", ">chip to chip")
    for row in found:
        shown.add_row(
            row.model,
            f"{100 * row.slc_rate:g} %",
            str(row.ways) if row.ways > 1 else "1 (pipeline)",
            f"{row.chips:,}",
            f"{row.pus:,}",
            si(row.first_ms * 1e-3, "s"),
            si(row.further_us * 1e-6, "s"),
            si(row.energy_mj * 1e-3, "J"),
            row.bound,
            si(row.link_kb * 1e3, "B"),
        )
    console().print(shown, "")
    print("further, energy, bound and chip to chip: of one token after the prompt")
    for note in notes:
        print(note)


def _numbers(option: str, text: str, kind: type, low: int, high: int) -> list[Any]:
    found = []
    for word in text.split(","):
        try:
            number = kind(word)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            whole = "integers" if kind is int else "numbers"
            raise InputError(f"{option} must be {whole} from {low} to {high}; got {word.strip()!r}")
        found.append(number)
    return found
