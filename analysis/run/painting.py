"""Draws the pictures of one run directory, whose path comes by standard input, on two cores.

A run starts this program early (hyflexsim/workloads/run/painter.py); until the path comes it loads
what pictures need. Then a copy of the process draws the timeline of
the whole run, which is half of the work.
"""

from __future__ import annotations

import io
import os
import sys

from hyflexsim.analysis.run.report import draw_others, draw_whole
from hyflexsim.analysis.style import context, new_axes



def main() -> None:
    """Wait for a path, draw, say so."""
    warm_up()
    path = sys.stdin.readline().rstrip("\n")
    if not path:
        return
    draw_on_two_cores(path)
    print("drawn", flush=True)


def warm_up() -> None:
    """Load fonts and what else the first picture waits for."""
    import pyarrow.parquet  # noqa: F401, PLC0415

    with context():
        ax = new_axes(1.0, 1.0)
        ax.set_title("µ", fontweight="bold")
        ax.legend(handles=[])
        ax.figure.savefig(io.BytesIO(), format="png", dpi=20)


def draw_on_two_cores(run_dir: str) -> None:
    """All pictures of a run; what the copy cannot draw is drawn here too."""
    copy = os.fork() if hasattr(os, "fork") else None
    if copy == 0:
        status = 1
        try:
            draw_whole(run_dir)
            status = 0
        finally:
            os._exit(status)
    draw_others(run_dir)
    if copy is None or os.waitpid(copy, 0)[1]:
        draw_whole(run_dir)
