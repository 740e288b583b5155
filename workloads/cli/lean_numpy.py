"""numpy without its threads, where nothing multiplies matrices with it.

OpenBLAS starts a thread a core when numpy is loaded, and these spin for a tenth of a CPU second: a
fifth of all that a run takes before its first event. torch has threads of its own.
"""

from __future__ import annotations

import os

THREADS = "OPENBLAS_NUM_THREADS"


def load() -> None:
    """Import numpy with one thread, unless the user has said how many."""
    if THREADS in os.environ:
        return
    os.environ[THREADS] = "1"
    import numpy  # noqa: F401, PLC0415 (now, since the number is read once)

    del os.environ[THREADS]  # torch may read it, too
