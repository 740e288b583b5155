"""Pictures of a run drawn by a process of its own, which gets ready while the run goes on.

Loading pandas and matplotlib takes as long as everything up to the last event. So the command
line starts a Python beside (hyflexsim/analysis/run/painting.py), and names the run directory to it
when its tables are written, while the trace still is. Whatever goes wrong there, the pictures are
drawn here: they are the same bytes, and what is wrong with them is then said here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

DONE = "drawn"
CODE = "import gc; gc.disable(); from hyflexsim.analysis.run.painting import main; main()"


class Painter:
    """Draws the pictures of a run: by a process, or without one in this."""

    def __init__(self, process: subprocess.Popen[str] | None = None) -> None:
        self._process = process

    def tables_are_there(self, folder: Path) -> None:
        """Begin with pictures that do not need the trace."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it has gone; draw() will see
                self._process.stdin.write(f"{folder.absolute()}\n")
                self._process.stdin.flush()

    def draw(self, folder: Path) -> None:
        """The run directory is complete: see to it that all pictures are."""
        said = ""
        if self._process is not None:
            with suppress(OSError):
                said, _ = self._process.communicate("trace\n")
        if said.strip() != DONE:
            from hyflexsim.analysis import draw_all  # noqa: PLC0415 (matplotlib)

            draw_all(folder)

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def painter() -> Painter:
    """What draws all pictures of a run; start it early, and close it.

    It draws in this process where matplotlib is at hand already or there is one core.
    """
    if "matplotlib" in sys.modules or _cores() < 2:
        return Painter()
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"OPENBLAS_NUM_THREADS": "1"}  # threads that would spin beside the run
            | os.environ
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            encoding="utf-8",
        )
    except OSError:
        return Painter()
    return Painter(process)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
