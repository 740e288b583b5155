"""Pictures of a run drawn by a process of its own, which gets ready while the run goes on.

Loading pandas and matplotlib takes as long as everything up to the last event. So the command
line starts a Python beside (hyflexsim/analysis/run/painting.py), and names the run directory to it
when its tables are written. Whatever goes wrong there, the pictures are drawn here: they are the
same bytes, and what is wrong with them is then said here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

DONE = "drawn"
CODE = "import gc; gc.disable(); from hyflexsim.analysis.run.painting import main; main()"


def draw_here(folder: Path) -> None:
    """Draw all pictures of a run in this process."""
    from hyflexsim.analysis import draw_all  # noqa: PLC0415 (matplotlib)

    draw_all(folder)


@contextmanager
def painter() -> Iterator[Callable[[Path], None]]:
    """What draws all pictures of a run; start it early.

    It draws in this process where matplotlib is at hand already or there is one core.
    """
    if "matplotlib" in sys.modules or _cores() < 2:
        yield draw_here
        return
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            encoding="utf-8",
        )
    except OSError:
        yield draw_here
        return

    def draw(folder: Path) -> None:
        try:
            said, _ = process.communicate(f"{folder.absolute()}\n")
        except OSError:  # it has gone
            said = ""
        if said.strip() != DONE:
            draw_here(folder)

    try:
        yield draw
    finally:
        process.kill()
        process.communicate()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
