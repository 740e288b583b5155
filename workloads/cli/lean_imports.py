"""Libraries without what a command does not need of them, which shows before its first event.

numpy's OpenBLAS starts a thread a core when it is loaded, and these spin while they have nothing to
do; nothing in a run multiplies matrices with numpy, and torch has threads of its own. pydantic
reads the metadata of every package installed, to see whether one is a plugin of its.
"""

from __future__ import annotations

import os

THREADS = "OPENBLAS_NUM_THREADS"
PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


def numpy_without_threads() -> None:
    """Import numpy with one thread, unless the user has said how many."""
    if THREADS in os.environ:
        return
    os.environ[THREADS] = "1"
    import numpy  # noqa: F401, PLC0415 (now, since the number is read once)

    del os.environ[THREADS]  # torch may read it, too


def pydantic_without_plugins() -> None:
    """Before the first model is made: look for no plugins, unless the user has said otherwise."""
    os.environ.setdefault(PLUGINS, "__all__")
