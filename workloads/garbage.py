"""Python's search for garbage, at the pace of a program that keeps what it makes."""

from __future__ import annotations

import gc


def collect_less() -> None:
    """Search once in 500,000 new objects and not in 700.

    Modules, graph and plan live to the end. Searching them again and again while they come into
    being is a sixth of a second run's start, and for a plan of thousands of steps half the time.
    """
    gc.set_threshold(500_000, 50, 1000)
