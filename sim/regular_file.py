"""Files that somebody names, where they are files: a device or a pipe may have no end."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def regular(path: Path) -> Path:
    """``path``, to be opened. Raises OSError for a device or a pipe, and for what is not there.

    >>> regular(Path("/dev/zero"))
    Traceback (most recent call last):
    OSError: [Errno 22] must be a file; a device or a pipe is none: '/dev/zero'
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder the system says so itself
        raise OSError(errno.EINVAL, "must be a file; a device or a pipe is none", str(path))
    return path
