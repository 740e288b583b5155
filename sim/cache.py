"""Files that make the next run start sooner: extracted graphs, lengths of jets, machine code.

What lies there is executed or believed, so it counts only where nobody else can have written it:
folder and file belong to the user or to root, others may not write to them, and the file begins
with the digest of its name and content. Anything else is made anew. In a folder that users share
each has one of their own. Not guarded against: the user, and folders above that others may rename.
"""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

_DIGEST = hashlib.sha256().digest_size
_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def cache_folder() -> Path:
    """Where they are kept: $HYFLEXSIM_CACHE, else the platform's folder for caches."""
    return Path(os.environ.get("HYFLEXSIM_CACHE") or _of_platform())


def read(name: str) -> bytes | None:
    """What was kept under a name; None where nothing is, or nothing that may be believed."""
    folder = _folder()
    try:
        content = b"" if folder is None else _own(folder / name)
    except OSError:
        return None
    digest, content = content[:_DIGEST], content[_DIGEST:]
    return content if digest == _digest(name, content) else None


def keep(name: str, content: bytes) -> None:
    """Keep a content under a name, which is that of a file; where it cannot, a note says so."""
    folder = _folder()
    if folder is None:
        return
    try:
        write_whole(folder / name, _digest(name, content) + content)
    except OSError as error:
        note(f"nothing is kept in {folder}: {error.strerror}")


@functools.cache
def note(text: str) -> None:
    """One plain line on standard error, once a process."""
    print(f"note: {text}", file=sys.stderr)


def write_whole(path: Path, content: bytes) -> None:
    """Write beside ``path``, then rename: a reader sees the whole file or none. Raises OSError."""
    handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(scratch).replace(path)
    finally:
        Path(scratch).unlink(missing_ok=True)


def _of_platform() -> Path:
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "hyflexsim"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "hyflexsim"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "hyflexsim"


def _folder() -> Path | None:
    """The folder of this user alone, where caches are, else the platform's; made if missing."""
    tried: list[Path] = []
    for find in (cache_folder, _of_platform):
        try:
            root = find()
            if root in tried:
                break
            tried.append(root)
            folder = root / (f"user-{os.getuid()}" if hasattr(os, "getuid") else "user")
            root.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except OSError as error:
            note(f"no cache in {root}: {error.strerror}")
            continue
        except RuntimeError:
            note("no cache: the user has no home folder; $HYFLEXSIM_CACHE may name another")
            break
        if stat.S_ISDIR(found.st_mode) and _ours_alone(found):
            return folder
        note(f"{folder} is not used as a cache: others own it or may write to it")
    return None


def _own(path: Path) -> bytes:
    """The bytes of a file that is ours alone. Raises OSError, also for one that is not."""
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
        found = os.fstat(file.fileno())
        if not (stat.S_ISREG(found.st_mode) and _ours_alone(found)):
            note(f"{path} is made anew: others own it or may write to it")
            raise PermissionError
        return file.read()


def _ours_alone(found: os.stat_result) -> bool:
    if not hasattr(os, "getuid"):  # Windows says it by other means, and keeps profiles apart
        return True
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & _FOR_OTHERS


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + content).digest()
