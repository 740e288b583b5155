"""One process writes into a folder at a time; a second is told which one does."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyflexsim.sim.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no such locks: there nobody is refused
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock file; the system gives it back however the process ends.

    Raises InputError, naming process and machine, where another holds it. `what`: that other's
    work. The file stays: were it deleted, two could hold two files of its name.
    """
    with (folder / LOCK).open("a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise InputError(
                    f"{folder}: another {what} is writing it ({_holder(folder)}); give --out "
                    "another name, or wait"
                ) from None
        file.truncate(0)
        file.write(json.dumps({"process": os.getpid(), "machine": platform.node()}))
        file.flush()
        yield


def _holder(folder: Path) -> str:
    try:
        found = json.loads((folder / LOCK).read_text("utf-8"))
        return f"process {found['process']} on {found['machine']}"
    except (OSError, ValueError, KeyError):  # it is just being written
        return "a process that has just begun"
