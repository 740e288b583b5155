"""Threads of our parallel loops: as many as torch computes with, which keeps its own number.

numba starts all of its threads with the first parallel loop. Through OpenMP that changes how many
torch uses from then on: two on two cores where one was asked for, so that a training after it added
its products in another order and ended in other weights than one before.
"""

from __future__ import annotations

import numba
import torch


def as_torch() -> None:
    """Let this thread's next parallel loops use as many threads as torch does."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
