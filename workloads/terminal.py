"""What commands share: a console wide enough for tables, a progress bar, a way to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Say = Callable[[str, int, int], None]
"""Progress: what is being done, how much is done, of how much (0: unknown)."""


def console() -> Console:
    """Wide enough for a table where the output is not a terminal."""
    from rich.console import Console  # noqa: PLC0415 (help answers without it)

    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
    # names of extras and patterns stand in brackets: no markup
    return Console(width=wide, highlight=False, soft_wrap=False, markup=False)


@contextmanager
def progress() -> Iterator[Say]:
    """A progress bar with the time left on the terminal, nothing in a file."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich import progress as bars  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    bar = bars.Progress(
        "{task.description}",
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
        "left:",
        bars.TimeRemainingColumn(elapsed_when_finished=False),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total or None
        )


@contextmanager
def resumable(*kept: Path) -> Iterator[None]:
    """Ctrl-C says that the work so far is kept, where one of the places is there in which it is."""
    try:
        yield
    except KeyboardInterrupt:
        if not any(place.exists() for place in kept):
            raise
        print("stopped; what is done is kept: run the same command to go on", file=sys.stderr)
        raise SystemExit(130) from None
