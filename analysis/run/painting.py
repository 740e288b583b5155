"""Draws the pictures of one run directory, whose path comes by standard input, on two cores.

A run starts this program early (hyflexsim/workloads/run/painter.py); until the path comes it loads
what pictures need. Copies of the process draw what needs no trace and, when the trace is there,
the timeline of the whole run; together these take as long as the rest.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

from hyflexsim.analysis.run.report import draw_part, draw_tables, draw_whole
from hyflexsim.analysis.style import context, new_axes


def main() -> None:
    """Wait for the path, said when the tables are there; draw; wait for the trace, and go on."""
    warm_up()
    path = sys.stdin.readline().rstrip("\n")
    if not path:
        return
    tables = Beside(draw_tables, path)
    traced = sys.stdin.readline()
    if traced:
        draw_trace(path)
    tables.wait()
    if traced:
        print("drawn", flush=True)


class Beside:
    """A drawing done by a copy of this process; by this one where it cannot be copied, or fails."""

    def __init__(self, draw: Callable[[str], object], run_dir: str) -> None:
        self._draw, self._run_dir = draw, run_dir
        self._copy = os.fork() if hasattr(os, "fork") else None
        if self._copy == 0:
            status = 1
            try:
                draw(run_dir)
                status = 0
            finally:
                os._exit(status)

    def wait(self) -> None:
        """The pictures are there when this returns. Raises what drawing raises."""
        if self._copy is None or os.waitpid(self._copy, 0)[1]:
            self._draw(self._run_dir)


def warm_up() -> None:
    """Load fonts and what else the first picture waits for."""
    import pyarrow.parquet  # noqa: F401, PLC0415

    with context():
        ax = new_axes(1.0, 1.0)
        ax.set_title("µ", fontweight="bold")
        ax.legend(handles=[])
        figure = ax.figure.get_figure(root=True)
        assert figure is not None
        figure.savefig(io.BytesIO(), format="png", dpi=20)


def draw_trace(run_dir: str) -> None:
    """Pictures of a run that need its trace."""
    whole = Beside(draw_whole, run_dir)
    draw_part(run_dir)
    whole.wait()
