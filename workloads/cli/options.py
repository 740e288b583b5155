"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from hyflexsim.sim.errors import InputError

MOST_THREADS = 1024

Threads = Annotated[
    int, typer.Option(metavar="N", help="Threads of torch; more than idle cores take longer.")
]
"""One by default: where other work runs, two threads that wait for each other take 13 times as much
of the processor (85 s for 6.6 s, on two cores at load 5)."""


def _some_workers(count: int | None) -> int | None:
    if count is not None and count < 0:
        raise InputError(f"--workers must be an integer from 0; got {count}")
    return count


def is_on_the_line(context: typer.Context, name: str) -> bool:
    """Whether an option was typed, and is not its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Processes [default: HYFLEXSIM_WORKERS, or one a core]; 0: none beside this one.",
        callback=_some_workers,
    ),
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="Where a training computes: cpu, cuda or cuda:N.")
]


def use_threads(count: int) -> None:
    """Have torch compute with so many. Raises InputError for less than one, and for too many."""
    if not 1 <= count <= MOST_THREADS:
        raise InputError(f"--threads must be from 1 to {MOST_THREADS}; got {count}")
    import torch  # noqa: PLC0415 (half a second)

    torch.set_num_threads(count)
