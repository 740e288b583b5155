"""Files that make the next run start sooner: extracted graphs, machine code."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Where they are kept: $HYFLEXSIM_CACHE, else the platform's folder for caches."""
    if os.environ.get("HYFLEXSIM_CACHE"):
        return Path(os.environ["HYFLEXSIM_CACHE"])
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "hyflexsim"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "hyflexsim"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "hyflexsim"


def write_whole(path: Path, content: bytes) -> None:
    """Write beside ``path``, then rename: a reader sees the whole file or none. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)
