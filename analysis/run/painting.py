"""Draws the pictures of one run directory, whose path comes by standard input, on two cores.

A run starts this program early (hyflexsim/workloads/run/painter.py); until the path comes it loads
what pictures need. Then it draws what needs no trace, and when the trace
is there, the rest; a copy of the process draws the timeline of the whole run, half of that work.
"""

from __future__ import annotations

import io
import os
import sys

from hyflexsim.analysis.run.report import draw_part, draw_tables, draw_whole
from hyflexsim.analysis.style import context, new_axes


def main() -> None:
    """Wait for the path, said when the tables are there; draw; wait for the trace, and go on."""
    warm_up()
    path = sys.stdin.readline().rstrip("\n")
    if not path:
        return
    draw_tables(path)
    if sys.stdin.readline():
        draw_trace(path)
        print("drawn", flush=True)


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
    """Pictures of a run that need its trace; what the copy cannot draw is drawn here too."""
    copy = os.fork() if hasattr(os, "fork") else None
    if copy == 0:
        status = 1
        try:
            draw_whole(run_dir)
            status = 0
        finally:
            os._exit(status)
    draw_part(run_dir)
    if copy is None or os.waitpid(copy, 0)[1]:
        draw_whole(run_dir)
