"""Commands on jets and the Particle Transformer: jets, train-part, attention, attention-cost.

Thin layers as in cli.py, which registers them; imports are inside for the same reason.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from hyflexsim.sim.errors import InputError

JetsPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="[JETS]",
        help="File or folder of jets, also below $HYFLEXSIM_DATA [default: the sample].",
    ),
]
Threads = Annotated[int, typer.Option(help="Threads of torch.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    from hyflexsim.workloads import make_jets  # noqa: PLC0415 (no torch in it)

    app.command("jets")(make_jets.command)
    app.command("train-part")(train)


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="part-small, part-full or a .toml file.")
    ],
    jets: JetsPath = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the training; resumed if it is there.")
    ] = Path("runs/part"),
    start: Annotated[
        Path | None, typer.Option(metavar="CHECKPOINT", help="Go on from these weights.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe."),
    ] = None,
    baseline: Annotated[bool, typer.Option(help="Also boosted trees on four observables.")] = True,
    threads: Threads = 1,
) -> None:
    """Train a Particle Transformer on jets; prints accuracy, AUC and background rejection."""
    import torch  # noqa: PLC0415

    from hyflexsim.workloads import part_tables  # noqa: PLC0415
    from hyflexsim.workloads.part_recipe import PartRecipe  # noqa: PLC0415
    from hyflexsim.workloads.train_part import train_part  # noqa: PLC0415

    torch.set_num_threads(threads)
    loaded = PartRecipe.load(recipe, _changes(changes))
    with _progress() as report, _resumable(out):
        scores = train_part(out, loaded, jets, start=start, report=report)
        trees = None
        if baseline:
            from hyflexsim.workloads.baseline import boosted_trees  # noqa: PLC0415

            trees = boosted_trees(out, loaded, jets, report=report)
    part_tables.show_scores(scores, trees)
    print(f"written to {out}")


def _changes(given: list[str] | None) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415

    out: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--set must be KEY=VALUE; got {text!r}")
        try:
            out[key.strip()] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            out[key.strip()] = value.strip()
    return out


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Ctrl-C says that the work so far is kept."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped; {out} keeps what is done: the same command goes on", file=sys.stderr)
        raise SystemExit(130) from None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on the terminal, nothing in a file."""
    from hyflexsim.workloads.cli import _progress as bar  # noqa: PLC0415

    with bar() as report:
        yield report
