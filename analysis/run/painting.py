"""Draws the pictures of one run directory, whose path comes by standard input, on two cores.

A run starts this program early (hyflexsim/workloads/run/painter.py); until the path comes it loads
what pictures need. Then half of them are drawn in a copy of the process.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from hyflexsim.analysis.run.report import PICTURES, load_for_pictures, save
from hyflexsim.analysis.run.run import Run
from hyflexsim.analysis.style import context, new_axes

APART = ("timeline.png", "latency_cdf.png")
"""Pictures drawn by the copy: about half of the work."""


def main() -> None:
    """Wait for a path, draw, say so."""
    warm_up()
    path = sys.stdin.readline().rstrip("\n")
    if not path:
        return
    draw_on_two_cores(load_for_pictures(path))
    print("drawn", flush=True)


def warm_up() -> None:
    """Load fonts and what else the first picture waits for."""
    import pyarrow.parquet  # noqa: F401, PLC0415

    with context():
        ax = new_axes(1.0, 1.0)
        ax.set_title("µ", fontweight="bold")
        ax.legend(handles=[])
        ax.figure.savefig(io.BytesIO(), format="png", dpi=20)


def draw_on_two_cores(run: Run) -> None:
    """All pictures of a run; those that the copy does not draw are drawn here too."""
    if not hasattr(os, "fork"):
        _draw(run, list(PICTURES))
        return
    copy = os.fork()
    if copy == 0:
        try:
            _draw(run, APART)
            os._exit(0)
        finally:
            os._exit(1)
    _draw(run, [name for name in PICTURES if name not in APART])
    _, status = os.waitpid(copy, 0)
    if status:
        _draw(run, APART)


def _draw(run: Run, names: list[str] | tuple[str, ...]) -> list[Path]:
    return [save(PICTURES[name](run), run.path / name) for name in names]
